"""Keys and the secret they come from."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.keys import PURPOSES, derive_key, make_secret_file, read_secret

SECRET = b"0123456789abcdef"


class DeriveTests(SynchronousTestCase):
    def test_rfc5869(self):
        # HKDF-SHA256 of that secret without salt, info "cim 1 link", computed with hmac alone.
        import hashlib
        import hmac

        extracted = hmac.digest(bytes(32), SECRET, hashlib.sha256)
        expected = hmac.digest(extracted, b"cim 1 link\x01", hashlib.sha256)
        self.assertEqual(derive_key(SECRET, "link"), expected)

    def test_purposes_and_secrets_differ(self):
        keys = {derive_key(secret, purpose) for purpose in PURPOSES for secret in (SECRET, SECRET + b"!")}
        self.assertEqual(len(keys), 8)
        self.assertEqual({len(key) for key in keys}, {32})

    def test_unknown_purpose(self):
        self.assertRaises(ValueError, derive_key, SECRET, "lunch")


class SecretFileTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "secret"

    def test_white_space_is_stripped(self):
        self.path.write_bytes(b"\n  " + SECRET + b" \r\n")
        self.assertEqual(read_secret(self.path), SECRET)

    def test_too_short(self):
        self.path.write_bytes(b" " * 20 + SECRET[1:])
        error = self.assertRaises(InvalidField, read_secret, str(self.path))
        self.assertIn("at least 16 bytes besides white space, but holds 15", error.message)
        self.assertNotIn(SECRET[1:].decode(), error.message)

    def test_missing_and_unreadable(self):
        self.assertIn("No such file", self.assertRaises(InvalidField, read_secret, self.path).message)
        self.assertIn("directory", self.assertRaises(InvalidField, read_secret, self.folder).message)

    def test_made_once(self):
        secret = make_secret_file(self.path, os.urandom)
        self.assertGreaterEqual(len(secret), 32)
        self.assertEqual(read_secret(self.path), secret)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(make_secret_file(self.path, os.urandom), secret)
        self.assertEqual(os.listdir(self.folder), ["secret"])

    def test_one_that_is_there_is_kept(self):
        self.path.write_bytes(SECRET)
        self.assertEqual(make_secret_file(str(self.path), os.urandom), SECRET)
        self.path.write_bytes(b"short")
        self.assertRaises(InvalidField, make_secret_file, self.path, os.urandom)
        self.assertEqual(self.path.read_bytes(), b"short")

    def test_two_at_once_agree(self):
        def random_bytes(count):
            if count == 32 and not inner:
                inner.append(b"")
                inner[0] = make_secret_file(self.path, os.urandom)
            return os.urandom(count)

        inner = []
        self.assertEqual(make_secret_file(self.path, random_bytes), *inner)
        self.assertEqual(os.listdir(self.folder), ["secret"])

    def test_no_folder(self):
        error = self.assertRaises(InvalidField, make_secret_file, self.folder / "missing" / "secret", os.urandom)
        self.assertIn("cannot be created", error.message)
