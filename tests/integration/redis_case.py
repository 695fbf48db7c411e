"""A base with a real Redis for each test, a store on it, and a second connection to inspect keys."""

from __future__ import annotations

import os
import random

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from cim.daemon.clock import time_of_day
from cim.store.clock import StoreClock
from cim.store.pages import DEFAULT
from cim.store.redis.connection import RedisConnection
from cim.store.redis.keys import Key
from cim.store.redis.schema import NEWEST
from cim.store.redis.store import RedisStore
from tests.harness.processes import RedisProcess


class ShiftedClock:
    """The real time and a bit more."""

    def __init__(self, reactor):
        self._reactor = reactor
        self.ahead = 0.0

    def seconds(self):
        return self._reactor.seconds() + self.ahead

    def callLater(self, *call):
        return self._reactor.callLater(*call)


class ShiftedTime(StoreClock):
    """The store's time and a bit more.

    :ivar shifted: says how much more
    """

    def now(self):
        """See IStoreClock."""
        return super().now() + round(self.shifted.ahead * 1000)

    def shown(self):
        """See IStoreClock."""
        return super().shown() + round(self.shifted.ahead * 1000)


class RedisCase(TestCase):
    timeout = 60
    password: str | None = None
    settings: dict[str, str] = {}
    retention = DEFAULT

    async def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.clock = ShiftedClock(reactor)
        self.random = random.Random(1)
        self.redis = self.process()
        await self.redis.start()
        self.store = self.started()
        self.raw = self.connection()
        self.raw.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.raw.stop()))
        await self.until(lambda: not self.store.health() and self.store.facts().get("schema") == NEWEST)

    def process(self, **options):
        directory = self.mktemp()
        os.makedirs(directory)
        redis = RedisProcess(self.reactor, directory, password=self.password, settings=self.settings, **options)
        self.addCleanup(redis.kill)
        return redis

    #: What connections of stores are made of.
    connection_class = RedisConnection
    #: Of how many servers a majority must have what is told; None for the one.
    servers: int | None = None

    def connection(self, *, host="127.0.0.1", port=None, user=None, password=None, database=0, **options):
        port = port or self.redis.port
        if password is None:
            password = self.password
        connection = self.connection_class(
            self.reactor,
            HostnameEndpoint(self.reactor, host, port),
            f"{host}:{port}",
            random=lambda: 0.5,
            time_of_day=time_of_day,
            user=user,
            password=password or None,
            database=database,
            servers=self.servers and (lambda: self.servers),
            **options,
        )
        connection.looks.clock = ShiftedTime("Redis", self.reactor.seconds, time_of_day)
        connection.looks.clock.shifted = self.clock
        return connection

    def started(self, **options):
        store = RedisStore(self.connection(**options), self.clock, self.retention, random=self.random.random)
        store.startService()
        self.addCleanup(store.stopService)
        return store

    def now(self):
        return int((time_of_day() + self.clock.ahead) * 1000)

    def command(self, *words):
        return self.raw.command("test", *words)

    async def keys(self):
        """All keys but those that every store begins with."""
        found = {key.decode() for key in await self.command("KEYS", "*")}
        return sorted(found - {Key.SCHEMA, Key.EPOCH, Key.CLOCK})

    async def until(self, true, seconds=15.0):
        """Wait until `true()`, which may be asynchronous, is."""
        deadline = self.reactor.seconds() + seconds
        while True:
            result = true()
            if isinstance(result, Deferred) or hasattr(result, "__await__"):
                result = await result
            if result:
                return result
            if self.reactor.seconds() > deadline:
                self.fail(f"not within {seconds} s: {self.store.health()!r}")
            await deferLater(self.reactor, 0.01)

    async def let_pass(self, seconds):
        """Move the store's time on and the ends of all keys back, which is as good as waiting."""
        ms = round(seconds * 1000)
        self.clock.ahead += seconds
        for key in await self.command("KEYS", "*"):
            left = await self.command("PTTL", key)
            if left >= 0:
                await self.command("PEXPIRE", key, left - ms)
