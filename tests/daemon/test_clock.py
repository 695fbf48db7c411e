"""The clocks of a process."""

from __future__ import annotations

import sys
import time

from twisted.internet.base import ReactorBase
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.clock import monotonic, monotonic_reactor, time_of_day


class Reactor(ReactorBase):
    """A reactor of Twisted's that never runs."""

    def installWaker(self):
        """Do nothing."""


class ClockTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = Reactor()
        self.patch(sys.modules["twisted.internet"], "reactor", self.reactor)
        self.patch(sys.modules["cim.daemon.clock"].time, "time", lambda: self.now)
        self.now = 1_700_000_000.0

    def test_the_time_of_day_can_be_set(self):
        self.assertEqual(time_of_day(), 1_700_000_000.0)

    def test_durations_go_on_when_the_clock_is_set_back(self):
        self.assertIs(monotonic_reactor(), self.reactor)
        before = monotonic()
        called = []
        call = self.reactor.callLater(0, called.append, "due")
        self.assertLess(abs(call.getTime() - before), 60)
        self.now -= 3600
        self.assertLess(abs(self.reactor.seconds() - before), 60)
        while not called:
            self.reactor.runUntilCurrent()

    def test_a_running_reactor_keeps_its_clock(self):
        """What it has scheduled counts by that."""
        self.reactor.running = True
        self.assertIs(monotonic_reactor(), self.reactor)
        self.assertGreater(self.reactor.seconds(), time.clock_gettime(time.CLOCK_REALTIME) - 3600)
