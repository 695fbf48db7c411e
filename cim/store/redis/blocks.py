"""Whom users block, in Redis.

cim:b:{<user>}    hash: another user -> 1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IBlocks
from cim.model import MAX_BLOCKED
from cim.store import rules
from cim.store.redis.changing import Changing, Decision, Facts
from cim.store.redis.keys import Key

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection


@implementer(IBlocks)
class RedisBlocks:
    """Blocks that all routes share."""

    def __init__(self, connection: RedisConnection, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def block(self, user: int, other: int) -> Deferred[None]:
        """See IBlocks."""

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            there, count = replies
            if there:
                return Decision([])
            rules.check_blocked(count)
            return Decision([4, "HSET", 1, other, 1], bounds=[(1, 0, MAX_BLOCKED - 1)])

        facts = Facts(1, 1, (3, "HEXISTS", 1, other, 2, "HLEN", 1))
        change = self._changing.change("block", (Key.BLOCKED.of(user),), facts, decide, (0, 0))
        return self._changing.operation("block", change)

    def unblock(self, user: int, other: int) -> Deferred[bool]:
        """See IBlocks."""
        return self._connection.command("unblock", "HDEL", Key.BLOCKED.of(user), other).addCallback(bool)

    def blocked(self, user: int) -> Deferred[Sequence[int]]:
        """See IBlocks."""
        return self._connection.command("blocked", "HKEYS", Key.BLOCKED.of(user)).addCallback(
            lambda found: sorted(map(int, found))
        )

    def blocking(self, other: int, users: Sequence[int]) -> Deferred[Sequence[int]]:
        """See IBlocks."""
        asked = Deferred.fromCoroutine(
            self._connection.commands("blocking", *[("HEXISTS", Key.BLOCKED.of(user), other) for user in users])
        )
        return asked.addCallback(lambda found: [user for user, blocks in zip(users, found, strict=True) if blocks])
