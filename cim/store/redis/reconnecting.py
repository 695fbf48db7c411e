"""A connection to a Redis that is made anew whenever it is lost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamClientEndpoint

    from cim.store.redis.confirming import Confirming

FIRST_DELAY = 0.05
MAX_DELAY = 2.0


def retry_delay(failures: int, random: Callable[[], float]) -> float:
    """Return how many seconds to wait after that many failures in a row: growing, jittered, at most MAX_DELAY."""
    return min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(failures, 10)) * (0.5 + random() / 2)


class Reconnecting(ABC):
    """Connects, prepares the connection, has it used until it is lost, and begins again; a loop calls `_connect`."""

    _endpoint: IStreamClientEndpoint
    _factory: Any
    _random: Callable[[], float]
    _opened: Any = None  # connected, perhaps not yet in use
    _failures = 0
    _stopped = False

    @abstractmethod
    def _confirming(self, protocol: Any) -> Confirming | None:
        """Return what makes answers wait for a majority, if they do."""

    @abstractmethod
    async def _prepare(self, protocol: Any) -> None:
        """Do all that comes before a connection is used; whatever is raised ends it."""

    @abstractmethod
    def _connected(self, protocol: Any) -> None:
        """Begin to use a connection."""

    @abstractmethod
    def _lost(self, reason: str) -> None:
        """Note that there is no connection, and why."""

    async def _connect(self) -> float | None:
        """Connect, and stay until the connection is lost; return the seconds until the next attempt."""
        try:
            protocol: Any = await self._endpoint.connect(self._factory)
            self._opened = protocol
            lost = protocol.whenDisconnected()
            protocol.confirming = self._confirming(protocol)
            await self._prepare(protocol)
            self._failures = 0
            self._connected(protocol)
            await lost
            self._lost(protocol.complaint or "the connection was lost")
        except Exception as error:  # retry whatever it is
            if self._stopped:
                return None
            reason = str(error) or type(error).__name__
            if self._opened is not None:
                self._opened.transport.abortConnection()
                reason = self._opened.complaint or reason
            self._lost(reason)
        self._opened = None
        self._failures += 1
        return retry_delay(self._failures, self._random)
