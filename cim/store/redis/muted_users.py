"""Whom operators mute, in Redis.

cim:muted        hash: user -> the mute (cim/store/redis/sanctions.py); append.lua looks there
cim:muted-ends   sorted set: those of them whose mute ends -> when, ms since 1970

What has ended is removed as others are muted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cim.interfaces import IMutedUsers
from cim.model import Sanction
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.redis.sanctions import held, record
from cim.store.rules.sanctions import sanction

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

_KEYS = (Key.MUTED, Key.MUTED_ENDS)
#: How many mutes that have ended are removed when somebody is muted.
_REMOVED = 16


@implementer(IMutedUsers)
class RedisMutedUsers:
    """Mutes that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._clock = connection.clock
        self._changing = changing

    def mute(self, user: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction]:
        """See IMutedUsers."""
        return self._changing.operation("mute", self._mute(user, seconds, reason))

    async def _mute(self, user: int, seconds: float, reason: str) -> Sanction:
        await self._connection.ready()
        mute = sanction(self._clock.now(), seconds, reason)

        def decide(replies: Sequence[Any], now: int) -> Decision[Sanction]:
            ended: list[str] = [one.decode() for one in replies[0]]
            words: Words = [2 + len(ended), "HDEL", 1, *ended, 2 + len(ended), "ZREM", 2, *ended] if ended else []
            words += 4, "HSET", 1, user, record(mute)
            words += (4, "ZADD", 2, mute.until, user) if mute.until else (3, "ZREM", 2, user)
            return Decision(words, mute)

        facts = Facts(1, 0, (7, "ZRANGEBYSCORE", 2, 0, self._clock.now(), "LIMIT", 0, _REMOVED))
        return await self._changing.change("mute", _KEYS, facts, decide)

    def unmute(self, user: int) -> Deferred[bool]:
        """See IMutedUsers."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            words: Words = [3, "HDEL", 1, user, 3, "ZREM", 2, user] if replies[0] is not None else []
            return Decision(words, held(replies[0], now) is not None)

        facts = Facts(1, 0, (3, "HGET", 1, user))
        return self._changing.operation("unmute", self._changing.change("unmute", _KEYS, facts, decide))

    def mutes(self, users: Collection[int]) -> Deferred[Mapping[int, Sanction]]:
        """See IMutedUsers."""
        if not users:
            return succeed({})
        return self._connection.command("mutes", "HMGET", Key.MUTED, *users).addCallback(self._found, tuple(users))

    def _found(self, records: Sequence[bytes | None], users: Sequence[int]) -> Mapping[int, Sanction]:
        now = self._clock.now()
        found = {user: held(one, now) for user, one in zip(users, records, strict=True)}
        return {user: mute for user, mute in found.items() if mute is not None}
