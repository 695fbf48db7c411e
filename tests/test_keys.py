"""Keys and the secret they come from."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import InvalidField
from cim.keys import PURPOSES, derive_key, make_secret_file, read_secret

SECRET = b"0123456789abcdef0123456789abcdeX"


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

    def write(self, content):
        self.path.write_bytes(content)
        self.path.chmod(0o600)

    def refused(self, content):
        """What is said of a file that holds that; never what it holds."""
        self.write(content)
        error = self.assertRaises(InvalidField, read_secret, str(self.path))
        self.assertIn(str(self.path), error.message)
        self.assertNotIn(content.decode(), error.message)
        return error.message

    def test_white_space_is_stripped(self):
        self.write(b"\n  " + SECRET + b" \r\n")
        self.assertEqual(read_secret(self.path), SECRET)

    def test_too_short(self):
        message = self.refused(b" " * 20 + SECRET[1:])
        self.assertIn("at least 32 bytes besides white space, but holds 31. Make one with: openssl", message)

    def test_too_easy_to_guess(self):
        for weak in (
            b"a" * 64,
            b"ab" * 40,
            b"abcdefg" + b"a" * 40,
            b"0123456789abcdef" * 3,
            b"secret-of-our-cluster!" * 2,
        ):
            self.assertIn("is too easy to guess", self.refused(weak))

    def test_what_the_documented_commands_make_is_good(self):
        for made in (os.urandom(32).hex().encode(), base64.b64encode(os.urandom(32)), os.urandom(16).hex().encode()):
            self.write(made + b"\n")
            self.assertEqual(read_secret(self.path), made)
            self.assertEqual(make_secret_file(self.path, os.urandom), made)

    def test_one_that_others_can_read(self):
        self.write(SECRET)
        for mode in (0o644, 0o640, 0o604, 0o620, 0o602, 0o601, 0o666):
            self.path.chmod(mode)
            for read in (read_secret, lambda path: make_secret_file(path, os.urandom)):
                error = self.assertRaises(InvalidField, read, self.path)
                self.assertIn(
                    f"{self.path} is open to others than its owner (mode {mode:04o}): chmod 600 {self.path}",
                    error.message,
                )
        for mode in (0o600, 0o400, 0o700):
            self.path.chmod(mode)
            self.assertEqual(read_secret(self.path), SECRET)

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
        self.write(SECRET)
        self.assertEqual(make_secret_file(str(self.path), os.urandom), SECRET)
        self.write(b"short")
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
