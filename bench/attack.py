"""Attack a CIM; `flood` and `hostile` start this as a process of its own, which they tell what to do line by line.

It says `ready` when its accounts are made. Each line that it reads names the attacks that go on from now on; an empty
line none. It ends with its input, and prints what it counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from bench.attackers import ATTACKS, Attack, World
from bench.cluster import Cluster, Suite
from bench.running import run_bounded
from tests.harness.daemons import ROOT, environment
from tests.harness.processes import DaemonProcess

READY = "ready"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--route", action="append", required=True, metavar="URL", help="URL of a route; may be repeated")
    option("--from", dest="bind", default="", metavar="ADDRESS", help="address of this machine to attack from")
    option("--link", metavar="HOST:PORT", help="where a route takes links")
    option("--victim", action="append", default=[], metavar="NAME", help="account whose password is guessed")
    option("--deadline", type=float, default=7200.0, metavar="SECONDS", help="longest run (%(default)s)")


class _Commands(LineReceiver):
    """Reads what to do."""

    delimiter = b"\n"

    def __init__(self, told: Callable[[list[str]], object], ended: Callable[[], object]) -> None:
        self._told = told
        self._ended = ended

    def lineReceived(self, line: bytes) -> None:
        """A line came."""
        self._told(line.decode().split())

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The input ended."""
        self._ended()


class Attacking:
    """A run."""

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self._write = write
        link = None
        if arguments.link:
            host, _, port = arguments.link.rpartition(":")
            link = host, int(port)
        self._world = World(reactor, arguments.route, bind=arguments.bind, link=link, victims=arguments.victim)
        self._attacks: dict[str, Attack] = {}

    async def go(self) -> int:
        """Attack until the input ends; return the exit status."""
        ended: Deferred[None] = Deferred()
        await self._world.gather()
        StandardIO(_Commands(self._told, lambda: ended.callback(None)))
        self._write(READY)
        await ended
        self._told([])
        for what, count in sorted(self._world.counts.items()):
            self._write(f"{what} {count}")
        return 0

    def _told(self, names: list[str]) -> None:
        for name in [name for name in self._attacks if name not in names]:
            self._attacks.pop(name).stop()
        for name in names:
            if name not in self._attacks:
                self._attacks[name] = ATTACKS[name](self._world)
                self._attacks[name].start()

    def stop(self) -> None:
        """Do nothing: connections end with the process."""


class Attackers:
    """The process, for those who start it.

    It yields to all others on this machine, as if it were on another one.

    :param options: of the command
    """

    def __init__(self, reactor: Any, options: list[str]) -> None:
        argv = [sys.executable, "-m", "bench", "attack", *options]
        self._process = DaemonProcess(reactor, argv, environment(), str(ROOT), READY, name="attackers")

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        await self._process.start(60.0)
        assert self._process.pid is not None
        os.setpriority(os.PRIO_PROCESS, self._process.pid, 19)

    def attack(self, *names: str) -> None:
        """Make these attacks from now on, and no others."""
        self._process.write(" ".join(names) + "\n")

    async def stop(self) -> list[str]:
        """End it, and return the lines that say what it counted."""
        if self._process.pid is None:
            return []
        self._process.close_stdin()
        await self._process.wait_for_exit(60.0)
        lines = list(self._process.out)
        return lines[lines.index(READY) + 1 :] if READY in lines else lines

    def kill(self) -> Deferred[int | None]:
        """End it at once."""
        return self._process.kill()


class Attacked:
    """A run in which some are attacked by others: a system of its own, a measurement, and the end of both.

    :cvar policy: options of its routes
    :cvar routes: how many there are in a cluster
    :ivar attackers: set by `measure` once they are wanted
    """

    policy: tuple[str, ...] = ("--login-policy", "many")
    routes = 2

    def __init__(self, reactor: Any, arguments: argparse.Namespace, write: Callable[[str], object]) -> None:
        self.reactor = reactor
        self.arguments = arguments
        self.write = write
        self.attackers: Attackers | None = None
        self.cluster: Cluster | Suite | None = None

    async def go(self) -> int:
        """Run; return the exit status of `measure`."""
        directory = tempfile.mkdtemp(prefix="cim-attacked-")
        try:
            if self.arguments.suite:
                self.cluster = Suite(self.reactor, directory, options=self.policy)
            else:
                self.cluster = Cluster(self.reactor, directory, routes=self.routes, route_options=self.policy)
            await self.cluster.start()
            return await self.measure(self.cluster)
        finally:
            if self.attackers is not None:
                await self.attackers.stop()
            if self.cluster is not None:
                await self.cluster.stop()
            shutil.rmtree(directory, ignore_errors=True)

    async def measure(self, cluster: Cluster | Suite) -> int:
        """Have people talk and be attacked; return 1 if they were harmed."""
        raise NotImplementedError

    def stop(self) -> Deferred[None] | None:
        """Stop the cluster."""
        return None if self.cluster is None else self.cluster.stop()


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    return run_bounded(reactor, lambda write: Attacking(reactor, arguments, write), arguments.deadline)
