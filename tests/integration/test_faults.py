"""Tests of a cluster of real processes, one of which dies, stops, is cut off or is not there yet."""

from __future__ import annotations

import os
import resource
import socket
from functools import partial

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.protocols.portforward import ProxyFactory

from cim.errors import Unavailable, Unreachable
from cim.wire.error_table import SUCCESS
from tests.harness.daemons import loopback
from tests.harness.processes import HOST, free_port
from tests.integration.cluster_case import ClusterCase, User

OFFLINE, FAILED, LIVE, NOWHERE = "7000", "4000", "5000", "7100"


class Cable(ProxyFactory):
    """Passes a port on to another, and can be cut."""

    noisy = False

    def __init__(self, reactor, to):
        super().__init__(HOST, to)
        self.reactor = reactor
        self.ends = []
        self.listening = reactor.listenTCP(0, self, interface=HOST)
        self.entry = self.listening.getHost().port

    def buildProtocol(self, addr):
        end = super().buildProtocol(addr)
        end.reactor = self.reactor
        self.ends.append(end)
        return end

    async def cut(self):
        """Refuse connections and break those that are there."""
        listening, self.listening = self.listening, None
        if listening is not None:
            await listening.stopListening()
        for end in self.ends:
            if end.transport is not None:
                end.transport.abortConnection()
        self.ends.clear()

    def mend(self):
        """Take connections again."""
        self.listening = self.reactor.listenTCP(self.entry, self, interface=HOST)


class FaultCase(ClusterCase):
    async def listed(self, client, folder="cim"):
        """Return the names of the nodes in a folder of the registry."""
        return await deferToThread(client.get_children, f"/{folder}")

    async def holds(self, look, good, what, seconds):
        """Look for that long and see that it is good every time."""
        end = self.reactor.seconds() + seconds
        await self.until(look, lambda seen: not good(seen) or self.reactor.seconds() > end, what, seconds + 30)
        self.assertTrue(good(await look()), what)

    async def logs_in_again(self, user, url, seconds):
        """Ask for logins until one is granted, and connect; until then the user is live or the call fails."""
        answer = await self.until(
            lambda: user.ask_for_a_login(url), lambda answer: answer.code == SUCCESS, f"{user.name} logs in", seconds
        )
        await user.connect(answer.result())
        await self.known_to_all_routes(user)
        return user.server

    async def well(self, *daemons):
        """Wait until each says that it is well."""
        await self.until(
            lambda: gatherResults([Deferred.fromCoroutine(self.trouble(daemon)) for daemon in daemons]),
            lambda seen: seen == [(200, {})] * len(daemons),
            "all are well",
            45,
        )


class ServerTests(FaultCase):
    async def test_killed(self):
        (server,), routes = await self.cluster(servers=1, routes=2)
        urls = [route.url for route in routes]
        alice, bob = await self.users(urls[0], "alice", "bob")
        await self.until(lambda: self.online(*routes), lambda seen: seen == [["alice", "bob"]] * 2, "both are online")
        other = self.server()
        await self.started(other)
        await self.linked([server, other], routes)
        await self.everyone_hears(alice, [bob], urls, "before")

        killed = server.kill()
        # From the moment of the kill to the login nobody can have received anything.
        await gatherResults([killed, alice.connection.lost, bob.connection.lost])
        sent = []

        async def say(url):
            # It is stored for bob: upstream's answer is that nobody was there.
            self.assertEqual(await alice.send(url, bob, f"in between {len(sent)}"), OFFLINE)
            sent.append(f"in between {len(sent)}")

        async def gone():
            for url in urls:
                await say(url)
            return await self.online(*routes)

        # Far sooner than leases or the registry's session run out: the links have dropped, and that is all it takes.
        await self.until(gone, lambda seen: seen == [[], []], "nobody is listed", 5)
        for user in (alice, bob):
            self.assertEqual(await self.logs_in_again(user, urls[1], 5), other.node)
            if user is alice:
                await say(urls[0])
        await self.until(lambda: self.online(*routes), lambda seen: seen == [["alice", "bob"]] * 2, "both are back")
        await self.everyone_hears(alice, [bob], urls, "after")
        self.assertEqual(bob.texts[-len(sent) - 2 :], [*sent, "after 0", "after 1"])

    async def test_stopped_by_a_signal(self):
        servers, (route,) = await self.cluster(servers=2, routes=1)
        users = await self.users(route.url, "alice", "bob", "carol", "dave")
        zookeeper = await self.look_into_zookeeper()
        leaving, staying = servers
        self.assertEqual(await self.fact(leaving, "sessions"), 2)
        before = [user.connection for user in users]
        closed = []

        async def look(user):
            await user.connection.lost
            closed.append(user)
            return await self.listed(zookeeper)

        moving = [user for user in users if user.server == leaving.node]
        looks = gatherResults([Deferred.fromCoroutine(look(user)) for user in moving])
        status = await leaving.stop(grace=20)
        self.assertEqual(status, 0, "it ended by itself, within its deadline")
        # By the time the first connection was closed nobody was sent there any more.
        self.assertEqual(await looks, [[staying.node]] * 2)
        self.assertEqual(closed, moving)
        for user in moving:
            self.assertEqual(await self.logs_in_again(user, route.url, 5), staying.node)
        unmoved = [user for user, connection in zip(users, before, strict=True) if user.connection is connection]
        self.assertEqual(len(unmoved), 2)
        await self.everyone_hears(users[0], users[1:], [route.url], "after")

    async def test_frozen_for_longer_than_a_call_waits(self):
        servers, (route,) = await self.cluster(servers=2, routes=1)
        url = route.url
        alice, bob = await self.users(url, "alice", "bob")
        frozen = next(server for server in servers if bob.server == server.node)
        self.assertNotEqual(alice.server, bob.server)
        carol = User(self, "carol")
        await carol.register(url)

        frozen.pause()
        # Several at once, as back ends call: none waits for another.
        asked = self.reactor.seconds()
        answers = await gatherResults(
            [Deferred.fromCoroutine(alice.send(url, bob, f"into the ice {number}")) for number in range(5)]
            + [self.call(url, "groupRoute", userId=carol.id, msg="to all").addCallback(lambda answer: answer.code)]
        )
        self.assertEqual(answers, [FAILED] * 5 + [SUCCESS])
        self.assertLess(self.reactor.seconds() - asked, 6)
        self.assertIn("to all", alice.texts)
        # Whoever logs in is sent to the other one, sooner or later.
        self.assertNotEqual(await self.logs_in_again(carol, url, 10), frozen.node)
        frozen.resume()
        await self.until(lambda: len(bob.texts), lambda count: count == 6, "what was under way arrives")
        self.assertEqual(sorted(set(bob.texts)), sorted(bob.texts))
        await self.until(lambda: self.online(route), lambda seen: seen == [["alice", "bob", "carol"]], "all are online")
        await self.everyone_hears(bob, [alice, carol], [url], "after")
        await self.everyone_hears(alice, [bob], [url], "after")
        self.assertFalse(bob.connection.lost.called)

    async def test_frozen_until_it_is_taken_for_dead(self):
        servers, (route,) = await self.cluster(servers=2, routes=1)
        alice, bob = await self.users(route.url, "alice", "bob")
        frozen = next(server for server in servers if bob.server == server.node)
        old = bob.connection
        frozen.pause()
        await self.until(lambda: self.online(route), lambda seen: seen == [["alice"]], "it is dead", 20)
        self.assertEqual(await alice.send(route.url, bob, "in between"), OFFLINE)
        self.assertNotEqual(await self.logs_in_again(bob, route.url, 5), frozen.node)
        frozen.resume()
        # The late news of the old session ends that one, not the newer.
        await old.lost
        await self.linked(servers, [route])
        await self.holds(lambda: self.online(route), lambda seen: seen == [["alice", "bob"]], "bob stays online", 0.5)
        await self.everyone_hears(alice, [bob], [route.url], "after")
        self.assertEqual((await bob.ask_for_a_login(route.url)).code, LIVE)


class RouteTests(FaultCase):
    async def test_restarted_from_nothing(self):
        _, routes = await self.cluster(servers=2, routes=2)
        names = ["alice", "bob", "carol", "dave"]
        alice, bob, carol, dave = await self.users(routes[0].url, *names)
        restarted = routes[1]
        await restarted.kill()
        # Ready at its first word, so that nothing but the calls below waits for it to be well.
        restarted.ready_when = ""
        await restarted.start()

        async def first_answer():
            try:
                return await self.online(restarted)
            except Unreachable:
                return None

        self.assertEqual(await self.until(first_answer, lambda seen: seen is not None, "it answers"), [names])
        await self.everyone_hears(alice, [bob, carol, dave], [route.url for route in routes], "after")
        for user in (alice, bob):
            self.assertEqual((await user.ask_for_a_login(restarted.url)).code, LIVE)

    async def test_one_link_cut(self):
        await self.stores()
        routes = [self.route(), self.route()]
        cables = [self.laid(route) for route in routes]
        server = self.server()
        await self.started(server, *routes)
        await self.linked([server], routes)
        urls = [route.url for route in routes]
        alice, bob = await self.users(urls[0], "alice", "bob")
        await self.everyone_hears(alice, [bob], urls, "before")
        for cable, cut, whole in zip(cables, routes, reversed(routes), strict=True):
            await cable.cut()
            await self.linked([], [cut])
            # The other one is told of all users once their server knows of the cut.
            await self.holds(partial(self.online, whole), lambda seen: seen == [["alice", "bob"]], "they are listed", 2)
            self.assertEqual((await bob.ask_for_a_login(whole.url)).code, LIVE)
            # Whoever can ask nobody does not say that nobody is there, and lets nobody in.
            with self.assertRaises(Unavailable):
                await self.online(cut)
            self.assertIn((await bob.ask_for_a_login(cut.url)).code, (LIVE, NOWHERE))
            await self.everyone_hears(alice, [bob], [whole.url], f"without {cut.name}")
            cable.mend()
            await self.linked([server], routes)
            await self.everyone_hears(alice, [bob], urls, f"with {cut.name}")
        self.assertFalse(alice.connection.lost.called or bob.connection.lost.called)

    def laid(self, route):
        """Lay a cable to a route, through which all servers reach it."""
        cable = Cable(self.reactor, route.link_port)
        self.addCleanup(cable.cut)
        route.argv += ["--advertise", f"{HOST}:{route.http_port}:{cable.entry}"]
        return cable


class StoreTests(FaultCase):
    async def test_redis_and_zookeeper_restarted(self):
        own = self.own_zookeeper()
        (server,), (route,) = await self.cluster(servers=1, routes=1, zookeeper=own)
        alice, bob = await self.users(route.url, "alice", "bob")

        await self.redis.kill()
        await self.until(
            lambda: self.trouble(route), lambda seen: seen[0] == 503 and [*seen[1]] == ["store"], "it is told"
        )
        self.assertEqual(await alice.send(route.url, bob, "without Redis"), FAILED)
        self.assertFalse(alice.connection.lost.called or bob.connection.lost.called)
        self.assertEqual((await self.call(route.url, "registerAccount", userName="early")).code, FAILED)
        await self.redis.start()
        await self.until(lambda: self.trouble(route), lambda seen: seen[0] == 200, "Redis is back")
        (carol,) = await self.users(route.url, "carol")

        await own.kill()
        await self.until(lambda: self.trouble(route), lambda seen: [*seen[1]] == ["registry"], "told")
        await self.until(lambda: self.trouble(server), lambda seen: [*seen[1]] == ["registry"], "told")
        (dave,) = await self.users(route.url, "dave")
        await own.start()
        await self.well(server, route)
        zookeeper = await self.look_into_zookeeper()
        await self.until(lambda: self.listed(zookeeper, "cim"), lambda seen: seen == [server.node], "its node")
        await self.until(lambda: self.listed(zookeeper, "cim-route"), lambda seen: seen == [route.node], "its node")
        self.assertNotIn("without Redis", bob.texts)
        users = [alice, bob, carol, dave, *await self.users(route.url, "erin")]
        await self.everyone_hears(users[0], users[1:], [route.url], "after")

    async def test_zookeeper_sessions_expire(self):
        own = self.own_zookeeper()
        (server,), (route,) = await self.cluster(servers=1, routes=1, zookeeper=own)
        alice, bob = await self.users(route.url, "alice", "bob")
        zookeeper = await self.look_into_zookeeper()
        await self.freeze_beyond_its_session(server, "cim", zookeeper)
        await self.linked([server], [route])
        await self.everyone_hears(alice, [bob], [route.url], "after the server's")
        await self.freeze_beyond_its_session(route, "cim-route", zookeeper)
        await self.linked([server], [route])
        await self.everyone_hears(alice, [bob], [route.url], "after the route's")
        own.pause()
        await self.until(lambda: self.trouble(server), lambda seen: [*seen[1]] == ["registry"], "told")
        await self.users(route.url, "carol")
        own.resume()
        await self.well(server, route)
        users = [alice, bob, *await self.users(route.url, "dave")]
        await self.everyone_hears(users[0], users[1:], [route.url], "after")

    async def freeze_beyond_its_session(self, daemon, folder, zookeeper):
        """Freeze a daemon until ZooKeeper has given it up, and see it registered again."""
        daemon.pause()
        await self.until(lambda: self.listed(zookeeper, folder), lambda seen: seen == [], "its session expired")
        daemon.resume()
        await self.until(lambda: self.listed(zookeeper, folder), lambda seen: seen == [daemon.node], "its node")

    async def test_there_later_than_the_daemons(self):
        own = self.own_zookeeper()
        redis = self.own_redis()
        server, route = self.server(), self.route()
        for daemon in (server, route):
            # Ready at its first word: it cannot be well yet.
            daemon.ready_when = ""
        await gatherResults([server.start(), route.start()])
        await self.until(
            lambda: self.trouble(route),
            lambda seen: seen[0] == 503 and {"store", "registry"} <= {*seen[1]},
            "the route",
        )
        await self.until(
            lambda: self.trouble(server), lambda seen: seen[0] == 503 and "registry" in seen[1], "the server"
        )
        await gatherResults([redis.start(), own.start()])
        await self.well(server, route)
        alice, bob = await self.users(route.url, "alice", "bob")
        await self.everyone_hears(alice, [bob], [route.url], "hello")


class Thief:
    """Leaves a daemon no descriptors, by connections to its HTTP port, until it gives them back."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.held = []
        most = len(os.listdir(f"/proc/{daemon.pid}/fd")) + 8
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (most, most))

    def steal(self):
        """Take one that is free."""
        self.held.append(socket.create_connection((HOST, self.daemon.http_port)))

    def give_back(self):
        for one in self.held:
            one.close()


class DescriptorTests(FaultCase):
    """Processes that have no descriptors left, and get some again."""

    async def said(self, daemon, words, do=lambda: None):
        """Wait until a daemon has logged something, doing something else all the time."""
        look = lambda: (do(), [line for line in daemon.lines if words in line])[1]  # noqa: E731
        await self.until(look, bool, f"{daemon.name} says {words}")

    async def test_while_zookeeper_hangs(self):
        """They come back to the registry, whatever failed while they were to."""
        own = self.own_zookeeper()
        (server,), (route,) = await self.cluster(servers=1, routes=1, zookeeper=own)
        (alice,) = await self.users(route.url, "alice")
        own.pause()
        thieves = [Thief(daemon) for daemon in (server, route)]
        for thief in thieves:
            self.addCleanup(thief.give_back)
            failed = f"connecting to ZooKeeper at {own.address} failed; it goes on"
            await self.said(thief.daemon, failed, lambda: [one.steal() for one in thieves])
        for thief in thieves:
            thief.give_back()
        own.resume()
        zookeeper = await self.look_into_zookeeper()
        await self.until(lambda: self.listed(zookeeper, "cim"), lambda seen: seen == [server.node], "the server's node")
        await self.until(lambda: self.listed(zookeeper, "cim-route"), lambda seen: seen == [route.node], "the route's")
        await self.well(server, route)
        (bob,) = await self.users(route.url, "bob")
        await self.everyone_hears(alice, [bob], [route.url], "after")


class PortTests(FaultCase):
    async def test_taken(self):
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        self.registry = f"{HOST}:{free_port()}"
        self.own_redis()
        daemons = [
            self.server("--listen", loopback(port)),
            self.server("--http", loopback(port)),
            self.route("--http", loopback(port)),
            self.route("--link", loopback(port)),
            *(
                self.daemon("suite", port, "--data", self.folder("data"), *options)
                for options in (
                    ("--listen", loopback(port), "--http", loopback(free_port())),
                    ("--listen", loopback(free_port()), "--http", loopback(port)),
                )
            ),
        ]
        for daemon in daemons:
            daemon.ready_when = f" {loopback(port)}: cannot listen: Address already in use"
        await self.started(*daemons)
        for daemon in daemons:
            self.assertEqual(await daemon.wait_for_exit(), 1, daemon.name)
            self.assertNotIn("Traceback", "\n".join(daemon.lines))
