"""Clients talk while the master of three Redis servers fails again and again; then what they got is checked."""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from bench.cluster import Cluster
from bench.crowd import Crowd, add_crowd
from bench.figures import Percentiles
from bench.history import told
from bench.outages import Mended, outages, table
from bench.running import run_bounded
from tests.harness.daemons import UNLIMITED, UNLIMITED_SESSIONS
from tests.harness.redis_set import RedisSet

KILL, HANG = "kill", "hang"
#: For how long a master hangs that was replaced, in seconds.
HANG_SECONDS = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--times", type=int, default=30, metavar="N", help="number of failovers (%(default)s)")
    option("--seed", type=int, help="seed of pauses and messages (default: a new one, which is printed)")
    option("--acknowledge", default="majority", help="what routes are told (%(default)s)")
    option(
        "--fault",
        choices=(KILL, HANG, "both"),
        default="both",
        help="how the master fails: SIGKILL, SIGSTOP for a while, or both in turn (%(default)s)",
    )
    option("--down-after", type=int, default=2000, metavar="MS", help="of the Sentinels (%(default)s)")
    option(
        "--lag",
        action="store_true",
        help="keep all replicas from the master for a second before it fails: what it acknowledges alone is lost then",
    )
    add_crowd(parser, members=16, library=4, guests=4, groups=4, size=8, rate=100.0)
    option(
        "--pause", type=float, default=1.5, metavar="SECONDS", help="average time between two failures (%(default)s)"
    )
    option("--patience", type=float, default=60.0, metavar="SECONDS", help="wait for all deliveries (%(default)s)")
    option("--keep", metavar="DIR", help="keep the output of all processes in this folder")


class Failovers:
    """One run."""

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self.reactor = reactor
        self.arguments = arguments
        self.write = write
        self.cluster: Cluster | None = None
        self._mended: list[Mended] = []
        self._promoted: list[float] = []

    async def go(self) -> int:
        """Run; return the exit status: 1 if anything was lost, doubled, reordered, out of nowhere or gone."""
        arguments = self.arguments
        seed = arguments.seed if arguments.seed is not None else random.SystemRandom().getrandbits(32)
        self.write(f"seed {seed}")
        directory = tempfile.mkdtemp(prefix="cim-failover-")
        self.cluster = Cluster(
            self.reactor,
            directory,
            redundant=True,
            down_after_ms=arguments.down_after,
            server_options=UNLIMITED_SESSIONS,
            route_options=(
                *("--acknowledge", arguments.acknowledge, "--login-policy", "many", "--accounts=open", "--guests"),
                *UNLIMITED,
            ),
        )
        try:
            await self.cluster.start()
            assert isinstance(self.cluster.redis_set, RedisSet)
            return await self._run(self.cluster, self.cluster.redis_set, random.Random(seed))
        finally:
            if arguments.keep:
                self.cluster.keep_output(arguments.keep)
            await self.cluster.stop()
            shutil.rmtree(directory, ignore_errors=True)

    def stop(self) -> Deferred[None] | None:
        """Stop the cluster."""
        return None if self.cluster is None else self.cluster.stop()

    async def _run(self, cluster: Cluster, servers: RedisSet, chooser: random.Random) -> int:
        arguments = self.arguments
        crowd = Crowd(self.reactor, random.Random(chooser.getrandbits(64)), cluster.route_urls, arguments.library)
        try:
            await crowd.gather(arguments.members, arguments.groups, arguments.size, arguments.guests)
            talking = Deferred.fromCoroutine(crowd.talk(1e9, arguments.rate))
            for number in range(arguments.times):
                await self._fail(servers, number, chooser)
            await deferLater(self.reactor, 2.0, lambda: None)
            talking.cancel()
            talking.addErrback(lambda _: None)
            quiet = await crowd.quiet(arguments.patience)
            await crowd.read_all()
            violations = crowd.violations()
            if not quiet:
                self.write(f"after {arguments.patience:g} s some members still lack messages")
        finally:
            await crowd.disperse()
        self._report(crowd)
        for line in told(violations, read=True):
            self.write(line)
        return 0 if quiet and not violations else 1

    async def _fail(self, servers: RedisSet, number: int, chooser: random.Random) -> None:
        """Have the master fail once, and wait until all is well again."""
        arguments = self.arguments
        await servers.whole()
        await deferLater(self.reactor, chooser.uniform(0.5, 1.5) * arguments.pause, lambda: None)
        master = await servers.master()
        kind = (KILL, HANG)[number % 2] if arguments.fault == "both" else arguments.fault
        late = [member for member in servers.members if member is not master] if arguments.lag else []
        for replica in late:
            replica.pause()
        if late:
            # Else what it sends them meanwhile would wait in their sockets.
            await master.command("CLIENT", "KILL", "TYPE", "replica")
            await deferLater(self.reactor, 1.0, lambda: None)
        began = self.reactor.seconds()
        if kind == KILL:
            await master.kill()
        else:
            master.pause()
        for replica in late:
            replica.resume()
        other = await servers.master()
        promoted = self.reactor.seconds()
        self._promoted.append(promoted - began)
        if kind == KILL:
            await master.start()
        else:
            await deferLater(self.reactor, HANG_SECONDS, lambda: None)
            master.resume()
        self._mended.append(Mended(f"{kind} the master", began, promoted))
        self.write(f"{number + 1:3}  {kind} {master.name}; {other.name} was promoted after {promoted - began:.2f} s")

    def _report(self, crowd: Crowd) -> None:
        write = self.write
        outcomes = crowd.history.outcomes()
        write("messages: " + ", ".join(f"{name} {outcomes[name]}" for name in ("accepted", "refused", "unknown")))
        write(f"handed to members: {sum(map(len, crowd.history.handed.values()))}")
        write(f"from the failure to the promotion: {Percentiles.of(self._promoted)}")
        for line in table(outages(crowd.times.sent, crowd.accepted(), self._mended)):
            write(line)
        for name, count in sorted(crowd.counts().items()):
            write(f"  {name}: {count}")


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    deadline = 240.0 + arguments.times * (30.0 + arguments.pause) + 3 * arguments.patience
    return run_bounded(reactor, lambda write: Failovers(reactor, arguments, write), deadline)
