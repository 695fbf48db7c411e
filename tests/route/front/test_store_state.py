"""Servers are told whether a route reaches its store."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.route.front.store_state import LOOK_SECONDS, StoreWatch
from tests.route.route_case import Link


class StoreWatchTests(SynchronousTestCase):
    def setUp(self):
        self.clock, self.trouble, self.links = Clock(), "", [Link(), Link()]
        self.watch = StoreWatch(lambda: self.trouble, lambda: self.links, self.clock)
        self.watch.startService()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.watch.stopService)

    def told(self):
        return [[state.away for state in link.take("store_state")] for link in self.links]

    def test_told_once_when_it_changes(self):
        self.clock.pump([LOOK_SECONDS] * 5)
        self.assertEqual(self.told(), [[], []])
        self.trouble = "away"
        self.clock.pump([LOOK_SECONDS] * 5)
        self.trouble = "still away"
        self.clock.pump([LOOK_SECONDS] * 5)
        self.assertEqual(self.told(), [[True], [True]])
        self.trouble = ""
        self.clock.pump([LOOK_SECONDS] * 5)
        self.assertEqual(self.told(), [[False], [False]])

    def test_a_new_link(self):
        for self.trouble, told in (("away", [True]), ("", [])):
            self.clock.advance(LOOK_SECONDS)
            link = Link()
            self.watch.link_up(link)
            self.assertEqual([state.away for state in link.take("store_state")], told)

    def test_a_store_whose_health_cannot_be_seen(self):
        self.watch._health = lambda: 1 / 0
        self.clock.pump([LOOK_SECONDS] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.watch._health = lambda: "away"
        self.clock.advance(2 * LOOK_SECONDS)
        self.assertEqual(self.told(), [[True], [True]])
