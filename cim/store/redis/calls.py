"""How stores call Redis, whether there is one, or a cluster of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.store.clock import StoreClock
from cim.store.redis.epoch import Epoch
from cim.store.redis.facts import ServerFacts
from cim.store.redis.refusals import Refusals

if TYPE_CHECKING:
    from cim.store.redis.scripts import Script


class RedisCalls(ABC):
    """Calls, and who listens to them. A script and a command work on keys of which the first says where they are.

    Every failure of a call is a StoreUnavailable: it may or may not have been done.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._refusals = Refusals()
        self._unanswered = 0
        self._reconnect_listeners: list[Callable[[], None]] = []
        self._latency_listeners: list[Callable[[str, float], None]] = []

    @property
    @abstractmethod
    def named(self) -> str:
        """What it calls, for people."""

    @property
    @abstractmethod
    def epoch(self) -> Epoch:
        """What is known of the epoch."""

    @property
    @abstractmethod
    def clock(self) -> StoreClock:
        """The time of the store."""

    @property
    @abstractmethod
    def server(self) -> ServerFacts:
        """What Redis says of itself, or in a cluster the one that has what is there once for all."""

    @abstractmethod
    def start(self) -> None:
        """Start connecting."""

    @abstractmethod
    async def stop(self) -> None:
        """Close all connections; unanswered calls fail."""

    @abstractmethod
    async def ready(self) -> None:
        """Wait until the epoch and the time are known.

        :raises StoreUnavailable: they are not soon
        """

    @abstractmethod
    def cut(self, reason: str) -> None:
        """Use no connection any more, and make others if what is there can be used again."""

    @abstractmethod
    def load(self, script: Script) -> None:
        """Load a script in the handshake, so that its calls run in the order in which they are made.

        Otherwise the first call must be repeated with the script's text, and the next call may overtake it.
        """

    @abstractmethod
    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Deferred[Any]:
        """Run a script, by its hash if Redis knows it; bulk replies are bytes."""

    @abstractmethod
    def evaluate(
        self, name: str, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Coroutine[Deferred[Any], Any, Any]:
        """Run a script as part of the operation `name`, which the caller counts (see `observed`)."""

    @abstractmethod
    def run_in_epoch(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Deferred[Any]:
        """Run a script that may refuse to run because a new epoch must begin, which then does.

        Its first argument is the highest number of the epoch's record that this route has seen. On one connection these
        calls run in the order in which they are made.
        """

    @abstractmethod
    def command(self, name: str, *args: str | bytes | int) -> Deferred[Any]:
        """Run a command and count it under `name`."""

    @abstractmethod
    async def commands(self, name: str, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
        """Run commands in one turn, as part of the operation `name`, which the caller counts."""

    @abstractmethod
    def health(self) -> str:
        """See IStore."""

    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """See IStore."""

    def observed(self, name: str, seconds: float) -> None:
        """Report the duration of an operation to the observer."""
        for listener in self._latency_listeners:
            listener(name, seconds)

    def refused(self, name: str, reason: str) -> None:
        """Log that Redis refused an operation or a part of it."""
        if self._refusals.note(reason):
            self._log.warn("{redis} refused {name}: {reason}", redis=_first(self.named), name=name, reason=reason)

    def _wrote(self) -> None:
        if self._refusals.wrote():
            self._log.info("{redis} takes writes again", redis=_first(self.named))

    def _returned(self) -> None:
        for listener in self._reconnect_listeners:
            with self._log.failuresHandled("A listener to the return of Redis failed"):
                listener()

    def on_epoch(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self.epoch.on_change(listener)

    def on_reconnect(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._reconnect_listeners.append(listener)

    def observe(self, latency: Callable[[str, float], None]) -> None:
        """See IStore."""
        self._latency_listeners.append(latency)


def _first(words: str) -> str:
    """Return words as a sentence begins with them."""
    return words[:1].upper() + words[1:]
