"""Tests of the history on disk: real files, real threads, and a real process that is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from cim.client.history import SqliteHistory
from cim.client.values import Waiting
from cim.errors import HistoryUnavailable, InvalidField
from tests.client.history_contract import TALK, HistoryContract, at, said
from tests.harness.daemons import ROOT

#: Keeps message after message and says so; kept messages number `n` go with place `n` and one that waits, `n`.
WRITER = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from cim.client.history import SqliteHistory
from cim.client.values import Waiting
from tests.client.history_contract import TALK, at, said

async def main():
    history = SqliteHistory(sys.argv[1], reactor)
    await history.open()
    n = 0
    while True:
        n += 1
        adding = history.add([said(f"word {n}", n), said(f"more {n}", 1_000_000 + n)], {TALK: at(n)})
        await history.put_waiting(Waiting(str(n), 7, 0, "waits"))
        await adding
        sys.stdout.write(f"{n}\\n")
        sys.stdout.flush()

def failed(failure):
    sys.stderr.write(failure.getTraceback())
    reactor.stop()

Deferred.fromCoroutine(main()).addErrback(failed)
reactor.run()
"""


class Writer(ProcessProtocol):
    """A program that says what it has written: when that was a number of times, and when it is gone."""

    program = WRITER

    def __init__(self, lines):
        self.lines = lines
        self.seen = b""
        self.errors = b""
        self.written = Deferred()
        self.gone = Deferred()

    def start(self, reactor, path):
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-c", self.program, os.path.abspath(path)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def outReceived(self, data):
        self.seen += data
        if self.seen.count(b"\n") >= self.lines and self.written is not None:
            self.written, written = None, self.written
            written.callback(None)

    def errReceived(self, data):
        self.errors += data

    def processEnded(self, reason):
        if self.written is not None:
            self.written.errback(AssertionError(self.errors.decode()))
        self.gone.callback(reason.value)


class OnDisk(TestCase):
    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.path = os.path.join(self.mktemp(), "folder", "history.db")

    async def opened(self, path=None):
        history = SqliteHistory(path or self.path, self.reactor)
        await history.open()
        self.addCleanup(history.close)
        return history


def in_thread(test):
    """Run a test of the contract in a thread, where it may wait for the reactor."""

    def run(self):
        from twisted.internet.threads import deferToThread

        return deferToThread(test, self)

    return run


class SqliteHistoryTests(HistoryContract, OnDisk):
    def setUp(self):
        super().setUp()
        self.history = SqliteHistory(self.path, self.reactor)
        self.addCleanup(lambda: self.history.close())
        return self.history.open()

    def await_(self, deferred):
        from twisted.internet.threads import blockingCallFromThread

        return blockingCallFromThread(self.reactor, lambda: deferred)

    def await_failure(self, deferred, error):
        try:
            self.await_(deferred)
        except error as found:
            return found
        self.fail(f"no {error}")

    def renew(self):
        self.await_(self.history.close())
        self.history = SqliteHistory(f"{self.path}{os.urandom(4).hex()}", self.reactor)
        self.await_(self.history.open())


for _name in [name for name in dir(HistoryContract) if name.startswith("test_")]:
    setattr(SqliteHistoryTests, _name, in_thread(getattr(HistoryContract, _name)))


class FileTests(OnDisk):
    async def test_it_survives_its_object(self):
        history = await self.opened()
        await history.add([said("word", 1)], {TALK: at(1)})
        await history.put_waiting(Waiting("a", 7, 0, "waits"))
        await history.set_fact("token", "x")
        await history.close()
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["history.db"])
        history = await self.opened()
        self.assertEqual([m.text for m in await history.page(TALK)], ["word"])
        self.assertEqual([m.text for m in await history.search("wor")], ["word"])
        self.assertEqual(await history.places(), {TALK: at(1)})
        self.assertEqual([m.client_id for m in await history.waiting()], ["a"])
        self.assertEqual(await history.facts(), {"token": "x"})

    async def test_what_is_asked_before_closing_is_done(self):
        history = await self.opened()
        adding = [history.add([said(str(n), n)], {}) for n in range(1, 501)]
        await history.close()
        self.assertTrue(all(d.called for d in adding))
        self.assertEqual(len(await (await self.opened()).page(TALK, limit=1000)), 500)

    async def test_closed(self):
        history = await self.opened()
        closing = [history.close(), history.close()]
        with self.assertRaises(HistoryUnavailable):
            await history.page(TALK)
        for closed in closing:
            await closed
        await history.close()
        with self.assertRaises(HistoryUnavailable):
            await history.page(TALK)

    async def test_its_user_alone_can_read_it(self):
        await (await self.opened()).close()
        os.chmod(self.path, 0o644)
        history = await self.opened()
        await history.add([said("word", 1)], {})
        folder = os.path.dirname(self.path)
        self.assertEqual({stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) for name in os.listdir(folder)}, {0o600})

    async def test_what_was_recalled_is_not_in_the_file(self):
        from cim.client.values import Kind

        history = await self.opened()
        await history.add([said("qqqzzzqqq" * 50, 1)], {})
        await history.add([said("", 2, kind=Kind.RECALL, ref=at(1))], {})
        await history.close()
        with open(self.path, "rb") as file:
            self.assertNotIn(b"qqqzzzqqq", file.read())

    async def test_another_has_it(self):
        history = await self.opened()
        error = await self.assertFailure(SqliteHistory(self.path, self.reactor).open(), HistoryUnavailable)
        self.assertEqual(error.message, f"the history {self.path} is in use by another client")
        await history.add([said("word", 1)], {})
        await history.close()
        self.assertEqual([m.text for m in await (await self.opened()).page(TALK)], ["word"])

    async def test_another_process_is_kept_out_whatever_else_this_one_tries(self):
        await self.opened()
        await self.assertFailure(SqliteHistory(self.path, self.reactor).open(), HistoryUnavailable)
        writer = Writer(1)
        writer.start(self.reactor, self.path)
        await self.assertFailure(writer.written, AssertionError)
        self.assertIn(b"is in use by another client", writer.errors)

    async def test_a_full_disk_fails_what_was_asked_and_no_more(self):
        import resource

        history = await self.opened()
        await history.add([said("before", 1)], {TALK: at(1)})
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        try:
            adding = history.add([said("x" * 400_000, 2)], {TALK: at(2)})
            error = await self.assertFailure(adding, HistoryUnavailable)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, ignored)
        self.assertIn(f"the history {self.path} cannot be used", error.message)
        self.assertEqual(await history.places(), {TALK: at(1)})
        await history.add([said("after", 3)], {TALK: at(3)})
        self.assertEqual([m.text for m in await history.page(TALK)], ["before", "after"])

    async def test_a_failure_to_open_is_that_of_what_was_asked_behind_it(self):
        await self.opened()
        other = SqliteHistory(self.path, self.reactor)
        opening, asked, closing = other.open(), other.places(), other.close()
        await self.assertFailure(opening, HistoryUnavailable)
        await self.assertFailure(asked, HistoryUnavailable)
        await closing

    async def test_no_database(self):
        os.makedirs(os.path.dirname(self.path))
        with open(self.path, "wb") as file:
            file.write(b"not a database " * 1000)
        error = await self.assertFailure(SqliteHistory(self.path, self.reactor).open(), HistoryUnavailable)
        self.assertIn(self.path, error.message)
        self.assertIn("is damaged", error.message)

    async def test_damaged_inside(self):
        history = await self.opened()
        await history.add([said(f"word {n}", n) for n in range(1, 2000)], {TALK: at(1)})
        await history.close()
        size = os.path.getsize(self.path)
        with open(self.path, "r+b") as file:
            file.seek(4096 * 3)
            file.write(b"\xa5" * (size - 4096 * 3))
        history = SqliteHistory(self.path, self.reactor)
        self.addCleanup(history.close)

        async def use():
            await history.open()
            await history.places()
            await history.page(TALK)
            await history.search("word")
            await history.add([said("new", 5000)], {})

        error = await self.assertFailure(Deferred.fromCoroutine(use()), HistoryUnavailable)
        self.assertIn(f"the history {self.path} is damaged", error.message)

    async def test_somebody_elses_database(self):
        os.makedirs(os.path.dirname(self.path))
        with sqlite3.connect(self.path) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
        with open(self.path, "rb") as file:
            before = file.read()
        error = await self.assertFailure(SqliteHistory(self.path, self.reactor).open(), HistoryUnavailable)
        self.assertIn("belongs to another application", error.message)
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), before)

    async def test_a_later_version(self):
        await (await self.opened()).close()
        with sqlite3.connect(self.path) as later:
            later.execute("PRAGMA user_version = 9")
        later.close()
        error = await self.assertFailure(SqliteHistory(self.path, self.reactor).open(), HistoryUnavailable)
        self.assertIn(f"the history {self.path} cannot be used: it has schema 9", error.message)

    async def test_no_folder_can_be_made(self):
        with open(self.mktemp(), "w") as file:
            path = os.path.join(file.name, "history.db")
        error = await self.assertFailure(SqliteHistory(path, self.reactor).open(), HistoryUnavailable)
        self.assertIn(path, error.message)

    async def test_what_fails_alone_undoes_itself_alone(self):
        from attrs import evolve

        history = await self.opened()
        asked = [
            history.add([said("one", 1)], {}),
            history.add([evolve(said("bad", 2), position="x")], {}),
            history.add([said("three", 3)], {}),
        ]
        await asked[0]
        await self.assertFailure(asked[1], InvalidField)
        await asked[2]
        self.assertEqual([m.text for m in await history.page(TALK)], ["one", "three"])


class KilledTests(OnDisk):
    @inlineCallbacks
    def test_what_was_said_to_be_kept_is_there_after_a_kill(self):
        for lines in (3, 40, 90):
            writer = Writer(lines)
            writer.start(self.reactor, self.path)
            yield writer.written
            for _ in range(2):
                error = yield self.assertFailure(SqliteHistory(self.path, self.reactor).open(), HistoryUnavailable)
                self.assertIn("is in use by another client", error.message)
            writer.transport.signalProcess("KILL")
            ended = yield writer.gone
            self.assertIsInstance(ended, ProcessTerminated)
            self.assertEqual(ended.signal, signal.SIGKILL)
            acknowledged = int(writer.seen.split(b"\n")[-2])

            history = SqliteHistory(self.path, self.reactor)
            yield history.open()
            try:
                places = yield history.places()
                kept = int(places[TALK].rpartition("-")[2])
                self.assertIn(kept, (acknowledged, acknowledged + 1))
                page = yield history.page(TALK, limit=100_000)
                # Both messages of a call, and its place, or nothing of it.
                numbers = list(range(1, kept + 1))
                expected = [f"word {n}" for n in numbers] + [f"more {n}" for n in numbers]
                self.assertEqual([m.text for m in page], expected)
                found = yield history.search("word", limit=100_000)
                self.assertEqual(len(found), kept)
                waiting = yield history.waiting()
                self.assertGreaterEqual(len(waiting), acknowledged)
            finally:
                yield history.close()
            os.remove(self.path)
