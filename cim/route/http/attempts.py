"""Limits wrong passwords, for each account and name (docs/limits.md, Passwords)."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited
from cim.limits import Buckets, limit, whole_seconds

#: Ten attempts at once, and one more every six seconds.
WRONG_PASSWORDS = limit("0.167/10")
#: How many accounts and names are remembered. Each attempt costs a hash, so nobody can push out this many quickly.
KEPT = 10_000


class Attempts:
    """Counts failed password attempts."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._buckets = Buckets(WRONG_PASSWORDS, kept=KEPT)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str) -> None:
        """Use up one attempt.

        :raises RateLimited: none is left; `retry_after` says when the next one is allowed
        """
        now = self._clock.seconds()
        if not self._buckets.take(key, now, 1):
            wait = whole_seconds(self._buckets.wait(key, now, 1))
            raise RateLimited("too many wrong passwords: wait before you try again", retry_after=wait)

    def succeeded(self, key: str) -> None:
        """Give all attempts back: the password was right."""
        self._buckets.refill(key)
