"""A Redis set that loses its master, and faults of such a set, of which there is only one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.task import deferLater

from bench.faults import Fault, Kind, Maker
from bench.mishaps import STARTED, ProcessFaults
from cim.store.redis.buckets import SLOTS_OF
from tests.harness.processes import ProcessFailed
from tests.harness.redis_cluster import ClusterNode, RedisCluster
from tests.harness.redis_set import RedisSet

#: How many slots with something in them are moved for each second that a fault is to last.
MOVED_A_SECOND = 4
#: How often the 30 s may pass in which a set is to have a master, or to be whole.
TRIES = 4
T = TypeVar("T")


async def patiently(waiting: Callable[[], Awaitable[T]]) -> T:
    """Wait for what a Redis set waits for, several times as long: other things fail beside it."""
    for _ in range(TRIES - 1):
        try:
            return await waiting()
        except ProcessFailed:
            pass
    return await waiting()


class FailoverFaults:
    """Kills the master, waits until another one is named, and starts the old one again.

    :param mishaps: knows which processes have a fault already
    """

    kinds = [("fail over", "redis")]

    def __init__(self, reactor: Any, redis: RedisSet, mishaps: ProcessFaults) -> None:
        self._reactor = reactor
        self._redis = redis
        self._mishaps = mishaps

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        old = await patiently(self._redis.master)
        self._mishaps.busy.add(old)
        try:
            await old.kill()
            new = await patiently(self._redis.master)
            await deferLater(self._reactor, fault.seconds / 3, lambda: None)
            await old.start(STARTED)
        finally:
            self._mishaps.busy.discard(old)
        return f"from {old.name} to {new.name}"


class ShardFaults:
    """Has replicas of a Redis Cluster take over, by themselves after a master is killed, or told to, and moves slots.

    :param mishaps: knows which processes have a fault already
    """

    kinds = [("fail over", "redis"), ("reshard", "redis")]

    def __init__(self, reactor: Any, redis: RedisCluster, mishaps: ProcessFaults) -> None:
        self._reactor = reactor
        self._redis = redis
        self._mishaps = mishaps

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        masters = sorted(await self._redis.claims(), key=lambda node: node.name)
        old = masters[int(fault.chance * len(masters))]
        if fault.action == "reshard":
            new = masters[masters.index(old) - 1]
            moved = 0
            for slot in await self._of(old, int(1 + fault.seconds * MOVED_A_SECOND)):
                await self._redis.move(slot, old, new)
                moved += 1
            return f"{moved} slots from {old.name} to {new.name}"
        self._mishaps.busy.add(old)
        try:
            if not fault.hard:
                new = await self._redis.replica_of(old)
                await self._redis.failover(new)
                return f"from {old.name} to {new.name}, as told"
            await old.kill()
            new = await patiently(lambda: self._redis.replaced(old))
            await deferLater(self._reactor, fault.seconds / 3, lambda: None)
            await old.start(STARTED)
        finally:
            self._mishaps.busy.discard(old)
        return f"from {old.name} to {new.name}"

    async def _of(self, node: ClusterNode, count: int) -> list[int]:
        """Return some of the slots of a node in which something is."""
        ranges = (await self._redis.claims())[node]
        held = [slot for slot in SLOTS_OF if any(first <= slot <= last for first, last in ranges)]
        return held[: min(count, len(held) // 2)]


class OneAtATime:
    """Makes the faults of another maker, but those of the Redis set one at a time, each after the set is whole again.

    A majority has what was acknowledged: one of the set may be lost, and not another one before it is back.
    """

    def __init__(self, maker: Maker, redis: RedisSet | RedisCluster, held: set[str]) -> None:
        """
        :param held: not empty while there is a fault; shared by all who make some
        """
        self._maker = maker
        self._redis = redis
        self._held = held

    @property
    def kinds(self) -> Sequence[Kind]:
        """See bench.faults.Maker."""
        return self._maker.kinds

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        if fault.what not in ("redis", "sentinel"):
            return await self._maker.make(fault)
        if self._held:
            return ""
        self._held.add(fault.kind)
        try:
            name = await self._maker.make(fault)
            await patiently(self._redis.whole)
        finally:
            self._held.clear()
        return name
