"""What more routes and servers cost: CPU of a login, a send and a group message, and memory of a user online.

On few cores the rate of many processes means nothing. So everything is done at a modest rate, which no cell is busy
with, and what is told is the CPU time of Redis, of all routes and of all servers, each message or login, less what the
same processes take in the same time when nothing happens. ZooKeeper and the clients are left out.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from bench.cluster import Cluster
from bench.figures import private_bytes, threads_seconds
from bench.http import HTTPPool
from bench.native import Address, Place, call
from bench.native_users import NativeUser, Told
from bench.pacing import open_loop
from bench.running import run_bounded
from bench.stored_users import make_users, token_of
from cim.daemon.clock import time_of_day
from cim.model import Account
from cim.route.messages.grouping import MOST
from cim.store.choose import store_from
from tests.harness.daemons import UNLIMITED, UNLIMITED_SESSIONS

CELLS = ("1x1", "2x2", "4x4", "8x8", "1x8", "8x1")
#: Users who are there first, so that what every process makes once is made before anything is measured.
WARM = 40
#: Each user says that it is there once in so many seconds, and tells what it got every second.
PING_SECONDS = 10
#: How long what was sent may be under way, in seconds.
PATIENCE = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("cells", nargs="*", default=CELLS, metavar="ROUTESxSERVERS", help=f"what to measure ({' '.join(CELLS)})")
    option("--sharded", action="store_true", help="on a Redis Cluster of three masters with a replica each")
    option("--users", type=int, default=800, metavar="N", help="users who log in (%(default)s)")
    option("--logins", type=float, default=160.0, metavar="PER_SECOND", help="logins a second (%(default)g)")
    option("--rate", type=float, default=100.0, metavar="PER_SECOND", help="sends a second (%(default)g)")
    option("--group", type=int, default=200, metavar="N", help="members of the group, all online (%(default)s)")
    option("--members", type=int, metavar="N", help="members of the group with those who are not online (none)")
    option("--group-rate", type=float, default=10.0, metavar="PER_SECOND", help="group messages a second (%(default)g)")
    option("--seconds", type=float, default=4.0, help="how long each kind of message is sent (%(default)g)")
    option("--deadline", type=float, default=900.0, metavar="SECONDS", help="longest run (%(default)g)")


@frozen
class Used:
    """What the processes of a cell have used, or had used more: all Redis servers, all routes, all servers."""

    redis: float
    routes: float
    servers: float

    def less(self, other: Used, times: float = 1.0) -> Used:
        """Return the difference to `times` another one."""
        return Used(
            self.redis - times * other.redis, self.routes - times * other.routes, self.servers - times * other.servers
        )

    def row(self, cell: str, what: str, unit: str, scale: float) -> str:
        """Return a row of the table."""
        parts = [part * scale for part in (self.redis, self.routes, self.servers)]
        shown = " | ".join(f"{part:,.0f}" if abs(part) >= 100 else f"{part:.1f}" for part in (*parts, sum(parts)))
        return f"| {cell} | {what}, {unit} | {shown} |"


class Cell:
    """One cluster of so many routes and servers, and its users.

    :param write: called with each line of the report
    """

    def __init__(
        self, reactor: Any, arguments: argparse.Namespace, routes: int, servers: int, write: Callable[[str], object]
    ) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._write = write
        self._name = f"{routes}x{servers}"
        self._random = random.Random(1)
        self._directory = tempfile.mkdtemp(prefix="cim-scale-")
        self.cluster = Cluster(
            reactor,
            self._directory,
            routes=routes,
            servers=servers,
            sharded=arguments.sharded,
            server_options=UNLIMITED_SESSIONS,
            route_options=UNLIMITED,
        )
        self._pools: list[HTTPPool] = []
        self._users: list[NativeUser] = []
        self._delivered = 0
        self._failed = 0
        self._told = Told()
        self._told.delivered = self._one_delivered
        self._told.failed = self._one_failed
        self._chores = LoopingCall(self._do_chores)
        self._chores.clock = reactor
        self._turn = 0

    def _one_delivered(self, index: int) -> None:
        self._delivered += 1

    def _one_failed(self, code: str) -> None:
        self._failed += 1

    def _do_chores(self) -> None:
        self._turn += 1
        for user in self._users:
            user.acknowledge()
        for user in self._users[self._turn % PING_SECONDS :: PING_SECONDS]:
            user.ping()

    async def stop(self) -> None:
        """End everything."""
        if self._chores.running:
            self._chores.stop()
        for user in self._users:
            await user.leave()
        for pool in self._pools:
            pool.close()
        await self.cluster.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def measure(self) -> int:
        """Write the rows of this cell; return how many messages were not delivered, or were refused."""
        arguments, cluster = self._arguments, self.cluster
        await cluster.start()
        self._pools = [HTTPPool(self._reactor, url, 16) for url in cluster.route_urls]
        online = WARM + arguments.users
        accounts = await self._made(max(online, arguments.members or 0))
        members = max(arguments.members or 0, min(arguments.group, online))
        before = self._cpu()
        group = await self._group(accounts[:members])
        self._row("a member, 1,000 a call", "us", self._cpu().less(before), 1e6 / (members - 1))
        accounts = accounts[:online]
        self._chores.start(1.0, now=False)
        await self._log_in(accounts[:WARM])
        await self._send(arguments.rate, arguments.seconds / 2)
        unused = await self._idle(arguments.seconds / 2)
        before, held = self._cpu(), self._memory()
        took = await self._log_in(accounts[WARM:])
        self._row("a login", "us", self._cpu().less(before).less(unused, took), 1e6 / arguments.users)
        self._row("a user online", "bytes", self._memory().less(held), 1 / arguments.users)
        idle = await self._idle(arguments.seconds)
        self._row(f"idle, {online:,} users online", "ms a second", idle, 1e3)
        before = self._cpu()
        count, took = await self._send(arguments.rate, arguments.seconds)
        self._row("a send", "us", self._cpu().less(before).less(idle, took), 1e6 / count)
        before = self._cpu()
        there = min(arguments.group, online)
        count, took = await self._send(arguments.group_rate, arguments.seconds, group, there)
        what = f"a message to a group of {members:,}" + (f", {there:,} online" if there < members else "")
        self._row(what, "us", self._cpu().less(before).less(idle, took), 1e6 / count)
        return self._failed

    def _row(self, what: str, unit: str, used: Used, scale: float) -> None:
        self._write(used.row(self._name, what, unit, scale))

    async def _made(self, count: int) -> list[Account]:
        store: Any = store_from(self.cluster.store, self._reactor, time_of_day=time_of_day)
        store.startService()
        try:
            return await make_users(store, count, "scale")
        finally:
            await store.stopService()

    async def _group(self, members: Sequence[Account]) -> int:
        """Make a group of its first member, which adds the others; return its id."""
        token = token_of(members[0], self.cluster.secret_file, self._reactor.seconds())
        pool = self._pools[0]
        group = int((await call(pool, b"POST", "/v1/groups", {"name": "scale"}, token))["id"])
        for at in range(1, len(members), MOST):
            add = [member.id for member in members[at : at + MOST]]
            await call(pool, b"POST", f"/v1/groups/{group}/members", {"add": add, "remove": []}, token)
        return group

    async def _log_in(self, accounts: Sequence[Account]) -> float:
        """Log users in, at a rate; return how long that took, in seconds."""
        start = time.perf_counter()
        coming: list[Deferred[None]] = []

        async def come(number: int) -> None:
            token = token_of(accounts[number], self.cluster.secret_file, self._reactor.seconds())
            pool = self._pools[number % len(self._pools)]
            place = Place.of(await call(pool, b"POST", "/v1/sessions", {"device": "scale"}, token))
            user = NativeUser(len(self._users), place, "scale", self._told)
            self._users.append(user)
            await user.connect(self._reactor)

        rate = self._arguments.logins
        await open_loop(
            self._reactor,
            time.perf_counter,
            rate,
            len(accounts) / rate,
            lambda index, at: coming.append(Deferred.fromCoroutine(come(index))),
        )
        for user in coming:
            await user
        return time.perf_counter() - start

    async def _send(self, rate: float, seconds: float, group: int = 0, members: int = 0) -> tuple[int, float]:
        """Send to random users, or to a group; return how many messages, and how long it took until all had them."""
        start, had, count = time.perf_counter(), self._delivered, 0
        online = {user.place.user: user for user in self._users}

        def send(index: int, at: float) -> None:
            nonlocal count
            count += 1
            user, other = self._random.sample(self._users, 2)
            if group:
                user, to, receiver = online[min(online)], Address.group(group), -group
            else:
                to, receiver = Address.user(other.place.user), other.number
            assert user.connection is not None
            user.connection.write(user.next_frame(receiver, to, index, 64))

        await open_loop(self._reactor, time.perf_counter, rate, seconds, send)
        expected = had + count * (members - 1 if group else 1)
        patience = time.perf_counter() + PATIENCE
        while self._delivered < expected and time.perf_counter() < patience:
            await deferLater(self._reactor, 0.02, lambda: None)
        self._failed += max(0, expected - self._delivered)
        # What was received is told, and written, within the next turn of chores.
        await deferLater(self._reactor, 1.5, lambda: None)
        return count, time.perf_counter() - start

    async def _idle(self, seconds: float) -> Used:
        """Return what the processes use in a second in which nothing happens but pings."""
        before, start = self._cpu(), time.perf_counter()
        await deferLater(self._reactor, seconds, lambda: None)
        used, took = self._cpu().less(before), time.perf_counter() - start
        return Used(used.redis / took, used.routes / took, used.servers / took)

    def _cpu(self) -> Used:
        return self._sums(threads_seconds)

    def _memory(self) -> Used:
        return self._sums(private_bytes)

    def _sums(self, of: Callable[[int], float]) -> Used:
        cluster = self.cluster
        parts = (cluster.redis_servers, cluster.routes, cluster.servers)
        return Used(*(sum(of(process.pid or 0) for process in part) for part in parts))


class Scale:
    """One run: a cluster after the other."""

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._arguments = arguments
        self._write = write
        self._cell: Cell | None = None

    async def go(self) -> int:
        """Measure all cells; return 1 if anything was lost or refused."""
        cells = [re.fullmatch("([1-9][0-9]?)x([1-9][0-9]?)", cell) for cell in self._arguments.cells]
        if not all(cells):
            self._write("a cell is routes x servers, such as 2x4")
            return 2
        self._write("| routes x servers | what | Redis | routes | servers | all |\n|---|---|---|---|---|---|")
        wrong = 0
        for cell in filter(None, cells):
            self._cell = Cell(self._reactor, self._arguments, int(cell[1]), int(cell[2]), self._write)
            try:
                wrong += await self._cell.measure()
            finally:
                cell_was, self._cell = self._cell, None
                await cell_was.stop()
        if wrong:
            self._write(f"{wrong} messages were lost or refused")
        return int(wrong > 0)

    def stop(self) -> Deferred[None] | None:
        """Stop the cluster that runs."""
        return None if self._cell is None else self._cell.cluster.stop()


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Measure; return the exit status."""
    return run_bounded(reactor, lambda write: Scale(reactor, arguments, write), arguments.deadline)
