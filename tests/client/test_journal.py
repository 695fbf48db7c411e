"""Tests of writing a history: in batches, in order, and in the background."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from cim.client.journal import BATCH, Journal
from cim.client.values import Message, User, Waiting
from cim.errors import HistoryUnavailable


class History:
    """A history whose writes finish when the test says so."""

    def __init__(self):
        self.adds = []
        self.done = []
        self.calls = []

    def add(self, messages, places):
        self.adds.append(([message.text for message in messages], places))
        self.done.append(Deferred())
        return self.done[-1]

    def put_waiting(self, waiting):
        self.calls.append(waiting)
        return succeed(None)

    drop_waiting = put_waiting

    def set_fact(self, name, value):
        raise HistoryUnavailable("gone")


class JournalTests(SynchronousTestCase):
    def setUp(self):
        self.history = History()
        self.kept = []
        self.journal = Journal(self.history, self.kept.append)

    def add(self, *texts):
        for text in texts:
            place = f"1-{text}"
            self.journal.add(Message("p:1:2", place, User(2, "bob"), 0, text), "p:1:2", place)
        self.journal.write()

    def test_the_next_batch_gathers_while_one_is_written(self):
        self.add("1")
        self.add("2")
        self.journal.add(None, "g:5", "1-9")
        self.add("3")
        self.assertEqual((self.history.adds, self.journal.backlog), ([(["1"], {"p:1:2": "1-1"})], 3))
        self.history.done[0].callback(None)
        self.assertEqual(self.kept, [{"p:1:2": "1-1"}])
        self.assertEqual(self.history.adds[1:], [(["2", "3"], {"p:1:2": "1-3", "g:5": "1-9"})])

    def test_a_batch_has_its_bounds(self):
        self.add("0")
        self.add(*map(str, range(1, BATCH + 2)))
        for _ in range(3):
            self.history.done[-1].callback(None)
        self.assertEqual([len(texts) for texts, _ in self.history.adds], [1, BATCH, 1])

    def test_flushing_waits_for_all(self):
        self.successResultOf(self.journal.flush())
        self.journal.add(None, "g:5", "1-9")
        flushing = self.journal.flush()
        self.assertNoResult(flushing)
        self.history.done[0].callback(None)
        self.successResultOf(flushing)

    def test_failures_are_logged_and_not_reported_as_written(self):
        self.add("1")
        self.add("2")
        self.history.done[0].errback(HistoryUnavailable("full"))
        self.history.done[1].callback(None)
        # Nor is any later place of that conversation, since it would cover the missing message.
        self.assertEqual(self.kept, [{}])
        self.journal.set_fact("a", "b")
        self.history.put_waiting = lambda waiting: fail(HistoryUnavailable("full"))
        self.journal.put_waiting(Waiting("1", 1, 0, "x"))
        self.successResultOf(self.journal.flush())
        self.assertEqual(len(self.flushLoggedErrors(HistoryUnavailable)), 3)
