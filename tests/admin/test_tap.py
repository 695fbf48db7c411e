"""Tests of `cim-admin`: what it does to files, and what it says when something is wrong."""

from __future__ import annotations

import io
import os
import stat
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.admin.tap import main
from cim.keys import derive_key, make_secret_file
from cim.route.http.access import read_keys


class CommandCase(SynchronousTestCase):
    def setUp(self):
        self.out = io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def refused(self, *arguments):
        """Return the only line that is said."""
        with self.assertRaises(SystemExit) as raised:
            main(arguments)
        self.assertEqual(self.out.getvalue(), "")
        text = str(raised.exception.code)
        self.assertTrue(text.startswith("cim-admin: "), text)
        self.assertNotIn("\n", text)
        return text


class KeyTests(CommandCase):
    def test_keys_are_added(self):
        """Routes take the file, which nobody else can read; what it held stays."""
        path = self.folder / "keys"
        main(["key", str(path)])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        (first,) = read_keys(str(path))
        path.write_text(f"# of the sales team\n{first}")
        main(["key", str(path)])
        self.assertEqual(path.read_text().splitlines()[:2], ["# of the sales team", first])
        keys = read_keys(str(path))
        self.assertEqual((keys[0], len(keys), len(set(keys))), (first, 2, 2))
        self.assertIn("--api-key-file", self.out.getvalue())
        self.assertNotIn(first, self.out.getvalue())

    def test_a_file_that_cannot_be_used(self):
        path = self.folder / "keys"
        path.write_text("")
        path.chmod(0o644)
        self.assertIn(f"chmod 600 {path}", self.refused("key", str(path)))
        self.assertEqual(path.read_text(), "")
        self.assertIn("cannot be written", self.refused("key", str(self.folder / "none" / "keys")))


class HTTPKeyTests(CommandCase):
    def test_it_is_made_of_the_secret(self):
        secret = self.folder / "secret"
        made = make_secret_file(secret, os.urandom)
        main(["http-key", str(secret)])
        self.assertEqual(self.out.getvalue(), derive_key(made, "http").hex() + "\n")

    def test_a_secret_that_others_can_read(self):
        secret = self.folder / "secret"
        make_secret_file(secret, os.urandom)
        secret.chmod(0o644)
        self.assertIn("chmod 600", self.refused("http-key", str(secret)))


class UsageTests(CommandCase):
    def test_what_is_wrong_is_one_line(self):
        key = self.folder / "keys"
        main(["key", str(key)])
        self.out.truncate(0)
        self.out.seek(0)
        empty = self.folder / "empty"
        empty.touch(0o600)
        os.chmod(empty, 0o600)
        for arguments, said in (
            ((), "give a command: invite"),
            (("nonsense",), "nonsense"),
            (("invite", "--uses", "none"), "positive whole number"),
            (("invite", "--nonsense"), "--nonsense"),
            (("invite", "--days", "367"), "--days must be at most 366"),
            (("revoke",), "give the id"),
            (("revoke", "a/b"), "not the id"),
            (("revoke", "ab", "--route", "http://127.0.0.1:1"), "behind all options"),
            (("key",), "give the name of a file"),
            (("invite", "--api-key-file", str(self.folder / "missing")), "missing cannot be read"),
            (("invite", "--api-key-file", str(empty)), f"cim-admin key {empty}"),
            (("invite", "--api-key-file", str(key), "--route", "http://10.0.0.9:8083"), "--insecure"),
            (("invite", "--api-key-file", str(key), "--pin", "x"), "sha256"),
        ):
            self.assertIn(said, self.refused(*arguments), arguments)
