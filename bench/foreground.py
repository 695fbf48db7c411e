"""Run Redis, ZooKeeper, two servers and two routes in this terminal until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning

from bench.cluster import Cluster, DataInUse
from tests.harness.processes import DaemonProcess, MissingProgram, ProcessFailed

#: Terminal colours, one for each process; none is red.
COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
WIDTH = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--data", default="var/cluster", metavar="DIR", help="folder for all data (%(default)s)")
    parser.add_argument("--servers", type=int, default=2, metavar="N", help="number of servers (%(default)s)")
    parser.add_argument("--routes", type=int, default=2, metavar="N", help="number of routes (%(default)s)")


class Terminal:
    """Writes the output of several processes, each line after the process's name, in colour on a terminal."""

    def __init__(self, write: Callable[[str], object], colour: bool) -> None:
        self._write = write
        self._colour = colour
        self._colours: dict[str, int] = {}

    def line(self, name: str, line: str) -> None:
        """Write one line."""
        label = f"{name:<{WIDTH}} | "
        if self._colour:
            colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            label = f"\033[{colour}m{label}\033[0m"
        # Logs may quote input from outside.
        shown = "".join(character if character.isprintable() else "�" for character in line.expandtabs())
        self._write(f"{label}{shown}\n")


def announcement(cluster: Cluster) -> list[str]:
    """Return the lines that tell the user what is running and how to use it."""
    lines = [
        "The cluster is ready.",
        f"  routes     {'  '.join(cluster.route_urls)}",
        f"  Redis      {cluster.redis.address}",
        f"  ZooKeeper  {cluster.zookeeper.address}",
        f"  data       {cluster.directory}",
        "Start a client in another terminal:",
    ]
    lines += [f"  make client NAME=alice ROUTE={url}" for url in cluster.route_urls]
    return [*lines, "Press Ctrl-C to stop the cluster."]


class Foreground:
    """Runs a cluster for as long as the reactor runs."""

    def __init__(self, reactor: Any, cluster: Cluster, terminal: Terminal) -> None:
        self.reactor = reactor
        self.cluster = cluster
        self.terminal = terminal
        self.status = 0
        self._stopping = False

    def run(self) -> int:
        """Start the cluster, run until the reactor stops, stop the cluster; return the exit status."""
        self.reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self.reactor.callWhenRunning(lambda: Deferred.fromCoroutine(self._start()))
        self.reactor.run()
        return self.status

    async def _start(self) -> None:
        try:
            await self.cluster.start()
        except (ProcessFailed, MissingProgram) as error:
            if not self._stopping:
                self._fail(str(error))
            return
        for process in self.cluster.processes:
            process.wait_for_exit(timeout=None).addCallback(self._ended, process)
        for line in announcement(self.cluster):
            self.terminal.line("cluster", line)

    def _fail(self, reason: str) -> None:
        for line in reason.splitlines():
            self.terminal.line("cluster", line)
        self.status = 1
        self.reactor.stop()

    def _ended(self, status: int, process: DaemonProcess) -> None:
        if not self._stopping:
            self.terminal.line("cluster", f"{process.name} ended with status {status}; the other processes go on")

    def _stop(self) -> Deferred[None]:
        self._stopping = True
        self.terminal.line("cluster", "stopping: servers, routes, then ZooKeeper and Redis")
        return self.cluster.stop().addCallback(lambda _: self.terminal.line("cluster", "all processes have ended"))


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Run the cluster until Ctrl-C; return the exit status."""

    def write(text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            # Nobody reads the output any more: stop the cluster, as Ctrl-C does.
            with suppress(ReactorNotRunning):
                reactor.stop()

    terminal = Terminal(write, sys.stdout.isatty())
    try:
        cluster = Cluster(
            reactor,
            arguments.data,
            servers=arguments.servers,
            routes=arguments.routes,
            fixed_ports=True,
            on_line=terminal.line,
        )
    except DataInUse as error:
        terminal.line("cluster", str(error))
        return 1
    return Foreground(reactor, cluster, terminal).run()
