"""Faults of the network between machines: cuts both ways and one way, loss, delay and reordering."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from attrs import frozen

from twisted.internet.task import deferLater

from bench.faults import Fault
from bench.hosts import Network

#: Who talks with whom.
PEERS = {
    "server": ("route", "zookeeper", "clients"),
    "route": ("server", "redis", "zookeeper", "clients"),
    "redis": ("route",),
    "zookeeper": ("server", "route"),
    "clients": ("server", "route"),
}


@frozen
class Cut:
    """What of the packets between a machine and some others is dropped.

    :ivar inbound: whether this is of what the machine is sent
    :ivar outbound: whether it is of what it sends
    :ivar share: how much of it is dropped, packet by packet
    """

    machine: str
    others: tuple[str, ...]
    inbound: bool
    outbound: bool
    share: float = 1.0

    def paths(self) -> list[tuple[str, str]]:
        """Return the pairs of a sender and a receiver between which packets are dropped."""
        into = [(other, self.machine) for other in self.others if self.inbound]
        return into + [(self.machine, other) for other in self.others if self.outbound]


def kind_of_machine(name: str) -> str:
    """Return what runs on a machine: server-2 is a server."""
    return name.partition("-")[0]


def choose_cut(fault: Fault, machines: list[str]) -> Cut | None:
    """Return what a fault cuts: a machine of its kind from all others, or, in its softer form, from one that it needs.

    part: both ways; deafen: nothing reaches the machine; silence: nothing that it sends arrives; lose: some is lost.
    """
    chooser = random.Random(fault.chance)
    named = [name for name in machines if kind_of_machine(name) == fault.what]
    if not named:
        return None
    machine = chooser.choice(named)
    others = [name for name in machines if name != machine]
    if not fault.hard:
        others = [chooser.choice([name for name in others if kind_of_machine(name) in PEERS[fault.what]])]
    share = chooser.uniform(0.05, 0.4) if fault.action == "lose" else 1.0
    return Cut(machine, tuple(others), fault.action != "silence", fault.action != "deafen", share)


class NetworkFaults:
    """Makes faults of a network: see `choose_cut`; and `delay`, which puts a machine behind a slow cable."""

    kinds = [(action, what) for action in ("part", "deafen", "silence", "lose", "delay") for what in PEERS]

    def __init__(self, reactor: Any, network: Network) -> None:
        self._reactor = reactor
        self._network = network
        self._cable = network.lay_cable()
        self._far: set[str] = set()

    def end(self) -> None:
        """Take the slow cable away."""
        self._cable.close()

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        if fault.action == "delay":
            return await self._delay(fault)
        cut = choose_cut(fault, list(self._network.machines))
        if cut is None:
            return ""
        ends: list[Callable[[], object]] = []
        try:
            for sender, receiver in cut.paths():
                ends.append(self._network.drop(sender, receiver, cut.share))
            await deferLater(self._reactor, fault.seconds, lambda: None)
        finally:
            for end in ends:
                end()
        share = f"{cut.share:.0%} between " if fault.action == "lose" else ""
        return f"{share}{cut.machine} and {'all others' if fault.hard else cut.others[0]}"

    async def _delay(self, fault: Fault) -> str:
        chooser = random.Random(fault.chance)
        names = [name for name in self._network.machines if kind_of_machine(name) == fault.what]
        names = [name for name in names if name not in self._far]
        if not names:
            return ""
        name = chooser.choice(names)
        delay, jitter = chooser.uniform(0.005, 0.15), chooser.uniform(0.005, 0.15)
        loss = 0.01 if fault.hard else 0.0
        self._cable.write(f"{delay} {jitter} {loss}\n")
        self._far.add(name)
        self._network.move(name, True)
        try:
            await deferLater(self._reactor, fault.seconds, lambda: None)
        finally:
            self._network.move(name, False)
            self._far.discard(name)
        return f"{name}, {delay * 1000:.0f} to {(delay + jitter) * 1000:.0f} ms, {loss:.0%} lost"
