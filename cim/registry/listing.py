"""The last known list of a folder, and its listeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import define

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

Listener = Callable[[Mapping[str, bytes]], None]


@define(eq=False)
class _Watcher:
    listener: Listener
    told: Mapping[str, bytes] | None = None


class Listing:
    """Sends its listeners the whole list, in a later turn, whenever it differs from what they were sent.

    If a listener raises, that is logged and does not affect the others.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._known: Mapping[str, bytes] | None = None
        self._watchers: list[_Watcher] = []
        self._soon: IDelayedCall | None = None

    @property
    def known(self) -> Mapping[str, bytes] | None:
        """The list as last put; None before that."""
        return self._known

    def put(self, names: Mapping[str, bytes]) -> None:
        """Replace the list by `names`."""
        self._known = MappingProxyType(dict(names))
        self._tell_soon()

    def watch(self, listener: Listener) -> Callable[[], None]:
        """Send `listener` the list, now if it is known, and after each change.

        :returns: a function that stops this: the listener is not called after it
        """
        watcher = _Watcher(listener)
        self._watchers.append(watcher)
        self._tell_soon()

        def unwatch() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return unwatch

    def close(self) -> None:
        """Call no listener any more."""
        self._watchers.clear()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def _tell_soon(self) -> None:
        if self._soon is None and self._known is not None and self._watchers:
            self._soon = self._reactor.callLater(0, self._tell)

    def _tell(self) -> None:
        self._soon = None
        for watcher in list(self._watchers):
            known = self._known
            if known is None or watcher not in self._watchers or watcher.told == known:
                continue
            watcher.told = known
            with self._log.failuresHandled("a listener of the registry raised"):
                watcher.listener(known)
