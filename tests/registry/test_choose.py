"""The values of --registry."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.errors import InvalidField
from cim.interfaces import SERVERS, IRegistry
from cim.registry.choose import registry_from
from cim.registry.cluster import ZooKeeperRegistry
from cim.registry.memory import MemoryRegistry
from cim.registry.static import StaticRegistry


class RegistryFromTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()

    def test_kinds(self):
        for text, kind in (
            ("memory", MemoryRegistry),
            ("static:cim=10.0.0.1:11211:8081", StaticRegistry),
            ("zookeeper:127.0.0.1:2181", ZooKeeperRegistry),
        ):
            registry = registry_from(text, self.reactor)
            self.assertIsInstance(registry, kind)
            verifyObject(IRegistry, registry)
            self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_zookeeper_addresses(self):
        for text, address, path in (
            ("zk1:2181", "zk1:2181", "/cim/a:1:2"),
            ("zk-1.example.org:2181,10.0.0.1:2182,[::1]:2183/a/b", None, "/a/b/cim/a:1:2"),
            ("zk1:2181/", "zk1:2181", "/cim/a:1:2"),
            ("zk1:2181/im/", "zk1:2181", "/im/cim/a:1:2"),
        ):
            registry = registry_from(f"zookeeper:{text}", self.reactor, auth="user:pass:word\n", session_timeout=4.0)
            self.assertIn(address or text.partition("/")[0], registry.health())
            self.assertEqual(registry.announce(SERVERS, "a:1:2", b"").path, path)

    def test_bad_text(self):
        for text in (
            "",
            "zookeeper",
            "zookeeper:",
            "zookeeper:zk1",
            "zookeeper:zk1:",
            "zookeeper:zk1:0",
            "zookeeper:zk1:65536",
            "zookeeper:zk1:2181,",
            "zookeeper:zk 1:2181",
            "zookeeper:/chroot",
            "zookeeper:zk1:2181//a",
            "zookeeper:zk1:2181/a/../b",
            "zookeeper:zk1:2181/a\x00",
            "zookeeper:[::1:2181",
            "memory:",
            "Memory",
            "redis:127.0.0.1:6379",
            "static:",
        ):
            error = self.assertRaises(InvalidField, registry_from, text, self.reactor)
            self.assertEqual(error.field, "registry", text)

    def test_bad_credentials_are_not_shown(self):
        for auth in ("", "secret", ":secret", "secret:", "\n"):
            error = self.assertRaises(InvalidField, registry_from, "zookeeper:zk:2181", self.reactor, auth=auth)
            self.assertEqual(error.field, "registry-auth-file")
            self.assertNotIn("secret", str(error))
