"""Load CIM with guests, native clients or callers of /v1; print rates, latencies and what went wrong."""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from bench.cluster import Cluster, Suite
from bench.native_load import NativeLoad
from bench.phases import Load, Watched
from bench.running import run_bounded
from tests.harness.daemons import UNLIMITED, UNLIMITED_SESSIONS

PHASES = ("idle", "websocket", "p2p", "rate", "group")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--route", action="append", metavar="URL", help="URL of a route; may be repeated to share the calls"
    )
    where.add_argument("--own-cluster", action="store_true", help="start Redis, ZooKeeper, servers and a route")
    where.add_argument("--suite", action="store_true", help="start the suite: one process, SQLite")
    option("--speak", choices=("guest", "native", "http"), default="guest", help="how users send (%(default)s)")
    option("--servers", type=int, default=2, metavar="N", help="servers of the own cluster (%(default)s)")
    option("--routes", type=int, default=1, metavar="N", help="routes of the own cluster (%(default)s)")
    option("--server-pid", type=int, action="append", default=[], metavar="PID", help="a server whose memory to watch")
    option(
        "--phase",
        action="append",
        choices=PHASES,
        help="run only this phase; may be repeated, in order (default: all guest phases)",
    )
    option("--users", type=int, default=1000, metavar="N", help="users online (%(default)s)")
    option("--concurrency", type=int, default=64, metavar="N", help="calls at a time (%(default)s)")
    option("--seconds", type=float, default=10.0, help="length of p2p and of each rate (%(default)s)")
    option(
        "--rate",
        type=float,
        action="append",
        metavar="PER_SECOND",
        help="sends per second at fixed times; may be repeated (1000)",
    )
    option("--groups", type=int, default=20, metavar="N", help="group messages (%(default)s)")
    option(
        "--idle", type=int, default=4000, metavar="N", help="further idle users, to measure their memory (%(default)s)"
    )
    option("--length", type=int, default=64, metavar="BYTES", help="shortest text of a message (%(default)s)")
    option("--deadline", type=float, default=300.0, metavar="SECONDS", help="longest run (%(default)s)")
    option("--seed", type=int, default=1, help="seed of who sends to whom (%(default)s)")


class Run:
    """One run of the load generator, from its cluster's start to its end."""

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self.reactor = reactor
        self.arguments = arguments
        self.write = write
        self.cluster: Cluster | Suite | None = None

    async def go(self) -> int:
        """Run all phases and return the exit status: 1 if a message was lost, doubled or reordered."""
        arguments = self.arguments
        urls = arguments.route
        watched = [Watched(f"server {pid}", pid, True) for pid in arguments.server_pid]
        if arguments.own_cluster or arguments.suite:
            directory = tempfile.mkdtemp(prefix="cim-bench-")
            try:
                # Idle sessions are further devices of users.
                policy = ("--login-policy", "many") if arguments.speak != "guest" else ()
                if arguments.suite:
                    self.cluster = Suite(self.reactor, directory, options=(*policy, *UNLIMITED, *UNLIMITED_SESSIONS))
                else:
                    self.cluster = Cluster(
                        self.reactor,
                        directory,
                        servers=arguments.servers,
                        routes=arguments.routes,
                        server_options=UNLIMITED_SESSIONS,
                        route_options=(*policy, *UNLIMITED),
                    )
                await self.cluster.start()
                urls = self.cluster.route_urls
                servers = set(self.cluster.servers)
                watched = [Watched.of(process, process in servers) for process in self.cluster.processes]
                return await self._measure(urls, watched)
            finally:
                if self.cluster is not None:
                    await self.cluster.stop()
                shutil.rmtree(directory, ignore_errors=True)
        return await self._measure(urls, watched)

    def stop(self) -> Deferred[None] | None:
        """Stop the own cluster."""
        return None if self.cluster is None else self.cluster.stop()

    async def _measure(self, urls: list[str], watched: list[Watched]) -> int:
        arguments = self.arguments
        load: Load | NativeLoad
        common = (self.reactor, time.perf_counter, random.Random(arguments.seed), self.write, urls)
        if arguments.speak == "guest":
            load = Load(*common, concurrency=arguments.concurrency, length=arguments.length, watched=watched)
        else:
            load = NativeLoad(
                *common,
                concurrency=arguments.concurrency,
                length=arguments.length,
                watched=watched,
                http=arguments.speak == "http",
            )
        try:
            await load.populate(arguments.users)
            for phase in arguments.phase or [phase for phase in PHASES if phase != "websocket"]:
                if phase == "idle":
                    await load.idle(arguments.idle)
                elif phase == "websocket":
                    if isinstance(load, NativeLoad):
                        await load.idle(arguments.idle, websocket=True)
                elif phase == "p2p":
                    await load.p2p(arguments.seconds)
                elif phase == "rate":
                    for rate in arguments.rate or [1000.0]:
                        await load.rate(rate, arguments.seconds)
                else:
                    await load.group(arguments.groups)
            return load.finish()
        finally:
            await load.close()


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Run the load generator; return the exit status."""
    return run_bounded(reactor, lambda write: Run(reactor, arguments, write), arguments.deadline)
