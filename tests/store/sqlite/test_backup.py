"""Copies of a database file, and what keeps suites from a database meanwhile."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Conflict, StoreUnavailable
from cim.store.sqlite.backup import copy_database, held, opened


class CopyTests(SynchronousTestCase):
    def setUp(self):
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.source, self.target = self.folder / "cim.db", self.folder / "copy.db"
        self.writing = sqlite3.connect(self.source, isolation_level=None)
        self.addCleanup(self.writing.close)
        self.writing.execute("PRAGMA journal_mode=WAL")
        self.writing.execute("CREATE TABLE number (n INTEGER)")
        self.write(1)

    def write(self, n):
        self.writing.execute("INSERT INTO number VALUES (?)", (n,))

    def numbers(self, path):
        with closing(opened(path)) as connection:
            return [n for (n,) in connection.execute("SELECT n FROM number ORDER BY n")]

    def test_what_is_in_the_log_is_in_the_copy(self):
        """The file alone, without its log, would have no table."""
        self.write(2)
        copy_database(self.source, self.target)
        self.write(3)
        self.assertEqual(self.numbers(self.target), [1, 2])
        self.assertEqual(stat.S_IMODE(self.target.stat().st_mode), 0o600)
        self.assertEqual(sorted(path.name for path in self.folder.glob("copy*")), ["copy.db"])

    def test_what_is_not_committed_is_not_in_the_copy(self):
        self.writing.execute("BEGIN IMMEDIATE")
        self.write(2)
        copy_database(self.source, self.target)
        self.writing.execute("COMMIT")
        self.assertEqual(self.numbers(self.target), [1])

    def test_a_copy_replaces_nothing(self):
        self.target.write_bytes(b"mine")
        with self.assertRaises(StoreUnavailable) as raised:
            copy_database(self.source, self.target)
        self.assertEqual(str(raised.exception), f"{self.target} cannot be written: File exists")
        self.assertEqual(self.target.read_bytes(), b"mine")
        self.assertEqual(sorted(path.name for path in self.folder.glob("copy*")), ["copy.db"])

    def test_no_folder(self):
        target = self.folder / "nowhere" / "copy.db"
        with self.assertRaises(StoreUnavailable) as raised:
            copy_database(self.source, target)
        self.assertEqual(str(raised.exception), f"{target} cannot be written: No such file or directory")

    def test_what_is_no_database(self):
        foreign = self.folder / "notes.txt"
        foreign.write_text("Buy bread, milk, and something for the weekend." * 50)
        for source, why in (
            (foreign, "cannot be read: file is not a database"),
            (self.folder / "missing", "does not exist"),
        ):
            with self.assertRaises(StoreUnavailable) as raised:
                copy_database(source, self.target)
            self.assertEqual(str(raised.exception), f"{source} {why}")
            self.assertFalse(self.target.exists())
        self.assertFalse((self.folder / "missing").exists())


class HeldTests(SynchronousTestCase):
    def test_one_at_a_time(self):
        path = Path(self.mktemp())
        with held(path):
            with self.assertRaises(Conflict) as raised, held(path):
                self.fail("it is held twice")
            self.assertEqual(str(raised.exception), f"{path} is in use: stop the suite first")
        with held(path):
            pass
