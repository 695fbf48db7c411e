"""Tests of the epoch on real Redis: emptied, gone back, replaced, promoted."""

from __future__ import annotations

import os
import shutil

from cim.errors import StoreUnavailable
from cim.wire import positions
from tests.integration.test_store_conversations import ConversationCase


class EpochCase(ConversationCase):
    async def setUp(self):
        await super().setUp()
        self.told = []
        self.store.on_epoch(lambda: self.told.append(self.store.epoch()))
        self.first = self.store.epoch()

    async def begun(self, store=None):
        """Wait until the store has told of one new epoch, and return its number."""
        await self.until(lambda: self.told)
        self.assertEqual(self.told, [self.store.epoch()])
        self.assertTrue(self.store.epoch() > self.first)
        return self.store.epoch()


class EpochTests(EpochCase):
    async def test_looks_and_connections_alone_begin_none(self):
        other = self.started()
        await self.until(other.epoch)
        seen = self.store._connection.epoch.seen
        await self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self.until(lambda: self.store.health() or other.health())
        await self.until(lambda: not (self.store.health() or other.health()))
        await self.until(lambda: self.store._connection.epoch.seen > seen + 1000)
        self.assertEqual((self.store.epoch(), other.epoch(), self.told), (self.first, self.first, []))

    async def test_a_run_that_ended(self):
        await self.redis.kill()
        await self.redis.start()
        await self.begun()

    async def test_everything_was_flushed(self):
        await self.say("a")
        await self.command("FLUSHALL")
        await self.begun()

    async def test_an_append_finds_out_at_once(self):
        said = await self.say("a", "b")
        await self.command("FLUSHALL")
        said += await self.say("c", "d", "e")
        self.rises(said)
        self.assertEqual(len(self.told), 1)
        self.assertEqual(await self.texts(), ["c", "d", "e"])

    async def test_what_was_stored_came_back_as_it_was(self):
        said = await self.say("a")
        keys = await self.command("KEYS", "*")
        copies = [(key, await self.command("DUMP", key)) for key in keys]
        seen = self.store._connection.epoch.seen
        await self.until(lambda: self.store._connection.epoch.seen > seen)
        lost = await self.say("lost")
        for key, copy in copies:
            await self.command("RESTORE", key, 0, copy, "REPLACE")
        # At once, before anybody has looked.
        said += lost + await self.say("b", "c")
        self.rises(said)
        self.assertEqual(await self.texts(), ["a", "b", "c"])
        await self.begun()

    async def test_all_routes_agree(self):
        others = [self.started() for _ in range(3)]
        await self.until(lambda: all(other.epoch() for other in others))
        await self.command("FLUSHALL")
        number = await self.begun()
        await self.until(lambda: {other.epoch() for other in others} == {number})
        said = []
        for store in (*others, self.store):
            said += await self.say("a", store=store)
        self.assertEqual([positions.parse(one)[1] for one in said], [1, 2, 3, 4])

    async def test_a_redis_that_took_no_writes_when_it_was_connected(self):
        """Which epoch it is could not be found out, but what it has can be read."""
        said = await self.say("a")
        await self.command("CONFIG", "SET", "maxmemory", 1)
        await self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self.until(lambda: self.store._connection._protocol is None)
        self.assertEqual(await self.texts(), ["a"])
        with self.assertRaises(StoreUnavailable):
            await self.store.conversations.append([self.item("refused")])
        self.assertEqual(self.told, [])
        await self.until(lambda: not self.raw.health())
        await self.command("CONFIG", "SET", "maxmemory", 0)
        # It is the same run.
        said += await self.say("b")
        self.assertEqual((positions.parse(said[1])[0], self.told), (positions.parse(said[0])[0], []))

    async def test_a_number_that_another_store_had(self):
        self.store.saw_epoch(self.first)
        self.store.saw_epoch(self.first + 10_000_000)
        self.assertTrue(await self.begun() > self.first + 10_000_000)

    async def test_a_clock_that_went_back(self):
        """Numbers grow, though the time that they come from is far behind."""
        ahead = self.now() + 10_000_000
        await self.command("HSET", "cim:epoch", "beat", ahead)
        said = await self.say("a")
        self.assertTrue(positions.parse(said[0])[0] > ahead)
        await self.command("FLUSHALL")
        said += await self.say("b")
        self.rises(said)


class PromotedTests(EpochCase):
    async def test_a_replica_that_lagged(self):
        said = await self.say("a")
        replica = self.process()
        await replica.start()
        await replica.command("REPLICAOF", "127.0.0.1", str(self.redis.port))

        async def copied():
            return b"cim:c:" in await replica.command("KEYS", "cim:c:*")

        await self.until(copied)
        await replica.command("REPLICAOF", "NO", "ONE")
        said += await self.say("lost", "lost")
        await self.redis.kill()
        self.store._connection._endpoint._port = replica.port
        await self.begun()
        said += await self.say("b")
        self.rises(said)
        self.assertEqual(await self.texts(), ["a", "b"])


class ReplacedTests(EpochCase):
    async def replaced(self, ahead):
        """Go on with another Redis, whose numbers are so much ahead."""
        said = await self.say("a")
        other = self.process()
        await other.start()
        await self.until(lambda: other.command("HSET", "cim:epoch", "number", "7", "beat", str(self.now() + ahead)))
        their = self.started(port=other.port)
        await self.until(their.epoch)
        theirs = await self.say("theirs", store=their)
        await self.redis.kill()
        self.store._connection._endpoint._port = other.port
        await self.begun()
        await self.until(lambda: their.epoch() == self.store.epoch())
        self.assertEqual(await self.texts(), ["theirs"])
        new = await self.say("b")
        self.rises([*said, *new])
        self.rises([*theirs, *new])

    async def test_by_one_that_is_behind(self):
        await self.replaced(-10_000_000)

    async def test_by_one_that_is_ahead(self):
        await self.replaced(10_000_000)


class RestoredTests(EpochCase):
    async def test_a_snapshot_of_minutes_ago(self):
        said = await self.say("a")
        await self.command("SAVE")
        copy = self.mktemp()
        shutil.copytree(self.redis.directory, copy)
        lost = await self.say("lost", "lost")
        await self.redis.kill()
        shutil.rmtree(self.redis.directory)
        os.rename(copy, self.redis.directory)
        await self.redis.start()
        await self.begun()
        said += lost + await self.say("b")
        self.rises(said)
        self.assertEqual(await self.texts(), ["a", "b"])
