"""Limits how often one address, and one user, may do what costs more than a message (docs/limits.md).

An address counts for whoever has proved nothing, a user for whoever shows its token.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager

from twisted.internet.interfaces import IReactorTime

from cim.errors import Forbidden, NoServerAvailable, RateLimited, Unauthorized, Unavailable
from cim.limits import Buckets, Limit, whole_seconds

#: What each limit is of, and its default.
RATE_LIMITS: Mapping[str, tuple[str, str]] = {
    "address-accounts": ("new accounts from one address", "0.2/200"),
    "address-invitations": ("invitations that are not valid from one address", "0.1/20"),
    "address-resets": ("reset codes that are not valid from one address", "0.1/20"),
    "address-logins": ("logins of guests from one address", "50/5000"),
    "address-calls": ("calls from one address that prove nothing", "100/20000"),
    "address-online": ("lists of who is online for one address", "1/100"),
    "user-calls": ("calls of one user", "50/1000"),
    "user-logins": ("logins and changes of the password of one user", "0.2/200"),
    "user-groups": ("groups that one user makes, changes or dissolves", "0.05/100"),
    "user-invitations": ("invitations that one user sends", "0.1/100"),
    "user-searches": ("searches for people by one user", "0.2/60"),
    "user-reports": ("reports of messages by one user", "0.02/20"),
    "user-memberships": ("joins, leaves, mutes, bans and other changes of members by one user", "2/1000"),
}


class Rates:
    """Counts what addresses and users do.

    :param limits: the limits, by name
    :param refused: called with the kind of each refusal
    """

    def __init__(self, limits: Mapping[str, Limit], clock: IReactorTime, refused: Callable[[str], None]) -> None:
        self._clock = clock
        self._refused = refused
        self._buckets = {name: Buckets(limits[name]) for name in RATE_LIMITS}

    def take(self, name: str, whose: Hashable) -> None:
        """Count one more of what a limit is of.

        :param whose: the address, or the user's id
        :raises RateLimited: there were too many; `retry_after` says when there may be another one
        """
        now = self._clock.seconds()
        buckets = self._buckets[name]
        if not buckets.take(whose, now, 1):
            self._refused(f"limit-{name}")
            seconds = whole_seconds(buckets.wait(whose, now, 1))
            raise RateLimited(f"too many {RATE_LIMITS[name][0]}: try again in {seconds} s", seconds)

    def spend(self, name: str, whose: Hashable, count: float) -> None:
        """Count what was done already; it may leave a debt, which is paid before there may be more."""
        self._buckets[name].spend(whose, self._clock.seconds(), count)

    @contextmanager
    def attempt(self, name: str, whose: Hashable) -> Iterator[None]:
        """Count what is done within as `take` does, unless something of ours is not there, or nothing was proved.

        All clients of an address try again while no server is there, and should come back at once when there is one.
        Whoever does not know a password uses up nothing of the account's owner.
        """
        self.take(name, whose)
        try:
            yield
        except (Forbidden, NoServerAvailable, Unauthorized, Unavailable):
            self.give_back(name, whose)
            raise

    def give_back(self, name: str, whose: Hashable) -> None:
        """Put back what `take` counted: it was not of that kind, or nobody has looked."""
        self._buckets[name].give_back(whose, self._clock.seconds(), 1)
