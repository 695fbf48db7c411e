"""The registry on a real ZooKeeper, through everything that happens to one."""

from __future__ import annotations

import threading

from twisted.internet.defer import Deferred

from cim.interfaces import ROUTES, SERVERS
from cim.nodes import NodeData
from cim.registry.cluster import ZooKeeperRegistry
from tests.integration.zookeeper_case import ZooKeeperCase

A, B = "10.0.0.1:11211:8081", "10.0.0.2:11211:8081"


def data(run):
    return NodeData("0.1", run).encode()


class RegistryCase(ZooKeeperCase):
    def registry(self, address, root="", **options):
        client = self.client(address, **options)
        # A test that fails, and a registry's own stop, stop the client; twice is fine.
        registry = ZooKeeperRegistry(client, self.reactor, root=root)
        self.addCleanup(registry.stopService)
        registry.startService()
        return registry, client

    def lists(self, registry, folder=SERVERS):
        lists = []
        registry.watch(folder, lambda names: lists.append(dict(names)))
        return lists

    async def seen(self, lists, names):
        await self.until(lambda: lists and lists[-1] == names, f"{names}")


class SharedRegistryTests(RegistryCase):
    """One server and one route, each with a registry of its own, on the ZooKeeper of the run."""

    async def start(self):
        self.address, self.root = await self.shared()
        self.server, self.server_client = self.registry(self.address, self.root)
        self.route, self.route_client = self.registry(self.address, self.root)
        self.servers = self.lists(self.route)
        self.announcement = self.server.announce(SERVERS, A, data("1"))
        await self.seen(self.servers, {A: data("1")})
        await self.until(self.announcement.listed)

    async def session_changed(self, client):
        session = client.session
        await self.take_session(self.address, client.kazoo)
        await self.until(lambda: client.session != session)

    async def test_upstreams_layout(self):
        await self.start()
        self.lists(self.server, ROUTES)

        def look(client):
            return (
                client.get(f"{self.root}/cim/{A}"),
                client.get(f"{self.root}/cim")[1],
                client.get_acls(f"{self.root}/cim")[0],
            )

        (value, stat), folder, acls = await self.raw(self.address, look)
        self.assertEqual((value, stat.ephemeralOwner), (data("1"), self.server_client.session))
        self.assertEqual(folder.ephemeralOwner, 0)
        self.assertEqual([(acl.id.scheme, acl.id.id, acl.perms) for acl in acls], [("world", "anyone", 31)])

    async def test_a_server_of_upstreams(self):
        await self.start()

        seen = threading.Event()

        def java(client):
            # As zkclient's createEphemeral(path) does: null data.
            client.create(f"{self.root}/cim/{B}", None, ephemeral=True)
            seen.wait(20)

        ended = Deferred.fromCoroutine(self.raw(self.address, java))
        await self.seen(self.servers, {A: data("1"), B: b""})
        seen.set()
        await ended
        await self.seen(self.servers, {A: data("1")})

    async def test_a_root_that_is_missing(self):
        address, root = await self.shared()
        one, _ = self.registry(address, f"{root}/im/eu")
        other, _ = self.registry(address, f"{root}/im/eu")
        lists = self.lists(other)
        one.announce(SERVERS, A, b"a")
        await self.seen(lists, {A: b"a"})
        self.assertEqual(one.health(), "")
        self.assertEqual(other.health(), "")

    async def test_withdrawn(self):
        await self.start()
        await self.announcement.withdraw()
        client = await self.connected(self.address)
        self.assertIsNone(await client.exists(f"{self.root}/cim/{A}"))
        await self.seen(self.servers, {})

    async def test_stopped(self):
        await self.start()
        await self.server.stopService()
        await self.seen(self.servers, {})

    async def test_the_servers_session_expires(self):
        await self.start()
        for _ in range(2):
            await self.session_changed(self.server_client)
            await self.until(self.announcement.listed)
        await self.seen(self.servers, {A: data("1")})
        node = await self.route_client.exists(f"{self.root}/cim/{A}")
        self.assertEqual(node.owner, self.server_client.session)

    async def test_the_routes_session_expires(self):
        await self.start()
        await self.session_changed(self.route_client)
        other, _ = self.registry(self.address, self.root)
        announced = other.announce(SERVERS, B, b"")
        await self.seen(self.servers, {A: data("1"), B: b""})
        await announced.withdraw()
        await self.seen(self.servers, {A: data("1")})

    async def test_deleted_by_a_stranger(self):
        await self.start()
        stranger = await self.connected(self.address)
        for _ in range(3):
            await stranger.delete(f"{self.root}/cim/{A}")
            node = None
            while node is None:
                node = await stranger.exists(f"{self.root}/cim/{A}")
            self.assertEqual(node.owner, self.server_client.session)
        await self.until(self.announcement.listed)
        await self.seen(self.servers, {A: data("1")})

    async def test_still_there_from_before_a_restart(self):
        address, root = await self.shared()
        killed = await self.connected(address)
        await killed.ensurePath(f"{root}/cim")
        await killed.create(f"{root}/cim/{A}", data("0"), ephemeral=True)
        server, client = self.registry(address, root)
        lists = self.lists(server)
        announcement = server.announce(SERVERS, A, data("1"))
        await self.until(lambda: "held by another process" in server.health())
        self.assertFalse(announcement.listed())
        await self.take_session(address, killed.kazoo)
        await self.until(announcement.listed)
        await self.seen(lists, {A: data("1")})
        self.assertEqual((await client.exists(f"{root}/cim/{A}")).owner, client.session)

    async def test_still_there_from_an_old_session_of_this_run(self):
        address, root = await self.shared()
        old = await self.connected(address)
        await old.ensurePath(f"{root}/cim")
        await old.create(f"{root}/cim/{A}", data("1"), ephemeral=True)
        server, client = self.registry(address, root)
        announcement = server.announce(SERVERS, A, data("1"))
        await self.until(announcement.listed)
        self.assertEqual((await old.exists(f"{root}/cim/{A}")).owner, client.session)

    async def test_auth(self):
        address, root = await self.shared()
        secret = {"auth": ("cim", "secret")}
        server, _ = self.registry(address, f"{root}/closed", **secret)
        route, _ = self.registry(address, f"{root}/closed", **secret)
        stranger, _ = self.registry(address, f"{root}/closed")
        lists = self.lists(route)
        server.announce(SERVERS, A, b"a")
        await self.seen(lists, {A: b"a"})
        refused = stranger.announce(SERVERS, B, b"b")
        await self.until(lambda: "NoAuthError" in stranger.health())
        self.assertFalse(refused.listed())
        self.assertEqual(lists[-1], {A: b"a"})

    async def test_many_servers(self):
        await self.start()
        names = {f"10.0.1.{number}:11211:8081": b"" for number in range(250)}
        other, _ = self.registry(self.address, self.root)
        for name in names:
            other.announce(SERVERS, name, b"")
        await self.seen(self.servers, {A: data("1"), **names})


class OwnRegistryTests(RegistryCase):
    """With a ZooKeeper of its own, that is stopped, killed and frozen."""

    async def start(self, **options):
        self.zookeeper = await self.own_zookeeper()
        self.server, self.client_ = self.registry(self.zookeeper.address, **options)
        self.servers = self.lists(self.server)
        self.announcement = self.server.announce(SERVERS, A, data("1"))
        await self.until(self.announcement.listed)
        await self.seen(self.servers, {A: data("1")})

    async def watch_works(self):
        other, _ = self.registry(self.zookeeper.address)
        announced = other.announce(SERVERS, B, b"")
        await self.seen(self.servers, {A: data("1"), B: b""})
        await announced.withdraw()
        await self.seen(self.servers, {A: data("1")})
        await other.stopService()

    async def test_not_there_at_the_start(self):
        self.zookeeper = await self.own_zookeeper(start=False)
        self.server, _ = self.registry(self.zookeeper.address)
        self.servers = self.lists(self.server)
        self.announcement = self.server.announce(SERVERS, A, data("1"))
        self.assertIn("not connected", self.server.health())
        self.assertFalse(self.announcement.listed())
        await self.zookeeper.start()
        await self.seen(self.servers, {A: data("1")})
        self.assertTrue(self.announcement.listed())
        self.assertEqual(self.server.health(), "")
        await self.watch_works()

    async def test_restarted(self):
        await self.start(session_timeout=20.0)
        for _ in range(2):
            await self.zookeeper.kill()
            await self.until(lambda: self.server.health() != "")
            self.assertTrue(self.announcement.listed())
            await self.zookeeper.start()
            await self.until(lambda: self.server.health() == "")
            # The session lived on, so nobody ever vanished.
            self.assertEqual(self.servers[-1], {A: data("1")})
            await self.watch_works()
        self.assertNotIn({}, self.servers[1:])

    async def test_replaced_by_an_empty_one(self):
        await self.start(session_timeout=2.0)
        await self.zookeeper.kill()
        fresh = await self.own_zookeeper(start=False)
        fresh.port = self.zookeeper.port
        await fresh.start()
        self.zookeeper = fresh
        await self.until(lambda: self.server.health() == "", "registration in the new one")
        self.assertTrue(self.announcement.listed())
        await self.watch_works()

    async def test_frozen_for_a_moment(self):
        await self.start(session_timeout=6.0, timeout=0.5)
        session = self.client_.session
        self.zookeeper.pause()
        await self.until(lambda: self.server.health() != "")
        self.zookeeper.resume()
        await self.until(lambda: self.server.health() == "")
        self.assertEqual(self.client_.session, session)
        self.assertTrue(self.announcement.listed())
        await self.watch_works()

    async def test_frozen_for_longer_than_a_session(self):
        await self.start(session_timeout=1.0, timeout=0.5)
        self.zookeeper.pause()
        await self.until(lambda: not self.announcement.listed(), "the probable loss")
        self.assertEqual(self.servers[-1], {A: data("1")}, "the last known list stays")
        self.zookeeper.resume()
        await self.until(self.announcement.listed)
        await self.until(lambda: self.server.health() == "")
        await self.seen(self.servers, {A: data("1")})
        await self.watch_works()

    async def test_withdrawn_and_stopped_while_frozen(self):
        await self.start(session_timeout=6.0, timeout=0.5, stop_timeout=0.5)
        self.zookeeper.pause()
        began = self.reactor.seconds()
        await self.announcement.withdraw()
        await self.server.stopService()
        self.assertLess(self.reactor.seconds() - began, 2.0)
        self.zookeeper.resume()
