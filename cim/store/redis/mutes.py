"""Which conversations users mute, in Redis.

cim:mu:{<user>}    hash: conversation -> until when, ms since 1970
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IMutes
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.keys import Key
from cim.store.rules.mutes import check_muted

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls


def _until(value: bytes | None, now: int) -> int:
    """Return until when a conversation is muted; 0 if that is over, or never was."""
    return int(value) if value is not None and value.isdigit() and int(value) > now else 0


def _read(held: Sequence[bytes], now: int) -> tuple[dict[str, int], list[str]]:
    """Return until when conversations are muted, and for which that is over, by the reply to HGETALL."""
    pairs = {name.decode(): _until(value, now) for name, value in zip(held[::2], held[1::2], strict=True)}
    return {name: until for name, until in pairs.items() if until}, [name for name, until in pairs.items() if not until]


@implementer(IMutes)
class RedisMutes:
    """Mutes that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing

    def mute(self, user: int, conversation: str, until: int) -> Deferred[None]:
        """See IMutes."""

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            muted, over = _read(replies[0], now)
            check_muted(muted, conversation)
            words: Words = [4, "HSET", 1, conversation, until]
            for name in over:
                if name != conversation:
                    words += 3, "HDEL", 1, name
            return Decision(words)

        facts = Facts(1, 0, (2, "HGETALL", 1))
        change = self._changing.change("mute", (Key.MUTES.of(user),), facts, decide)
        return self._changing.operation("mute", change)

    def unmute(self, user: int, conversation: str) -> Deferred[bool]:
        """See IMutes."""

        def decide(replies: Sequence[Any], now: int) -> Decision[bool]:
            words: Words = [3, "HDEL", 1, conversation]
            return Decision(words if replies[0] is not None else [], bool(_until(replies[0], now)))

        facts = Facts(1, 0, (3, "HGET", 1, conversation))
        change = self._changing.change("unmute", (Key.MUTES.of(user),), facts, decide)
        return self._changing.operation("unmute", change)

    def muted(self, user: int) -> Deferred[Mapping[str, int]]:
        """See IMutes."""
        return self._changing.operation("muted", self._muted(user))

    async def _muted(self, user: int) -> dict[str, int]:
        facts = Facts(0, 1, (2, "HGETALL", 1))
        (held,), now = await self._changing.look("muted", (Key.MUTES.of(user),), facts)
        return _read(held, now)[0]

    def who_mutes(self, conversation: str, users: Collection[int]) -> Deferred[frozenset[int]]:
        """See IMutes."""
        return self._changing.operation("who_mutes", self._who_mutes(conversation, list(users)))

    async def _who_mutes(self, conversation: str, users: Sequence[int]) -> frozenset[int]:
        asked = [("HGET", Key.MUTES.of(user), conversation) for user in users]
        found = await self._connection.commands("who_mutes", *asked) if asked else []
        now = self._connection.clock.now()
        return frozenset(user for user, value in zip(users, found, strict=True) if _until(value, now))
