from __future__ import annotations

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
