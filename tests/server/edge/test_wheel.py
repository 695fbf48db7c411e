"""Tests of the timer wheel, on a Clock."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.server.edge.wheel import AGAIN, TimerWheel


class Watched:
    wheel_slot = 0

    def __init__(self, again=0):
        self.again = again
        self.checked = []
        self.error = None

    def check(self, now):
        self.checked.append(now)
        if self.error is not None:
            raise self.error
        return now + self.again if self.again else 0


class TimerWheelTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.wheel.startService()
        self.addCleanup(self.wheel.stopService)

    def test_checks_when_due(self):
        one, other = Watched(), Watched(again=2)
        self.wheel.put(one, 3)
        self.wheel.put(other, 2)
        self.clock.pump([1.0] * 5)
        self.assertEqual((one.checked, other.checked), ([3], [2, 4, 6]))
        self.assertEqual(len(self.wheel), 1)

    def test_a_check_that_fails_affects_no_other(self):
        watched = [Watched() for _ in range(10)]
        for one in watched:
            one.error = ValueError()
            self.wheel.put(one, 2)
        self.clock.pump([1.0] * (AGAIN + 1))
        self.assertEqual([one.checked for one in watched], [[2, 2 + AGAIN]] * 10)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 20)

    def test_time_for_which_the_process_stood_still_does_not_count(self):
        watched = Watched()
        self.wheel.put(watched, 3)
        self.clock.advance(60)
        self.assertEqual(watched.checked, [])
