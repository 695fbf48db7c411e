"""Eight clients flood a server, one kind of flood after another and all together, beside some who chat; print delays.

The limits are those that everybody gets. The delays are those of people who are flooded by nobody and send 10 messages
a second each; how long they wait from send to delivery is compared with a quiet time.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

from twisted.internet.task import deferLater

from bench.attack import Attacked, Attackers
from bench.attackers import FLOODS
from bench.cluster import Cluster, Suite
from bench.figures import Percentiles
from bench.native_load import NativeLoad
from bench.phases import Watched
from bench.running import run_bounded

#: Those who chat, each with one other.
USERS = 8
#: Messages a second of each.
RATE = 10.0
#: Times by which their p99 may grow.
MOST = 2.0
#: The pause after each flood, seconds.
PAUSE = 1.5
QUIET = "quiet"
ALL = "all together"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--suite", action="store_true", help="the suite; without it a cluster of two servers and a route")
    option("--seconds", type=float, default=6.0, help="length of each flood (%(default)s)")
    option("--kind", action="append", choices=[*FLOODS, ALL], help="only this kind of flood; may be repeated")
    option("--from", dest="bind", default="", metavar="ADDRESS", help="address of this machine to flood from")


class Flooded(Attacked):
    """One run; its status is 1 if somebody was held up, or a message refused or lost."""

    routes = 1

    async def measure(self, cluster: Cluster | Suite) -> int:
        """Flood them in one way after the other."""
        arguments = self.arguments
        urls = cluster.route_urls
        servers = set(cluster.servers)
        load = NativeLoad(
            self.reactor,
            time.perf_counter,
            random.Random(1),
            self.write,
            urls,
            concurrency=USERS,
            length=64,
            watched=[Watched.of(process, process in servers) for process in cluster.processes],
        )
        try:
            await load.populate(USERS)
            options = [f"--route={url}" for url in urls]
            self.attackers = Attackers(self.reactor, [*options, f"--from={arguments.bind}"])
            await self.attackers.start()
            kinds = arguments.kind or [*FLOODS, ALL]
            found: list[tuple[str, Percentiles]] = []
            for kind in (QUIET, *kinds, QUIET):
                self.write(f"--- {kind}")
                self.attackers.attack(*(FLOODS if kind == ALL else () if kind == QUIET else (kind,)))
                await load.rate(USERS * RATE, arguments.seconds)
                found.append((kind, load.latencies))
                self.attackers.attack()
                await deferLater(self.reactor, PAUSE, lambda: None)
            for line in await self.attackers.stop():
                self.write(f"  {line}")
            return self._report(found) | load.finish()
        finally:
            await load.close()

    def _report(self, found: list[tuple[str, Percentiles]]) -> int:
        quiet = max(times.at(99) for kind, times in found if kind == QUIET)
        self.write("send to delivery, ms:")
        for kind, times in found:
            p50, p99, most = (times.at(percent) * 1000 for percent in (50, 99, 100))
            ratio = times.at(99) / quiet
            self.write(f"  {kind:<14} p50 {p50:7.2f}  p99 {p99:7.2f}  max {most:7.2f}  {ratio:.2f} of quiet")
        return int(any(times.at(99) > MOST * quiet for _, times in found))


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    deadline = 120.0 + (len(FLOODS) + 3) * (arguments.seconds + PAUSE + 10)
    return run_bounded(reactor, lambda write: Flooded(reactor, arguments, write), deadline)
