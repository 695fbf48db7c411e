"""Sessions in Redis; all times are the store's (cim/store/clock.py), and lifetimes of keys are relative.

    cim:session:{<user>}                   hash: device -> record; expires with the last reservation
    cim:ended:{<user>}                     exists for 3 s after an end
    cim:barred:{<user>}                    sorted set: owner that was expelled -> when; expires a day after the last
    cim:lease:{<server>/<incarnation>}     sorted set: route -> when its lease expires
    cim:upstream:{<server>}                set: users at one of upstream's servers
    cim-route:<user>, login-status         upstream's own keys, kept in step (docs/upstream.md)

A record is a line: since, when a reservation expires (0 if live), 1 if its login allows no other live device, owner,
server, incarnation. A malformed record counts as absent. Records are compared whole: the owner's token and the time
make each of them unique.

The records are written first, then the keys for upstream's servers. Those are only informative, so an error there (Java
can be made to write a string at `login-status`) is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import ISessions
from cim.model import Place, SessionRecord
from cim.store.decided import DecidedSessions
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.rules.sessions import (
    BARRED_SECONDS,
    MOST_BARRED,
    REPEATED_WITHIN_MS,
    Held,
    Records,
    SessionChange,
    SessionFacts,
    shown,
    unexpired,
)

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

T = TypeVar("T")

#: The numbers of a change's keys; the keys of upstream's servers follow.
_SESSIONS, _ENDED, _ROUTE, _ONLINE, _BARRED = range(1, 6)
_FACTS = Facts(1, 0, (2, "HGETALL", _SESSIONS))
_BY_END = Facts(1, 1, (2, "HGETALL", _SESSIONS, 2, "EXISTS", _ENDED))
_LAST_LEASE = Facts(0, 1, (5, "ZRANGE", 1, -1, -1, "WITHSCORES"))
_BARRED_MS = BARRED_SECONDS * 1000
#: How many users have their last written records cached.
KEPT = 10_000

_RECORD = re.compile(rb"(\d+)\t(\d+)\t([01])\t([^\t]*)\t([^\t]*)\t([^\t]*)")


def _held(user: int, device: bytes, line: bytes) -> Held | None:
    match = _RECORD.fullmatch(line)
    if match is None:
        return None
    since, expires, alone, owner, server, incarnation = match.groups()
    place = Place(server.decode(), incarnation.decode())
    record = SessionRecord(user, place, owner.decode(), expires == b"0", int(since), device.decode())
    return Held(record, alone == b"1", int(expires))


def _line(held: Held) -> bytes:
    record = held.record
    place = record.place
    alone = "1" if held.alone else "0"
    return f"{record.since}\t{held.expires}\t{alone}\t{record.owner}\t{place.server}\t{place.incarnation}".encode()


def _read(user: int, fields: Sequence[bytes]) -> Records:
    """Return all records, the newest last."""
    records: list[Held] = []
    for device, line in zip(fields[::2], fields[1::2], strict=True):
        try:
            held = _held(user, device, line)
        except UnicodeDecodeError:  # not ours
            continue
        if held is not None:
            records.append(held)
    if len(records) > 1:
        records.sort(key=lambda held: (held.record.since, held.record.device))
    return tuple(records)


def _write(
    user: int, fields: Sequence[bytes], before: Records, after: Records, now: int, keys: list[str], words: Words
) -> list[bytes]:
    """Add the commands that change a user's records to `after`, and then the keys for upstream's servers.

    :param fields: the fields of `before`, as HGETALL returns them
    :param keys: the keys of upstream's servers are added to it
    :returns: the fields of `after`
    """
    lines: Mapping[bytes, bytes] = {}
    there: Collection[int] = ()
    if before:
        lines = dict(zip(fields[::2], fields[1::2], strict=True))
        there = {id(held) for held in before}
        left = {id(held) for held in after}
        devices = {held.record.device for held in after}
        for held in before:
            if id(held) not in left:
                record = held.record
                if record.device not in devices:
                    words += 3, "HDEL", _SESSIONS, record.device
                if held.at_upstream:
                    keys.append(Key.UPSTREAM.of(record.place.server))
                    words += 3, "SREM", len(keys), user
    written: list[bytes] = []
    last = 0
    for held in after:
        record = held.record
        device = record.device.encode()
        last = max(last, held.expires)
        if id(held) in there:
            line = lines[device]
        else:
            line = _line(held)
            words += 4, "HSET", _SESSIONS, device, line
            if held.at_upstream:
                keys.append(Key.UPSTREAM.of(record.place.server))
                words += 3, "SADD", len(keys), user
        written += device, line
    newest = shown(after)
    if newest is None:
        words += 2, "DEL", _SESSIONS, 2, "?DEL", _ROUTE, 3, "?SREM", _ONLINE, user
        return written
    server = newest.record.place.server
    if newest.expires:
        words += 3, "PEXPIRE", _SESSIONS, last - now, 5, "?SET", _ROUTE, server, "PX", newest.expires - now
        words += 3, "?SREM", _ONLINE, user
    else:
        words += 2, "PERSIST", _SESSIONS, 3, "?SET", _ROUTE, server, 3, "?SADD", _ONLINE, user
    return written


@frozen
class _Written:
    """The records of a user that a route wrote last.

    :param fields: as HGETALL returns them
    """

    fields: list[bytes]
    records: Records


_NOBODY = _Written([], ())


@implementer(ISessions)
class RedisSessions(DecidedSessions):
    """Sessions that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing
        # By user: probably still current.
        self._written: dict[int, _Written] = {}

    def change(
        self,
        name: str,
        user: int,
        decide: Callable[[SessionFacts], SessionChange[T]],
        *,
        by_end: bool = False,
        owner: str = "",
    ) -> Deferred[T]:
        """See DecidedSessions."""
        return self._changing.operation(name, self._change(name, user, decide, by_end, owner))

    async def _change(
        self, name: str, user: int, decide: Callable[[SessionFacts], SessionChange[T]], by_end: bool, owner: str
    ) -> T:
        keys = [Key.SESSIONS.of(user), Key.ENDED.of(user), Key.ROUTE + str(user), Key.ONLINE, Key.BARRED.of(user)]
        known = self._written.get(user, _NOBODY)
        written: _Written | None = None

        def decision(replies: Sequence[Any], now: int) -> Decision[T]:
            nonlocal written
            fields, *further = replies
            held = known.records if fields is known.fields else _read(user, fields)
            records = unexpired(held, now) if held else held
            barred = bool(owner) and further[0] is not None
            change = decide(SessionFacts(records, by_end and any(further), now, barred))
            written = None
            words: Words = []
            if change.records is not records:
                del keys[_BARRED:]
                written = _Written(_write(user, fields, held, change.records, now, keys, words), change.records)
            if change.ends:
                words += 5, "SET", _ENDED, 1, "PX", REPEATED_WITHIN_MS
            for one in change.bars:
                words += 4, "ZADD", _BARRED, now, one
            if change.bars:
                words += 4, "ZREMRANGEBYRANK", _BARRED, 0, -MOST_BARRED - 1, 3, "PEXPIRE", _BARRED, _BARRED_MS
            return Decision(words, change.result)

        facts = _BY_END if by_end else _FACTS
        guess: Sequence[Any] | None = None if by_end else (known.fields,)
        if owner:
            facts = Facts(2, 0, (*_FACTS.words, 3, "ZSCORE", _BARRED, owner))
            guess = known.fields, None
        result = await self._changing.change(name, keys, facts, decision, guess)
        if written is not None:
            self._written.pop(user, None)
            if written.fields:
                self._written[user] = written
                if len(self._written) > KEPT:
                    del self._written[next(iter(self._written))]
        return result

    def sessions(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""
        return self._changing.operation("sessions", self._sessions(user))

    async def _sessions(self, user: int) -> Sequence[SessionRecord]:
        (fields,), now = await self._changing.look("sessions", (Key.SESSIONS.of(user),), _FACTS)
        return [held.record for held in unexpired(_read(user, fields), now)]

    def hold_lease(self, place: Place, route: str, seconds: float) -> Deferred[None]:
        """See ISessions."""
        return self._changing.operation("hold_lease", self._lease(place, route, max(1, round(seconds * 1000))))

    def drop_lease(self, place: Place, route: str) -> Deferred[None]:
        """See ISessions."""
        return self._changing.operation("drop_lease", self._lease(place, route, 0))

    async def _lease(self, place: Place, route: str, ms: int) -> None:
        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            words: Words = [4, "ZREMRANGEBYSCORE", 1, "-inf", now]
            if ms:
                words += 4, "ZADD", 1, now + ms, route
                words += 4, "PEXPIRE", 1, ms, "NX", 4, "PEXPIRE", 1, ms, "GT"
            else:
                words += 3, "ZREM", 1, route
            return Decision(words)

        await self._changing.change("lease", (Key.LEASE.of(place),), Facts(), decide, ())

    def leased(self, place: Place) -> Deferred[bool]:
        """See ISessions."""
        return self._changing.operation("leased", self._leased(place))

    async def _leased(self, place: Place) -> bool:
        (last,), now = await self._changing.look("leased", (Key.LEASE.of(place),), _LAST_LEASE)
        return bool(last) and float(last[1]) > now

    def users_at(self, server: str) -> Deferred[Sequence[int]]:
        """See ISessions."""
        return self._connection.command("users_at", "SMEMBERS", Key.UPSTREAM.of(server)).addCallback(
            lambda users: sorted(map(int, users))
        )
