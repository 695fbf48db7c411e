"""Has a bounded number of things done at a time; the others wait for their turn, as long as it is worth it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred, TimeoutError


class Turns:
    """Gives turns in the order in which they are asked for.

    :param seconds: a clock that only goes forward
    :param most: how many there are at a time
    :param longest: how long one may wait, in seconds: whoever waited longer gets none
    """

    def __init__(self, seconds: Callable[[], float], most: int, longest: float) -> None:
        self._seconds = seconds
        self._free = most
        self._longest = longest
        # Who waits, and since when.
        self._waiting: OrderedDict[Deferred[None], float] = OrderedDict()
        self._giving = False

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def take(self) -> Deferred[None]:
        """Fire when it is the caller's turn, who must `end` it; fail with TimeoutError if that came too late."""
        turn: Deferred[None] = Deferred(self._waiting.__delitem__)
        self._waiting[turn] = self._seconds()
        self._give()
        return turn

    def end(self) -> None:
        """End a turn."""
        self._free += 1
        self._give()

    def _give(self) -> None:
        # Whoever gets a turn may end it at once: the outer loop goes on, so that many in a row nest no calls.
        if self._giving:
            return
        self._giving = True
        try:
            while self._free and self._waiting:
                turn, since = self._waiting.popitem(last=False)
                if self._seconds() - since > self._longest:
                    turn.errback(TimeoutError("its turn came too late"))
                else:
                    self._free -= 1
                    turn.callback(None)
        finally:
            self._giving = False
