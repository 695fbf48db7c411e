"""Tests of leaving somebody alone who fails."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.route.policy.breaker import FAILURES, LONGEST_PAUSE, Breaker, State


class BreakerTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.breaker = Breaker(self.clock.seconds)

    def fail(self, times=1):
        for _ in range(times):
            self.assertTrue(self.breaker.permits())
            self.breaker.failed()

    def test_some_failures_in_a_row_pause_it(self):
        self.fail(FAILURES - 1)
        self.breaker.succeeded()
        self.fail(FAILURES - 1)
        self.assertIs(self.breaker.state, State.ASKED)
        self.fail()
        self.assertEqual(
            (self.breaker.state, self.breaker.permits(), self.breaker.remaining()), (State.PAUSED, False, 1.0)
        )

    def test_after_a_pause_one_question_decides(self):
        self.fail(FAILURES)
        self.clock.advance(1)
        self.assertEqual([self.breaker.permits() for _ in range(3)], [True, False, False])
        self.breaker.succeeded()
        self.assertEqual([self.breaker.permits() for _ in range(3)], [True] * 3)
        self.fail(FAILURES)
        self.assertEqual(self.breaker.remaining(), 1.0)

    def test_pauses_grow_up_to_a_bound(self):
        self.fail(FAILURES)
        pauses = []
        for _ in range(7):
            pauses.append(self.breaker.remaining())
            self.clock.advance(pauses[-1])
            self.fail()
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 30, LONGEST_PAUSE])

    def test_late_failures_do_not_lengthen_a_pause(self):
        for _ in range(FAILURES + 10):
            self.breaker.permits()
        for _ in range(FAILURES + 10):
            self.breaker.failed()
        self.assertEqual(self.breaker.remaining(), 1.0)
