"""Clients talk while processes, connections, or with --hosts machines and their network fail; what they got is judged.

Without --hosts all processes are on the loopback interface, with proxies between them. With it each is on a machine of
its own (`bench.hosts`), which needs root.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from bench.clocks import ClockFaults
from bench.cluster import Cluster, machine_names
from bench.crowd import Crowd, add_crowd
from bench.disks import DiskFaults
from bench.failovers import FailoverFaults, OneAtATime, ShardFaults
from bench.faults import Deck, Havoc, Maker, kind_of
from bench.figures import Percentiles
from bench.history import told
from bench.hosts import Network, NoHosts
from bench.mishaps import ClientFaults, ConnectionFaults, ProcessFaults
from bench.outages import Mended, outages, table
from bench.partitions import NetworkFaults
from bench.restores import RestoreFaults
from bench.running import run_bounded
from bench.upgrades import UpgradeFaults, checkout
from bench.webhook_reader import READER, WebhookReader
from tests.harness.daemons import UNLIMITED, UNLIMITED_SESSIONS
from tests.harness.processes import ProcessFailed
from tests.harness.redis_cluster import RedisCluster

#: How often a run tells how far it is.
TELL_SECONDS = 60.0
#: How long a webhook may lack messages at the end, at least.
WEBHOOK_PATIENCE = 150.0
#: The machine of the clients, and of this process.
CLIENTS = "clients"
#: All that there are; each run makes some of them.
KINDS = list(
    dict.fromkeys(
        kind_of(*kind)
        for kinds in (
            *(ProcessFaults.every_kind, ConnectionFaults.kinds, ClientFaults.kinds, NetworkFaults.kinds),
            *(ClockFaults.kinds, DiskFaults.kinds, FailoverFaults.kinds, ShardFaults.kinds, RestoreFaults.kinds),
            UpgradeFaults.kinds,
        )
        for kind in kinds
    )
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--seconds", type=float, default=60.0, help="how long to make faults (%(default)s)")
    option("--seed", type=int, help="seed of faults and messages (default: a new one, which is printed)")
    add_crowd(parser, members=24, library=6, guests=6, groups=4, size=8, rate=100.0)
    option("--servers", type=int, default=2, metavar="N", help="number of servers (%(default)s)")
    option("--routes", type=int, default=2, metavar="N", help="number of routes (%(default)s)")
    option("--hosts", action="store_true", help="give each process a machine of its own, and break the network too")
    option("--redundant", action="store_true", help="have three Redis servers, and wait for a majority of them")
    option(
        "--sharded",
        action="store_true",
        help="have a Redis Cluster of three masters with a replica each, and wait for both",
    )
    option("--restores", action="store_true", help="put Redis back to a backup now and then")
    option("--webhook", action="store_true", help="attach a webhook, whose receiver is to get all messages in order")
    option("--older", metavar="COMMIT", help="begin with servers and routes of this commit, and replace them")
    option(
        "--fault",
        action="append",
        choices=KINDS,
        metavar="KIND",
        help="make only faults of this kind; may be repeated: " + ", ".join(KINDS),
    )
    option("--pause", type=float, default=1.5, metavar="SECONDS", help="average pause between faults (%(default)s)")
    option("--at-once", type=int, default=3, metavar="N", help="faults at a time (%(default)s)")
    option(
        "--alone",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="the share of faults beside which there is no other (%(default)s)",
    )
    option("--longest", type=float, default=14.0, metavar="SECONDS", help="longest fault (%(default)s)")
    option(
        "--patience",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="wait for all deliveries at the end (%(default)s)",
    )
    option("--forgetful", action="store_true", help="let Redis write nothing to disk, to see that losses are detected")
    option("--keep", metavar="DIR", help="keep the output of all processes in this folder")


class Chaos:
    """One run.

    :param network: of the machines; None for the loopback interface
    """

    def __init__(
        self,
        reactor: Any,
        arguments: argparse.Namespace,
        write: Callable[[str], object],
        network: Network | None = None,
    ) -> None:
        self._network = network
        self._ends: list[Callable[[], object]] = []
        self.reactor = reactor
        self.arguments = arguments
        self.write = write
        self.cluster: Cluster | None = None
        self._mended: list[Mended] = []
        self._told = 0.0
        self._accepted: Callable[[], int] = lambda: 0
        self._counts: Counter[str] = Counter()

    async def go(self) -> int:
        """Run; return the exit status: 1 if anything was lost, doubled, reordered or out of nowhere."""
        arguments = self.arguments
        seed = arguments.seed if arguments.seed is not None else random.SystemRandom().getrandbits(32)
        self.write(f"seed {seed}")
        directory = tempfile.mkdtemp(prefix="cim-chaos-")
        chooser = random.Random(seed)
        webhook: WebhookReader | None = None
        posted: tuple[str, ...] = ()
        if arguments.webhook:
            webhook = WebhookReader(self.reactor, random.Random(chooser.getrandbits(64)), directory)
            posted = webhook.start()
            self._ends.append(webhook.stop)
            self._counts = webhook.counts
        cluster = self.cluster = Cluster(
            self.reactor,
            directory,
            servers=arguments.servers,
            routes=arguments.routes,
            proxied=self._network is None and not (arguments.redundant or arguments.sharded),
            network=self._network,
            durable=not arguments.forgetful,
            server_options=UNLIMITED_SESSIONS,
            redundant=arguments.redundant,
            sharded=arguments.sharded,
            route_options=(
                *("--login-policy", "many", "--accounts=open", "--guests", *UNLIMITED),
                *(("--acknowledge", "majority") if arguments.redundant or arguments.sharded else ()),
                *posted,
            ),
        )
        crowd = Crowd(
            self.reactor,
            random.Random(chooser.getrandbits(64)),
            cluster.route_urls,
            arguments.library,
            (READER,) if webhook is not None else (),
        )
        if webhook is not None:
            webhook.handed = partial(crowd.heard, READER)
        makers = self._makers(cluster, crowd)
        try:
            await cluster.start()
            return await self._torment(crowd, makers, random.Random(chooser.getrandbits(64)))
        finally:
            if arguments.keep:
                cluster.keep_output(arguments.keep)
            await self._clean(cluster)

    def _makers(self, cluster: Cluster, crowd: Crowd) -> list[Maker]:
        """Return who makes faults; the cluster is not started yet."""
        arguments = self.arguments
        mishaps = ProcessFaults(self.reactor, cluster.kinds)
        makers: list[Maker] = [mishaps, ClientFaults(crowd.afflict)]
        if arguments.older:
            older = checkout(arguments.older, cluster.directory / "older")
            makers.append(UpgradeFaults(self.reactor, older, cluster.kinds, mishaps))
        if arguments.restores:
            makers.append(RestoreFaults(self.reactor, cluster.redis, mishaps, crowd.restored))
        if self._network is not None:
            disks = DiskFaults(self.reactor, cluster.redis_servers, mishaps)
            cable = NetworkFaults(self.reactor, self._network)
            self._ends += [disks.end, cable.end]
            makers += [disks, cable, ClockFaults(self.reactor, cluster.directory, cluster.kinds)]
        elif not (arguments.redundant or arguments.sharded):
            makers.append(ConnectionFaults(self.reactor, cluster.proxies))
        redis = cluster.redis_set
        if redis is None:
            return makers
        if isinstance(redis, RedisCluster):
            makers.append(ShardFaults(self.reactor, redis, mishaps))
        else:
            makers.append(FailoverFaults(self.reactor, redis, mishaps))
        held: set[str] = set()
        return [OneAtATime(maker, redis, held) for maker in makers]

    def stop(self) -> Deferred[None] | None:
        """Stop the cluster, and remove its data."""
        return None if self.cluster is None else Deferred.fromCoroutine(self._clean(self.cluster))

    async def _clean(self, cluster: Cluster) -> None:
        await cluster.stop()
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        shutil.rmtree(cluster.directory, ignore_errors=True)

    async def _torment(self, crowd: Crowd, makers: list[Maker], faults: random.Random) -> int:
        arguments = self.arguments
        kinds = [kind for maker in makers for kind in maker.kinds]
        only = [kind for kind in kinds if not arguments.fault or kind_of(*kind) in arguments.fault]
        if not only:
            raise ProcessFailed("faults of these kinds are not made in such a run")
        try:
            self._accepted = lambda: len(crowd.times.accepted)
            await crowd.gather(arguments.members, arguments.groups, arguments.size, arguments.guests)
            havoc = Havoc(self.reactor, makers, self.write, self._note)
            talking = Deferred.fromCoroutine(crowd.talk(arguments.seconds, arguments.rate))
            deck = Deck(faults, only, arguments.longest)
            await havoc.run(faults, deck, arguments.seconds, arguments.pause, arguments.at_once, arguments.alone)
            await talking
            quiet = await crowd.quiet(arguments.patience)
            if quiet:
                await crowd.read_all()
            violations = crowd.violations()
            if not quiet:
                self.write(f"after {arguments.patience:g} s some members still lack messages:")
                self.write(f"  not accepted: {sum(member.waiting for member in crowd.members)}")
                for what, count in (await crowd.ask_everyone(min(10.0, arguments.patience))).items():
                    self.write(f"  missing, {what}: {count}")
        finally:
            await crowd.disperse()
        self._report(crowd)
        for line in told(violations, read=True):
            self.write(line)
        return 0 if quiet and not violations else 1

    def _note(self, kind: str, began: float, mended: float) -> None:
        self._mended.append(Mended(kind, began, mended))
        if mended > self._told + TELL_SECONDS:
            self._told = mended
            self.write(f"accepted so far: {self._accepted()}")
            # What is noted of messages only grows: the collector need not look at it again and again.
            gc.freeze()

    def _report(self, crowd: Crowd) -> None:
        write = self.write
        write(f"faults: {len(self._mended)}")
        outcomes = crowd.history.outcomes()
        write("messages: " + ", ".join(f"{name} {outcomes[name]}" for name in ("accepted", "refused", "unknown")))
        times = crowd.times
        seconds = max(times.accepted.values(), default=0.0) - min(times.sent.values(), default=0.0)
        write(f"accepted per second: {len(times.accepted) / max(seconds, 1.0):.1f}")
        write(f"handed to members: {sum(map(len, crowd.history.handed.values()))}")
        recoveries = times.recoveries([fault.ended for fault in self._mended])
        if recoveries:
            longest = max(range(len(recoveries)), key=recoveries.__getitem__)
            write(f"recovery after the end of a fault: {Percentiles.of(recoveries)}")
            write(f"longest recovery: {recoveries[longest]:.2f} s, after {self._mended[longest].kind}")
        write(f"longest wait until accepted: {times.longest(times.accepted):.2f} s")
        write(f"longest wait until everyone had it: {times.longest(times.complete):.2f} s")
        write("by kind of fault: how long it lasted, the longest wait until accepted, also where no other fault was")
        write("beside it, and the longest time in which nothing at all was accepted, in seconds")
        for line in table(outages(times.sent, crowd.accepted(), self._mended)):
            write(line)
        for name, count in sorted((crowd.counts() + self._counts).items()):
            write(f"  {name}: {count}")


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    if arguments.webhook:
        # What a route that died had begun to send is sent again after half a minute, and what failed after seconds.
        arguments.patience = max(arguments.patience, WEBHOOK_PATIENCE)
    # Time for the start and the accounts, for the end of the last faults, for all deliveries, and for the stop.
    deadline = 600.0 + 1.2 * arguments.seconds + 2 * arguments.patience
    if arguments.webhook and (arguments.hosts or arguments.older):
        sys.stderr.write("--webhook is for routes of this commit on the loopback interface\n")
        return 2
    names = machine_names(arguments.servers, arguments.routes, arguments.redundant)
    try:
        network = Network(CLIENTS, names) if arguments.hosts else None
    except NoHosts as error:
        sys.stderr.write(f"there can be no machines here: {error}\n")
        return 2
    return run_bounded(reactor, lambda write: Chaos(reactor, arguments, write, network), deadline)
