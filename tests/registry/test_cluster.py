"""The registry of a cluster, on a ZooKeeper in memory."""

from __future__ import annotations

from cim.interfaces import SERVERS
from cim.registry.cluster import ZooKeeperRegistry
from cim.registry.membership import REREAD
from tests.registry.memory_case import BEFORE, MemoryCase
from tests.registry.registry_contract import A, B, RegistryContract


class ZooKeeperRegistryTests(RegistryContract, MemoryCase):
    def setUp(self):
        super().setUp()
        self.zookeeper = self.client()
        self.registry = self.started(self.zookeeper)

    def started(self, zookeeper, root=""):
        registry = ZooKeeperRegistry(zookeeper, self.clock, root=root, retry=lambda failures: 1.0)
        registry.startService()
        self.addCleanup(registry.stopService)
        self.settle()
        return registry

    def test_upstreams_layout(self):
        self.announce(A, b"data")
        self.assertEqual(self.node("/cim").owner, 0)
        self.assertEqual(self.node(f"/cim/{A}").owner, self.zookeeper.session)
        lists, _ = self.watch()
        self.ensemble.create(f"/cim/{B}", None, 99)
        self.settle()
        self.assertEqual(lists[-1], {A: b"data", B: b""})

    def test_chroots_are_separate(self):
        other = self.started(self.client(), "/here/and/there")
        self.announce(A)
        other.announce(SERVERS, B, b"")
        self.settle()
        self.assertIn(f"/here/and/there/cim/{B}", self.ensemble.nodes)
        self.assertEqual(self.ensemble.children("/cim"), [A])

    def test_reading_the_same_list_again_calls_nobody(self):
        self.announce(A)
        lists, _ = self.watch()
        self.settle()
        self.asked.clear()
        for _ in range(3):
            self.clock.advance(REREAD)
            self.settle()
        self.assertIn(("children", "/cim"), self.asked)
        self.assertEqual(lists, [{A: b"data"}])

    def test_health(self):
        away = f"not connected to ZooKeeper at {self.zookeeper.address}"
        self.watch()
        self.settle()
        self.assertEqual(self.registry.health(), "")
        self.zookeeper.suspend()
        self.assertEqual(self.registry.health(), away)
        self.zookeeper.resume()
        self.settle()
        self.ensemble.create(f"/cim/{A}", BEFORE, 99)
        announcement = self.announce(A)
        self.assertEqual(self.registry.health(), f"/cim/{A} is held by another process")
        announcement.withdraw()
        self.settle()
        self.assertEqual(self.registry.health(), "")

    def test_the_folder_cannot_be_read(self):
        self.zookeeper.mute = True
        self.watch()
        self.assertEqual(self.registry.health(), "/cim has not been read yet")

    def test_stopping_ends_the_session(self):
        self.announce(A)
        self.registry.stopService()
        self.assertEqual(self.ensemble.children("/cim"), [])
