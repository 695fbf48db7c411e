"""The certificate that a daemon makes for itself."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.certificates import BadCertificates, read
from cim.daemon.own_certificate import DAYS, OWN, RENEW_DAYS, ensure_certificate
from tests.harness.certificates import certified

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class OwnCertificateTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp()) / "certificates"
        self.own = self.folder / OWN

    def made(self, name="10.0.0.1", now=NOW):
        ensure_certificate(self.folder, name, now)
        (shown,) = read([self.own], now)
        return shown

    def test_made(self):
        shown = self.made()
        self.assertEqual(shown.names, ["10.0.0.1"])
        self.assertEqual(shown.expires, NOW + timedelta(days=DAYS))
        self.assertEqual(stat.S_IMODE(self.own.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        self.assertEqual([path.name for path in self.folder.iterdir()], [OWN])

    def test_kept(self):
        self.made()
        before = self.own.read_bytes()
        self.made(now=NOW + timedelta(days=DAYS - RENEW_DAYS - 1))
        self.assertEqual(self.own.read_bytes(), before)

    def test_another_name_has_the_same_key(self):
        pin = self.made().pin
        shown = self.made("chat.example.com")
        self.assertEqual((shown.names, shown.pin), (["chat.example.com"], pin))

    def test_one_that_will_expire_soon_is_renewed_with_the_same_key(self):
        pin = self.made().pin
        late = NOW + timedelta(days=DAYS - RENEW_DAYS)
        shown = self.made(now=late)
        self.assertEqual((shown.expires, shown.pin), (late + timedelta(days=DAYS), pin))

    def test_no_two_have_the_same_key(self):
        pin = self.made().pin
        self.own.unlink()
        self.assertNotEqual(self.made().pin, pin)

    def test_the_operators_is_left_alone(self):
        self.folder.mkdir(parents=True)
        (self.folder / "chat.pem").write_bytes(certified("chat.example.com").pem)
        ensure_certificate(self.folder, "10.0.0.1", NOW)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["chat.pem"])

    def test_what_cannot_be_read_is_not_replaced(self):
        self.made()
        self.own.write_bytes(self.own.read_bytes()[:100])
        self.assertRaises(BadCertificates, ensure_certificate, self.folder, "10.0.0.1", NOW)

    def test_a_name_that_no_certificate_can_have(self):
        self.assertRaises(ValueError, ensure_certificate, self.folder, "ä.example", NOW)
