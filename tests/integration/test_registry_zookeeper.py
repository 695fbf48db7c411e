"""The bridge to ZooKeeper, with a real one."""

from __future__ import annotations

import logging
import threading

from kazoo.security import make_digest_acl

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver

from cim.errors import RegistryUnavailable
from cim.registry.izookeeper import NodeChange, RegistryRefused, ZooKeeperState
from tests.integration.zookeeper_case import ZooKeeperCase
from tests.registry.zookeeper_contract import ZooKeeperContract


class RealZooKeeperContractTests(ZooKeeperContract, ZooKeeperCase):
    def play(self, coroutine):
        async def played():
            self.address, self.root = await self.shared()
            await coroutine

        return Deferred.fromCoroutine(played())

    def unstarted(self):
        return self.client(self.address)

    async def connect(self):
        return await self.connected(self.address)

    async def expire(self, client):
        session = client.session
        await self.take_session(self.address, client.kazoo)
        await self.until(lambda: client.session != session and client.state is ZooKeeperState.CONNECTED)


class BridgeTests(ZooKeeperCase):
    def log(self):
        return EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def said(self, events):
        return [event["log_format"] for event in events if event["log_level"] >= LogLevel.info]

    async def test_null_data_is_empty(self):
        address, root = await self.shared()
        await self.raw(address, lambda client: client.create(f"{root}/null", None))
        client = await self.connected(address)
        self.assertEqual((await client.get(f"{root}/null"))[0], b"")

    async def test_many_calls_at_once(self):
        address, root = await self.shared()
        client = await self.connected(address)
        results = await gatherResults([client.exists(root) for _ in range(2000)])
        self.assertEqual(len(results), 2000)

    async def test_a_watch_that_never_fires_is_kept_once(self):
        address, root = await self.shared()
        client = await self.connected(address)
        for _ in range(5):
            names, watch = client.childrenAndWatch(root)
            await names
            watch.addErrback(lambda _: None)
            watch.cancel()
        self.assertEqual([len(kept) for kept in client.kazoo._child_watchers.values()], [1])

    async def test_auth(self):
        address, root = await self.shared()
        client = await self.connected(address, auth=("cim", "secret"))
        stranger = await self.connected(address)
        await client.create(f"{root}/a", b"private")
        for call in (
            stranger.get(f"{root}/a"),
            stranger.set(f"{root}/a", b""),
            stranger.create(f"{root}/a/b"),
            stranger.childrenAndWatch(f"{root}/a")[0],
        ):
            try:
                self.fail(f"{await call} for a stranger")
            except RegistryRefused:
                pass

        def acls(raw):
            raw.add_auth("digest", "cim:secret")
            return raw.get_acls(f"{root}/a")[0]

        self.assertEqual(await self.raw(address, acls), [make_digest_acl("cim", "secret", all=True)])
        # Also after the session was taken away.
        session = client.session
        await self.take_session(address, client.kazoo)
        await self.until(lambda: client.session != session)
        self.assertEqual((await client.get(f"{root}/a"))[0], b"private")

    async def test_not_there_yet(self):
        zookeeper = await self.own_zookeeper(start=False)
        events = self.log()
        client = self.client(zookeeper.address, timeout=0.5)
        began = self.reactor.seconds()
        client.startService()
        self.assertLess(self.reactor.seconds() - began, 0.2, "startService blocked")
        connected = client.whenConnected()
        await self.until(lambda: self.said(events), "word that it is away")
        self.assertFalse(connected.called)
        await zookeeper.start()
        await connected
        self.assertEqual(
            [text.split("{")[0] for text in self.said(events) if "ZooKeeper" in text],
            ["ZooKeeper at ", "connected to ZooKeeper at "],
        )

    async def test_restart_keeps_the_session(self):
        zookeeper = await self.own_zookeeper()
        # On a busy machine ZooKeeper takes long to start.
        client = await self.connected(zookeeper.address, session_timeout=40.0)
        session = client.session
        await client.create("/e", ephemeral=True)
        names, watch = client.childrenAndWatch("/")
        await names
        await zookeeper.kill()
        self.assertIs(await watch, NodeChange.UNKNOWN)
        self.assertIs(client.state, ZooKeeperState.SUSPENDED)
        await zookeeper.start()
        await client.whenConnected()
        self.assertEqual(client.session, session)
        self.assertEqual((await client.exists("/e")).owner, session)

    async def test_frozen_until_the_session_is_gone(self):
        zookeeper = await self.own_zookeeper()
        client = await self.connected(zookeeper.address, session_timeout=1.0, timeout=0.3)
        session = client.session
        states = []
        client.onStateChange(lambda state, _: states.append(state))
        zookeeper.pause()
        try:
            await client.children("/")
            self.fail("answered by a frozen ZooKeeper")
        except RegistryUnavailable as error:
            self.assertIn("0.3 s", str(error))
        await self.until(lambda: client.state is ZooKeeperState.LOST, "the probable loss of the session")
        self.assertEqual(states, [ZooKeeperState.SUSPENDED, ZooKeeperState.LOST])
        zookeeper.resume()
        await client.whenConnected()
        self.assertIn(b"zookeeper", [name.encode() for name in await client.children("/")])
        self.assertEqual(states, [ZooKeeperState.SUSPENDED, ZooKeeperState.LOST, ZooKeeperState.CONNECTED])
        self.assertIsNotNone(session)

    async def test_frozen_at_stop(self):
        zookeeper = await self.own_zookeeper()
        client = await self.connected(zookeeper.address, session_timeout=4.0, stop_timeout=0.5)
        zookeeper.pause()
        began = self.reactor.seconds()
        stopped = client.stopService()
        self.assertLess(self.reactor.seconds() - began, 0.2, "stopService blocked")
        await stopped
        self.assertLess(self.reactor.seconds() - began, 1.5)
        zookeeper.resume()

    async def test_never_there_at_stop(self):
        zookeeper = await self.own_zookeeper(start=False)
        client = self.client(zookeeper.address)
        client.startService()
        await client.stopService()

    async def test_something_else_listens_there(self):
        class Garbage(Protocol):
            def dataReceived(self, data):
                self.transport.write(b"\0\0\0\x20" + b"\xff" * 32)

        port = self.reactor.listenTCP(0, Factory.forProtocol(Garbage), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        traces = []
        self.patch(threading, "excepthook", traces.append)
        events = self.log()
        client = self.client(f"127.0.0.1:{port.getHost().port}", timeout=0.3)
        client.startService()
        await self.until(lambda: self.said(events), "word that it is away")
        self.assertEqual(traces, [])
        await client.stopService()

    async def test_kazoo_prints_nothing(self):
        zookeeper = await self.own_zookeeper(start=False)
        printed = []
        self.patch(
            logging, "lastResort", type("Printer", (logging.Handler,), {"emit": lambda _, r: printed.append(r)})()
        )
        client = self.client(zookeeper.address, timeout=0.3)
        client.startService()
        events = self.log()
        await self.until(lambda: self.said(events))
        logging.getLogger("kazoo.handlers.threading").error("an error in one of kazoo's modules")
        self.assertEqual(printed, [])
