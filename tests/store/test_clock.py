"""What a process knows of its store's time between two looks."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.interfaces import IStoreClock
from cim.store.clock import StoreClock, lasting
from cim.store.rules.clock import begun, looked

NOW = 1_700_000_000_000
DAY = 86_400_000


class StoreClockTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = Clock()
        self.reactor.advance(50)
        self.time_of_day = NOW / 1000 + 7
        self.clock = StoreClock("Redis", self.reactor.seconds, lambda: self.time_of_day)
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def said(self):
        return [(event["log_level"], event["log_format"].format(**event)) for event in self.logged]

    def test_before_the_first_look_nothing_is_old(self):
        verifyObject(IStoreClock, self.clock)
        self.assertEqual((self.clock.known, self.clock.now(), self.clock.lift(), self.clock.skew()), (False, 0, 0, 0.0))
        self.assertEqual(self.clock.shown(), NOW + 7000)
        self.assertIsNone(self.clock.expected())

    def test_it_counts_on_whatever_this_machine_s_clock_does(self):
        self.clock.looked(begun(NOW, None), self.reactor.seconds())
        self.assertAlmostEqual(self.clock.skew(), 7, 3)
        self.time_of_day -= 3600
        self.reactor.advance(9.5)
        self.assertEqual((self.clock.now(), self.clock.shown(), self.clock.expected()), (NOW + 9500,) * 3)

    def test_a_look_that_took_long_was_in_the_middle(self):
        began = self.reactor.seconds()
        self.reactor.advance(2)
        self.clock.looked(begun(NOW, None), began)
        self.assertEqual(self.clock.now(), NOW + 1000)
        self.assertAlmostEqual(self.clock.skew(), 6, 3)

    def test_a_jump_is_told_once_and_its_end(self):
        held = begun(NOW, None)
        self.clock.looked(held, self.reactor.seconds())
        self.assertEqual((self.said(), self.clock.facts()), ([], {}))
        for clock in (NOW + 40 * DAY, NOW + 40 * DAY + 10_000):
            held = looked(held, clock)
            self.clock.looked(held, self.reactor.seconds())
        ((level, line),) = self.said()
        self.assertEqual(level, LogLevel.warn)
        self.assertIn("the clock of Redis is 40 d ahead", line)
        self.assertEqual(self.clock.facts(), {"store_clock": line})
        self.assertEqual((self.clock.now(), self.clock.shown()), (NOW + 10_000, NOW + 40 * DAY + 10_000))
        self.clock.looked(looked(held, NOW), self.reactor.seconds())
        self.assertEqual(self.said()[1][0], LogLevel.info)
        self.assertEqual(self.clock.facts(), {})

    def test_after_a_rest_it_is_no_warning(self):
        self.clock.looked(begun(NOW, NOW - DAY), self.reactor.seconds())
        ((level, line),) = self.said()
        self.assertEqual(level, LogLevel.info)
        self.assertIn("24 h ahead", line)

    def test_what_is_stored_is_dated_later_while_the_clock_is_behind(self):
        held = looked(begun(NOW, None), NOW - 40 * DAY)
        self.clock.looked(held, self.reactor.seconds())
        self.assertEqual((self.clock.lift(), self.clock.now() - self.clock.shown()), (40 * DAY, 40 * DAY))

    def test_durations_in_words(self):
        for ms, words in ((999, "0 s"), (119_000, "119 s"), (120_000, "2 min"), (7_200_000, "2 h"), (2 * DAY, "2 d")):
            self.assertEqual(lasting(ms), words)
