"""Clients are sent elsewhere when their server is cut off from all routes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.interfaces import ROUTES
from cim.server.links.isolation import PATIENCE_SECONDS, Isolation


class Wheel:
    now = 1

    def __init__(self):
        self.watched = {}

    def put(self, watched, tick):
        self.watched[watched] = tick

    def remove(self, watched):
        del self.watched[watched]

    def tick(self, count=1):
        for _ in range(count):
            self.now += 1
            for watched, tick in list(self.watched.items()):
                if tick == self.now:
                    self.watched[watched] = watched.check(self.now)


class Registry:
    trouble = ""

    def watch(self, folder, listener):
        assert folder == ROUTES
        self.list = listener
        return lambda: setattr(self, "list", None)

    def health(self):
        return self.trouble


class IsolationTests(SynchronousTestCase):
    def setUp(self):
        self.wheel, self.registry, self.links, self.sent_away = Wheel(), Registry(), 0, 0
        self.isolation = Isolation(self.wheel, self.registry, lambda: self.links, self.send_away)
        self.isolation.startService()
        self.registry.list({"10.0.0.9:8083:8084": b""})

    def send_away(self):
        self.sent_away += 1

    def test_after_five_seconds_and_once(self):
        self.wheel.tick(PATIENCE_SECONDS - 1)
        self.assertEqual(self.sent_away, 0)
        self.wheel.tick(100)
        self.assertEqual(self.sent_away, 1)
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_links_that_come_and_go(self):
        for links in (0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0):
            self.links = links
            self.wheel.tick()
        self.assertEqual(self.sent_away, 0)
        self.wheel.tick()
        self.assertEqual(self.sent_away, 1)

    def test_again_when_it_is_cut_off_again(self):
        self.wheel.tick(10)
        self.links = 1
        self.wheel.tick()
        self.links = 0
        self.wheel.tick(10)
        self.assertEqual(self.sent_away, 2)

    def test_there_is_no_other_place(self):
        """The only route was stopped: whoever is away comes back no sooner than whoever waits."""
        self.registry.list({})
        self.wheel.tick(100)
        self.assertEqual(self.sent_away, 0)

    def test_nobody_knows_of_other_places(self):
        self.registry.list({})
        self.registry.trouble = "not connected"
        self.wheel.tick(PATIENCE_SECONDS)
        self.assertEqual(self.sent_away, 1)

    def test_stopped(self):
        self.isolation.stopService()
        self.wheel.tick(100)
        self.assertEqual((self.sent_away, self.registry.list, self.wheel.watched), (0, None, {}))
