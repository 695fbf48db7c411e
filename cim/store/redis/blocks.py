"""Whom users block, in Redis.

cim:b:{<user>}     hash: another user -> 1
cim:bb:{<user>}    hash: a user that blocks this one -> 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IBlocks
from cim.model import MAX_BLOCKED
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.rules.blocks import check_blocked

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls


@implementer(IBlocks)
class RedisBlocks:
    """Blocks that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def block(self, user: int, other: int) -> Deferred[None]:
        """See IBlocks."""

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            there, count = replies
            if there:
                return Decision([])
            check_blocked(count)
            words: Words = [4, "HSET", 1, other, 1, 4, "HSET", 2, user, 1]
            return Decision(words, bounds=[(1, 0, MAX_BLOCKED - 1)])

        facts = Facts(1, 1, (3, "HEXISTS", 1, other, 2, "HLEN", 1))
        keys = (Key.BLOCKED.of(user), Key.BLOCKERS.of(other))
        return self._changing.operation("block", self._changing.change("block", keys, facts, decide, (0, 0)))

    def unblock(self, user: int, other: int) -> Deferred[bool]:
        """See IBlocks."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            return Decision([3, "HDEL", 1, other, 3, "HDEL", 2, user], bool(replies[0]))

        facts = Facts(1, 0, (3, "HEXISTS", 1, other))
        keys = (Key.BLOCKED.of(user), Key.BLOCKERS.of(other))
        return self._changing.operation("unblock", self._changing.change("unblock", keys, facts, decide))

    def blocked(self, user: int) -> Deferred[Sequence[int]]:
        """See IBlocks."""
        return self._connection.command("blocked", "HKEYS", Key.BLOCKED.of(user)).addCallback(
            lambda found: sorted(map(int, found))
        )

    def blockers(self, other: int) -> Deferred[frozenset[int]]:
        """See IBlocks."""
        return self._connection.command("blockers", "HKEYS", Key.BLOCKERS.of(other)).addCallback(
            lambda found: frozenset(map(int, found))
        )
