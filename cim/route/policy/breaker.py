"""Leaves somebody alone who fails again and again, so that not everybody waits for what does not answer."""

from __future__ import annotations

import enum
from collections.abc import Callable

#: After how many failures in a row nothing is asked for a while.
FAILURES = 5
#: For how long, in seconds: at first, and at most; it doubles with each trial that fails.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class State(enum.Enum):
    """Whether something is asked."""

    ASKED = "asked"
    #: Nothing is asked until the pause is over.
    PAUSED = "paused"
    #: The pause is over, and one question is under way that decides.
    TRIED = "tried"


class Breaker:
    """Counts failures.

    :param seconds: a clock that only goes forward
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._until = 0.0
        self.state = State.ASKED

    def permits(self) -> bool:
        """Return whether something may be asked; if so, `succeeded` or `failed` must follow."""
        if self.state is State.PAUSED and self._seconds() >= self._until:
            self.state = State.TRIED
            return True
        return self.state is State.ASKED

    def succeeded(self) -> None:
        """Note an answer: whoever gives one is asked."""
        self.state, self._failures, self._pause = State.ASKED, 0, FIRST_PAUSE

    def failed(self) -> None:
        """Note a failure; of those that were asked before a pause it does not count."""
        if self.state is State.PAUSED:
            return
        self._failures += 1
        if self.state is State.TRIED or self._failures >= FAILURES:
            self.state, self._until = State.PAUSED, self._seconds() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def remaining(self) -> float:
        """Return for how many seconds nothing is asked from now on; 0 unless it is paused."""
        return max(0.0, self._until - self._seconds()) if self.state is State.PAUSED else 0.0
