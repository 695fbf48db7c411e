"""Where users are logged in, and where they are notified."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from zope.interface import Interface

from cim.model import GUEST, LoginPolicy

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.model import (
        Place,
        Registration,
        Reserved,
        SessionRecord,
    )


class ISessions(Interface):
    """Where users are logged in, for all routes to see. Every method fails with StoreUnavailable if the store is away.

    A user has at most one record per device: a reservation or a live session, identified by its owner token. A dead
    server's records stay: a record counts only while its place is leased (docs/architecture.md, Presence and leases).
    """

    def reserve(
        user: int,
        place: Place,
        owner: str,
        *,
        device: str = GUEST,
        policy: LoginPolicy = LoginPolicy.REJECT,
        expected: Collection[str] = (),
        seconds: float,
        live: bool = False,
    ) -> Deferred[Reserved]:
        """Make a reservation, or change nothing if live records are in the way.

        The reservation replaces any other of the same device, and the device's live record too, unless the device is
        GUEST. What happens to the records of other devices (for GUEST: of all devices) depends on the policy. REJECT
        replaces reservations, and live records are in the way; REPLACE replaces both; MANY leaves both. But when there
        are MAX_DEVICES others, all their live records are in the way, so that the caller can find the dead ones among
        them; if none of them is live, it fails with RateLimited.

        :param expected: owner tokens of live records that are known to be dead, which are removed silently
        :param seconds: how long the reservation lasts
        :param live: make a live record at once, for upstream's servers, which never claim
        """

    def claim(user: int, device: str, place: Place, owner: str) -> Deferred[bool]:
        """Make the record live, or create a live one if there is none; False if another owner holds the device.

        Also False if there is no record and another device's was made under REJECT or REPLACE, because that login is
        the newer one, and for an owner that was expelled. Claiming again with the same owner changes nothing and
        returns True.
        """

    def release(user: int, owner: str) -> Deferred[bool]:
        """Remove the record that `owner` holds; False if there is none. Counts as an end of that user (see `end`)."""

    def end(user: int) -> Deferred[Sequence[SessionRecord]]:
        """Remove and return the user's records, whoever holds them.

        Fails with RepeatedEnd, and removes nothing, if the newest record is under 1 s old and another end of that
        user was handled in the last 3 s, because upstream's clients send /offLine two or three times.
        """

    def expel(
        user: int, *, device: str | None = None, kept: str = "", known: Collection[str] = ()
    ) -> Deferred[Sequence[SessionRecord]]:
        """Remove and return records of the user, whose owners cannot claim one again for a day.

        So a session at a server that cannot be told ends when it is reported again, and a ticket opens nothing. Counts
        as an end of that user if it removed a record (see `end`).

        :param device: whose record; None for those of all devices
        :param kept: an owner whose record stays
        :param known: owners of sessions that may have no record, and cannot claim one either
        """

    def sessions(user: int) -> Deferred[Sequence[SessionRecord]]:
        """Return the user's records, newest last."""

    def hold_lease(place: Place, route: str, seconds: float) -> Deferred[None]:
        """Record that `route` is linked to `place`, for that many seconds from now."""

    def drop_lease(place: Place, route: str) -> Deferred[None]:
        """Record that `route` is no longer linked to `place`."""

    def leased(place: Place) -> Deferred[bool]:
        """Return whether any route is linked to `place`."""

    def users_at(server: str) -> Deferred[Sequence[int]]:
        """Return the users whose live records were made with `live=True` at that server, which is one of upstream's."""


class IPushes(Interface):
    """Where users are notified of messages. Every method fails with StoreUnavailable when the store is unavailable.

    A registration lasts for `cim.store.rules.pushes.LASTS_MS` from when it was made or renewed, but no longer than the
    token that it was made with. They go with the account.
    """

    def register(registration: Registration) -> Deferred[int | None]:
        """Keep or renew a registration, and return when that was, ms since 1970; None if there is no such account.

        Its address is no longer any other user's. A user has at most `MOST`; for one more the oldest goes.
        """

    def unregister(user: int, id: str) -> Deferred[bool]:
        """Remove a registration of a user; False if there is none."""

    def unregister_device(user: int, device: str | None, kept: str = "") -> Deferred[int]:
        """Remove the registrations of a user's device, or with None of all of them; return how many there were.

        :param kept: a device whose registrations stay
        """

    def unregister_token(user: int, token: str) -> Deferred[int]:
        """Remove the registrations of a user that go back to a token of a back end; return how many there were."""

    def registrations(users: Collection[int]) -> Deferred[Mapping[int, Sequence[Registration]]]:
        """Return the registrations of those of some users who have any, the one that was renewed last at the end."""

    def claim(user: int, conversation: str, pause: int) -> Deferred[int]:
        """Note that a user is notified of a conversation now, unless it was within a pause and has not read it since.

        Only one of several routes that ask at the same time gets it.

        :param pause: in ms
        :returns: 0 if it was noted; else after how many ms it can be
        """

    def close(user: int, conversation: str) -> Deferred[bool]:
        """Note that a user has read a conversation; return whether it was notified of it before."""
