"""Tests of the log of a SQLite store: a real file and threads, and a real process that is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from cim.daemon.schema import Schema, statements
from cim.store.sqlite import checkpoints
from cim.store.sqlite.threads import SqliteThreads
from tests.integration.test_history import Writer

KEPT = Schema(1, (statements("CREATE TABLE kept (value INTEGER PRIMARY KEY, filling BLOB) STRICT"),))


def keep(threads, value):
    return threads.write(
        "keep", lambda connection: connection.execute("INSERT INTO kept VALUES (?, zeroblob(2000))", (value,))
    )


class Killed(Writer):
    program = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from cim.store.sqlite import checkpoints
from cim.store.sqlite.threads import SqliteThreads
from tests.integration.test_store_log import KEPT, keep

async def some(threads, first):
    for value in range(first, 1_000_000, 8):
        await keep(threads, value)
        sys.stdout.write(f"{value}\\n")
        sys.stdout.flush()

async def main():
    checkpoints.CHANGES, checkpoints.LONG = 20, 60
    threads = SqliteThreads(sys.argv[1], reactor, KEPT, lambda name, seconds: None)
    threads.start()
    await gatherResults([Deferred.fromCoroutine(some(threads, first)) for first in range(8)])

def failed(failure):
    sys.stderr.write(failure.getTraceback())
    reactor.stop()

Deferred.fromCoroutine(main()).addErrback(failed)
reactor.run()
"""


class LogTests(TestCase):
    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.path = os.path.join(self.mktemp(), "log.db")

    async def test_it_stays_short_while_the_writer_goes_on_and_is_gone_when_that_stops(self):
        self.patch(checkpoints, "CHANGES", 20)
        self.patch(checkpoints, "LONG", 60)
        threads = SqliteThreads(self.path, self.reactor, KEPT, lambda name, seconds: None)
        threads.start()
        self.addCleanup(threads.stop)
        longest = 0
        for value in range(0, 3000, 5):
            await gatherResults([keep(threads, value + more) for more in range(5)])
            longest = max(longest, os.stat(f"{self.path}-wal").st_size)
        self.assertLess(longest, 200 * 4120)
        await threads.stop()
        self.assertEqual(sorted(os.listdir(os.path.dirname(self.path))), ["log.db", "log.db.lock"])

    async def test_what_was_acknowledged_outlives_a_process_that_is_killed_while_it_is_copied(self):
        for lines in (300, 611, 922):
            killed = Killed(lines)
            killed.start(self.reactor, self.path)
            await killed.written
            killed.transport.signalProcess(signal.SIGKILL)
            await killed.gone
            self.assertEqual(killed.errors, b"")
            said = {int(value) for value in killed.seen.decode().split("\n")[:-1]}
            self.assertGreater(os.stat(self.path).st_size, 20 * 2000)  # it was copied
            with closing(sqlite3.connect(self.path)) as connection:
                kept = {value for (value,) in connection.execute("SELECT value FROM kept")}
                self.assertEqual(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            self.assertLessEqual(said, kept)
            self.path = os.path.join(self.mktemp(), "log.db")
