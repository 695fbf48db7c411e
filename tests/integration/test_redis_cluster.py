"""Stores on a Redis Cluster of which a master dies and slots move while somebody talks; tests/long has more of it."""

from __future__ import annotations

from functools import partial

from cim.store.redis.buckets import BUCKETS, DIRECTORY, SLOTS_OF, bucket_of
from tests.integration.redis_cluster_case import RedisClusterCase, ShardedCase
from tests.store.conversing import RETENTION
from tests.store.order_contract import OrderContract


class OrderTests(OrderContract, RedisClusterCase):
    """Batches over several masters, of two routes."""

    retention = RETENTION

    async def setUp(self):
        await super().setUp()
        self.second = self.started()
        await self.until(lambda: not self.second.health())

    def other(self):
        return self.second


class ShardedTests(ShardedCase):
    password = "hunter2"

    async def test_slots_move_and_a_master_dies(self):
        talks = self.talks()
        await self.go_on(talks)
        epoch = self.store.epoch()
        for bucket in (bucket_of(talks[0].conversation), BUCKETS - 1):
            source = await self.owner(bucket)
            target = next(node for node in await self.cluster.claims() if node is not source)
            await self.cluster.move(SLOTS_OF[bucket], source, target)
            await self.go_on(talks, more=5)
        self.assertEqual((self.store.epoch(), self.other.epoch()), (epoch, epoch))
        master = await self.owner(DIRECTORY)
        await master.kill()
        await self.until(partial(self.is_replaced, DIRECTORY, master))
        await self.until(lambda: "no replica confirms what is written, and a majority of 2" in self.store.health())
        await master.start()
        await self.go_on(talks)
        await self.until(lambda: self.store.epoch() == self.other.epoch() > epoch)
        await self.judged(talks)
