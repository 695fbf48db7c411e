"""Clocks that differ are told once."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.metrics import Metrics
from cim.daemon.skew import ClockSkews


class SkewTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.ahead = {"store": 0.1, "10.0.0.5:11211:8081": -1.9}
        self.skews = ClockSkews(lambda: self.ahead, self.clock)
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.seen = 0
        self.skews.startService()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.skews.stopService)

    def said(self):
        """What was logged since the last time."""
        self.clock.pump([1.0] * 20)
        events = list(self.logged)[self.seen :]
        self.seen += len(events)
        return [(event["log_level"], event["log_format"].format(**event)) for event in events]

    def test_one_line_when_it_begins_and_one_when_it_ends(self):
        self.assertEqual((self.said(), self.skews.facts()), ([], {}))
        self.ahead["store"] = 31.44
        ((level, line),) = self.said()
        self.assertEqual(level, LogLevel.warn)
        self.assertIn("31.4 s ahead of that of store", line)
        self.assertEqual(self.skews.facts(), {"clock_skew_seconds": {"store": 31.4}})
        self.assertEqual(self.said(), [])
        self.ahead["store"], self.ahead["10.0.0.5:11211:8081"] = 0.0, -3.0
        lines = [line for _, line in self.said()]
        self.assertEqual(len(lines), 2)
        self.assertIn("store agree again", lines[0])
        self.assertIn("3.0 s behind that of 10.0.0.5:11211:8081", lines[1])

    def test_who_has_gone_and_comes_back_is_told_anew(self):
        self.ahead = {"a": 5.0}
        self.assertEqual(len(self.said()), 1)
        self.ahead = {}
        self.assertEqual((self.said(), self.skews.facts()), ([], {}))
        self.ahead = {"a": 5.0}
        self.assertEqual(len(self.said()), 1)

    def test_metrics(self):
        metrics = Metrics("route")
        metrics.clock_skews = self.skews.ahead
        self.assertIn(b'cim_clock_skew_seconds{peer="store"} 0.1', metrics.render())
