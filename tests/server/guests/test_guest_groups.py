"""Guests' groups, which a reservation tells, as the server's index has them."""

from __future__ import annotations

from cim.wire.guests import Generation, encode_login
from cim.wire.link_pb2 import GroupChange, Reserve
from tests.harness.cluster import ClientTransport, TestClient
from tests.server.native_case import ServerCase

GUEST = 5
GROUP = 40


class ReservedGroupsTests(ServerCase):
    """A guest logs in."""

    def setUp(self):
        super().setUp()
        self.route = self.link()
        self.route.groups = {GUEST: [GROUP]}
        self.route.version = 9

    def reserve_guest(self, user=GUEST, **told):
        self.route.say(reserve=Reserve(user=user, name="guest", owner=f"o{user}", seconds=30, **told))

    def come(self, user=GUEST):
        connection = self.server.gateway.buildProtocol(None)
        transport = ClientTransport()
        connection.makeConnection(transport)
        client = TestClient(connection, transport, Generation.W2)
        client.send(encode_login(Generation.W2, user, "guest"))

    def change(self, version, added, user=GUEST, group=GROUP):
        self.route.say(group_change=GroupChange(version=version, group=group, user=user, added=added))

    def users(self):
        return sorted(session.user for session in self.server.index.of(GROUP))

    def test_are_known_in_the_turn_in_which_it_is_live(self):
        self.reserve_guest(grouped=True, groups=[GROUP], floors=[""], version=9)
        self.come()
        self.assertEqual(self.users(), [GUEST])
        self.turn()
        self.assertEqual(self.route.take("open"), [])

    def test_are_asked_for_when_they_were_not_told(self):
        self.reserve_guest()
        self.come()
        self.assertEqual(self.users(), [])
        self.turn()
        self.assertEqual(self.users(), [GUEST])

    def test_what_changed_while_the_reservation_waited_counts(self):
        self.reserve_guest(grouped=True, groups=[GROUP], floors=[""], version=8)
        self.change(9, added=False)
        self.come()
        self.assertEqual(self.users(), [])

    def test_are_asked_for_when_a_link_came_up_meanwhile(self):
        self.reserve_guest(grouped=True, groups=[], version=8)
        self.link("127.0.0.1:8085:8086")
        self.route.groups = self.routes[1].groups = {GUEST: [GROUP]}
        self.routes[1].version = 9
        self.come()
        self.turn()
        self.assertEqual(self.users(), [GUEST])

    def test_are_asked_for_when_the_index_did_without_later_changes(self):
        self.reserve_guest(grouped=True, groups=[], version=8)
        # The first session whose groups are known: the index begins after version 9, which was told before or never.
        self.reserve_guest(6, grouped=True, groups=[], version=9)
        self.come(6)
        self.change(9, added=True)
        self.come()
        self.assertEqual(self.users(), [])
        self.turn()
        self.assertEqual(self.users(), [GUEST])

    def test_are_asked_for_when_the_index_may_lack_changes(self):
        self.reserve_guest(grouped=True, groups=[], version=8)
        self.route.say(group_change=GroupChange(version=8))
        self.come()
        self.turn()
        self.assertEqual(self.users(), [GUEST])
