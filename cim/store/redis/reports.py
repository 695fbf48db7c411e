"""Reports of messages, in Redis.

cim:reports                 hash: id -> the report, in JSON
cim:reports-open            sorted set: ids of those that are open -> the same
cim:reports-closed          sorted set: ids of the others -> the same
cim:reports-by:{<user>}     hash: `<conversation> <position>` -> the id of the user's report of it, negative if closed
cim:reports-about:{<user>}  sorted set: ids of the reports of what the user said -> the same
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IReports
from cim.model import Listing, Report, Reported
from cim.store.pages import cursor_of
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.rules import reports as rules

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

_ALL, _OPEN, _CLOSED, _BY, _ABOUT = range(1, 6)


@implementer(IReports)
class RedisReports:
    """Reports that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._clock = connection.clock
        self._changing = changing

    def make(self, report: Report) -> Deferred[Reported]:
        """See IReports."""
        return self._changing.operation("report", self._make(report))

    async def _make(self, report: Report) -> Reported:
        await self._remove_old()
        last = 0
        while True:
            last = await self._changing.new_id(last)
            new = evolve(report, id=last, at=self._clock.now())
            found, goes = await self._try(new)
            if goes:
                await self._remove(goes)
            elif found == last:
                return Reported(new, False)
            elif found:
                earlier = await self._report(found)
                if earlier is not None:
                    return Reported(earlier, True)
                # It was removed just now, or what is stored went back.
                await self._connection.commands("report", ("HDEL", Key.REPORTS_BY.of(new.reporter), field_of(new)))

    async def _try(self, report: Report) -> tuple[int, int]:
        """Make a report; return its id, or that of an earlier one, or 0 and the id of one that makes room first."""

        def decide(replies: Sequence[Any], now: int) -> Decision[tuple[int, int]]:
            mine, taken, kept, oldest = replies
            ids = dict(zip(mine[::2], map(int, mine[1::2]), strict=True))
            earlier = ids.get(field_of(report).encode(), 0)
            if earlier or taken:
                return Decision([], (abs(earlier), 0))
            rules.check_open(sum(id > 0 for id in ids.values()))
            if len(ids) >= rules.MAX_KEPT_BY:
                return Decision([], (0, min(-id for id in ids.values() if id < 0)))
            if kept >= rules.MAX_KEPT:
                if not oldest:
                    raise rules.full()
                return Decision([], (0, int(oldest[0])))
            id = report.id
            words: Words = [4, "HSET", _ALL, id, _written(report), 4, "ZADD", _OPEN, id, id]
            words += 4, "HSET", _BY, field_of(report), id, 4, "ZADD", _ABOUT, id, id
            return Decision(words, (id, 0), bounds=[(_ALL, 0, rules.MAX_KEPT - 1)])

        reading = (2, "HGETALL", _BY, 3, "HEXISTS", _ALL, report.id, 2, "HLEN", _ALL, 4, "ZRANGE", _CLOSED, 0, 0)
        return await self._changing.change("report", _keys(report), Facts(2, 2, reading), decide)

    def report(self, id: int) -> Deferred[Report | None]:
        """See IReports."""
        return self._changing.operation("read_report", self._report(id))

    async def _report(self, id: int) -> Report | None:
        (found,) = await self._connection.commands("read_report", ("HGET", Key.REPORTS, id))
        return _read(found) if found is not None else None

    def listed(self, *, open: bool, after: str = "", limit: int) -> Deferred[Listing[Report]]:
        """See IReports."""
        return self._changing.operation("reports", self._listed(open, after, limit))

    async def _listed(self, open: bool, cursor: str, limit: int) -> Listing[Report]:
        after = cursor_of(cursor)
        bounds: tuple[str | int, ...]
        if open:
            bounds = ("ZRANGEBYSCORE", Key.REPORTS_OPEN, f"({after}", "+inf")
        else:
            bounds = ("ZREVRANGEBYSCORE", Key.REPORTS_CLOSED, f"({after}" if after else "+inf", "-inf")
        (ids,) = await self._connection.commands("reports", (*bounds, "LIMIT", 0, limit + 1))
        page = ids[:limit]
        (records,) = (await self._connection.commands("reports", ("HMGET", Key.REPORTS, *page))) if page else ((),)
        return Listing([_read(one) for one in records if one], page[-1].decode() if len(ids) > limit else "")

    def made(self, user: int) -> Deferred[Sequence[Report]]:
        """See IReports."""
        return self._changing.operation("reports", self._made(user))

    async def _made(self, user: int) -> Sequence[Report]:
        (ids,) = await self._connection.commands("reports", ("HVALS", Key.REPORTS_BY.of(user)))
        found = [await self._report(abs(int(id))) for id in ids]
        return sorted((one for one in found if one is not None), key=lambda one: one.id)

    def close(self, id: int, by: str, note: str) -> Deferred[Report | None]:
        """See IReports."""
        return self._changing.operation("close_report", self._close(id, by, note))

    async def _close(self, id: int, by: str, note: str) -> Report | None:
        known = await self._report(id)
        if known is None:
            return None

        def decide(replies: Sequence[Any], now: int) -> Decision[Report | None]:
            if replies[0] is None:
                return Decision([], None)
            present = _read(replies[0])
            if present.closed:
                return Decision([], present)
            closed = evolve(present, closed=now, by=by, note=note)
            words: Words = [4, "HSET", _ALL, id, _written(closed), 3, "ZREM", _OPEN, id, 4, "ZADD", _CLOSED, id, id]
            return Decision([*words, 4, "HSET", _BY, field_of(closed), -id], closed)

        return await self._changing.change("close_report", _keys(known), Facts(1, 0, (3, "HGET", _ALL, id)), decide)

    def forget(self, user: int) -> Deferred[None]:
        """See IReports."""
        return self._changing.operation("forget_reports", self._forget("HVALS", Key.REPORTS_BY.of(user)))

    def forget_said(self, user: int) -> Deferred[None]:
        """See IReports."""
        asked = ("ZRANGE", Key.REPORTS_ABOUT.of(user), 0, -1)
        return self._changing.operation("forget_reports", self._forget(*asked))

    async def _forget(self, *asked: str | int) -> None:
        (ids,) = await self._connection.commands("forget_reports", asked)
        for id in ids:
            await self._remove(abs(int(id)))
        await self._connection.commands("forget_reports", ("UNLINK", asked[1]))

    async def _remove_old(self) -> None:
        await self._connection.ready()
        until = max(0, self._clock.now() - rules.KEPT_MS)
        old = ("ZRANGEBYSCORE", Key.REPORTS_CLOSED, 0, until, "LIMIT", 0, rules.REMOVED)
        for id in (await self._connection.commands("report", old))[0]:
            await self._remove(int(id))

    async def _remove(self, id: int) -> None:
        known = await self._report(id)
        if known is None:
            return

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            words: Words = [3, "HDEL", _ALL, id, 3, "ZREM", _OPEN, id, 3, "ZREM", _CLOSED, id]
            return Decision([*words, 3, "HDEL", _BY, field_of(known), 3, "ZREM", _ABOUT, id] if replies[0] else [])

        keys, facts = _keys(known), Facts(1, 0, (3, "HEXISTS", _ALL, id))
        await self._changing.change("forget_reports", keys, facts, decide, (1,))


def _keys(report: Report) -> tuple[str, ...]:
    of_users = (Key.REPORTS_BY.of(report.reporter), Key.REPORTS_ABOUT.of(report.sender))
    return (Key.REPORTS, Key.REPORTS_OPEN, Key.REPORTS_CLOSED, *of_users)


def field_of(report: Report) -> str:
    """Return the field of a report among those of who made it."""
    return f"{report.conversation} {report.position}"


def _written(report: Report) -> bytes:
    return json.dumps(asdict(report), ensure_ascii=False, separators=(",", ":")).encode()


def _read(record: bytes) -> Report:
    return Report(**json.loads(record))


def read_report(record: bytes) -> Report | None:
    """Return the report of a record, None if it cannot be read."""
    try:
        return _read(record)
    except (TypeError, ValueError):
        return None
