"""Services start in order and stop within deadlines."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.lifecycle import OrderedService, within


class Child(Service):
    def __init__(self, label, events, stopping=None, refuses=False):
        self.label = label
        self.events = events
        self.stopping = stopping
        self.refuses = refuses

    def privilegedStartService(self):
        self.events.append(f"bind {self.label}")

    def startService(self):
        if self.refuses:
            raise RuntimeError(self.label)
        super().startService()
        self.events.append(f"start {self.label}")

    def stopService(self):
        super().stopService()
        self.events.append(f"stop {self.label}")
        if isinstance(self.stopping, Exception):
            raise self.stopping
        return self.stopping


class OrderedServiceTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.events = []
        self.service = OrderedService(self.clock, stop_timeout=10.0, total=15.0)

    def add(self, label, stopping=None, stop_timeout=None, refuses=False):
        child = Child(label, self.events, stopping, refuses)
        self.service.add(child, stop_timeout)
        return child

    def start(self):
        self.service.privilegedStartService()
        self.service.startService()
        del self.events[:]

    def tearDown(self):
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_start_order(self):
        self.add("a")
        self.add("b")
        self.service.privilegedStartService()
        self.service.startService()
        self.assertEqual(self.events, ["bind a", "bind b", "start a", "start b"])

    def test_each_waits_for_the_one_before(self):
        slow = Deferred()
        self.add("a")
        self.add("b", slow)
        self.add("c", succeed(None))
        self.start()
        done = self.service.stopService()
        self.assertEqual(self.events, ["stop c", "stop b"])
        self.assertNoResult(done)
        slow.callback(None)
        self.assertEqual(self.events, ["stop c", "stop b", "stop a"])
        self.successResultOf(done)
        self.assertFalse(self.service.running)

    def test_failures_are_logged_and_the_stop_continues(self):
        self.add("a")
        self.add("b", RuntimeError("at once"))
        failing = Deferred()
        self.add("c", failing)
        self.start()
        done = self.service.stopService()
        failing.errback(RuntimeError("later"))
        self.successResultOf(done)
        self.assertEqual(self.events, ["stop c", "stop b", "stop a"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_deadline_of_one(self):
        stuck = Deferred()
        self.add("a")
        self.add("b", stuck, stop_timeout=2.0)
        self.start()
        done = self.service.stopService()
        self.clock.advance(1.9)
        self.assertNoResult(done)
        self.clock.advance(0.1)
        self.successResultOf(done)
        self.assertEqual(self.events, ["stop b", "stop a"])
        stuck.errback(RuntimeError("much later"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_deadline_of_all(self):
        for label in "abc":
            self.add(label, Deferred())
        self.start()
        done = self.service.stopService()
        self.clock.pump([10.0, 5.0, 0.0])
        self.successResultOf(done)
        self.assertEqual(self.events, ["stop c", "stop b", "stop a"])

    def test_stopped_twice(self):
        slow = Deferred()
        self.add("a", slow)
        self.start()
        first, second = self.service.stopService(), self.service.stopService()
        slow.callback(None)
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(self.events, ["stop a"])
        self.successResultOf(self.service.stopService())

    def test_only_what_started_is_stopped(self):
        self.add("a")
        self.add("b", refuses=True)
        self.add("c")
        self.assertRaises(RuntimeError, self.service.startService)
        del self.events[:]
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.events, ["stop a"])

    def test_started_again(self):
        self.add("a")
        self.start()
        self.successResultOf(self.service.stopService())
        self.start()
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.events, ["stop a"])

    def test_added_while_running(self):
        self.start()
        late = self.add("late")
        self.assertTrue(late.running)
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.events[-1], "stop late")

    def test_removed_while_running(self):
        child = self.add("a")
        self.start()
        child.disownServiceParent()
        self.assertEqual(self.events, ["stop a"])
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.events, ["stop a"])


class WithinTests(SynchronousTestCase):
    def test_never_cancels(self):
        clock, cancelled = Clock(), []
        d = Deferred(cancelled.append)
        outcome = within(d, 1.0, clock, Logger(), "it")
        clock.advance(1.0)
        self.assertIs(self.successResultOf(outcome), False)
        self.assertEqual(cancelled, [])
        d.callback(None)

    def test_in_time(self):
        clock = Clock()
        self.assertIs(self.successResultOf(within(succeed(1), 1.0, clock, Logger(), "it")), True)
        self.assertEqual(clock.getDelayedCalls(), [])
