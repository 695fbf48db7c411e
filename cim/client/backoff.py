"""Exponential backoff with full jitter."""

from __future__ import annotations

from collections.abc import Callable

FIRST_SECONDS = 0.5
CAP_SECONDS = 10.0
#: The cap while nothing can be reached: no server feels such attempts, and clients are back soon after the network is.
UNREACHABLE_SECONDS = 3.0
#: After a session that lasted this long, in seconds, the next loss starts from the shortest wait again.
STEADY_SECONDS = 20.0


class Backoff:
    """Waits whose upper bound doubles up to a cap, each random between zero and the bound ("full jitter").

    So clients that lost the same server come back spread out, and the first of them at once.

    :param random: returns a number from 0 up to 1
    """

    def __init__(self, random: Callable[[], float], *, first: float = FIRST_SECONDS, cap: float = CAP_SECONDS) -> None:
        self._random = random
        self._first = first
        self._cap = cap
        self._bound = first

    def reset(self) -> None:
        """Start from the shortest wait again."""
        self._bound = self._first

    def next(self, cap: float | None = None) -> float:
        """Return the next wait, in seconds.

        :param cap: a lower cap for this wait
        """
        bound, self._bound = self._bound, min(self._cap, self._bound * 2)
        return min(bound, cap or bound) * self._random()
