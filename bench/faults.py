"""The faults of a chaos run: which one comes next, and how it is made and ended."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from bench.cluster import Cluster
from tests.harness.processes import DaemonProcess

#: Faults of processes, and which processes have them.
ACTIONS = ("kill", "freeze", "restart")
KINDS = ("server", "route", "redis", "zookeeper")
#: Faults of the connections between processes.
CONNECTIONS = ("link", "redis", "zookeeper")
CUTS = ("cut", "mute")
#: Faults of clients.
CLIENTS = ("drop", "forget")
STARTED = 60.0
#: A third of the faults last long enough for links and sessions to be declared dead, the others do not.
LONG = 1 / 3
DEAD_SECONDS = 10.5


@frozen
class Fault:
    """A fault.

    :ivar action: kill (SIGKILL, started again after a while), freeze (SIGSTOP for a while), restart (SIGTERM), cut (a
        connection is reset and cannot be made again for a while), mute (nothing passes for a while; then all does, or
        it is reset), drop (a client's connection is reset), forget (a client dies and does not know what it sent)
    :ivar what: a kind of process, a kind of connection, or "client"
    :ivar chance: from 0 to 1, chooses which one
    :ivar seconds: how long it lasts
    :ivar reset: whether a muted connection is reset at the end
    """

    action: str
    what: str
    chance: float
    seconds: float
    reset: bool = False

    @property
    def kind(self) -> str:
        """The name that it is counted under."""
        return kind_of(self.action, self.what)


def kind_of(action: str, what: str) -> str:
    """Return the name of a fault."""
    return f"{action} {what}{' connection' if action in CUTS and what != 'link' else ''}"


def every_kind() -> list[tuple[str, str]]:
    """Return all combinations of an action and its target."""
    return [
        *((action, kind) for action in ACTIONS for kind in KINDS),
        *((cut, connection) for cut in CUTS for connection in CONNECTIONS),
        *((action, "client") for action in CLIENTS),
    ]


class Deck:
    """Deals faults: each kind once in random order, then each once again, and so on.

    :param longest: the longest duration of a fault, in seconds
    :param only: the kinds to deal; all if empty
    """

    def __init__(self, chooser: random.Random, longest: float, only: Collection[str] = ()) -> None:
        self._random = chooser
        self._longest = longest
        self._kinds = [pair for pair in every_kind() if not only or kind_of(*pair) in only]
        self._left: list[tuple[str, str]] = []

    def deal(self) -> Fault:
        """Return the next fault."""
        if not self._left:
            self._left = list(self._kinds)
            self._random.shuffle(self._left)
        action, what = self._left.pop()
        if self._random.random() < LONG:
            seconds = self._random.uniform(min(DEAD_SECONDS, self._longest), self._longest)
        else:
            seconds = min(self._longest, 0.1 + self._random.random() ** 2 * 5)
        return Fault(action, what, self._random.random(), seconds, self._random.random() < 0.5)


class Havoc:
    """Makes faults in a cluster and ends them.

    :param clients: applies a fault to some client
    :param write: called with a line about each fault
    :param mended: called with the kind of a fault, and when it was made and ended
    """

    def __init__(
        self,
        reactor: Any,
        cluster: Cluster,
        clients: Callable[[Fault], str],
        write: Callable[[str], object],
        mended: Callable[[str, float, float], object],
    ) -> None:
        self._reactor = reactor
        self._cluster = cluster
        self._clients = clients
        self._write = write
        self._mended = mended
        self._busy: set[object] = set()
        self._start = reactor.seconds()
        self.counts: Counter[str] = Counter()

    async def run(self, chooser: random.Random, deck: Deck, seconds: float, pause: float, at_once: int) -> None:
        """Make faults for `seconds`, one after each pause, and return when all have ended.

        :param pause: average seconds between two faults
        :param at_once: the most faults at a time
        """
        end = self._reactor.seconds() + seconds
        running: list[Deferred[None]] = []
        failed: list[Any] = []
        while not failed:
            wait = chooser.uniform(0.5, 1.5) * pause
            if self._reactor.seconds() + wait > end:
                break
            await deferLater(self._reactor, wait, lambda: None)
            running = [fault for fault in running if not fault.called]
            if len(running) < at_once:
                running.append(Deferred.fromCoroutine(self._do(deck.deal())).addErrback(failed.append))
        for fault in running:
            await fault
        if failed:
            failed[0].raiseException()

    async def _do(self, fault: Fault) -> None:
        began = self._reactor.seconds()
        if fault.action in CUTS:
            name = await self._connection(fault)
        elif fault.action in CLIENTS:
            name = self._clients(fault)
        else:
            name = await self._process(fault)
        if name:
            now = self._reactor.seconds()
            self.counts[fault.kind] += 1
            self._mended(fault.kind, began, now)
            self._write(f"{began - self._start:7.2f} s  {fault.kind}: {name}, ended after {now - began:.2f} s")

    def _processes(self, what: str) -> Sequence[DaemonProcess]:
        cluster = self._cluster
        one: dict[str, Sequence[DaemonProcess]] = {
            "server": cluster.servers,
            "route": cluster.routes,
            "redis": [cluster.redis],
            "zookeeper": [cluster.zookeeper],
        }
        return [process for process in one[what] if process not in self._busy]

    async def _process(self, fault: Fault) -> str:
        candidates = self._processes(fault.what)
        if not candidates:
            return ""
        process = candidates[int(fault.chance * len(candidates))]
        self._busy.add(process)
        try:
            if fault.action == "kill":
                await process.kill()
                await deferLater(self._reactor, fault.seconds / 3, lambda: None)
                await process.start(STARTED)
            elif fault.action == "freeze":
                process.pause()
                await deferLater(self._reactor, fault.seconds, lambda: None)
                process.resume()
            else:
                await process.stop()
                await process.start(STARTED)
        finally:
            self._busy.discard(process)
        return process.name

    async def _connection(self, fault: Fault) -> str:
        candidates = [
            (proxy, pair)
            for proxy in self._cluster.proxies[fault.what]
            for pair in proxy.pairs
            if proxy not in self._busy and not pair.muted
        ]
        if not candidates:
            return ""
        proxy, pair = candidates[int(fault.chance * len(candidates))]
        if fault.action == "cut":
            self._busy.add(proxy)
            proxy.refusing = True
            pair.cut()
            await deferLater(self._reactor, fault.seconds / 3, lambda: None)
            proxy.refusing = False
            self._busy.discard(proxy)
        else:
            pair.mute(True)
            await deferLater(self._reactor, fault.seconds, lambda: None)
            if fault.reset:
                pair.cut()
            else:
                pair.mute(False)
        return f"port {proxy.target}{', then reset' if fault.action == 'mute' and fault.reset else ''}"
