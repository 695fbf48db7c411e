"""Closed and open loops."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bench.pacing import closed_loop, open_loop


class ClosedLoopTests(SynchronousTestCase):
    def test_never_more_than_allowed(self):
        waiting = []

        def work(item):
            waiting.append((item, Deferred()))
            return waiting[-1][1]

        done = Deferred.fromCoroutine(closed_loop(range(5), 2, work))
        for finished in range(5):
            self.assertEqual(len(waiting), min(5, finished + 2))
            self.assertNoResult(done)
            waiting[finished][1].callback(None)
        self.successResultOf(done)
        self.assertEqual([item for item, _ in waiting], list(range(5)))

    def test_a_failure_is_told(self):
        async def work(item):
            raise KeyError(item)

        self.failureResultOf(Deferred.fromCoroutine(closed_loop(range(3), 2, work)), KeyError)


class OpenLoopTests(SynchronousTestCase):
    def test_on_time(self):
        clock, offered = Clock(), []
        done = open_loop(clock, clock.seconds, 4, 1.0, lambda index, due: offered.append((index, due, clock.seconds())))
        clock.pump([0.25] * 4)
        self.assertEqual(offered, [(index, index / 4, index / 4) for index in range(4)])
        self.successResultOf(done)

    def test_what_is_late_keeps_its_time(self):
        clock, offered = Clock(), []
        done = open_loop(clock, clock.seconds, 10, 1.0, lambda index, due: offered.append(due))
        clock.advance(5.0)
        self.assertEqual(offered, [index / 10 for index in range(10)])
        self.successResultOf(done)
        self.assertEqual(clock.getDelayedCalls(), [])
