"""The ZooKeeper in memory keeps the contract of the real one."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RegistryUnavailable
from cim.registry.izookeeper import ZooKeeperState
from tests.harness.zookeeper import MemoryEnsemble, MemoryZooKeeper
from tests.registry.zookeeper_contract import ZooKeeperContract


class MemoryZooKeeperTests(ZooKeeperContract, SynchronousTestCase):
    root = "/test"

    def setUp(self):
        self.clock = Clock()
        self.ensemble = MemoryEnsemble()
        self.ensemble.create(self.root, b"")

    def play(self, coroutine):
        played = Deferred.fromCoroutine(coroutine)
        for _ in range(500):
            if played.called:
                break
            self.clock.advance(0)
        self.successResultOf(played)

    def unstarted(self):
        client = MemoryZooKeeper(self.ensemble, self.clock)
        self.addCleanup(client.stopService)
        return client

    async def connect(self):
        client = self.unstarted()
        client.startService()
        await client.whenConnected()
        return client

    async def expire(self, client):
        client.expire()

    def connected(self):
        client = self.unstarted()
        client.startService()
        self.clock.advance(0)
        return client

    def test_a_short_loss_keeps_the_session(self):
        client = self.connected()
        session = client.session
        client.suspend()
        self.clock.advance(9.9)
        client.resume()
        self.assertEqual((client.state, client.session), (ZooKeeperState.CONNECTED, session))
        self.clock.advance(60)
        self.assertEqual((client.state, client.session), (ZooKeeperState.CONNECTED, session))

    def test_a_long_loss_ends_it(self):
        client = self.connected()
        session = client.session
        client.create("/test/e", ephemeral=True)
        self.clock.advance(0)
        call = client.children("/test")
        client.suspend()
        self.failureResultOf(call, RegistryUnavailable)
        self.clock.advance(10)
        self.assertIs(client.state, ZooKeeperState.LOST)
        self.assertEqual(self.ensemble.children("/test"), [])
        client.resume()
        self.assertIs(client.state, ZooKeeperState.CONNECTED)
        self.assertNotEqual(client.session, session)

    def test_mute(self):
        client = self.connected()
        client.mute = True
        call = client.create("/test/a")
        self.clock.advance(4.9)
        self.assertNoResult(call)
        self.clock.advance(0.1)
        self.failureResultOf(call, RegistryUnavailable)
        self.assertEqual(self.ensemble.children("/test"), ["a"])
