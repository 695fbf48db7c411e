"""How long calls wait for a connection to Redis that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: How long calls wait for a connection that was just lost or not made yet, in seconds; later calls fail at once.
PATIENCE = 2.0


class Patience:
    """Lets calls wait for a connection that was just lost or is not made yet, for a while."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []

    def begin(self) -> None:
        """Have calls wait from now on, for PATIENCE at most."""
        self._timer = self._clock.callLater(PATIENCE, self.end)

    def end(self) -> None:
        """Have nobody wait any more: there is a connection, or there will be none soon."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    async def wait(self) -> None:
        """Wait for the end, if it has not come."""
        if self._timer is not None:
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            await waiter
