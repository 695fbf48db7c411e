"""Tests of when an answer is told on: only when enough replicas have what it says."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable
from cim.store.redis.confirming import CHANNEL, CONFIRM_MS, Confirming, majority

QUESTION = [("PUBLISH", CHANNEL, ""), ("WAIT", 1, CONFIRM_MS)]


class ConfirmingTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.asked = []  # (words, reply)
        self.cuts = []
        self.connected = True
        self.servers = 3
        self.confirming = Confirming(self.ask, self.clock, lambda: self.servers, self.cuts.append)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def ask(self, *words):
        if not self.connected:
            raise ConnectionError("Not connected")
        reply = Deferred()
        self.asked.append((words, reply))
        return reply

    def call(self, *words):
        return self.confirming.follow(self.ask(*words))

    def words(self):
        return [words for words, _ in self.asked]

    def reply(self, value):
        """Answer what was asked first."""
        _, reply = self.asked.pop(0)
        reply.errback(value) if isinstance(value, Exception) else reply.callback(value)

    def test_an_answer_waits_for_a_majority(self):
        done = self.call("GET", "a")
        self.clock.advance(0)
        self.assertEqual(self.words(), [("GET", "a"), *QUESTION])
        self.reply(b"x")
        self.reply(0)
        self.assertNoResult(done)
        self.reply(1)
        self.assertEqual(self.successResultOf(done), b"x")
        self.assertEqual(self.cuts, [])

    def test_the_calls_of_a_turn_share_a_question(self):
        first, second = self.call("GET", "a"), self.call("GET", "b")
        self.clock.advance(0)
        self.assertEqual(self.words(), [("GET", "a"), ("GET", "b"), *QUESTION])
        for value in (b"x", b"y", 0, 2):
            self.reply(value)
        self.assertEqual([self.successResultOf(first), self.successResultOf(second)], [b"x", b"y"])
        self.assertEqual(self.words(), [])

    def test_later_calls_share_the_next_question(self):
        first = self.call("GET", "a")
        self.clock.advance(0)
        second, third = self.call("GET", "b"), self.call("GET", "c")
        self.clock.advance(0)
        self.assertEqual(self.words(), [("GET", "a"), *QUESTION, ("GET", "b"), ("GET", "c")])
        for value in (b"x", 0, 1):
            self.reply(value)
        self.successResultOf(first)
        self.assertNoResult(second)
        self.assertEqual(self.words(), [("GET", "b"), ("GET", "c"), *QUESTION])
        for value in (b"y", b"z", 0, 1):
            self.reply(value)
        self.assertEqual([self.successResultOf(second), self.successResultOf(third)], [b"y", b"z"])

    def test_too_few_replicas(self):
        first = self.call("GET", "a")
        self.clock.advance(0)
        second = self.call("GET", "b")
        for value in (b"x", 0, 0):
            self.reply(value)
        self.failureResultOf(first, StoreUnavailable)
        self.assertEqual(self.cuts, ["no replica confirms what is written, and a majority of 3 takes 1"])
        self.reply(b"y")
        self.failureResultOf(second, StoreUnavailable)

    def test_how_many_are_needed_may_change(self):
        self.servers = 5
        done = self.call("GET", "a")
        self.clock.advance(0)
        self.assertEqual(self.words()[-1], ("WAIT", 2, CONFIRM_MS))
        for value in (b"x", 0, 1):
            self.reply(value)
        self.failureResultOf(done, StoreUnavailable)
        self.assertEqual(self.cuts, ["only 1 of its replicas confirm what is written, and a majority of 5 takes 2"])

    def test_replicas_that_keep_up_are_waited_for_until_they_do_not(self):
        info = (
            b"# Replication\r\nrole:master\r\nconnected_slaves:3\r\n"
            b"slave0:ip=10.0.0.2,port=6379,state=online,offset=42,lag=0\r\n"
            b"slave1:ip=10.0.0.3,port=6379,state=online,offset=42,lag=1\r\n"
            b"slave2:ip=10.0.0.4,port=6379,state=%b\r\nmaster_replid:x\r\n"
        )
        self.servers = 4
        for third, waited in [(b"wait_bgsave,offset=0,lag=0", 2), (b"online,offset=2,lag=2", 2), (b"online,lag=1", 3)]:
            self.confirming.expect(info % third)
            done = self.call("GET", "a")
            self.clock.advance(0)
            self.assertEqual(self.words()[-1], ("WAIT", waited, CONFIRM_MS))
            for value in (b"x", 0, waited):
                self.reply(value)
            self.successResultOf(done)
        # One of them falls behind: the others are enough, and it is waited for no longer.
        for waited in (3, 2):
            done = self.call("GET", "a")
            self.clock.advance(0)
            self.assertEqual(self.words()[-1], ("WAIT", waited, CONFIRM_MS))
            for value in (b"x", 0, 2):
                self.reply(value)
            self.successResultOf(done)
        self.assertEqual(self.cuts, [])

    def test_a_refused_call_waits_for_nobody(self):
        done = self.call("GET")
        self.clock.advance(0)
        self.reply(ValueError("ERR"))
        self.failureResultOf(done, ValueError)
        self.reply(0)
        self.reply(0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_question_that_is_refused_confirms_nothing(self):
        for answers in ((ValueError("NOPERM no channel"), 2), (0, ValueError("NOPERM no WAIT"))):
            done = self.call("GET", "a")
            self.clock.advance(0)
            for value in (b"x", *answers):
                self.reply(value)
            self.failureResultOf(done, StoreUnavailable)
            self.assertIn("does not wait for its replicas (NOPERM no", self.cuts.pop())

    def test_a_connection_that_is_lost_before_the_question(self):
        done = self.call("GET", "a")
        self.reply(b"x")
        self.connected = False
        self.clock.advance(0)
        self.failureResultOf(done, StoreUnavailable)


class MajorityTests(SynchronousTestCase):
    def test_with_the_master(self):
        self.assertEqual([majority(servers) for servers in (1, 2, 3, 4, 5, 6, 7)], [1, 1, 1, 2, 2, 3, 3])
