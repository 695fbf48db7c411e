"""How SQLite files take the steps of their schema. Files of earlier releases are in tests/store/test_earlier.py."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from attrs import evolve

from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.schema import Foreign, Schema, statements


def fails(connection):
    connection.execute("INSERT INTO one VALUES (2)")
    raise ValueError("it fails")


SCHEMA = Schema(
    77,
    (
        statements("CREATE TABLE one (x)", "INSERT INTO one VALUES (1)"),
        statements("ALTER TABLE one ADD COLUMN y", "UPDATE one SET y = x + 1"),
    ),
)


class SchemaTests(SynchronousTestCase):
    def setUp(self):
        self.path = self.mktemp()
        self.connection = self.connect()

    def connect(self):
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=0)
        self.addCleanup(connection.close)
        return connection

    def held(self):
        with closing(sqlite3.connect(self.path)) as other:
            marks = [other.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
            return (*marks, other.execute("SELECT * FROM one").fetchall())

    def upgrade(self, count, *further):
        evolve(SCHEMA, steps=(*SCHEMA.steps[:count], *further)).upgrade(self.connection)

    def test_a_new_file_takes_all_steps(self):
        self.upgrade(2)
        self.assertEqual(self.held(), (77, 2, [(1, 2)]))

    def test_each_step_is_taken_once(self):
        for count in (1, 1, 2, 2):
            self.upgrade(count)
            self.assertEqual(self.held()[1], count)
        self.assertEqual(self.held(), (77, 2, [(1, 2)]))

    def test_a_step_that_fails_leaves_the_steps_before_it(self):
        self.assertRaises(ValueError, self.upgrade, 1, fails)
        self.assertFalse(self.connection.in_transaction)
        self.assertEqual(self.held(), (77, 1, [(1,)]))
        self.upgrade(2)
        self.assertEqual(self.held(), (77, 2, [(1, 2)]))

    def test_another_connection_takes_the_step_meanwhile(self):
        def overtaken(connection):
            raise AssertionError("taken twice")

        class Overtaking(Schema):
            def check(self, connection):
                taken = super().check(connection)
                if not connection.in_transaction:
                    SCHEMA.upgrade(other)
                return taken

        other = self.connect()
        Overtaking(77, (overtaken, overtaken)).upgrade(self.connection)
        self.assertEqual(self.held(), (77, 2, [(1, 2)]))

    def test_a_newer_file_is_refused(self):
        self.upgrade(2)
        error = self.assertRaises(Foreign, self.upgrade, 1)
        self.assertEqual(
            str(error),
            "it has schema 2, and this release knows schemas up to 1: use the release that changed it, "
            "or a copy from before",
        )
        self.assertEqual(self.held(), (77, 2, [(1, 2)]))

    def test_other_applications_files_are_refused(self):
        for statement in ("CREATE TABLE one (x)", "PRAGMA application_id = 78", "PRAGMA user_version = 1"):
            with self.subTest(statement):
                self.connection.execute("DROP TABLE IF EXISTS one")
                self.connection.execute("PRAGMA application_id = 0")
                self.connection.execute(statement)
                self.assertEqual(
                    str(self.assertRaises(Foreign, self.upgrade, 2)),
                    "it belongs to another application: name another file",
                )

    def test_files_that_were_not_marked_are_known_by_their_tables(self):
        schema = Schema(77, (statements("CREATE TABLE IF NOT EXISTS one (x)"),), frozenset({"one", "two"}))
        self.connection.execute("CREATE TABLE one (x)")
        self.assertRaises(Foreign, schema.upgrade, self.connection)
        self.connection.execute("CREATE TABLE two (x)")
        schema.upgrade(self.connection)
        self.assertEqual(self.held(), (77, 1, []))

    def test_a_file_that_cannot_be_written_is_noticed(self):
        self.upgrade(2)
        other = self.connect()
        other.execute("BEGIN IMMEDIATE")
        self.assertRaises(sqlite3.OperationalError, self.upgrade, 2)
