"""Tests of `cim-admin`: what it does to files, and what it says when something is wrong."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.admin.command import first_key
from cim.admin.printing import Column, Printing
from cim.admin.tap import main
from cim.api_keys import APIKey, digest_of, read_keys
from cim.keys import derive_key, make_secret_file


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
    def ok(self, *arguments):
        """Return what is printed, and what is told beside it."""
        for stream in (self.out, self.err):
            stream.truncate(0)
            stream.seek(0)
        main(arguments)
        return self.out.getvalue(), self.err.getvalue()

    def test_keys_are_added(self):
        """Routes take the file, which nobody else can read; what it held stays."""
        path = self.folder / "keys"
        main(["key", str(path)])
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        first = path.read_text().strip()
        path.write_text(f"# of the sales team\n{first}")
        out, err = self.ok("key", "api", str(path))
        self.assertEqual(path.read_text().splitlines()[:2], ["# of the sales team", first])
        keys = read_keys(str(path))
        self.assertEqual((keys[0].digest, len(keys), len(set(keys))), (digest_of(first.encode()), 2, 2))
        self.assertEqual(out, "")
        self.assertIn("--api-key-file", err)
        self.assertNotIn(first, err)
        self.ok("key", "--past-blocks", str(path))
        self.assertEqual([key.past_blocks for key in read_keys(str(path))], [False, False, True])

    def test_keys_with_a_name(self):
        path, alone = self.folder / "keys", self.folder / "alone"
        out, err = self.ok("key", str(path), "--name", "billing", "--scopes", "users,send")
        self.assertIn("shown only here", err)
        self.assertNotIn(out.strip(), path.read_text())
        (billing,) = read_keys(str(path))
        self.assertEqual(billing, APIKey(digest_of(out.strip().encode()), "billing", frozenset({"send", "users"})))
        arguments = ("--name", "ops", "--scopes", "admin read", "--past-blocks", "--to", str(alone))
        out, err = self.ok("key", "api", *arguments, str(path))
        self.assertEqual((out, stat.S_IMODE(alone.stat().st_mode)), ("", 0o600))
        self.assertEqual(read_keys(str(path))[1].digest, digest_of(alone.read_bytes().strip()))
        self.assertEqual(first_key(str(alone)), alone.read_text().strip())
        out, _ = self.ok("key", "list", str(path))
        self.assertEqual(
            out,
            "NAME     SCOPES      BLOCKS\nbilling  send users\nops      read admin  sends past them\n",
        )
        said = json.loads(self.ok("key", "api", str(path), "--name", "x", "--scopes", "read", "--json")[0])
        self.assertEqual((said["name"], said["scopes"], len(said["key"])), ("x", ["read"], 64))
        self.out.truncate(0)
        self.out.seek(0)
        self.assertIn("already", self.refused("key", "--name", "ops", "--scopes", "read", str(path)))
        self.assertIn("hashes of keys alone", self.refused("invite", "--api-key-file", str(path)))

    def test_a_file_that_cannot_be_used(self):
        path = self.folder / "keys"
        path.write_text("")
        path.chmod(0o644)
        self.assertIn(f"chmod 600 {path}", self.refused("key", str(path)))
        self.assertEqual(path.read_text(), "")
        self.assertIn("cannot be written", self.refused("key", str(self.folder / "none" / "keys")))

    def test_a_secret(self):
        path = self.folder / "secret"
        self.ok("key", "secret", str(path))
        made = path.read_text()
        self.assertEqual((len(made.strip()), stat.S_IMODE(path.stat().st_mode)), (64, 0o600))
        self.out.truncate(0)
        self.assertIn("is there already", self.refused("key", "secret", str(path)))
        self.assertEqual(path.read_text(), made)

    def test_the_metrics_key_is_made_of_the_secret(self):
        secret = self.folder / "secret"
        made = make_secret_file(secret, os.urandom)
        for words in (("http-key",), ("key", "metrics")):
            self.assertEqual(self.ok(*words, str(secret))[0], derive_key(made, "http").hex() + "\n")

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
            ((), "give a command: status"),
            (("nonsense",), "nonsense"),
            (("invite", "--uses", "none"), "--uses must be a positive whole number"),
            (("invite", "--nonsense"), "--nonsense"),
            (("invite", "--days", "367"), "--days must be at most 366"),
            (("invite", "--pin", "x"), "--pin: must be sha256:"),
            (("invite", "--route", "ftp://x"), '"ftp://x" is not a URL'),
            (("revoke",), "give the id"),
            (("revoke", "a/b"), "not the id"),
            (("revoke", "a", "--ca", "x", "b"), "one alone"),
            (("key",), "give a command: api, list, secret, metrics or invitation"),
            (("key", "api"), "give the name of a file"),
            (("key", "x", "--name", "billing"), "--name and --scopes belong together"),
            (("key", "x", "--name", "billing", "--scopes", "all"), "--scopes must be some of send, users"),
            (("key", "x", "--to", "y"), "--to needs --name"),
            (("key", "x", "--name", "y", "--scopes", "send", "--to", "./x"), "--to must name another file"),
            (("users",), "give a command: list, show, make"),
            (("users", "show", "--id", "alice"), '"alice" is not an id'),
            (("users", "reset-link", "x", "--url", "chat"), "--url must be"),
            (("groups", "show", "friends"), "not an id"),
            (("groups", "set", "7"), "give --open or --closed"),
            (("groups", "set", "7", "--open", "--closed"), "give --open or --closed"),
            (("groups", "mute", "7", "bob", "--minutes", "0"), "minutes"),
            (("groups", "remove", "7"), "give the id of a group and the name of a user"),
        ):
            self.assertIn(said, self.refused(*arguments, status=2), arguments)

    def test_what_fails(self):
        empty = self.folder / "empty"
        empty.touch(0o600)
        os.chmod(empty, 0o600)
        for arguments, said in (
            (("invite", "--api-key-file", str(self.folder / "missing")), "missing cannot be read"),
            (("invite", "--api-key-file", str(empty)), f"cim-admin key api {empty}"),
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


class ReaderTests(SynchronousTestCase):
    def test_who_reads_no_further(self):
        """Nobody is shown a traceback who looks at the first line alone."""
        for arguments in (["--help"], ["mute", "--help"]):
            reading, writing = os.pipe()
            os.close(reading)
            out = os.fdopen(writing, "w", buffering=1)
            self.patch(sys, "stdout", out)
            with self.assertRaises(SystemExit) as raised:
                main(arguments)
            self.assertEqual(raised.exception.code, 1, arguments)
            out.close()
