"""Pushes whose sender waits to be told how many sessions they were written to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from cim.supervision import Loop


class Asked:
    """A push whose sender waits for the count; it is answered once.

    :param answer: called with the number of sessions that it was written to
    """

    __slots__ = ("_answer", "_left", "written")

    def __init__(self, answer: Callable[[int], None]) -> None:
        self._answer: Callable[[int], None] | None = answer
        self._left = 1
        self.written = 0

    def wait(self) -> Callable[[bool], None]:
        """Wait for one more session; return a function to call with whether the push was written there."""
        self._left += 1
        return self.settle

    def settle(self, written: bool) -> None:
        """Note whether the push was written to one of the sessions waited for; answer once all are known."""
        self.written += written
        self._left -= 1
        if not self._left:
            self.finish()

    def finish(self) -> None:
        """Answer with the number known so far, unless it was answered before."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer(self.written)

    @property
    def open(self) -> bool:
        """Whether it is still unanswered."""
        return self._answer is not None


class InTime:
    """Answers pushes in time. They all have the same time limit, so one timer serves them all.

    :param seconds: how long a push may stay unanswered
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._waiting: deque[tuple[float, Asked]] = deque()
        self._loop = Loop("answering pushes in time", self._due, clock)

    def answer(self, asked: Asked) -> None:
        """Have a push answered with the number known by then when its time is over."""
        self._waiting.append((self._clock.seconds() + self._seconds, asked))
        self._loop.wake(self._seconds)

    def _due(self) -> float | None:
        now = self._clock.seconds()
        waiting = self._waiting
        while waiting and (waiting[0][0] <= now or not waiting[0][1].open):
            waiting.popleft()[1].finish()
        return waiting[0][0] - now if waiting else None
