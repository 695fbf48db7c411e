"""Tests of copying the log of a SQLite file beside its writer."""

from __future__ import annotations

import os
import sqlite3

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.sqlite import checkpoints
from cim.store.sqlite.checkpoints import Checkpoints, copy_log, set_up

PAGE = 4096


class Worker:
    """A SqliteWorker whose work begins when the test says so."""

    def __init__(self, reactor, connect, unavailable, **options):
        self.connection = connect()
        self.heard = options["heard"]
        self.asked = []

    def run(self, work):
        self.asked.append((work, Deferred()))
        return self.asked[-1][1]

    def go(self):
        """Do what was asked; return what tells of it."""
        work, fate = self.asked.pop(0)
        result = work(self.connection)
        return lambda: fate.callback(result)


class Reactor:
    """One whose own thread is that of the test."""

    def callFromThread(self, function):
        function()


class CheckpointsTests(SynchronousTestCase):
    def setUp(self):
        self.path = os.path.join(self.mktemp(), "log.db")
        os.makedirs(os.path.dirname(self.path))
        self.patch(checkpoints, "CHANGES", 10)
        self.patch(checkpoints, "LONG", 15)
        self.patch(checkpoints, "CUT", 60 * PAGE)
        self.patch(checkpoints, "SqliteWorker", Worker)
        self.writer = self.connected()
        self.writer.execute("CREATE TABLE kept (value INTEGER PRIMARY KEY, filling BLOB) STRICT")
        copy_log(self.writer)
        self.checkpoints = Checkpoints(Reactor(), self.path, self.connected())
        self.addCleanup(self.checkpoints.close)
        self.worker = self.checkpoints._worker

    def connected(self):
        connection = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(connection.close)
        connection.execute("PRAGMA journal_mode=WAL")
        set_up(connection)
        return connection

    def write(self, rows):
        """Write rows that take a page or two each, in a transaction each."""
        for _ in range(rows):
            self.writer.execute("INSERT INTO kept (filling) VALUES (zeroblob(3000))")
            self.checkpoints.wrote(self.writer)

    def length(self):
        """Return how many pages are in the log; copies it, too."""
        return copy_log(self.connected())[1]

    def in_file(self):
        """Return how many rows are found without the log."""
        alone = sqlite3.connect(f"file:{self.path}?immutable=1", uri=True)
        self.addCleanup(alone.close)
        return alone.execute("SELECT count(*) FROM kept").fetchone()[0]

    def test_a_worker_copies_what_the_writer_does_not_and_waits_for_the_disk(self):
        synced = []
        self.patch(os, "fdatasync", lambda file: synced.append(os.readlink(f"/proc/self/fd/{file}")))
        self.write(9)
        self.assertEqual(self.worker.asked, [])
        self.write(1)
        self.assertEqual(self.in_file(), 0)
        self.worker.go()()
        self.assertEqual(self.in_file(), 10)
        self.assertEqual(synced, [os.path.abspath(self.path)])

    def test_one_copies_at_a_time(self):
        self.write(25)
        self.assertEqual(len(self.worker.asked), 1)
        self.worker.go()()
        self.write(1)
        self.assertEqual(len(self.worker.asked), 1)

    def test_a_log_that_is_long_begins_anew_once_the_writer_copied_what_was_left(self):
        self.write(10)
        told = self.worker.go()
        self.write(5)
        told()
        self.assertEqual(self.in_file(), 10)
        self.write(1)
        self.assertEqual(self.in_file(), 16)
        self.write(1)
        self.assertLess(self.length(), 5)

    def test_the_writer_goes_on_trying_while_somebody_reads_what_was_there_before(self):
        self.write(10)
        told = self.worker.go()
        self.write(5)
        reader = self.connected()
        reader.execute("BEGIN")
        self.assertEqual(reader.execute("SELECT count(*) FROM kept").fetchone(), (15,))
        self.write(1)
        told()
        self.write(1)
        self.assertLess(self.in_file(), 17)
        reader.execute("COMMIT")
        self.write(1)
        self.assertEqual(self.in_file(), 18)
        self.write(1)
        self.assertLess(self.length(), 5)

    def test_a_short_log_is_left_to_the_worker(self):
        self.patch(checkpoints, "LONG", 1000)
        self.write(10)
        told = self.worker.go()
        self.write(2)
        told()
        self.write(1)
        self.assertEqual(self.in_file(), 10)

    def test_a_log_that_somebody_reads_grows_and_is_cut_afterwards(self):
        reader = self.connected()
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM kept").fetchone()
        for _ in range(12):
            self.write(10)
            self.worker.go()()
        self.assertEqual(self.in_file(), 0)
        log = f"{self.path}-wal"
        self.assertGreater(os.stat(log).st_size, 120 * PAGE)
        reader.execute("COMMIT")
        self.write(10)
        self.worker.go()()
        self.write(2)
        self.assertLess(self.length(), 15)
        self.assertLess(os.stat(log).st_size, 61 * PAGE)
        self.assertEqual(self.in_file(), 132)

    def test_what_fails_is_said_and_tried_again(self):
        self.write(10)
        with capturedLogs() as events:
            self.worker.heard("")
            self.worker.heard("disk I/O error")
        self.assertEqual(
            [formatEvent(event) for event in events], ["The log of the SQLite store cannot be copied: disk I/O error"]
        )
        self.worker.asked.pop()[1].errback(StoreUnavailable())
        self.write(10)
        self.worker.go()()
        self.assertEqual(self.in_file(), 20)
