"""Limits wrong passwords, by account, address and device (docs/limits.md, Passwords)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial

from attrs import frozen

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited
from cim.limits import Buckets, Limit, Waiting, limit, take_all, whole_seconds

#: What each limit is of, and its default.
PASSWORD_LIMITS: Mapping[str, tuple[str, str]] = {
    "passwords": ("wrong passwords for an account from one address or device", "0.167/10"),
    "account-passwords": ("wrong passwords for an account from all addresses unknown to it", "0.167/100"),
    "address-passwords": ("wrong passwords from an address, for accounts unknown there", "0.5/100"),
}
#: How long an address or device stays known after it gave an account's password, in seconds.
KNOWN_SECONDS = 30 * 86400.0
#: How many pairs of an account and an address or device are known, and how many of one account.
MAX_KNOWN = 100_000
KNOWN_OF_ONE = 32


def default_password_limits() -> dict[str, Limit]:
    """Return the default limits of wrong passwords, by name."""
    return {name: limit(text) for name, (_, text) in PASSWORD_LIMITS.items()}


@frozen
class Attempt:
    """A password to be checked. It counts as wrong unless it turns out to be right, or is never looked at.

    :ivar first: whether it comes from an address or device known to the account, and so is checked before others
    :ivar unseen: gives the attempt back: nobody has looked at the password
    :ivar right: gives it back, and remembers where the right password came from
    """

    first: bool
    unseen: Callable[[], None]
    right: Callable[[], None]


class Attempts:
    """Counts wrong passwords. Those from places known to an account count apart: strangers cannot lock its owner out.

    :param limits: the limits, by name
    :param refused: called with the kind of each refusal
    """

    def __init__(self, clock: IReactorTime, limits: Mapping[str, Limit], refused: Callable[[str], None]) -> None:
        self._clock = clock
        self._refused = refused
        self._places, self._accounts, self._addresses = (Buckets(limits[name]) for name in PASSWORD_LIMITS)
        # Until when an account knows an address or device.
        self._known: dict[tuple[str, str], float] = {}
        self._latest = Waiting[tuple[str, str]](MAX_KNOWN, KNOWN_OF_ONE)

    def __len__(self) -> int:
        return len(self._places) + len(self._accounts) + len(self._addresses) + len(self._known)

    def take(self, account: str, address: str, device: str = "") -> Attempt:
        """Use up one attempt of somebody who says that the account is its own.

        :param account: the account or name that the password is for
        :param address: where it comes from
        :param device: the device that it says it comes from; empty for none
        :raises RateLimited: none is left; `retry_after` says when the next one is allowed
        """
        now = self._clock.seconds()
        places = [f"device {device}"] * bool(device) + [f"address {address}"]
        known = [place for place in places if self._known.get((account, place), 0.0) > now]
        ways: list[list[tuple[Buckets, Hashable]]] = [[(self._places, (account, place))] for place in known]
        if places[-1] not in known:
            ways.append([(self._places, (account, places[-1])), (self._accounts, account), (self._addresses, address)])
        return self._take(account, places, ways, bool(known))

    def take_proven(self, account: str) -> Attempt:
        """Use up one attempt of a caller with a token of the account, wherever it is.

        :raises RateLimited: as `take`
        """
        return self._take(account, [], [[(self._places, (account, "token"))]], True)

    def _take(
        self, account: str, places: list[str], ways: list[list[tuple[Buckets, Hashable]]], first: bool
    ) -> Attempt:
        """Use up an attempt in the first way in which there is one."""
        now = self._clock.seconds()
        waits = []
        for way in ways:
            refused = take_all(way, now, 1)
            if refused is None:
                return Attempt(first, partial(self._give_back, way), partial(self._right, account, places, way))
            waits.append(refused.wait)
        self._refused("limit-passwords")
        raise RateLimited("too many wrong passwords: wait before you try again", whole_seconds(min(waits)))

    def _give_back(self, way: list[tuple[Buckets, Hashable]]) -> None:
        for buckets, key in way:
            buckets.give_back(key, self._clock.seconds(), 1)

    def _right(self, account: str, places: list[str], way: list[tuple[Buckets, Hashable]]) -> None:
        self._give_back(way)
        self._places.refill(way[0][1])
        until = self._clock.seconds() + KNOWN_SECONDS
        for place in places:
            self._places.refill((account, place))
            self._known[account, place] = until
            forgotten = self._latest.put((account, place), account)
            if forgotten is not None:
                del self._known[forgotten]
