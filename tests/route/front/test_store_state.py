"""Servers are told whether a route reaches its store."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.route.front.store_state import LOOK_SECONDS, StoreWatch
from tests.route.route_case import Link


class Store:
    def __init__(self):
        self.trouble, self.number = "", 0

    def health(self):
        return self.trouble

    def epoch(self):
        return self.number


class StoreWatchTests(SynchronousTestCase):
    def setUp(self):
        self.clock, self.store, self.links = Clock(), Store(), [Link(), Link()]
        self.watch = StoreWatch(self.store, lambda: self.links, self.clock)
        self.changes = []
        self.watch.on_change.append(self.changes.append)
        self.watch.startService()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(self.watch.stopService)

    def told(self):
        return [[state.away for state in link.take("store_state")] for link in self.links]

    def test_told_once_when_it_changes(self):
        self.clock.pump([LOOK_SECONDS] * 5)
        self.assertEqual(self.told(), [[], []])
        self.store.trouble = "away"
        self.clock.pump([LOOK_SECONDS] * 5)
        self.store.trouble = "still away"
        self.clock.pump([LOOK_SECONDS] * 5)
        self.assertEqual(self.told(), [[True], [True]])
        self.store.trouble = ""
        self.clock.pump([LOOK_SECONDS] * 5)
        self.assertEqual(self.told(), [[False], [False]])
        self.assertEqual(self.changes, [True, False])

    def test_another_epoch_is_no_change_of_whether_it_is_away(self):
        self.store.number = 2
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual((self.told(), self.changes), ([[False], [False]], []))

    def test_a_new_link(self):
        for self.store.trouble, told in (("away", [True]), ("", [])):
            self.clock.advance(LOOK_SECONDS)
            link = Link()
            self.watch.link_up(link)
            self.assertEqual([state.away for state in link.take("store_state")], told)

    def test_the_epoch_at_once_to_all_and_to_each_new_link(self):
        self.store.number = 7
        self.watch.look()
        self.assertEqual([state.epoch for link in self.links for state in link.take("store_state")], [7, 7])
        self.clock.pump([LOOK_SECONDS] * 3)
        link = Link()
        self.watch.link_up(link)
        (state,) = link.take("store_state")
        self.assertEqual((state.away, state.epoch), (False, 7))
        self.assertEqual(self.told(), [[], []])

    def test_a_store_whose_health_cannot_be_seen(self):
        self.store.health = lambda: 1 / 0
        self.clock.pump([LOOK_SECONDS] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
        self.store.health = lambda: "away"
        self.clock.advance(2 * LOOK_SECONDS)
        self.assertEqual(self.told(), [[True], [True]])
