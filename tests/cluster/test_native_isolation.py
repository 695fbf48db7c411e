"""A server that is cut off from all routes, while others are not."""

from __future__ import annotations

from cim.interfaces import ROUTES
from tests.cluster.native_case import NativeCase


class IsolationTests(NativeCase):
    def setUp(self):
        super().setUp()
        self.server, self.other = self.cluster.servers
        for route in self.cluster.routes:
            self.cluster.registry.announce(ROUTES, str(route.address), b"")
        for server in self.cluster.servers:
            server.isolation.startService()
        self.turn()

    def cut_off(self):
        for route in self.cluster.routes:
            self.cluster.cut(self.server, route)

    def test_clients_go_elsewhere_and_talk(self):
        phone, desk = (self.log_in(who) for who in (self.alice, self.bob))
        here, there = (phone, desk) if phone.connection in self.server.gateway.connections else (desk, phone)
        self.cut_off()
        self.cluster.pass_seconds(4)
        self.assertEqual(here.packets(), [])
        self.cluster.pass_seconds(1)
        self.assertEqual(self.goodbye(here), "draining")
        self.assertEqual(there.packets(), [])
        who, whom = (self.alice, self.bob) if here is phone else (self.bob, self.alice)
        again = self.log_in(who)
        self.assertIn(again.connection, self.other.gateway.connections)
        again.send(whom.id, "here again", "1")
        self.assertEqual(self.answer(there).text, "here again")

    def test_nobody_gets_in_by_a_login_from_before(self):
        admission, ticket = self.cluster.admit(self.alice, "phone", 0)
        if admission.place.server != self.server.own.name:
            self.server, self.other = self.other, self.server
        self.cut_off()
        self.cluster.pass_seconds(5)
        self.assertEqual(self.server.sessions.reserved, 0)
        client = self.cluster.open_native(admission.place.server, "")
        client.hello(ticket, "phone", "", False)
        self.assertEqual(self.goodbye(client), "unauthorized")  # which says to log in again: elsewhere
        self.assertIn(self.log_in(self.alice).connection, self.other.gateway.connections)

    def test_all_is_well_when_the_links_are_back(self):
        self.cut_off()
        self.cluster.pass_seconds(60)
        for route in self.cluster.routes:
            self.cluster.link(self.server, route)
        self.turn()
        clients = [self.log_in(self.alice, f"{number}") for number in range(4)]
        self.assertEqual(len(self.server.sessions), 2)
        self.cluster.pass_seconds(20)
        self.assertFalse(any(client.closed for client in clients))
