"""Limits what callers may do who have proved nothing, by address (docs/limits.md, Strangers)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited
from cim.limits import Buckets, Limit, limit, whole_seconds

#: What each limit is of, and its default.
STRANGER_LIMITS: Mapping[str, tuple[str, str]] = {
    "address-accounts": ("new accounts from one address", "0.2/200"),
    "address-logins": ("logins of guests from one address", "50/5000"),
}


def default_stranger_limits() -> dict[str, Limit]:
    """Return the default limits of strangers, by name."""
    return {name: limit(text) for name, (_, text) in STRANGER_LIMITS.items()}


class Strangers:
    """Counts what addresses do.

    :param limits: the limits, by name
    :param refused: called with the kind of each refusal
    """

    def __init__(self, limits: Mapping[str, Limit], clock: IReactorTime, refused: Callable[[str], None]) -> None:
        self._clock = clock
        self._refused = refused
        self._buckets = {name: Buckets(limits[name]) for name in STRANGER_LIMITS}

    def make_account(self, address: str) -> None:
        """Count a new account.

        :raises RateLimited: too many from that address
        """
        self._take("address-accounts", address)

    def log_in(self, address: str) -> None:
        """Count a guest's login.

        :raises RateLimited: too many from that address
        """
        self._take("address-logins", address)

    def _take(self, name: str, address: str) -> None:
        now = self._clock.seconds()
        buckets = self._buckets[name]
        if not buckets.take(address, now, 1):
            self._refused(f"limit-{name}")
            seconds = whole_seconds(buckets.wait(address, now, 1))
            raise RateLimited(f"too many {STRANGER_LIMITS[name][0]}: try again in {seconds} s", seconds)
