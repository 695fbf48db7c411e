"""Tests of `cim-admin backup`, `restore` and `check` on folders, without a suite."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from twisted.internet.task import Clock

from cim.admin.tap import main
from cim.daemon.data_folder import DataFolder
from cim.store.sqlite.backup import held
from tests.admin.test_tap import CommandCase
from tests.harness.certificates import put
from tests.harness.store import MemoryStore


class DataCase(CommandCase):
    def setUp(self):
        super().setUp()
        self.data, self.backup = self.folder / "data", self.folder / "backup"
        self.fill(DataFolder(self.data), "anna")
        (self.data / "secret").write_text("a secret")
        (self.data / "secret").chmod(0o600)
        (self.data / "certificates").mkdir()
        (self.data / "certificates" / "own.pem").write_text("a certificate")

    def fill(self, folder, *names):
        """Make a data folder with some accounts."""
        folder.path.mkdir()
        store = MemoryStore(Clock())
        for name in names:
            self.successResultOf(store.credentials.create(name, "a hash"))
        with closing(sqlite3.connect(folder.database)) as written:
            store.database.backup(written)
        store.database.close()

    def names(self, path):
        with closing(sqlite3.connect(DataFolder(path).database)) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM account ORDER BY id")]

    def said(self, *arguments):
        """Return what a command prints."""
        self.out.truncate(0)
        self.out.seek(0)
        main(arguments)
        said = self.out.getvalue()
        self.out.truncate(0)
        self.out.seek(0)
        return said


class BackupTests(DataCase):
    def test_there_and_back(self):
        backup, data = str(self.backup), str(self.data)
        self.assertEqual(
            self.said("backup", backup, "--data", data),
            f"{backup} has 1 account, 0 groups, 0 conversations and 0 messages, and is well\n",
        )
        self.assertEqual([path.name for path in self.backup.iterdir()], ["cim.db"])
        self.assertEqual(stat.S_IMODE(self.backup.stat().st_mode), 0o700)
        with closing(sqlite3.connect(self.data / "cim.db")) as connection:
            connection.execute("UPDATE account SET name = 'bert'")
            connection.commit()
        restored = json.loads(self.said("restore", backup, "--data", data, "--json"))
        self.assertEqual((restored["folder"], restored["accounts"]), (data, 1))
        self.assertEqual(self.names(self.data), ["anna"])
        self.assertEqual(self.names(Path(restored["aside"])), ["bert"])
        self.assertEqual((self.data / "secret").read_text(), "a secret")
        self.assertFalse((self.data / "restoring").exists())

    def test_secrets_go_along_when_they_are_asked_for(self):
        other = self.folder / "other"
        put(self.data / "vapid-key.pem", b"a key for push")
        self.said("backup", str(self.backup), "--data", str(self.data), "--secrets")
        self.assertEqual(stat.S_IMODE((self.backup / "secret").stat().st_mode), 0o600)
        self.said("restore", str(self.backup), "--data", str(other))
        self.assertEqual((other / "secret").read_text(), "a secret")
        self.assertEqual((other / "certificates" / "own.pem").read_text(), "a certificate")
        self.assertEqual((other / "vapid-key.pem").read_text(), "a key for push")
        self.assertEqual(stat.S_IMODE((self.backup / "vapid-key.pem").stat().st_mode), 0o600)
        self.assertEqual(self.names(other), ["anna"])

    def test_tokens_can_be_revoked(self):
        self.said("backup", str(self.backup), "--data", str(self.data))
        for option, revoked in ((), False), (("--revoke-tokens",), True):
            self.said("restore", str(self.backup), "--data", str(self.folder / f"other-{revoked}"), *option)
            with closing(sqlite3.connect(self.folder / f"other-{revoked}" / "cim.db")) as connection:
                ((valid_from,),) = connection.execute("SELECT valid_from FROM credential")
            self.assertEqual(valid_from > 1_700_000_000_000, revoked)

    def test_positions_that_were_given_since_are_not_given_again(self):
        """Whatever the clock says when the suite starts again."""
        self.said("backup", str(self.backup), "--data", str(self.data))
        with closing(sqlite3.connect(self.data / "cim.db")) as connection:
            connection.execute("INSERT OR REPLACE INTO given VALUES ('epoch', 1700000000000)")
            connection.commit()
        self.said("restore", str(self.backup), "--data", str(self.data))
        with closing(sqlite3.connect(self.data / "cim.db")) as connection:
            self.assertEqual(
                connection.execute("SELECT id FROM given WHERE kind = 'epoch'").fetchall(), [(1_700_000_000_000,)]
            )

    def test_a_database_that_is_beyond_repair_is_replaced(self):
        self.said("backup", str(self.backup), "--data", str(self.data))
        (self.data / "cim.db").write_text("what a broken disk left" * 100)
        self.said("restore", str(self.backup), "--data", str(self.data))
        self.assertEqual(self.names(self.data), ["anna"])

    def test_nothing_is_overwritten(self):
        self.backup.mkdir()
        self.assertEqual(
            self.refused("backup", str(self.backup), "--data", str(self.data)),
            f"cim-admin: {self.backup} exists: name a new folder, one for each backup\n",
        )
        self.assertEqual(list(self.backup.iterdir()), [])

    def test_a_suite_keeps_its_data(self):
        self.said("backup", str(self.backup), "--data", str(self.data))
        with held(self.data / "cim.db"):
            self.assertEqual(
                self.refused("restore", str(self.backup), "--data", str(self.data)),
                f"cim-admin: {self.data}/cim.db is in use: stop the suite first\n",
            )

    def test_the_data_of_another_user(self):
        """A suite could not read what root puts there."""
        self.said("backup", str(self.backup), "--data", str(self.data))
        owner = os.geteuid()
        self.patch(os, "geteuid", lambda: owner + 1)
        said = self.refused("restore", str(self.backup), "--data", str(self.data))
        self.assertEqual(
            said,
            f"cim-admin: {self.data}/cim.db belongs to another user, who could not use what is put back: run this as "
            f"user {owner}\n",
        )
        self.assertEqual([path.name for path in self.data.glob("*restor*")], [])

    def test_certificates_that_cannot_be_copied(self):
        (self.data / "certificates" / "nothing.pem").symlink_to(self.folder / "gone")
        said = self.refused("backup", str(self.backup), "--data", str(self.data), "--secrets")
        self.assertIn("nothing.pem", said)
        self.assertEqual(said.count("\n"), 1)

    def test_what_is_no_backup(self):
        """Nothing is touched for it."""
        self.backup.mkdir()
        said = self.refused("restore", str(self.backup), "--data", str(self.data))
        self.assertEqual(said, f"cim-admin: {self.backup} is no backup: it has no cim.db\n")
        (self.backup / "cim.db").write_text("a shopping list, or anything else that is long enough" * 20)
        said = self.refused("restore", str(self.backup), "--data", str(self.data))
        self.assertEqual(said, f"cim-admin: {self.backup}/cim.db cannot be read: file is not a database\n")
        self.assertEqual(self.names(self.data), ["anna"])

    def test_a_damaged_backup(self):
        self.said("backup", str(self.backup), "--data", str(self.data))
        with closing(sqlite3.connect(self.backup / "cim.db")) as connection:
            connection.execute("DELETE FROM name_form")
            connection.commit()
        said = self.refused("restore", str(self.backup), "--data", str(self.data))
        self.assertTrue(said.startswith(f"cim-admin: {self.backup} is not well: account "), said)
        self.assertEqual([path.name for path in self.data.glob("*restor*")], [])


class CheckTests(DataCase):
    def test_all_fits(self):
        self.assertEqual(
            self.said("check", "--data", str(self.data)),
            "all fits: 1 account, 0 groups, 0 conversations and 0 messages\n",
        )

    def test_what_does_not_fit(self):
        with closing(sqlite3.connect(self.data / "cim.db")) as connection:
            connection.execute("DELETE FROM name_form")
            connection.commit()
        with self.assertRaises(SystemExit) as raised:
            main(["check", "--data", str(self.data)])
        self.assertEqual(raised.exception.code, 1)
        self.assertEqual(self.out.getvalue().count("\n"), 1, self.out.getvalue())
        self.assertEqual(self.err.getvalue(), f"cim-admin: {self.data}/cim.db is not well: 1 thing does not fit\n")

    def test_what_an_earlier_release_left(self):
        """It can be backed up, but what should be where is not known any more."""
        with closing(sqlite3.connect(self.data / "cim.db")) as connection:
            connection.execute("DROP TABLE name_form")
            connection.execute("PRAGMA user_version = 1")
        said = self.refused("check", "--data", str(self.data))
        self.assertIn("cim.db is of an earlier release: start a suite of this one", said)
        self.assertIn("1 account", self.said("backup", str(self.backup), "--data", str(self.data)))

    def test_what_a_newer_release_left(self):
        with closing(sqlite3.connect(self.data / "cim.db")) as connection:
            connection.execute("PRAGMA user_version = 1000")
        for command in (("check",), ("backup", str(self.backup))):
            said = self.refused(*command, "--data", str(self.data))
            self.assertIn("cim.db cannot be read: it has schema 1000, and this release knows schemas up to ", said)
        self.assertFalse(self.backup.exists())

    def test_no_data(self):
        self.assertEqual(
            self.refused("check", "--data", str(self.folder)),
            f"cim-admin: --data {self.folder} is no data folder of a suite: it has no cim.db\n",
        )
