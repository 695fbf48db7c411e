"""When a server sends its clients away; tests.cluster.test_native_isolation shows what becomes of them."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.interfaces import ROUTES
from cim.registry.memory import MemoryRegistry
from cim.server.edge.wheel import TimerWheel
from cim.server.links.isolation import PATIENCE_SECONDS, Isolation


class IsolationTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.registry = MemoryRegistry(self.clock)
        self.linked = 0
        self.sent_away = []
        wheel = TimerWheel(self.clock)
        wheel.startService()
        self.addCleanup(wheel.stopService)
        isolation = Isolation(wheel, self.registry, lambda: self.linked, lambda: self.sent_away.append(wheel.now))
        isolation.startService()

    def list_a_route(self):
        return self.registry.announce(ROUTES, "127.0.0.1:1:2", b"")

    def pass_seconds(self, seconds):
        self.clock.pump([1] * seconds)

    def test_once(self):
        self.list_a_route()
        self.pass_seconds(PATIENCE_SECONDS - 1)
        self.assertEqual(len(self.sent_away), 0)
        self.pass_seconds(60)
        self.assertEqual(len(self.sent_away), 1)

    def test_once_more_when_it_was_linked_in_between(self):
        self.list_a_route()
        self.pass_seconds(PATIENCE_SECONDS)
        self.linked = 1
        self.pass_seconds(1)
        self.linked = 0
        self.pass_seconds(60)
        self.assertEqual(len(self.sent_away), 2)

    def test_not_if_no_route_is_listed(self):
        announcement = self.list_a_route()
        announcement.withdraw()
        self.pass_seconds(60)
        self.assertEqual(self.sent_away, [])

    def test_if_the_registry_cannot_be_reached_and_lists_none(self):
        self.registry.health = lambda: "not connected"
        self.pass_seconds(60)
        self.assertEqual(len(self.sent_away), 1)
