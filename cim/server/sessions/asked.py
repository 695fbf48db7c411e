"""Pushes whose sender waits to hear how many sessions they were written to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Asked:
    """One who waits; answered once.

    :param answer: called with the number of sessions
    """

    __slots__ = ("_answer", "_left", "written")

    def __init__(self, answer: Callable[[int], None]) -> None:
        self._answer: Callable[[int], None] | None = answer
        self._left = 1
        self.written = 0

    def wait(self) -> Callable[[bool], None]:
        """Wait for one more session; return what tells whether it was written there."""
        self._left += 1
        return self.settle

    def settle(self, written: bool) -> None:
        """It is known of one that was waited for; when it is known of all, answer."""
        self.written += written
        self._left -= 1
        if not self._left:
            self.finish()

    def finish(self) -> None:
        """Answer with what is known."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(self.written)

    @property
    def open(self) -> bool:
        """Whether it is not answered."""
        return self._answer is not None


class InTime:
    """Has those who wait answered in time. One timer serves all: they all have the same time.

    :param seconds: how long they may wait
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waiting: deque[tuple[float, Asked]] = deque()
        self._timer: IDelayedCall | None = None

    def answer(self, asked: Asked) -> None:
        """Have one answered with what is known when its time is over."""
        self._waiting.append((self._clock.seconds() + self._seconds, asked))
        if self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        waiting = self._waiting
        while waiting and (waiting[0][0] <= now or not waiting[0][1].open):
            waiting.popleft()[1].finish()
        if waiting:
            self._timer = self._clock.callLater(waiting[0][0] - now, self._due)
