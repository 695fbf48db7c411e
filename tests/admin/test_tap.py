"""Tests of `cim-admin`: what it does to files, and what it says when something is wrong."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.admin.printing import Column, Printing
from cim.admin.tap import main
from cim.keys import derive_key, make_secret_file
from cim.route.http.access import read_keys


class CommandCase(SynchronousTestCase):
    def setUp(self):
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def refused(self, *arguments, status=1):
        """Return the only line that is said."""
        self.err.truncate(0)
        self.err.seek(0)
        with self.assertRaises(SystemExit) as raised:
            main(arguments)
        text = self.err.getvalue()
        self.assertEqual((self.out.getvalue(), raised.exception.code), ("", status), text)
        self.assertTrue(text.startswith("cim-admin: ") and text.endswith("\n"), text)
        self.assertEqual(text.count("\n"), 1, text)
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
    def setUp(self):
        super().setUp()
        self.key = str(self.folder / "keys")
        main(["key", self.key])
        self.out.truncate(0)
        self.out.seek(0)

    def test_what_is_misused(self):
        for arguments, said in (
            ((), "give a command: invite"),
            (("nonsense",), "nonsense"),
            (("invite", "--uses", "none"), "--uses must be a positive whole number"),
            (("invite", "--nonsense"), "--nonsense"),
            (("invite", "--days", "367"), "--days must be at most 366"),
            (("invite", "--pin", "x"), "--pin: must be sha256:"),
            (("invite", "--route", "ftp://x"), '"ftp://x" is not a URL'),
            (("revoke",), "give the id"),
            (("revoke", "a/b"), "not the id"),
            (("revoke", "a", "--ca", "x", "b"), "one alone"),
            (("key",), "give the name of a file"),
        ):
            self.assertIn(said, self.refused(*arguments, status=2), arguments)

    def test_what_fails(self):
        empty = self.folder / "empty"
        empty.touch(0o600)
        os.chmod(empty, 0o600)
        for arguments, said in (
            (("invite", "--api-key-file", str(self.folder / "missing")), "missing cannot be read"),
            (("invite", "--api-key-file", str(empty)), f"cim-admin key {empty}"),
            (("invite", "--api-key-file", self.key, "--route", "http://10.0.0.9:8083"), "--insecure"),
        ):
            self.assertIn(said, self.refused(*arguments), arguments)

    def test_the_environment(self):
        for name, value, said, status in (
            ("ROUTE", "http://10.0.0.9:8083", "--insecure", 1),
            ("API_KEY_FILE", str(self.folder / "missing"), "missing cannot be read", 1),
            ("PIN", "x", "--pin: must be sha256:", 2),
            ("INSECURE", "maybe", 'CIM_ADMIN_INSECURE must be 0 or 1, not "maybe"', 2),
            ("ROUTES", "x", "CIM_ADMIN_ROUTES: there is no such option", 2),
        ):
            self.patch(os, "environ", {"CIM_ADMIN_API_KEY_FILE": self.key, f"CIM_ADMIN_{name}": value})
            self.assertIn(said, self.refused("invitations", status=status), name)
        # What is given counts.
        self.patch(os, "environ", {"CIM_ADMIN_API_KEY_FILE": self.key, "CIM_ADMIN_ROUTE": "http://10.0.0.8"})
        self.assertIn("10.0.0.9", self.refused("invitations", "--route", "http://10.0.0.9:8083"))


class PrintingTests(SynchronousTestCase):
    ROWS = ({"id": 7, "name": "al\x1bice"}, {"id": 123, "name": None})
    COLUMNS = (Column("ID"), Column("NAME"), Column("LENGTH", lambda row: len(row["name"] or "")))

    def printed(self, json):
        out, err = io.StringIO(), io.StringIO()
        printing = Printing(out, err, json=json)
        table = printing.table(self.COLUMNS)
        table.add(())
        table.add(self.ROWS[:1])
        table.add(self.ROWS[1:])
        printing.one({"made": 1}, "made one")
        printing.note("well done")
        return out.getvalue(), err.getvalue()

    def test_for_people(self):
        """Terminals obey nothing of it; what comes later goes on in the same columns."""
        self.assertEqual(
            self.printed(False),
            ("ID  NAME    LENGTH\n7   al\u241bice  6\n123          0\nmade one\n", "well done\n"),
        )

    def test_for_scripts(self):
        out, err = self.printed(True)
        self.assertEqual([json.loads(line) for line in out.splitlines()], [*self.ROWS, {"made": 1}])
        self.assertEqual(err, "")
