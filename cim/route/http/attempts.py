"""How often a password may be wrong: a bounded table of accounts and names with the attempts that each has left."""

from __future__ import annotations

import math
from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited

#: Attempts at once, and seconds until one more is allowed.
BURST = 10
SECONDS = 6.0
#: Accounts and names that are remembered. An attempt costs a hash, so nobody makes this many be forgotten quickly.
KEPT = 10_000


class Attempts:
    """Counts attempts to give a password; those that succeed do not count."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # When all attempts will be back, by account or name.
        self._full: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full)

    def take(self, key: str) -> None:
        """Make an attempt.

        :raises RateLimited: none is left; says when the next one is allowed
        """
        now = self._clock.seconds()
        full = max(self._full.get(key, now), now) + SECONDS
        late = full - now - BURST * SECONDS
        if late > 0:
            raise RateLimited("too many wrong passwords: wait before you try again", retry_after=math.ceil(late))
        self._full[key] = full
        self._full.move_to_end(key)
        if len(self._full) > KEPT:
            self._full.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """The attempt was right: all are back."""
        self._full.pop(key, None)
