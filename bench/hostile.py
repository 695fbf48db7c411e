"""A hundred people chat while everything that attackers can do is done at once; then what they got is checked.

They are the clients of `chaos`: native ones over TCP and both kinds of WebSocket, applications of the client library,
and guests, in private and in groups; and people who send by HTTP. First nobody attacks them, then all attacks go on
until the end. The limits are those that everybody gets. Nothing may be lost, doubled, reordered or refused
to them, and the time from send to delivery is compared with the quiet time.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from bench import native
from bench.attack import Attacked, Attackers
from bench.attackers import ATTACKS
from bench.cluster import Cluster, Suite
from bench.crowd import PASSWORD, Crowd, add_crowd
from bench.figures import Percentiles
from bench.history import told
from bench.http import HTTPError, HTTPPool
from bench.running import run_bounded

#: Times by which the p99 of people may grow.
MOST = 2.0
#: Answers by which somebody honest was refused something.
REFUSALS = ("rate-limited", "code 6000", "status 429", "status 421", "status 403")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--minutes", type=float, default=1.0, help="how long to attack (%(default)s)")
    option("--quiet", type=float, default=20.0, metavar="SECONDS", help="how long not to attack before (%(default)s)")
    option("--seed", type=int, default=1, help="seed of the messages (%(default)s)")
    add_crowd(parser, members=60, library=10, guests=30, groups=8, size=10, rate=30.0)
    option("--callers", type=int, default=10, metavar="N", help="people who send by HTTP (%(default)s)")
    option("--suite", action="store_true", help="the suite; without it a cluster of two servers and two routes")
    option("--attack", action="append", choices=list(ATTACKS), metavar="KIND", help="only this; may be repeated")
    option(
        "--from",
        dest="bind",
        default="127.0.0.2",
        metavar="ADDRESS",
        help="address that attackers come from; 127.0.0.1 is that of the people (%(default)s)",
    )
    option("--patience", type=float, default=60.0, metavar="SECONDS", help="wait for the last deliveries (%(default)s)")


class Callers:
    """People who send by `POST /v1/messages`, each to the next, and are refused nothing.

    :ivar counts: how calls ended
    """

    def __init__(self, reactor: Any, urls: list[str], name: str) -> None:
        self._pools = [HTTPPool(reactor, url, 4) for url in urls]
        self._name = name
        self._reactor = reactor
        self._places: list[native.Place] = []
        self._number = 0
        self._calling: set[Deferred[None]] = set()
        self._loop = LoopingCall(self._send)
        self._loop.clock = reactor
        self.sent: dict[tuple[int, int], list[str]] = {}
        self.times: list[tuple[float, float]] = []
        self.counts: Counter[str] = Counter()

    async def gather(self, count: int) -> None:
        """Make their accounts."""
        for number in range(count):
            name = f"{self._name}-{number}"
            await native.make_account(self._pools[0], name, PASSWORD)
            self._places.append(await native.log_in(self._pools[0], name, "http", password=PASSWORD))

    def start(self) -> None:
        """Send one message a second each."""
        if self._places:
            self._loop.start(1.0 / len(self._places), now=False)

    async def stop(self) -> None:
        """End, once all calls have ended."""
        if self._loop.running:
            self._loop.stop()
        for calling in list(self._calling):
            await calling

    def _send(self) -> None:
        number, self._number = self._number, self._number + 1
        sender = self._places[number % len(self._places)]
        receiver = self._places[(number + 1) % len(self._places)]
        calling = Deferred.fromCoroutine(self._post(sender, receiver, number))
        self._calling.add(calling)
        calling.addBoth(lambda _: self._calling.discard(calling))

    async def _post(self, sender: native.Place, receiver: native.Place, number: int) -> None:
        fields = {"to_user": receiver.user, "client_id": str(number), "text": f"message {number}"}
        pool = self._pools[number % len(self._pools)]
        began = self._reactor.seconds()
        try:
            await pool.call(b"POST", b"/v1/messages", json.dumps(fields).encode(), sender.token)
        except HTTPError as error:
            self.counts[f"callers: status {error.status}" if error.status else f"callers: {error}"[:80]] += 1
        else:
            self.times.append((began, self._reactor.seconds() - began))
            self.sent.setdefault((sender.user, receiver.user), []).append(str(number))

    async def wrong(self) -> Counter[str]:
        """Read all conversations; return how many accepted messages are not there, twice there, or out of order."""
        found: Counter[str] = Counter()
        tokens = {place.user: place.token for place in self._places}
        for (sender, receiver), sent in self.sent.items():
            there: list[str] = []
            after = ""
            path = f"/v1/conversations/p:{min(sender, receiver)}:{max(sender, receiver)}/messages?limit=500"
            while True:
                page = await native.call(self._pools[0], b"GET", f"{path}&after={after}", None, tokens[receiver])
                there += (one["client_id"] for one in page["messages"] if one["sender"] == sender)
                if not page["more"]:
                    break
                after = page["more"]
            found["lost"] += len(set(sent) - set(there))
            found["doubled"] += len(there) - len(set(there))
            found["reordered"] += there != sorted(there, key=int)
        return found

    def close(self) -> None:
        """Close the connections."""
        for pool in self._pools:
            pool.close()


class Hostile(Attacked):
    """One run; its status is 1 if something was lost, doubled, reordered or refused, or came late."""

    # The limits are those of everybody; that members are not asked first is for the sake of the benches.
    policy = (*Attacked.policy, "--group-consent", "direct")

    async def measure(self, cluster: Cluster | Suite) -> int:
        """Leave them in peace, then attack them in all ways."""
        arguments = self.arguments
        chooser = random.Random(arguments.seed)
        crowd = Crowd(self.reactor, chooser, cluster.route_urls, arguments.library)
        callers = Callers(self.reactor, cluster.route_urls, f"caller-{chooser.getrandbits(32):08x}")
        try:
            await crowd.gather(arguments.members, arguments.groups, arguments.size, arguments.guests)
            await callers.gather(arguments.callers)
            self.attackers = Attackers(self.reactor, self._options(cluster, crowd))
            await self.attackers.start()
            before = crowd.counts()
            callers.start()
            await crowd.talk(arguments.quiet, arguments.rate)
            self.attackers.attack(*self._attacks(cluster))
            attacked = self.reactor.seconds()
            self.write(f"attacks: {' '.join(self._attacks(cluster))}")
            await crowd.talk(arguments.minutes * 60.0, arguments.rate)
            ended = self.reactor.seconds()
            await callers.stop()
            calm = await crowd.quiet(arguments.patience)
            attacks = await self.attackers.stop()
            violations = crowd.violations()
            wrong = await callers.wrong()
            counts = crowd.counts() - before + callers.counts
            outcomes = crowd.history.outcomes()
        finally:
            await crowd.disperse()
            callers.close()
        for line in attacks:
            self.write(f"  {line}")
        if not calm:
            self.write(f"after {arguments.patience:g} s some members still lacked messages")
        self.write("messages: " + ", ".join(f"{name} {outcomes[name]}" for name in ("accepted", "refused", "unknown")))
        for name, count in sorted(counts.items()):
            self.write(f"  {name}: {count}")
        refused = sum(count for name, count in counts.items() if any(word in name for word in REFUSALS))
        self.write(f"by HTTP: accepted {len(callers.times)}, " + ", ".join(f"{k} {n}" for k, n in wrong.items()))
        self.write(f"refused to people: {refused}")
        late = self._compare(crowd, callers, attacked, ended)
        for line in told(violations):
            self.write(line)
        return int(not calm or bool(violations) or refused > 0 or any(wrong.values()) or late)

    def _attacks(self, cluster: Cluster | Suite) -> list[str]:
        chosen = self.arguments.attack or list(ATTACKS)
        # In the suite there are no links.
        return [name for name in chosen if name != "no-links" or isinstance(cluster, Cluster)]

    def _options(self, cluster: Cluster | Suite, crowd: Crowd) -> list[str]:
        options = [f"--route={url}" for url in cluster.route_urls] + [f"--from={self.arguments.bind}"]
        options += [f"--victim={name}" for name in crowd.names()[:8]]
        if isinstance(cluster, Cluster):
            options.append(f"--link=127.0.0.1:{cluster.link_ports[0]}")
        return options

    def _compare(self, crowd: Crowd, callers: Callers, attacked: float, ended: float) -> bool:
        """Write how long messages took; return whether they took too long while there were attacks."""
        sent, complete = crowd.times.sent, crowd.times.complete
        late = False
        for what, times in (
            ("send to the last delivery", [(sent[key], at - sent[key]) for key, at in complete.items() if key in sent]),
            ("answer to POST /v1/messages", callers.times),
        ):
            quiet = Percentiles.of(took for began, took in times if began < attacked)
            beset = Percentiles.of(took for began, took in times if attacked <= began < ended)
            self.write(f"{what}, quiet:    {quiet}")
            self.write(f"{what}, attacked: {beset}")
            ratio = beset.at(99) / quiet.at(99)
            self.write(f"{what}: p99 {ratio:.2f} times that of the quiet time")
            late = late or ratio > MOST
        return late


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Run the command; return the exit status."""
    deadline = 240.0 + arguments.minutes * 60 + arguments.quiet + arguments.patience
    return run_bounded(reactor, lambda write: Hostile(reactor, arguments, write), deadline)
