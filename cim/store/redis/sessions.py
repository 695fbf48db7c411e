"""Sessions in Redis; times are Redis's own.

    cim:session:{<user>}                   hash: device -> record; expires with the last reservation
    cim:ended:{<user>}                     there for 3 s after an end
    cim:lease:{<server>/<incarnation>}     sorted set: route -> when its lease ends
    cim:upstream:{<server>}                set: users at a server that is upstream's
    cim-route:<user>, login-status         upstream's own keys, kept in step (docs/upstream.md)

A record is a line: since, when a reservation expires (0 when live), 1 when its login lets no other device be live
beside it, owner, server, incarnation. What is none counts as absent. Records are compared whole: the owner's token and
the time make each of them one of its kind.

The records are written first, then what upstream's servers are shown: that is only told, so an error there (Java can
be made to write a string at `login-status`) stops nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.icim import ISessions
from cim.model import Place, SessionRecord
from cim.store.decided import DecidedSessions
from cim.store.redis.changing import Changing, Command, Decision, Facts, Seen
from cim.store.redis.keys import Key
from cim.store.rules import REPEATED_WITHIN_MS, Held, Records, SessionChange, SessionFacts, shown, unexpired

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection

T = TypeVar("T")

_RECORD = re.compile(r"(\d+)\t(\d+)\t([01])\t([^\t]*)\t([^\t]*)\t([^\t]*)")


def _held(user: int, device: bytes, line: bytes) -> Held | None:
    match = _RECORD.fullmatch(line.decode(errors="replace"))
    if match is None:
        return None
    since, expires, alone, owner, server, incarnation = match.groups()
    place = Place(server, incarnation)
    record = SessionRecord(user, place, owner, expires == "0", int(since), device.decode(errors="replace"))
    return Held(record, alone == "1", int(expires))


def _line(held: Held) -> str:
    record = held.record
    place = record.place
    return f"{record.since}\t{held.expires}\t{held.alone:d}\t{record.owner}\t{place.server}\t{place.incarnation}"


def _read(user: int, fields: Sequence[bytes], now: int) -> tuple[Records, Records]:
    """Return all records, and those that count, the newest last."""
    found = [_held(user, device, line) for device, line in zip(fields[::2], fields[1::2], strict=True)]
    records = [held for held in found if held is not None]
    records.sort(key=lambda held: (held.record.since, held.record.device))
    return tuple(records), unexpired(records, now)


def _writes(user: int, before: Records, after: Records) -> list[Command]:
    """Return the commands that make a user's records `after`, and then show them to upstream's servers."""
    key, route, id = Key.SESSIONS.of(user), f"{Key.ROUTE}{user}", str(user)
    if after:
        devices = {held.record.device for held in after}
        commands: list[Command] = [
            ("HDEL", key, held.record.device) for held in before if held.record.device not in devices
        ]
        commands += [("HSET", key, held.record.device, _line(held)) for held in after if held not in before]
        live = any(held.record.live for held in after)
        commands.append(("PERSIST", key) if live else ("PEXPIREAT", key, max(held.expires for held in after)))
    else:
        commands = [("DEL", key)]
    for verb, some, others in (("SREM", before, after), ("SADD", after, before)):
        for held in some:
            if held.at_upstream and held not in others:
                commands.append((verb, Key.UPSTREAM.of(held.record.place.server), id))
    newest = shown(after)
    if newest is None:
        commands.append(("?DEL", route))
    else:
        ends = ("PXAT", newest.expires) if newest.expires else ()
        commands.append(("?SET", route, newest.record.place.server, *ends))
    commands.append(("?SADD" if newest is not None and newest.record.live else "?SREM", Key.ONLINE, id))
    return commands


@implementer(ISessions)
class RedisSessions(DecidedSessions):
    """Sessions that all routes share."""

    def __init__(self, connection: RedisConnection, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def change(
        self, name: str, user: int, decide: Callable[[SessionFacts], SessionChange[T]], *, probably_none: bool = False
    ) -> Deferred[T]:
        """See DecidedSessions."""
        key, ended = Key.SESSIONS.of(user), Key.ENDED.of(user)

        def decision(seen: Seen) -> Decision[T]:
            fields, was_ended = seen.replies
            held, records = _read(user, fields, seen.now)
            change = decide(SessionFacts(records, bool(was_ended), seen.now))
            commands = _writes(user, held, change.records) if change.records is not records else []
            if change.ends:
                commands.append(("SET", ended, 1, "PX", REPEATED_WITHIN_MS))
            return Decision(lambda _: change.result, commands)

        facts = Facts((("HGETALL", key),), (("EXISTS", ended),))
        guess: Sequence[Any] | None = ([], 0) if probably_none else None
        return self._changing.operation(name, self._changing.change(name, key, facts, decision, guess))

    def sessions(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""
        return self._changing.operation("sessions", self._sessions(user))

    async def _sessions(self, user: int) -> Sequence[SessionRecord]:
        seen = await self._changing.look("sessions", ("HGETALL", Key.SESSIONS.of(user)))
        _, records = _read(user, seen.replies[0], seen.now)
        return [held.record for held in records]

    def hold_lease(self, place: Place, route: str, seconds: float) -> Deferred[None]:
        """See ISessions."""
        return self._lease("hold_lease", place, route, max(1, round(seconds * 1000)))

    def drop_lease(self, place: Place, route: str) -> Deferred[None]:
        """See ISessions."""
        return self._lease("drop_lease", place, route, 0)

    def _lease(self, name: str, place: Place, route: str, ms: int) -> Deferred[None]:
        key = Key.LEASE.of(place)

        def decision(seen: Seen) -> Decision[None]:
            commands: list[Command] = [("ZREMRANGEBYSCORE", key, "-inf", seen.now)]
            if ms:
                until = seen.now + ms
                commands += [
                    ("ZADD", key, until, route),
                    ("PEXPIREAT", key, until, "NX"),
                    ("PEXPIREAT", key, until, "GT"),
                ]
            else:
                commands.append(("ZREM", key, route))
            return Decision(lambda _: None, commands)

        change = self._changing.change(name, f"{key} {route}", Facts(()), decision, ())
        return self._changing.operation(name, change)

    def leased(self, place: Place) -> Deferred[bool]:
        """See ISessions."""
        return self._changing.operation("leased", self._leased(place))

    async def _leased(self, place: Place) -> bool:
        seen = await self._changing.look("leased", ("ZRANGE", Key.LEASE.of(place), -1, -1, "WITHSCORES"))
        last: Any = seen.replies[0]
        return bool(last) and float(last[1]) > seen.now

    def users_at(self, server: str) -> Deferred[Sequence[int]]:
        """See ISessions."""
        return self._connection.command("users_at", "SMEMBERS", Key.UPSTREAM.of(server)).addCallback(
            lambda users: sorted(map(int, users))
        )
