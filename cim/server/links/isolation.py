"""Sends a server's clients elsewhere when it is cut off from all routes (docs/architecture.md, Links)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.application.service import Service
from twisted.logger import Logger

from cim.interfaces import ROUTES, IRegistry

#: How long no route may be linked before the clients are sent away, in seconds. Restarted routes are linked sooner.
PATIENCE_SECONDS = 5


class Wheel(Protocol):
    """Calls what is put into it at a tick, once a second (see `cim.server.edge.wheel.TimerWheel`)."""

    now: int

    def put(self, watched: Isolation, tick: int) -> None:
        """Call `watched.check` at a tick."""

    def remove(self, watched: Isolation) -> None:
        """Call it no more."""


class Isolation(Service):
    """Sends the clients away once, if no route has been linked for a while although there are routes.

    If the registry answers and lists none, there is no other place either: the clients stay, and go on as soon as a
    route is back.

    :param links: returns how many routes are linked
    :param send_away: ends all sessions
    """

    _log = Logger()
    wheel_slot = 0

    def __init__(
        self, wheel: Wheel, registry: IRegistry, links: Callable[[], int], send_away: Callable[[], None]
    ) -> None:
        self._wheel = wheel
        self._registry = registry
        self._links = links
        self._send_away = send_away
        self._listed = False
        self._alone = 0
        self._unwatch: Callable[[], None] = lambda: None

    def startService(self) -> None:
        """Begin to look at the links."""
        super().startService()
        self._unwatch = self._registry.watch(ROUTES, self._changed)
        self._wheel.put(self, self._wheel.now + 1)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        self._unwatch()
        self._wheel.remove(self)

    def _changed(self, routes: Mapping[str, bytes]) -> None:
        self._listed = bool(routes)

    def check(self, now: int) -> int:
        """Count a second, and return when to count the next."""
        if self._links() or not (self._listed or self._registry.health()):
            self._alone = 0
        else:
            self._alone += 1
            if self._alone == PATIENCE_SECONDS:
                self._log.error(
                    "No route has been linked for {seconds} s: sending all clients to other servers",
                    seconds=PATIENCE_SECONDS,
                )
                self._send_away()
        return now + 1
