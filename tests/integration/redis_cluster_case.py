"""Bases with stores on real Redis Clusters: one that all tests of a run share, or one that a test may break."""

from __future__ import annotations

import os
import random

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import TestCase

from cim.daemon.clock import time_of_day
from cim.model import Append
from cim.store.choose import Acknowledge, RedisAccess, store_from
from cim.store.redis.buckets import SLOTS_OF, home_of, taken_apart
from cim.store.redis.cluster.connection import ClusterConnection
from cim.store.redis.cluster.store import ClusterStore
from cim.store.redis.keys import Key
from cim.store.redis.sentinel import Address
from cim.wire import native
from cim.wire.cim_pb2 import TEXT, Send
from tests.harness.redis_cluster import RedisCluster, shared_cluster
from tests.integration.redis_case import RedisCase, ShiftedTime
from tests.integration.test_sentinels import Talk


class Shared:
    """The cluster of all tests, in the place of a process of a test's own."""

    def __init__(self, reactor):
        self._reactor = reactor

    async def start(self):
        self.ports = await shared_cluster(self._reactor)


class RedisClusterCase(RedisCase):
    """A base with a store on three masters, which all tests of a run share."""

    def process(self):
        return Shared(self.reactor)

    def connection(self, **options):
        connection = ClusterConnection(
            self.reactor,
            [Address("127.0.0.1", port) for port in self.redis.ports],
            lambda one: HostnameEndpoint(self.reactor, one.host, one.port),
            random=lambda: 0.5,
            time_of_day=time_of_day,
            **options,
        )
        connection.looks.clock = ShiftedTime("Redis", self.reactor.seconds, time_of_day)
        connection.clock.shifted = self.clock
        return connection

    def started(self, **options):
        store = ClusterStore(self.connection(**options), self.clock, self.retention, random=self.random.random)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    async def all_keys(self):
        """The names of all keys as they are."""
        return [key for keys in await self.raw.of_all("test", "KEYS", "*") for key in keys]

    async def keys(self):
        found = set()
        for key in await self.all_keys():
            bucket, name = taken_apart(key)
            if home_of(name) == bucket:
                found.add(name)
        return sorted(found - {Key.SCHEMA, Key.EPOCH, Key.CLOCK, Key.TODO})

    async def let_pass(self, seconds):
        ms = round(seconds * 1000)
        self.clock.ahead += seconds
        for node in self.raw.nodes.masters():
            for key in await node.protocol.ask("KEYS", "*"):
                left = await node.protocol.ask("PTTL", key)
                if left >= 0:
                    await node.protocol.ask("PEXPIRE", key, left - ms)


def item(conversation, sender):
    """A message."""
    send = Send(client_id="1", text="x", kind=TEXT)
    body = native.body_of(send, sender, "", 0)
    return Append(conversation, sender, "1", native.digest(send), body, int(time_of_day() * 1000))


class ShardedCase(TestCase):
    """A base with two stores on a real Redis Cluster of three masters with a replica each."""

    timeout = 180
    acknowledge = "majority"
    password: str | None = None

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        directory = self.mktemp()
        os.makedirs(directory)
        self.cluster = RedisCluster(reactor, directory, password=self.password)
        self.addCleanup(self.cluster.kill)
        await self.cluster.start()
        self.store, self.other = [self.started() for _ in range(2)]
        await self.until(lambda: not self.store.health() and not self.other.health())

    def started(self):
        store = store_from(
            self.cluster.store,
            self.reactor,
            time_of_day=time_of_day,
            access=RedisAccess(password=self.password),
            acknowledge=Acknowledge.parse(self.acknowledge),
            random=random.Random(1).random,
        )
        store.startService()
        self.addCleanup(store.stopService)
        return store

    async def until(self, true, seconds=30.0):
        deadline = self.reactor.seconds() + seconds
        while True:
            found = true()
            if isinstance(found, Deferred) or hasattr(found, "__await__"):
                found = await found
            if found:
                return found
            if self.reactor.seconds() > deadline:
                self.fail(f"not within {seconds} s: {self.store.health()!r}")
            await deferLater(self.reactor, 0.02)

    def talks(self, count=9):
        """Begin to talk, in several buckets of each master."""
        stores = [self.store, self.other]
        return [Talk(self.reactor, 100 * number, *stores[:: number % 2 * 2 - 1]) for number in range(1, count + 1)]

    async def go_on(self, talks, more=20):
        goals = [len(talk.accepted) + more for talk in talks]
        await self.until(lambda: all(len(talk.accepted) >= goal for talk, goal in zip(talks, goals, strict=True)))

    async def judged(self, talks):
        for talk in talks:
            await talk.end()
        wrong = [complaint for talk in talks for complaint in await talk.judge(self.store)]
        self.assertEqual(wrong, [])

    def said(self, part):
        lines = (event["log_format"].format(**event) for event in self.logged if event.get("log_format"))
        return [line for line in lines if part in line]

    async def is_replaced(self, bucket, master):
        return await self.owner(bucket, master) not in (None, master)

    async def owner(self, bucket, but=None):
        """Who serves a bucket, by a node that is not `but`."""
        for node, ranges in (await self.cluster.claims(but)).items():
            if any(first <= SLOTS_OF[bucket] <= last for first, last in ranges):
                return node
