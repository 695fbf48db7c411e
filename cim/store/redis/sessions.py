"""Sessions in Redis. Every method is one call; times are Redis's own.

    cim:session:{<user>}                   hash: device -> record; expires with the last reservation
    cim:ended:{<user>}                     there for 3 s after an end
    cim:lease:{<server>/<incarnation>}     sorted set: route -> when its lease ends; expires with the last of them
    cim:upstream:{<server>}                set: users at a server that is upstream's
    cim-route:<user>, login-status         upstream's own keys, kept in step (UPSTREAM.md section 5)

A script writes the records and upstream's keys together: there the newest live record counts. Those lie in other
slots, and the scripts make some key names themselves: a Redis Cluster would need these writes apart. Upstream's keys
are only told, so an error on them (Java can be made to write a string at `login-status`) stops nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import RateLimited, RepeatedEnd
from cim.icim import ISessions
from cim.model import GUEST, MAX_DEVICES, LoginPolicy, Place, Reserved, SessionRecord
from cim.store.redis.keys import Key
from cim.store.redis.scripts import Script, script

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection

#: An end is taken for a repeated one when the record is younger than this and the last end was less than that ago.
YOUNG = 1.0
REPEATED_WITHIN = 3.0

RESERVE = script("reserve", "session_records")
CLAIM = script("claim", "session_records")
RELEASE = script("release", "session_records")
END = script("end", "session_records")
SESSIONS = script("sessions", "session_records")
LEASE = script("lease")


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _records(user: int, lines: Sequence[Sequence[Any]]) -> list[SessionRecord]:
    return [
        SessionRecord(
            user, Place(server.decode(), incarnation.decode()), owner.decode(), bool(live), int(since), device.decode()
        )
        for device, server, incarnation, owner, live, since in lines
    ]


def _lease(place: Place) -> str:
    return Key.LEASE.of(place)


@implementer(ISessions)
class RedisSessions:
    """Sessions that all routes share."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def _run(self, script: Script, user: int, *args: str | int) -> Deferred[Any]:
        keys = (Key.SESSIONS.of(user), f"{Key.ROUTE}{user}", Key.ONLINE, Key.ENDED.of(user))
        return self._connection.run(script, keys, (user, *args))

    def reserve(
        self,
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
        """See ISessions."""

        def reserved(answer: Any) -> Reserved:
            if answer == b"limited":
                raise RateLimited()
            return Reserved(*(tuple(_records(user, lines)) for lines in answer))

        record = (place.server, place.incarnation, owner, device)
        terms = (policy, _ms(seconds), int(live), GUEST, MAX_DEVICES)
        return self._run(RESERVE, user, *record, *terms, *expected).addCallback(reserved)

    def claim(self, user: int, device: str, place: Place, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self._run(CLAIM, user, device, owner, place.server, place.incarnation).addCallback(bool)

    def release(self, user: int, owner: str) -> Deferred[bool]:
        """See ISessions."""
        return self._run(RELEASE, user, owner, _ms(REPEATED_WITHIN)).addCallback(bool)

    def end(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""

        def ended(lines: Any) -> list[SessionRecord]:
            if lines == b"repeated":
                raise RepeatedEnd()
            return _records(user, lines)

        return self._run(END, user, _ms(REPEATED_WITHIN), _ms(YOUNG)).addCallback(ended)

    def sessions(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""
        return self._run(SESSIONS, user).addCallback(lambda lines: _records(user, lines))

    def hold_lease(self, place: Place, route: str, seconds: float) -> Deferred[None]:
        """See ISessions."""
        return self._connection.run(LEASE, (_lease(place),), (route, _ms(seconds)))

    def drop_lease(self, place: Place, route: str) -> Deferred[None]:
        """See ISessions."""
        return self._connection.run(LEASE, (_lease(place),), (route, 0))

    def leased(self, place: Place) -> Deferred[bool]:
        """See ISessions."""
        return self._connection.command("leased", "EXISTS", _lease(place)).addCallback(bool)

    def users_at(self, server: str) -> Deferred[Sequence[int]]:
        """See ISessions."""
        return self._connection.command("users_at", "SMEMBERS", Key.UPSTREAM.of(server)).addCallback(
            lambda users: sorted(map(int, users))
        )
