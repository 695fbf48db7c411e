"""Certificates of PEM files, as listeners show them while the files change."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from OpenSSL import SSL

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.certificates import LOOK_SECONDS, BadCertificates, Certificates, read
from tests.harness.certificates import certified, put, shake_hands

NOW = datetime(2027, 3, 1, tzinfo=UTC)


def shown_to_client(certificates, name=None, protocols=()):
    """Return the chain that a client gets who asks for a name, or for none.

    :param protocols: what it offers to speak (ALPN)
    """
    server = certificates.serverConnectionForTLS(None)
    server.set_accept_state()
    client = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
    client.set_connect_state()
    if name is not None:
        client.set_tlsext_host_name(name.encode())
    if protocols:
        client.set_alpn_protos(protocols)
    shake_hands((client, server))
    return [one.to_cryptography() for one in client.get_peer_cert_chain()]


class CertificatesCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.now = NOW
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def put(self, name, content, renamed=False):
        """Write a file, or have a new one take its place; the kernel's clock alone may not tell that it changed."""
        path = self.folder / name
        os.makedirs(path.parent, exist_ok=True)
        if renamed:
            put(self.folder / "aside", content)
            os.rename(self.folder / "aside", path)
        else:
            put(path, content)
        self.stamp = getattr(self, "stamp", 1_000_000_000) + 1
        os.utime(path, (self.stamp, self.stamp))

    def loaded(self, *paths):
        return Certificates(paths or (self.folder,), self.clock.seconds, lambda: self.now)

    def pass_time(self, seconds=LOOK_SECONDS):
        self.clock.advance(seconds)
        self.now += timedelta(seconds=seconds)


class ReadingTests(CertificatesCase):
    def read(self):
        return read(sorted(self.folder.rglob("*.pem")), NOW)

    def refused(self, *words):
        error = str(self.assertRaises(BadCertificates, self.read))
        for word in words:
            self.assertIn(word, error)

    def test_key_and_certificate_in_one_file_or_in_two(self):
        one, two = certified("a.example", "10.0.0.1", now=NOW), certified("b.example", now=NOW)
        self.put("a.pem", one.pem)
        self.put("b/certificate.pem", two.certificate_pem)
        self.put("b/key.pem", two.key_pem)
        self.put("b/readme.txt", b"no PEM")
        self.assertEqual([shown.names for shown in self.read()], [["a.example", "10.0.0.1"], ["b.example"]])
        self.assertEqual([shown.pin for shown in self.read()], [one.pin, two.pin])

    def test_what_letsencrypt_puts_there(self):
        root = certified("root", now=NOW, ca=True)
        middle = certified("middle", signer=root, now=NOW, ca=True)
        leaf = certified("a.example", signer=middle, now=NOW)
        self.put("privkey.pem", leaf.key_pem)
        self.put("cert.pem", leaf.certificate_pem)
        self.put("chain.pem", middle.certificate_pem + root.certificate_pem)
        self.put("fullchain.pem", leaf.certificate_pem + middle.certificate_pem)
        (shown,) = self.read()
        self.assertEqual((shown.certificate, shown.chain), (leaf.certificate, [middle.certificate]))
        self.assertEqual(shown_to_client(self.loaded()), [leaf.certificate, middle.certificate])

    def test_of_several_for_one_key_the_best(self):
        expired = certified("a.example", now=NOW, days=-1)
        long = certified("a.example", key=expired.key, now=NOW, days=90)
        short = certified("a.example", key=expired.key, now=NOW, days=9)
        future = certified("a.example", key=expired.key, now=NOW + timedelta(days=300))
        for order in (
            (expired, long, short, future),
            (future, short, long, expired),
        ):
            self.put("a.pem", b"".join((expired.key_pem, *(one.certificate_pem for one in order))))
            (shown,) = self.read()
            self.assertEqual(shown.certificate, long.certificate)

    def test_what_cannot_be_used(self):
        one = certified("a.example", now=NOW)
        self.refused("no certificate with its key")
        self.put("a.pem", one.certificate_pem)
        self.refused("no certificate with its key")
        self.put("a.pem", one.key_pem + certified("a.example", now=NOW).certificate_pem)
        self.refused("no certificate with its key")
        self.put("a.pem", one.pem[:-30])
        self.refused("a.pem", "within")
        self.put("a.pem", one.pem.replace(b"\nMI", b"\nXX"))
        self.refused("a.pem", "cannot be read")
        self.put("a.pem", one.pem + b"x" * (1 << 20))
        self.refused("a.pem", "longer")

    def test_a_key_that_others_can_read(self):
        one = certified("a.example", now=NOW)
        self.put("a.crt.pem", one.certificate_pem)
        self.put("a.key.pem", one.key_pem)
        (self.folder / "a.crt.pem").chmod(0o644)
        self.loaded()
        (self.folder / "a.key.pem").chmod(0o640)
        self.refused("a.key.pem", "0640", "chmod 600")

    def test_a_key_with_a_passphrase(self):
        from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

        one = certified("a.example", now=NOW)
        locked = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        self.put("a.pem", one.certificate_pem + locked)
        self.refused("a.pem", "encrypted")

    def test_what_belongs_to_nothing_is_passed_over(self):
        one = certified("a.example", now=NOW)
        self.put("a.pem", one.pem)
        self.put("old.pem", certified("old.example", now=NOW).key_pem)
        self.put("params.pem", b"-----BEGIN DH PARAMETERS-----\nMEY=\n-----END DH PARAMETERS-----\n")
        self.assertEqual([shown.pin for shown in self.read()], [one.pin])


class ShowingTests(CertificatesCase):
    def test_the_one_for_the_name(self):
        one, two = certified("a.example", "*.b.example", now=NOW), certified("10.0.0.1", "c.example", now=NOW)
        self.put("1.pem", one.pem)
        self.put("2.pem", two.pem)
        certificates = self.loaded()
        for name, expected in (
            (None, one),
            ("a.example", one),
            ("A.Example", one),
            ("x.b.example", one),
            ("c.example", two),
            ("b.example", one),
            ("unknown.example", one),
        ):
            self.assertEqual(shown_to_client(certificates, name), [expected.certificate], name)

    def test_one_for_an_address_alone(self):
        """Twisted's own endpoint shows none."""
        one = certified("10.0.0.1", now=NOW)
        self.put("a.pem", one.pem)
        self.assertEqual(shown_to_client(self.loaded()), [one.certificate])

    def test_clients_that_offer_protocols(self):
        """As browsers do. Nothing is chosen, so they speak HTTP/1.1 (RFC 7301, section 3.2)."""
        self.put("1.pem", certified("a.example", now=NOW).pem)
        self.put("2.pem", certified("b.example", now=NOW).pem)
        certificates = self.loaded()
        for name in ("a.example", "b.example", None):
            self.assertEqual(len(shown_to_client(certificates, name, [b"h2", b"http/1.1"])), 1)

    def test_a_file(self):
        one = certified("a.example", now=NOW)
        self.put("key", one.key_pem)
        self.put("certificate", one.certificate_pem)
        found = self.loaded(self.folder / "key", self.folder / "certificate")
        self.assertEqual(shown_to_client(found), [one.certificate])


class RenewingTests(CertificatesCase):
    def setUp(self):
        super().setUp()
        self.before = certified("a.example", now=NOW)
        self.after = certified("a.example", now=NOW, days=9)
        self.put("a.pem", self.before.pem)
        self.certificates = self.loaded()
        self.events = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def assert_shown(self, *expected):
        self.assertEqual(shown_to_client(self.certificates), [one.certificate for one in expected])

    def test_written_in_place(self):
        self.put("a.pem", self.after.pem)
        self.pass_time()
        self.assert_shown(self.after)
        self.assertEqual(self.certificates.health(), "")
        (told,) = [event for event in self.events if event["log_level"].name == "info"]
        self.assertEqual((told["names"], told["until"]), ("a.example", NOW + timedelta(days=9)))

    def test_renamed_into_place(self):
        self.put("a.pem", self.after.pem, renamed=True)
        os.utime(self.folder / "a.pem", (1, 1))
        self.pass_time()
        self.assert_shown(self.after)

    def test_through_a_link_that_is_turned(self):
        """As certbot, and Kubernetes, do it."""
        self.put("1/a.pem", self.before.pem)
        self.put("2/a.pem", self.after.pem)
        link = Path(self.mktemp())
        link.symlink_to((self.folder / "1" / "a.pem").absolute())
        certificates = self.loaded(link)
        link.unlink()
        link.symlink_to((self.folder / "2" / "a.pem").absolute())
        self.pass_time()
        self.assertEqual(shown_to_client(certificates), [self.after.certificate])

    def test_not_looked_at_for_each_connection(self):
        self.put("a.pem", self.after.pem)
        self.pass_time(LOOK_SECONDS / 2)
        self.assert_shown(self.before)
        self.pass_time(LOOK_SECONDS / 2)
        self.assert_shown(self.after)

    def test_within_a_minute(self):
        self.assertLessEqual(LOOK_SECONDS, 60)

    def test_a_broken_file_changes_nothing_and_is_told_once(self):
        self.put("a.pem", self.after.pem[:100])
        for _ in range(3):
            self.pass_time()
            self.assert_shown(self.before)
            self.assertIn("a.pem", self.certificates.health())
        self.assertEqual([event["log_level"].name for event in self.events], ["error"])
        self.put("a.pem", self.after.pem)
        self.pass_time()
        self.assertEqual(self.certificates.health(), "")
        self.assert_shown(self.after)

    def test_a_key_that_others_can_read_changes_nothing_until_they_cannot(self):
        self.put("a.pem", self.after.pem)
        (self.folder / "a.pem").chmod(0o644)
        self.pass_time()
        self.assert_shown(self.before)
        self.assertIn("a.pem is open to others than its owner (mode 0644): chmod 600 ", self.certificates.health())
        (self.folder / "a.pem").chmod(0o600)
        self.pass_time()
        self.assert_shown(self.after)
        self.assertEqual(self.certificates.health(), "")

    def test_health_looks_though_nobody_connects(self):
        os.unlink(self.folder / "a.pem")
        self.pass_time()
        self.assertIn("no certificate", self.certificates.health())
        self.assert_shown(self.before)

    def test_a_key_before_its_certificate(self):
        """Two files, written one after the other."""
        self.put("a.pem", self.before.certificate_pem)
        self.put("key.pem", self.before.key_pem)
        self.certificates = self.loaded()
        self.put("key.pem", self.after.key_pem)
        self.pass_time()
        self.assert_shown(self.before)
        self.assertNotEqual(self.certificates.health(), "")
        self.put("a.pem", self.after.certificate_pem)
        self.pass_time()
        self.assert_shown(self.after)
        self.assertEqual(self.certificates.health(), "")

    def test_a_name_that_would_be_left_without(self):
        other = certified("b.example", now=NOW)
        self.put("b.pem", other.pem)
        self.certificates = self.loaded()
        self.put("b.pem", b"")
        self.pass_time()
        self.assertIn("b.example", self.certificates.health())
        self.assertEqual(shown_to_client(self.certificates, "b.example"), [other.certificate])

    def test_fewer_names_in_a_new_certificate(self):
        self.put("a.pem", certified("a.example", "www.a.example", now=NOW).pem)
        self.certificates = self.loaded()
        self.put("a.pem", self.after.pem)
        self.pass_time()
        self.assert_shown(self.after)

    def test_expired(self):
        self.assertEqual(self.certificates.health(), "")
        self.now = NOW + timedelta(days=1)
        self.assertIn("a.example expired on 2027-03-02", self.certificates.health())
