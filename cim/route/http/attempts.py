"""Limits wrong passwords: a bounded table of accounts and names with the attempts that each has left."""

from __future__ import annotations

import math
from collections import OrderedDict

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited

#: Attempts allowed at once, and seconds until one more is allowed.
BURST = 10
SECONDS = 6.0
#: How many accounts and names are remembered. Each attempt costs a hash, so nobody can push out this many quickly.
KEPT = 10_000


class Attempts:
    """Counts failed password attempts."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # When all attempts will be available again, by account or name.
        self._full: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full)

    def take(self, key: str) -> None:
        """Use up one attempt.

        :raises RateLimited: none is left; `retry_after` says when the next one is allowed
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
        """Give all attempts back: the password was right."""
        self._full.pop(key, None)
