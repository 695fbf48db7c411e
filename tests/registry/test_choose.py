"""The values of --registry."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.errors import InvalidField
from cim.interfaces import SERVERS, IRegistry
from cim.registry.choose import registry_from
from cim.registry.cluster import ZooKeeperRegistry
from cim.registry.memory import MemoryRegistry
from cim.registry.static import StaticRegistry
from tests.harness.certificates import certified


class RegistryFromTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()

    def test_kinds(self):
        for text, kind in (
            ("memory", MemoryRegistry),
            ("static:cim=10.0.0.1:11211:8081", StaticRegistry),
            ("zookeeper:127.0.0.1:2181", ZooKeeperRegistry),
            ("zookeeper+tls:127.0.0.1:2281,zk2:2281/im", ZooKeeperRegistry),
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
            "zookeeper+tls:zk1",
            "zookeeper+tls",
            "zookeepers:zk1:2181",
            "memory:",
            "Memory",
            "redis:127.0.0.1:6379",
            "static:",
        ):
            error = self.assertRaises(InvalidField, registry_from, text, self.reactor)
            self.assertEqual(error.field, "registry", text)

    def file(self, pem, mode=0o600):
        path = Path(self.mktemp())
        path.write_bytes(pem)
        path.chmod(mode)
        return str(path)

    def test_certificates(self):
        own = certified("server-1")
        ca, both = self.file(own.certificate_pem, 0o644), self.file(own.pem)
        for files in ({}, {"ca": ca}, {"certificate": both}, {"ca": ca, "certificate": both}):
            self.assertIsInstance(registry_from("zookeeper+tls:zk1:2281", self.reactor, **files), ZooKeeperRegistry)

    def refused(self, text="zookeeper+tls:zk1:2281", **files):
        error = self.assertRaises(InvalidField, registry_from, text, self.reactor, **files)
        self.assertEqual(error.field, "registry")
        return error.message

    def test_certificates_that_cannot_be_used(self):
        own, other = certified("server-1"), certified("server-2")
        for name in ("ca", "certificate"):
            for text in ("zookeeper:zk1:2181", "memory", "static:cim=10.0.0.1:11211:8081"):
                self.assertIn("with TLS it is zookeeper+tls:HOST:PORT", self.refused(text, **{name: "a.pem"}))
            self.assertIn("/nowhere cannot be read: No such file", self.refused(**{name: "/nowhere"}))
            self.assertIn("does not hold what TLS needs in PEM", self.refused(**{name: self.file(b"hello")}))
        self.assertIn("mode 0640", self.refused(certificate=self.file(own.pem, 0o640)))
        self.assertIn("does not hold what TLS needs", self.refused(certificate=self.file(own.certificate_pem)))
        mixed = self.file(own.certificate_pem + other.key_pem)
        self.assertIn("key values mismatch", self.refused(certificate=mixed))
        # A key that has a password is not asked for at the terminal.
        locked = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2"))
        self.assertIn("does not hold what TLS needs", self.refused(certificate=self.file(own.certificate_pem + locked)))

    def test_bad_credentials_are_not_shown(self):
        for auth in ("", "secret", ":secret", "secret:", "\n"):
            error = self.assertRaises(InvalidField, registry_from, "zookeeper:zk:2181", self.reactor, auth=auth)
            self.assertEqual(error.field, "registry-auth-file")
            self.assertNotIn("secret", str(error))
