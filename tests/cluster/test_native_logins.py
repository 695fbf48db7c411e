"""Tickets and Hello; devices, and what a login does to the user's other devices."""

from __future__ import annotations

import base64
import json

from cim.errors import RepeatLogin
from cim.keys import derive_key
from cim.model import LoginPolicy
from cim.tickets import Ticket, make_ticket
from cim.wire.cim_pb2 import Hello, Packet
from tests.cluster.native_case import NativeCase


def _unpadded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TicketTests(NativeCase):
    def hello(self, ticket, server, device=""):
        client = self.cluster.open_native(server)
        client.hello(ticket, device)
        self.turn()
        return client

    def assert_refused(self, ticket, server, device=""):
        client = self.hello(ticket, server, device)
        self.assertEqual(self.goodbye(client), "unauthorized")

    def test_welcome(self):
        client = self.log_in(self.alice)
        welcome = client.welcome
        self.assertEqual((welcome.user_id, list(welcome.heads), welcome.more), (self.alice.id, [], ""))
        self.assertEqual((bool(welcome.session), welcome.heartbeat_seconds), (True, 11))
        self.assertEqual(welcome.as_of, str(int(self.cluster.clock.seconds() * 1000)))

    def test_a_ticket_is_valid_once(self):
        admission, ticket = self.cluster.admit(self.alice)
        first = self.hello(ticket, admission.place.server)
        self.assertTrue(first.begin())
        self.assert_refused(ticket, admission.place.server)
        self.assertFalse(first.closed)

    def test_a_ticket_expires_after_thirty_seconds(self):
        admission, ticket = self.cluster.admit(self.alice)
        self.cluster.pass_seconds(31)
        self.assert_refused(ticket, admission.place.server)
        # The user is not locked out.
        self.log_in(self.alice)

    def test_an_altered_ticket(self):
        admission, ticket = self.cluster.admit(self.alice)
        header, claims, signature = ticket.split(".")
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))
        other = _unpadded(json.dumps({**said, "sub": str(self.bob.id)}).encode())
        none = _unpadded(b'{"alg":"none","typ":"JWT"}')
        for altered in (
            f"{header}.{other}.{signature}",
            f"{none}.{claims}.",
            f"{none}.{claims}.{signature}",
            f"{header}.{claims}.{signature[:-2]}AA",
            f"{header}.{claims}",
            "",
            "x" * 60_000,
            "é",
        ):
            self.assert_refused(altered, admission.place.server)
        self.assertTrue(self.hello(ticket, admission.place.server).begin())

    def test_a_ticket_signed_with_another_secret(self):
        admission, _ = self.cluster.admit(self.alice)
        ticket = make_ticket(
            derive_key(b"another", "ticket"),
            Ticket(self.alice.id, "alice", "phone", admission.owner),
            admission.place,
            self.cluster.clock.seconds(),
            "1",
        )
        self.assert_refused(ticket, admission.place.server)

    def test_a_ticket_for_another_user_s_reservation(self):
        admission, _ = self.cluster.admit(self.alice)
        self.assert_refused(self.cluster.ticket(self.bob, "phone", admission), admission.place.server)
        self.assert_refused(self.cluster.ticket(self.alice, "tablet", admission), admission.place.server)

    def test_a_ticket_for_another_server(self):
        admission, ticket = self.cluster.admit(self.alice)
        (other,) = (server for server in self.cluster.servers if server.own.place != admission.place)
        self.assert_refused(ticket, other.own.name)

    def test_a_ticket_for_a_former_run_of_the_server(self):
        admission, ticket = self.cluster.admit(self.alice)
        index = [server.own.place for server in self.cluster.servers].index(admission.place)
        self.cluster.kill(self.cluster.servers[index])
        self.cluster.start_server(at=index)
        self.turn()
        self.assert_refused(ticket, admission.place.server)

    def test_a_ticket_after_logout(self):
        admission, ticket = self.cluster.admit(self.alice)
        self.cluster.clock.advance(5)
        self.cluster.result(self.cluster.routes[1].logins.end_sessions(self.alice.id))
        self.assert_refused(ticket, admission.place.server)

    def test_another_device_than_the_ticket_s(self):
        admission, ticket = self.cluster.admit(self.alice)
        self.assert_refused(ticket, admission.place.server, "tablet")

    def test_a_second_hello(self):
        client = self.log_in(self.alice)
        client.hello("x")
        self.assertEqual(self.goodbye(client), "protocol-error")

    def test_packets_before_hello(self):
        client = self.cluster.open_native(self.cluster.servers[0].own.name)
        client.send(self.bob.id, "hello", "1")
        self.assertEqual(self.goodbye(client), "protocol-error")

    def test_packets_that_come_with_the_hello_are_handled_after_the_welcome(self):
        bob = self.log_in(self.bob)
        admission, ticket = self.cluster.admit(self.alice)
        client = self.cluster.open_native(admission.place.server)
        send = Packet()
        send.send.user, send.send.text, send.send.client_id = self.bob.id, "at once", "1"
        client.say(Packet(hello=Hello(ticket=ticket)), send)
        self.turn()
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome", "accepted"])
        self.assertEqual(bob.texts(), ["at once"])


class ManyTests(NativeCase):
    def test_devices_live_side_by_side(self):
        phone, tablet = self.log_in(self.alice), self.log_in(self.alice, "tablet")
        self.assertFalse(phone.closed or tablet.closed)

    def test_a_device_replaces_itself_wherever_it_was(self):
        tablet = self.log_in(self.alice, "tablet")
        first = self.log_in(self.alice)
        for _ in range(3):
            again = self.log_in(self.alice, route=1)
            self.assertEqual(self.goodbye(first), "replaced")
            first = again
        self.assertFalse(tablet.closed or first.closed)
        for route in self.cluster.routes:
            self.assertEqual(len(self.cluster.where(self.alice.id, route)), 2)
        records = self.successResultOf(self.cluster.store.sessions.sessions(self.alice.id))
        self.assertEqual(sorted(record.device for record in records), ["phone", "tablet"])

    def test_two_logins_of_a_device_at_once_leave_one(self):
        tickets = [self.cluster.admit(self.alice, route=route) for route in (0, 1)]
        clients = []
        for admission, ticket in tickets:
            client = self.cluster.open_native(admission.place.server)
            client.hello(ticket)
            clients.append(client)
        self.cluster.pass_seconds(2)
        self.assertEqual(sorted(client.closed for client in clients), [False, True])
        for route in self.cluster.routes:
            self.assertEqual(len(self.cluster.where(self.alice.id, route)), 1)


class ReplaceTests(NativeCase):
    policy = LoginPolicy.REPLACE

    def test_the_newer_login_ends_the_older_one(self):
        for device in ("phone", "tablet", "tablet"):
            first = self.log_in(self.alice)
            second = self.log_in(self.alice, device, route=1)
            self.assertEqual(self.goodbye(first), "replaced")
            self.assertFalse(second.closed)

    def test_a_newer_login_ends_a_guest_s_session_too(self):
        guest = self.cluster.log_in(self.alice)
        native = self.log_in(self.alice)
        self.assertTrue(guest.closed)
        guest = self.cluster.log_in(self.alice)
        self.assertEqual(self.goodbye(native), "replaced")
        self.assertFalse(guest.closed)


class RejectTests(NativeCase):
    policy = LoginPolicy.REJECT

    def test_a_second_device_is_refused_and_the_same_one_is_not(self):
        first = self.log_in(self.alice)
        for route in (0, 1):
            self.assertRaises(RepeatLogin, self.cluster.admit, self.alice, "tablet", route)
        self.assertFalse(first.closed)
        second = self.log_in(self.alice, route=1)
        self.assertEqual(self.goodbye(first), "replaced")
        second.drop()
        self.turn()
        self.log_in(self.alice, "tablet")

    def test_the_record_of_a_session_that_is_gone_blocks_nobody(self):
        first = self.log_in(self.alice)
        session = first.connection.session
        # No route is told of its end.
        session.announced = False
        first.drop()
        self.log_in(self.alice, "tablet")

    def test_the_record_of_a_session_whose_server_died_blocks_nobody(self):
        self.log_in(self.alice)
        for server in self.cluster.servers:
            self.cluster.kill(server)
        for index in range(2):
            self.cluster.start_server(at=index)
        self.turn()
        self.log_in(self.alice, "tablet")
