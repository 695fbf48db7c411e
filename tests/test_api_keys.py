"""Tests of files with API keys."""

from __future__ import annotations

import hashlib
import os

from twisted.trial.unittest import SynchronousTestCase

from cim.api_keys import ALL, APIKey, Scope, digest_of, find, line_of, parse_keys, read_keys
from cim.errors import InvalidField

KEY = "key-0123456789-abc"
HASH = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"


class KeyFileTests(SynchronousTestCase):
    """--api-key-file"""

    def keys(self, content, mode=0o600):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return read_keys(path)

    def test_one_key_per_line(self):
        content = b"# for billing\nkey-0123456789-abc\n\n  key-0123456789-def  \r\n#no-key-0123456789\n"
        first, second = self.keys(content)
        self.assertEqual(first, APIKey(digest_of(b"key-0123456789-abc"), "", ALL, False))
        self.assertEqual(second, APIKey(digest_of(b"key-0123456789-def"), "", ALL, False))

    def test_keys_that_send_past_blocks(self):
        keys = self.keys(b"operator key-0123456789-abc\nkey-0123456789-def\n")
        self.assertEqual([key.past_blocks for key in keys], [True, False])

    def test_keys_with_a_name(self):
        (key,) = self.keys(f"billing:   users  send :  {HASH}".replace(" :", ":").encode())
        self.assertEqual(key, APIKey(digest_of(KEY.encode()), "billing", frozenset({Scope.USERS, Scope.SEND})))
        (key,) = self.keys(f"ops-1: operator send: {HASH}".encode())
        self.assertEqual((key.scopes, key.past_blocks), (frozenset({Scope.SEND}), True))

    def test_what_is_written_is_read(self):
        for past_blocks in (False, True):
            line = line_of(KEY, "ops", (Scope.ADMIN, Scope.SEND), past_blocks=past_blocks)
            self.assertEqual(line, f"ops: {'operator ' * past_blocks}send admin: {HASH}")
            key = APIKey(digest_of(KEY.encode()), "ops", frozenset({Scope.ADMIN, Scope.SEND}), past_blocks)
            self.assertEqual(parse_keys([line]), [key])
        for name, scopes in (("", Scope), ("a b", Scope), ("-a", Scope), ("a" * 65, Scope), ("a", ())):
            with self.assertRaises(InvalidField):
                line_of(KEY, name, scopes)

    def test_what_is_refused(self):
        for content in (
            b"",
            b"# none\n",
            b"short\n",
            b"key-0123456789-abc\nshort\n",
            b"key 0123456789 abc\n",
            b"operator short\n",
            b"operator operator key-0123456789-abc\n",
            b"someone key-0123456789-abc\n",
            "key-0123456789-äöü\n".encode(),
            b"key-0123456789\0abc\n",
            b"\xff" * 20,
            b"a" * 40,
            b"01234567" * 2,
            b"key-0123456789-abc\n" * 4000,
            f"billing: everything: {HASH}".encode(),
            f"billing: operator: {HASH}".encode(),
            f"billing: {HASH}".encode(),
            f"billing: send: {HASH}0".encode(),
            f"billing: send: {KEY}".encode(),
            f"billing: SEND: {HASH}".encode(),
            f"billing: send: {HASH}\nbilling: read: {HASH}".encode(),
        ):
            with self.assertRaises(InvalidField, msg=content) as raised:
                self.keys(content)
            self.assertNotIn("0123456789", raised.exception.message)
            self.assertNotIn(HASH, raised.exception.message)

    def test_the_line_is_named(self):
        with self.assertRaises(InvalidField) as raised:
            self.keys(f"# ours\n\n{KEY}\nbilling: nothing: {HASH}\n".encode())
        wanted = ": line 4 must have scopes among send, users, groups, moderate, read, admin"
        self.assertIn(wanted, raised.exception.message)

    def test_one_that_others_can_read(self):
        with self.assertRaises(InvalidField) as raised:
            self.keys(b"key-0123456789-abc\n", 0o644)
        self.assertIn("is open to others than its owner (mode 0644): chmod 600 ", raised.exception.message)

    def test_a_file_that_is_not_there(self):
        with self.assertRaises(InvalidField) as raised:
            read_keys(os.path.join(self.mktemp(), "none"))
        self.assertIn("cannot be read", raised.exception.message)


class FindTests(SynchronousTestCase):
    def test_which_key_it_is(self):
        keys = parse_keys([f"{KEY}x", line_of(KEY, "billing", [Scope.SEND])])
        self.assertIs(find(keys, KEY.encode()), keys[1])
        self.assertIs(find(keys, f"{KEY}x".encode()), keys[0])
        for given in (b"", KEY[:-1].encode(), HASH.encode(), keys[1].digest, b"billing"):
            self.assertIsNone(find(keys, given))
