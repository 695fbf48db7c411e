"""Followers of the logs in Redis.

cim:changed         hash: conversation -> the position before the first message since it was handed out to followers;
                    its counters have `noted` for so long
cim:followers       sorted set: names -> when a route last had it, ms since 1970
cim:fd:{<name>}     sorted set: conversation -> when to look at it, ms since 1970
cim:f:{<name>}      hash: conversation -> `<failures> <since when> <who works on it, or -> <position>`
cim:fs:{<name>}     hash: conversations that have stopped -> when, ms since 1970; `*` if all have

A conversation is in these only while something is to be sent, and IDLE_MS longer: what is appended then is known to
be new by the position before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IFollowers
from cim.model import Followed, Following
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script
from cim.store.rules.followers import ALL, FORGOTTEN_MS, HANDED_OUT, IDLE_MS, LISTED, RESUMED

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

FOLLOW = script("follow", "positions", "followers")
SETTLE = script("settle", "positions", "followers")
RESUME = script("resume", "positions", "followers")


@implementer(IFollowers)
class RedisFollowers:
    """Followers that all routes share."""

    def __init__(self, connection: RedisCalls) -> None:
        self._connection = connection
        self._now = connection.clock.now

    def follow(self, name: str, owner: str, *, seconds: float, most: int) -> Deferred[tuple[list[Followed], bool]]:
        """See IFollowers."""
        return Deferred.fromCoroutine(self._follow(name, owner, seconds, most))

    async def _follow(self, name: str, owner: str, seconds: float, most: int) -> tuple[list[Followed], bool]:
        now = await self._time()
        args = (name, now, owner, int(seconds * 1000), most, FORGOTTEN_MS, HANDED_OUT)
        return given(await self._connection.run(FOLLOW, (), args))

    async def _time(self) -> int:
        """Return the time, which is not known before there is a connection: by none all would be forgotten."""
        await self._connection.ready()
        return self._now()

    def settle(
        self,
        name: str,
        owner: str,
        followed: Followed,
        *,
        wait: float = 0.0,
        stop: bool = False,
        end: bool = False,
    ) -> Deferred[bool]:
        """See IFollowers."""
        return Deferred.fromCoroutine(self._settle(name, owner, followed, wait, stop, end))

    async def _settle(self, name: str, owner: str, at: Followed, wait: float, stop: bool, end: bool) -> bool:
        args = (name, await self._time(), owner, at.conversation, at.position, at.failures, at.since)
        more = (int(wait * 1000), int(stop), IDLE_MS, int(end))
        return bool(await self._run_settle(at.conversation, (*args, *more)))

    def _run_settle(self, conversation: str, args: tuple[Any, ...]) -> Deferred[Any]:
        return self._connection.run(SETTLE, (), args)

    def stop(self, name: str) -> Deferred[None]:
        """See IFollowers."""
        return Deferred.fromCoroutine(self._stop(name))

    async def _stop(self, name: str) -> None:
        await self._connection.command("stop", "HSET", Key.STOPPED.of(name), ALL, await self._time())

    def resume(self, name: str, conversation: str = "", *, position: str | None = None) -> Deferred[int]:
        """See IFollowers."""
        return Deferred.fromCoroutine(self._resume(name, conversation, position))

    async def _resume(self, name: str, conversation: str, position: str | None) -> int:
        resumed, left = 0, 1
        start = "=" if position is None else position or "$"
        while left:
            args = (name, await self._time(), conversation or ALL, start, RESUMED)
            some, left = await self._connection.run(RESUME, (), args)
            resumed += some
        return resumed

    def place(self, name: str, conversation: str) -> Deferred[Followed | None]:
        """See IFollowers."""

        def read(held: bytes | None) -> Followed | None:
            if held is None:
                return None
            failures, since, _, position = held.decode().split(" ")
            return Followed(conversation, position, int(failures), int(since))

        return self._read_place(name, conversation).addCallback(read)

    def _read_place(self, name: str, conversation: str) -> Deferred[bytes | None]:
        return self._connection.command("place", "HGET", Key.FOLLOWED.of(name), conversation)

    def following(self, name: str) -> Deferred[Following]:
        """See IFollowers."""
        return Deferred.fromCoroutine(self._following(name))

    async def _following(self, name: str) -> Following:
        stopped, now = Key.STOPPED.of(name), await self._time()
        late, gone, count, given = await self._connection.commands(
            "following",
            ("ZCOUNT", Key.DUE.of(name), "-inf", now),
            ("HEXISTS", stopped, ALL),
            ("HLEN", stopped),
            ("HSCAN", stopped, 0, "COUNT", LISTED),
        )
        words = given[1]
        listed = {one.decode(): int(at) for one, at in zip(words[::2], words[1::2], strict=True) if one != b"*"}
        return Following(late, bool(gone), count - gone, dict(sorted(listed.items())[:LISTED]))


def given(answer: Any) -> tuple[list[Followed], bool]:
    """Return what a follower is given, and whether there is more, by the reply of FOLLOW."""
    left, given = answer
    return [
        Followed(conversation.decode(), position.decode(), failures, int(since))
        for conversation, position, failures, since in given
    ], left > 0
