"""One timer that finds the connections that have been silent for too long."""

from __future__ import annotations

from typing import Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.supervision import Loop

#: After how many ticks a check that failed unexpectedly is tried again.
AGAIN = 60


class Watched(Protocol):
    """What the wheel holds and checks when it is due."""

    wheel_slot: int

    def check(self, now: int) -> int:
        """Act if due; return the tick at which to ask again, or 0 for never."""


class TimerWheel(Service):
    """Counts ticks of one second and checks what is due, however many connections there are.

    A connection notes `now` when it hears something, and is checked only when it may have been silent for too long, so
    an active connection costs the wheel one check per timeout.

    :ivar now: the current tick, 1 at the start; read it instead of the clock
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self.now = 1
        self._slots: dict[int, set[Watched]] = {}
        self._loop = Loop("looking for silent connections", self._tick, clock, every=1.0)

    def startService(self) -> None:
        """Start ticking."""
        super().startService()
        self._loop.start(1.0)

    def stopService(self) -> None:
        """Stop ticking."""
        super().stopService()
        self._loop.stop()

    def put(self, watched: Watched, tick: int) -> None:
        """Check `watched` at `tick`, instead of at any tick that was set before."""
        if watched.wheel_slot:
            self.remove(watched)
        tick = max(tick, self.now + 1)
        self._slots.setdefault(tick, set()).add(watched)
        watched.wheel_slot = tick

    def remove(self, watched: Watched) -> None:
        """Stop checking `watched`."""
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
        # One tick per call, however late the call: a process that was suspended could hear nobody, so that time does
        # not count as silence.
        self.now += 1
        for watched in self._slots.pop(self.now, ()):
            watched.wheel_slot = 0
            try:
                again = watched.check(self.now)
            except Exception:
                self._log.failure("a connection was not checked")
                again = self.now + AGAIN
            if again:
                self.put(watched, again)
