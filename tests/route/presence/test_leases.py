from __future__ import annotations

from twisted.internet.defer import fail

from cim.route.presence.leases import Leases
from tests.route.route_case import RouteCase


class LeasesTests(RouteCase):
    def setUp(self):
        super().setUp()
        self.leases = Leases(self.store.sessions, self.presence, "route", self.clock)
        self.leases.startService()
        self.host = self.presence.host_of(self.link())
        self.leases.linked(self.host)

    def test_stopping_drops_all_leases(self):
        self.assertTrue(self.now(self.store.sessions.leased(self.host.place)))
        self.now(self.leases.stopService())
        self.assertFalse(self.now(self.store.sessions.leased(self.host.place)))

    def test_stopping_while_the_store_is_away_is_no_error(self):
        self.store.available = False
        self.now(self.leases.stopService())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nothing_keeps_it_from_finding_out_that_a_server_is_dead(self):
        errors = [ValueError(), OSError()]
        leased = self.store.sessions.leased
        self.store.sessions.leased = lambda place: fail(errors.pop()) if errors else leased(place)
        self.now(self.store.sessions.hold_lease(self.host.place, "another route", 15.0))
        self.host.link = None
        self.leases.lost(self.host)
        self.clock.pump([0.1] * 50)
        self.assertEqual(errors, [])
        self.assertIn(self.host, self.presence.hosts.values())
        self.now(self.store.sessions.drop_lease(self.host.place, "another route"))
        self.clock.pump([0.1] * 20)
        self.assertNotIn(self.host, self.presence.hosts.values())
        self.assertEqual(len(self.flushLoggedErrors(ValueError, OSError)), 2)

    def test_nothing_keeps_it_from_renewing(self):
        self.presence.hosts["?"] = None
        self.clock.advance(5)
        del self.presence.hosts["?"]
        self.now(self.store.sessions.drop_lease(self.host.place, "route"))
        self.clock.advance(5)
        self.assertTrue(self.now(self.store.sessions.leased(self.host.place)))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
