"""How costs grow: of appends with conversations, of group messages with members, of logins with conversations.

And how much memory Redis needs for what it holds.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import LoopingCall, deferLater

from bench.cluster import Cluster
from bench.figures import Percentiles, cpu_seconds
from bench.http import HTTPPool
from bench.native import Address, Place, call
from bench.native_users import NativeUser, Told
from bench.pacing import closed_loop
from bench.running import run_bounded
from bench.stored_users import make_users, token_of
from cim.daemon.clock import time_of_day
from cim.interfaces import IStore
from cim.model import Account, Append
from cim.store.choose import store_from
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send
from tests.harness.daemons import UNLIMITED, UNLIMITED_SESSIONS
from tests.harness.processes import RedisProcess

WHAT = ("appends", "groups", "logins", "memory")
BATCH = 50
UNDER_WAY = 2
PING_SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("what", choices=WHAT, help="what grows")
    option("--sizes", type=int, nargs="+", metavar="N", help="the sizes to measure at, smallest first")
    option("--deadline", type=float, default=900.0, metavar="SECONDS", help="longest run (%(default)s)")


class Growth:
    """One run on a cluster of its own."""

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._write = write
        self._random = random.Random(1)
        self._cluster: Cluster | None = None
        self._numbers = 0

    async def go(self) -> int:
        """Measure at all sizes."""
        directory = tempfile.mkdtemp(prefix="cim-growth-")
        try:
            self._cluster = cluster = Cluster(
                self._reactor,
                directory,
                routes=1,
                server_options=UNLIMITED_SESSIONS,
                route_options=("--login-policy", "many", *UNLIMITED),
            )
            await cluster.start()
            store: Any = store_from(cluster.store, self._reactor, time_of_day=time_of_day)
            store.startService()
            try:
                what = self._arguments.what
                if what == "appends":
                    await self._appends(store, self._arguments.sizes or [1000, 10_000, 100_000, 1_000_000])
                elif what == "groups":
                    await self._groups(store, cluster, self._arguments.sizes or [10, 100, 1000, 10_000])
                elif what == "memory":
                    await self._memory(store, cluster.redis, (self._arguments.sizes or [5000])[0])
                else:
                    await self._logins(store, cluster, self._arguments.sizes or [1, 10, 100, 1000, 10_000])
            finally:
                await store.stopService()
            return 0
        finally:
            if self._cluster is not None:
                await self._cluster.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def stop(self) -> Deferred[None] | None:
        """Stop the cluster."""
        return None if self._cluster is None else self._cluster.stop()

    # Appends

    def _append(self, low: int, high: int) -> Append:
        self._numbers += 1
        send = Send(user=high, client_id=f"growth-{self._numbers}", text="." * 64)
        now = int(self._reactor.seconds() * 1000)
        body = native.body_of(send, low, "growth", now)
        name = conversations.private(low, high)
        return Append(name, low, send.client_id, native.digest(send), body, now, True, "")

    async def _put(self, store: IStore, pairs: Sequence[tuple[int, int]]) -> None:
        batches = [pairs[at : at + BATCH] for at in range(0, len(pairs), BATCH)]

        async def put(batch: Sequence[tuple[int, int]]) -> None:
            await store.conversations.append([self._append(*pair) for pair in batch])

        await closed_loop(batches, UNDER_WAY, put)

    async def _appends(self, store: IStore, sizes: Sequence[int]) -> None:
        assert self._cluster is not None
        redis = self._cluster.redis.pid or 0
        made: list[tuple[int, int]] = []
        for size in sizes:
            # Each user has a hundred conversations.
            more = [(1 + number // 100, 10_000_000 + number) for number in range(len(made), size)]
            await self._put(store, more)
            made += more
            pairs = [self._random.choice(made) for _ in range(20_000)]
            cpu, start = cpu_seconds(redis), time.perf_counter()
            await self._put(store, pairs)
            elapsed, used = time.perf_counter() - start, cpu_seconds(redis) - cpu
            self._write(
                f"{size} conversations: {len(pairs) / elapsed:.0f} appends/s at {BATCH} a call,"
                f" Redis {used / len(pairs) * 1e6:.1f} us each"
            )

    # Memory

    async def _memory(self, store: IStore, redis: RedisProcess, count: int) -> None:
        async def used() -> int:
            found = re.search(rb"used_memory:([0-9]+)", await redis.command("INFO", "memory"))
            return int(found[1]) if found else 0

        async def put(what: str, many: int, doing: Awaitable[Any]) -> Any:
            before = await used()
            done = await doing
            self._write(f"Redis, {what}: {(await used() - before) / many:.0f} bytes")
            return done

        accounts = await put("an account", count, make_users(store, count, "memory"))
        first, *others = [account.id for account in accounts]
        told = "a message of 64 bytes"
        await put(f"{told}, all in one conversation", count, self._put(store, [(first, others[0])] * count))
        pairs = list(pairwise(others))
        await put("a conversation with one", len(pairs), self._put(store, pairs))
        await put(f"{told}, in as many conversations", len(pairs) * 20, self._put(store, pairs * 20))
        group = (await store.groups.create(first, "memory", open=True, history=False)).id

        async def add(user: int) -> None:
            await store.groups.add(group, first, user)

        await put("a membership", len(others), closed_loop(others, 64, add))

    def _token(self, account: Account) -> str:
        assert self._cluster is not None
        return token_of(account, self._cluster.secret_file, self._reactor.seconds())

    def _cpu(self) -> tuple[float, float, float]:
        cluster = self._cluster
        assert cluster is not None
        route = sum(cpu_seconds(process.pid or 0) for process in cluster.routes)
        servers = sum(cpu_seconds(process.pid or 0) for process in cluster.servers)
        return route, servers, cpu_seconds(cluster.redis.pid or 0)

    def _used(self, before: tuple[float, float, float], count: int) -> str:
        route, servers, redis = ((after - was) / count * 1e6 for after, was in zip(self._cpu(), before, strict=True))
        return f"route {route:.0f}, servers {servers:.0f}, Redis {redis:.0f} us each"

    # Group messages

    async def _groups(self, store: IStore, cluster: Cluster, sizes: Sequence[int]) -> None:
        pool = HTTPPool(self._reactor, cluster.route_urls[0], 64)
        accounts = await make_users(store, max(sizes), "member")
        told = Told()
        users: list[NativeUser] = []

        async def come(number: int) -> None:
            token = self._token(accounts[number])
            place = Place.of(await call(pool, b"POST", "/v1/sessions", {"device": "growth"}, token))
            user = NativeUser(number, place, "growth", told)
            await user.connect(self._reactor)
            users.append(user)

        await closed_loop(range(len(accounts)), 64, come)
        users.sort(key=lambda user: user.number)

        def ping() -> None:
            for user in users:
                user.ping()

        pings = LoopingCall(ping)
        pings.clock = self._reactor
        pings.start(PING_SECONDS)
        for size in sizes:
            group = (await store.groups.create(accounts[0].id, f"of {size}", open=False, history=False)).id

            def add(user: int, group: int = group) -> Deferred[Any]:
                return store.groups.add(group, accounts[0].id, user)

            await closed_loop([account.id for account in accounts[1:size]], 64, add)
            # The servers learn of it from the log.
            await deferLater(self._reactor, 6.0, lambda: None)
            await self._say(users, told, group, size)
        pings.stop()
        for user in users:
            await user.leave()
        pool.close()

    async def _say(self, users: list[NativeUser], told: Told, group: int, size: int) -> None:
        rounds = max(20, min(500, 100_000 // size))
        took: list[float] = []
        missing = 0
        before = self._cpu()
        for number in range(rounds):
            came: Deferred[None] = Deferred()
            left = size - 1
            began = time.perf_counter()

            def delivered(index: int, came: Deferred[None] = came) -> None:
                nonlocal left
                left -= 1
                if not left:
                    came.callback(None)

            told.delivered = delivered
            connection = users[0].connection
            assert connection is not None
            connection.write(users[0].next_frame(-group, Address.group(group), self._numbers + number, 64))
            try:
                await came.addTimeout(10, self._reactor)
            except TimeoutError:
                missing += left
                if missing > size:
                    self._write(f"{left} of {size} did not get a message within 10 s")
                    break
            took.append(time.perf_counter() - began)
        self._numbers += rounds
        told.delivered = lambda index: None
        for user in users:
            user.last.clear()
            user.sent.clear()
        self._write(
            f"group of {size} over two servers, one message at a time: until all had it {Percentiles.of(took)};"
            f" {self._used(before, rounds)}; not delivered: {missing}"
        )

    # Logins

    async def _logins(self, store: IStore, cluster: Cluster, sizes: Sequence[int]) -> None:
        pool = HTTPPool(self._reactor, cluster.route_urls[0], 8)
        accounts = await make_users(store, len(sizes), "popular")
        for size, account in zip(sizes, accounts, strict=True):
            # Ids beyond any account: the data in the store does not depend on who they are.
            await self._put(store, [(account.id, account.id + 1_000_000 + number) for number in range(size)])
            token = self._token(account)
            took: list[float] = []
            before = self._cpu()
            for number in range(100):
                began = time.perf_counter()
                device = f"device-{number % 10}"
                place = Place.of(await call(pool, b"POST", "/v1/sessions", {"device": device}, token))
                user = NativeUser(number, place, device, Told())
                await user.connect(self._reactor)
                took.append(time.perf_counter() - began)
                await user.leave()
            self._write(
                f"a user of {size} conversations, one login at a time until Welcome: {Percentiles.of(took)};"
                f" {self._used(before, len(took))}"
            )
        pool.close()


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Measure; return the exit status."""
    return run_bounded(reactor, lambda write: Growth(reactor, arguments, write), arguments.deadline)
