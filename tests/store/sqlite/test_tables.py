"""Tests of the steps by which a file gets its tables: what they do with what earlier releases left."""

from __future__ import annotations

import sqlite3

from attrs import evolve

from twisted.trial.unittest import SynchronousTestCase

from cim.model import Sanction
from cim.store.sqlite.remembering import find
from cim.store.sqlite.sanctions import held
from cim.store.sqlite.tables import RECALLED, STORE
from cim.wire import native
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL, TEXT, Send


class StepTests(SynchronousTestCase):
    def setUp(self):
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(self.connection.close)

    def upgrade(self, version):
        """Take the first steps."""
        evolve(STORE, steps=STORE.steps[:version]).upgrade(self.connection)

    def message(self, n, kind, text="", ref="", *, body=None):
        send = Send(client_id=str(n), text=text, kind=kind, ref=ref)
        self.connection.execute(
            "INSERT INTO message VALUES (1, 5, ?, 5, ?, 7, 0, ?, ?, ?, 0)",
            (n, n - 1, kind == TEXT, n, body or native.body_of(send, 7, "alice", 0)),
        )

    def test_what_was_recalled_is_told_apart(self):
        self.upgrade(4)
        self.message(1, TEXT, "a")
        self.message(2, TEXT, "")
        self.message(3, REACTION, "👍", "5-1")
        self.message(4, RECALL, "", "5-2")
        self.message(5, EDIT, "b", "5-1")
        self.message(6, RECALL, body=b"\xff")
        self.upgrade(5)
        counts = dict(self.connection.execute("SELECT n, counts FROM message"))
        self.assertEqual(counts, {1: 1, 2: RECALLED, 3: 0, 4: 0, 5: 0, 6: 0})

    def test_edits_are_found_by_their_texts(self):
        self.upgrade(4)
        for n in 1, 2, 3:
            self.message(n, TEXT, "a")
        for n, ref in (4, 1), (5, 2), (6, 1), (7, 9):
            self.message(n, EDIT, "b", f"5-{ref}")
        self.message(8, RECALL, "", "5-2")
        self.message(9, REACTION, "👍", "5-3")
        self.upgrade(7)
        self.assertEqual(self.connection.execute("SELECT * FROM edit").fetchall(), [(1, 5, 1, 5, 6)])

    def test_messages_are_kept_in_the_order_in_which_they_were_stored(self):
        """What was trimmed, recalled, edited and refused stays so, and what is remembered is not told twice."""
        self.upgrade(11)
        for n, kind in ((4, TEXT), (3, TEXT), (6, EDIT), (5, TEXT)):  # 1 and 2 were trimmed
            self.message(n, kind, "a", "5-4" if kind == EDIT else "")
        self.connection.execute("INSERT INTO message SELECT 2, epoch, n, 5, 0, 9, 1, 0, 1, body, 2 FROM message")
        self.connection.execute(f"UPDATE message SET counts = {RECALLED} WHERE conversation = 1 AND n = 5")
        self.connection.execute("INSERT INTO edit VALUES (1, 5, 4, 5, 6)")
        self.connection.execute("INSERT INTO once VALUES (1, 7, '3', 5, 3, 5, 2, 0, 3, x'aa', 1000, NULL)")
        self.connection.execute("INSERT INTO once VALUES (1, 7, 'x', 0, 0, 0, 0, 0, 7, x'aa', 1000, 'no')")
        old = "conversation, epoch, n, before_epoch, before_n, sender, sent_at, counts, number, body, charge"
        kept = {table: self.connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("once", "edit")}
        before = self.connection.execute(f"SELECT {old} FROM message ORDER BY conversation, n").fetchall()
        self.assertEqual(len(before), 8)
        self.upgrade(12)
        self.assertEqual(self.connection.execute(f"SELECT {old} FROM message ORDER BY id").fetchall(), before)
        for table, rows in kept.items():
            self.assertEqual(self.connection.execute(f"SELECT * FROM {table}").fetchall(), rows)
        remembered = self.connection.execute("SELECT DISTINCT lift, stored_at, client_id, digest FROM message")
        self.assertEqual(remembered.fetchall(), [(0, 0, "", b"")])
        self.assertEqual(find(self.connection, 1, 7, 7, "3", 2000).position, (5, 3))
        self.assertEqual(find(self.connection, 1, 7, 7, "x", 2000).refused, "no")

    def test_a_blocked_account_is_banned_for_good(self):
        self.upgrade(10)
        self.connection.execute("INSERT INTO account VALUES (7, 'alice')")
        self.connection.execute("INSERT INTO credential VALUES (7, 'hash', 0)")
        self.connection.execute("INSERT INTO suspended VALUES (7)")
        self.upgrade(11)
        row = self.connection.execute("SELECT until, reason, since FROM suspended WHERE user = 7").fetchone()
        self.assertEqual(held(*row, now=1 << 52), Sanction())
