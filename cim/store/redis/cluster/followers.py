"""Followers of the logs in a Redis Cluster: what is followed is kept in the bucket of each conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from cim.model import Followed, Following
from cim.store.redis.buckets import OTHERS, bucket_of
from cim.store.redis.cluster.connection import gathered
from cim.store.redis.followers import FOLLOW, RESUME, SETTLE, RedisFollowers, given
from cim.store.redis.keys import Key
from cim.store.rules.followers import ALL, FORGOTTEN_MS, HANDED_OUT, LISTED, RESUMED

if TYPE_CHECKING:
    from cim.store.redis.cluster.connection import ClusterConnection

#: How many buckets are asked side by side.
TOGETHER = 32
#: Where scripts run that name no key.
_KEYS = (Key.EPOCH,)


class ClusterFollowers(RedisFollowers):
    """Followers that all routes share."""

    _connection: ClusterConnection

    def __init__(self, connection: ClusterConnection) -> None:
        super().__init__(connection)
        self._turn = 0
        for one in (FOLLOW, SETTLE, RESUME):
            connection.load(one)

    async def _follow(self, name: str, owner: str, seconds: float, most: int) -> tuple[list[Followed], bool]:
        now = await self._time()
        found: list[Followed] = []
        more = False
        asked, turn = 0, self._turn
        full: list[int] = []  # which have more to give, perhaps

        async def ask(buckets: Sequence[int], share: int) -> None:
            nonlocal more
            args = (name, now, owner, int(seconds * 1000), share, FORGOTTEN_MS, HANDED_OUT)
            answers = await gathered(
                self._connection.evaluate_in(FOLLOW.name, bucket, FOLLOW, _KEYS, args) for bucket in buckets
            )
            for bucket, answer in zip(buckets, answers, strict=True):
                some, further = given(answer)
                found.extend(some)
                more = more or further
                if len(some) == share:
                    full.append(bucket)

        # All are asked, though only to hand out what has changed.
        while asked < len(OTHERS):
            left = most - len(found)
            together = min(TOGETHER, left or TOGETHER, len(OTHERS) - asked)
            places = range(self._turn + asked, self._turn + asked + together)
            await ask([OTHERS[place % len(OTHERS)] for place in places], left // together)
            asked += together
            if left:
                turn = (self._turn + asked) % len(OTHERS)
        self._turn = turn  # where others may be left
        for bucket in full:
            if len(found) < most:
                await ask([bucket], most - len(found))
        return found, more

    def _run_settle(self, conversation: str, args: tuple[Any, ...]) -> Deferred[Any]:
        return self._connection.run_in(bucket_of(conversation), SETTLE, _KEYS, args)

    async def _stop(self, name: str) -> None:
        now = await self._time()
        stopping = ("HSET", Key.STOPPED.of(name), ALL, now)
        await self._connection.commands_in("stop", [(bucket, stopping) for bucket in OTHERS])

    async def _resume(self, name: str, conversation: str, position: str | None) -> int:
        start = "=" if position is None else position or "$"

        async def resume(bucket: int) -> int:
            resumed, left = 0, 1
            while left:
                args = (name, await self._time(), conversation or ALL, start, RESUMED)
                some, left = await self._connection.evaluate_in(RESUME.name, bucket, RESUME, _KEYS, args)
                resumed += some
            return resumed

        buckets = [bucket_of(conversation)] if conversation else OTHERS
        return sum(await gathered(map(resume, buckets)))

    def _read_place(self, name: str, conversation: str) -> Deferred[bytes | None]:
        key = Key.FOLLOWED.of(name)
        return self._connection.command_in(bucket_of(conversation), "place", "HGET", key, conversation)

    async def _following(self, name: str) -> Following:
        stopped, now = Key.STOPPED.of(name), await self._time()
        asked = (
            ("ZCOUNT", Key.DUE.of(name), "-inf", now),
            ("HEXISTS", stopped, ALL),
            ("HLEN", stopped),
            ("HSCAN", stopped, 0, "COUNT", LISTED),
        )
        answers = await self._connection.commands_in(
            "following", [(bucket, words) for bucket in OTHERS for words in asked]
        )
        late = sum(answers[::4])
        gone = sum(answers[1::4])
        listed: dict[str, int] = {}
        for _, words in answers[3::4]:
            listed |= {one.decode(): int(at) for one, at in zip(words[::2], words[1::2], strict=True) if one != b"*"}
        return Following(late, bool(gone), sum(answers[2::4]) - gone, dict(sorted(listed.items())[:LISTED]))
