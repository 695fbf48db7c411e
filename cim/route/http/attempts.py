"""Limits wrong passwords, by what is asked for, address and device (docs/limits.md, Passwords).

Strangers are counted by what they ask for, whether there is such an account or not: so no limit tells which names and
ids are taken. Only at places that an account knows does it count by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial

from attrs import frozen

from twisted.internet.interfaces import IReactorTime

from cim.errors import RateLimited
from cim.limits import Buckets, Limit, Waiting, take_all, whole_seconds
from cim.names import comparison_form

#: What each limit is of, and its default.
PASSWORD_LIMITS: Mapping[str, tuple[str, str]] = {
    "passwords": ("wrong passwords for a name or id from one address", "0.167/10"),
    "account-passwords": ("wrong passwords for a name or id from all places unknown to its account", "0.167/100"),
    "address-passwords": ("wrong passwords from an address, for accounts that do not know the place", "0.5/100"),
}
#: How long a place stays known after an account's password came from there, in seconds.
KNOWN_SECONDS = 30 * 86400.0
#: How many places are known, and how many of one account.
MAX_KNOWN = 100_000
KNOWN_OF_ONE = 32

#: An account, and an address and a device where its password came from.
_Place = tuple[int, str, str]
_Way = list[tuple[Buckets, Hashable]]


def asked_for(name: str | None, id: int | None) -> str:
    """Return what a login by name or id asks for: the same for all names that look the same, whether taken or not."""
    return f"id:{id}" if name is None else f"name:{comparison_form(name) or name}"


@frozen
class Attempt:
    """A password to be checked. It counts as wrong unless it turns out to be right, or is never looked at.

    :ivar first: whether it comes from a place known to the account, and so is checked before others
    :ivar unseen: gives the attempt back: nobody has looked at the password
    :ivar right: gives it back, and remembers where the right password came from
    """

    first: bool
    unseen: Callable[[], None]
    right: Callable[[], None]


class Attempts:
    """Counts wrong passwords. Those from places known to an account count apart: strangers cannot lock its owner out.

    A place is a device at an address: neither proves anything alone, and devices' names can be guessed.

    :param limits: the limits, by name
    :param refused: called with the kind of each refusal
    """

    def __init__(self, clock: IReactorTime, limits: Mapping[str, Limit], refused: Callable[[str], None]) -> None:
        self._clock = clock
        self._refused = refused
        self._places, self._accounts, self._addresses = (Buckets(limits[name]) for name in PASSWORD_LIMITS)
        # Until when a place is known.
        self._known: dict[_Place, float] = {}
        self._latest = Waiting[_Place](MAX_KNOWN, KNOWN_OF_ONE)

    def __len__(self) -> int:
        return len(self._places) + len(self._accounts) + len(self._addresses) + len(self._known)

    def take(self, asked: str, account: int | None, address: str, device: str = "") -> Attempt:
        """Use up one attempt of somebody who says that an account is its own.

        :param asked: what `asked_for` returns
        :param account: the account that this is; None if there is none
        :param address: where the password comes from
        :param device: the device that it says it comes from; empty for none
        :raises RateLimited: none is left; `retry_after` says when the next one is allowed
        """
        place = None if account is None else (account, address, device)
        if place is not None and self._known.get(place, 0.0) > self._clock.seconds():
            # By what is asked, too: whoever is at that place does not learn whose the id of a name is.
            return self._take([(self._places, (asked, place))], place, True)
        way: _Way = [(self._places, (asked, address)), (self._accounts, asked), (self._addresses, address)]
        return self._take(way, place, False)

    def take_proven(self, account: int, root: str) -> Attempt:
        """Use up one attempt of a caller with a token of the account, wherever it is.

        :param root: the login with a password that the token goes back to: whoever stole a token leaves the owner, who
            shows the password anew, its own attempts
        :raises RateLimited: as `take`
        """
        return self._take([(self._places, (account, root))], None, True)

    def _take(self, way: _Way, place: _Place | None, first: bool) -> Attempt:
        refused = take_all(way, self._clock.seconds(), 1)
        if refused is not None:
            self._refused("limit-passwords")
            raise RateLimited("too many wrong passwords: wait before you try again", whole_seconds(refused.wait))
        return Attempt(first, partial(self._give_back, way), partial(self._right, way, place, first))

    def _give_back(self, way: _Way) -> None:
        for buckets, key in way:
            buckets.give_back(key, self._clock.seconds(), 1)

    def _right(self, way: _Way, place: _Place | None, first: bool) -> None:
        self._give_back(way)
        if first:
            # What strangers share is not filled: of two old names that look the same each would be for guessing at the
            # other.
            self._places.refill(way[0][1])
        if place is not None:
            self._known[place] = self._clock.seconds() + KNOWN_SECONDS
            forgotten = self._latest.put(place, str(place[0]))
            if forgotten is not None:
                del self._known[forgotten]
