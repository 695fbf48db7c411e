"""Tests with clocks that are wrong from the start, and that jump while everything runs: nothing is lost or stops."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol

from cim.client.client import Client
from cim.client.values import Password
from cim.wire import conversations
from tests.client.client_case import Listener
from tests.harness.daemons import UNLIMITED, loopback
from tests.harness.faketime import FakeClock
from tests.harness.processes import HOST, free_port, shared_zookeeper
from tests.integration.cluster_case import ClusterCase
from tests.integration.redis_case import RedisCase
from tests.store.clock_contract import ClockContract
from tests.store.contract import HERE
from tests.store.conversing import DAY, RETENTION

HOUR = 3600
#: Enough for several looks at what has expired.
MANY = 40


class RedisClockTests(ClockContract, RedisCase):
    """A Redis whose clock jumps."""

    retention = RETENTION

    def process(self, **options):
        self.jumped = 0
        self.fake = FakeClock(os.path.abspath(self.mktemp()), at_once=True)
        return super().process(machine=self.fake.machine, **options)

    async def jump(self, seconds):
        self.jumped += seconds
        self.fake.set(self.jumped)
        # A command reads the clock, so that the next look is not at what Redis remembers of it.
        await self.command("TIME")
        await self.store._connection.looks.at_clock_again()

    async def test_sessions_and_logins_go_on(self):
        sessions = self.store.sessions
        await sessions.reserve(1, HERE, "a", seconds=30)
        self.assertTrue(await sessions.claim(1, "guest", HERE, "a"))
        for jump in (40 * DAY, -80 * DAY, 40 * DAY):
            await sessions.reserve(2, HERE, "b", seconds=30)
            await self.jump(jump)
            self.assertEqual([record.owner for record in await sessions.sessions(1)], ["a"])
            await sessions.reserve(2, HERE, "b", seconds=30)
            self.assertTrue(0 < await self.command("PTTL", "cim:session:{2}") <= 30_000)
            self.assertTrue(await sessions.claim(2, "guest", HERE, "b"))
            await sessions.hold_lease(HERE, "route", 10)
            self.assertTrue(await sessions.leased(HERE))
            await sessions.release(2, "b")

    async def test_a_clock_that_an_operator_believes(self):
        await self.say(*["old"] * MANY)
        await self.jump(40 * DAY)
        self.assertEqual(await self.all_said(), ["old"] * MANY)
        await self.command("HSET", "cim:clock", "time", await self.command("HGET", "cim:clock", "clock"))
        await self.command("HSET", "cim:clock", "fresh", 0, "aged", 0)
        await self.store._connection.looks.at_clock_again()
        self.assertNotIn("store_clock", self.store.facts())
        self.assertEqual(self.texts(await self.read()), [])


class Door:
    """What a client connects by; it can be shut.

    :ivar is_shut: whether nothing gets through
    """

    def __init__(self, reactor):
        self._reactor = reactor
        self.is_shut = False

    def __call__(self, host, port):
        return _Shut() if self.is_shut else TCP4ClientEndpoint(self._reactor, host, port)


class _Shut:
    def connect(self, factory):
        return fail(ConnectError(string="the door is shut"))


class Silent(Protocol):
    """Connects and says nothing."""

    def __init__(self):
        self.ended = Deferred()

    def connectionLost(self, reason):
        self.ended.callback(None)


class ClockCase(ClusterCase):
    def fake(self, name, **options):
        """Return the clock of a machine."""
        return FakeClock(os.path.join(self.folder("clocks"), name), **options)

    def client(self, daemon, name, **options):
        """Return a running client that remembers what it heard."""
        client = Client(self.reactor, daemon.url, Password(name, f"password of {name}", create=True), **options)
        client.heard = Listener()
        client.add_listener(client.heard)
        client.startService()
        self.addCleanup(client.close)
        return client

    async def talk(self, sender, receiver, mark):
        """Say a lot, and wait until it was heard."""
        texts = [f"{mark} {number}" for number in range(MANY)]
        await gatherResults([sender.send(receiver.me, text) for text in texts])
        await self.until(
            lambda: [message.text for message in receiver.heard.messages if message.text in texts],
            lambda heard: heard == texts,
            f"{mark} is heard",
        )
        return texts

    async def last_heard(self, client, text):
        await self.until(lambda: client.heard.messages[-1].text, lambda last: last == text, f"{text} is heard")

    async def kept(self, client, partner):
        """What the history of a conversation has, in the order of saying."""
        page = await client.history(conversations.private(client.me.id, partner.me.id), limit=500)
        return [message.text for message in page]


class SuiteClockTests(ClockCase):
    def suite_on(self, fake):
        self.tcp, http = free_port(), free_port()
        return self.daemon(
            "suite",
            http,
            *("--data", self.folder("data"), "--listen", loopback(self.tcp), "--http", loopback(http)),
            *("--idle-seconds", "3", *UNLIMITED),
        )

    async def suite(self, **options):
        """Start a suite on a machine whose clock can be set."""
        self.clock = self.fake("suite", **options)
        suite = self.suite_on(self.clock)
        suite.machine = self.clock.machine
        return suite

    async def is_ended(self):
        """Wait until a connection that says nothing is ended."""
        silent = await connectProtocol(TCP4ClientEndpoint(self.reactor, HOST, self.tcp), Silent())
        silent.ended.addTimeout(20, self.reactor)
        await silent.ended

    async def begin(self, **options):
        """Start a suite on a machine whose clock can be set; return it, two who talk there, and what they said."""
        suite = await self.suite(**options)
        await self.started(suite)
        self.door = Door(self.reactor)
        alice, bob = self.client(suite, "alice"), self.client(suite, "bob", endpoint=self.door)
        await gatherResults([alice.when_ready(), bob.when_ready()])
        return suite, alice, bob, await self.talk(alice, bob, "at first")

    async def test_jumps_while_it_runs(self):
        suite, alice, bob, said = await self.begin()
        self.clock.set(40 * DAY)
        await self.until(lambda: self.fact(suite, "store_clock"), lambda fact: fact and "ahead" in fact, "it is told")
        said += await self.talk(alice, bob, "ahead")
        ending = self.is_ended()
        self.clock.set(-HOUR)
        await gatherResults([Deferred.fromCoroutine(ending), self.client(suite, "carol").when_ready()])
        said += await self.talk(alice, bob, "an hour late")
        self.assertEqual(await self.kept(bob, alice), said)
        self.clock.set(0)
        await self.until(lambda: self.fact(suite, "store_clock"), lambda fact: not fact, "all is well")
        said += await self.talk(alice, bob, "right")
        self.assertEqual(await self.kept(bob, alice), said)
        self.assertEqual((await suite.health())[0], 200)

    async def test_a_wrong_clock_at_start(self):
        """Also one that has its monotonic clock with it, and what is said before somebody is back."""
        suite, alice, bob, said = await self.begin(monotonic=True)
        for seconds in (40 * DAY, -40 * DAY):
            await suite.kill()
            self.door.is_shut = True
            self.clock.set(seconds)
            await suite.start()
            await alice.send(bob.me, f"early {seconds}")
            said.append(f"early {seconds}")
            self.door.is_shut = False
            await self.last_heard(bob, said[-1])
            said += await self.talk(alice, bob, f"at {seconds}")
            self.assertEqual(await self.kept(bob, alice), said)
        self.assertIn("behind", await self.fact(suite, "store_clock"))
        await self.is_ended()


class ClusterClockTests(ClockCase):
    async def test_a_route_a_server_and_redis_that_disagree(self):
        clocks = {name: self.fake(name) for name in ("redis", "route", "server")}
        redis = self.own_redis()
        redis.machine = clocks["redis"].machine
        clocks["route"].set(40 * DAY)
        clocks["server"].set(-30)
        await redis.start()
        self.registry = await shared_zookeeper(self.reactor)
        server, wrong, right = self.server(), self.route(), self.route()
        server.machine, wrong.machine = clocks["server"].machine, clocks["route"].machine
        await self.started(server, wrong, right)
        await self.linked([server], [wrong, right])
        alice, bob = self.client(wrong, "alice"), self.client(right, "bob")
        await gatherResults([alice.when_ready(), bob.when_ready()])
        said = await self.talk(alice, bob, "at first")
        said += await self.talk(bob, alice, "and back")
        self.assertEqual(await self.kept(alice, bob), said)

        async def skews():
            return [await self.fact(one, "clock_skew_seconds") for one in (wrong, right, server)]

        def told(found):
            (of_wrong, of_right, of_server) = found
            return (
                set(of_wrong or ()) == {"store", server.node}
                and set(of_right or ()) == {server.node}
                and set(of_server or ()) == {wrong.node, right.node}
            )

        found = await self.until(skews, told, "health tells which clocks differ")
        self.assertLess(abs(found[0]["store"] - (40 * DAY)), 10)
        self.assertLess(abs(found[1][server.node] - (30)), 10)
        self.assertLess(abs(found[2][wrong.node] - (-40 * DAY - 30)), 10)
        self.assertGreater(await self.metric(wrong, 'cim_clock_skew_seconds{peer="store"}'), 39 * DAY)

        clocks["redis"].set(40 * DAY)
        clocks["route"].set(0)
        clocks["server"].set(0)
        said += await self.talk(alice, bob, "Redis is ahead")
        late = self.client(wrong, "carol")
        await late.when_ready()
        self.assertEqual(await self.kept(bob, alice), said)
        await self.until(
            lambda: self.fact(right, "store_clock"), lambda fact: fact and "ahead" in fact, "health tells of Redis"
        )
        clocks["redis"].set(0)
        said += await self.talk(bob, alice, "all is well")
        self.assertEqual(await self.kept(alice, bob), said)
        await self.until(skews, lambda found: found == [None] * 3, "health tells that all is well", 60)
        self.assertTrue(any("agree again" in line for line in wrong.lines))
