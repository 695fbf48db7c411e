"""One timer for all connections: who has been silent for too long."""

from __future__ import annotations

from typing import Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall


class Watched(Protocol):
    """What the wheel holds: it is asked when its time has come."""

    wheel_slot: int

    def check(self, now: int) -> int:
        """Act if due; return the tick at which to ask again, or 0 for never."""


class TimerWheel(Service):
    """Counts ticks of one second and asks what is due, whatever the number of connections.

    A connection notes `now` when it hears something; it is looked at only when its silence may have become too long,
    so an active connection costs the wheel one look per timeout.

    :ivar now: the present tick, 1 at the start; read it instead of the clock
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.now = 1
        self._slots: dict[int, set[Watched]] = {}
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin to tick."""
        super().startService()
        self._loop.start(1.0, now=False)

    def stopService(self) -> None:
        """Stop ticking."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def put(self, watched: Watched, tick: int) -> None:
        """Have `watched` asked at `tick`, and not at whatever was said before."""
        self.remove(watched)
        tick = max(tick, self.now + 1)
        self._slots.setdefault(tick, set()).add(watched)
        watched.wheel_slot = tick

    def remove(self, watched: Watched) -> None:
        """Forget it."""
        if watched.wheel_slot:
            slot = self._slots.get(watched.wheel_slot)
            if slot is not None:
                slot.discard(watched)
                if not slot:
                    del self._slots[watched.wheel_slot]
            watched.wheel_slot = 0

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def _tick(self) -> None:
        # One tick a call, however late it comes: while the process stood still it could hear nobody, so that time is
        # not silence of the others.
        self.now += 1
        for watched in self._slots.pop(self.now, ()):
            watched.wheel_slot = 0
            again = watched.check(self.now)
            if again:
                self.put(watched, again)
