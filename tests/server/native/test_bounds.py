"""Sessions that were opened by a bounded token."""

from __future__ import annotations

from cim.server.native.session import _SERVED, NEEDED
from cim.server.sessions.ends import SPARE
from cim.tickets import Ticket, make_ticket
from cim.user_tokens import UserScope
from cim.wire.cim_pb2 import Packet, Ping, Pong, Read, Received, Send, Sync, Typing, Watch
from cim.wire.link_pb2 import Reserve
from tests.server.native_case import KEY, ServerCase

ALICE, BOB = 7, 8
PLACE = f"p:{ALICE}:{BOB}"
#: Each packet that a client may send.
PACKETS = {
    "send": Packet(send=Send(user=BOB, client_id="a", text="hi")),
    "received": Packet(received=Received(conversation=PLACE, position="1-1")),
    "read": Packet(read=Read(conversation=PLACE, position="1-1")),
    "sync": Packet(sync=Sync(conversation=PLACE)),
    "typing": Packet(typing=Typing(user=BOB)),
    "watch": Packet(watch=Watch(users=[BOB])),
    "ping": Packet(ping=Ping()),
    "pong": Packet(pong=Pong()),
}


class BoundsTests(ServerCase):
    """A session that does what its token may do, and ends with it."""

    def setUp(self):
        super().setUp()
        self.link()

    def open(self, *scopes, ms=60_000, ticket=True, reserved=True):
        """Reserve a session, and say Hello."""
        bounds = {"bounded": True, "scopes": scopes, "lasts_ms": ms} if reserved else {}
        reserve = Reserve(user=ALICE, name="a", owner="o", seconds=30, device="d", native=True, beside=True, **bounds)
        self.routes[0].say(reserve=reserve)
        client = self.connect()
        place = self.server.own.place
        client.hello(make_ticket(KEY, Ticket(ALICE, "a", "d", "o", ticket), place, self.clock.seconds(), "id"), "d")
        self.turn()
        return client

    def opened(self, *scopes, ms=60_000):
        client = self.open(*scopes, ms=ms)
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome"])
        return client

    def test_every_packet_with_every_scope(self):
        self.assertEqual({*NEEDED, "ping", "pong", "goodbye", "hello"}, set(_SERVED))
        self.assertEqual({*PACKETS, "goodbye", "hello"}, set(_SERVED))
        for scope in UserScope:
            client = self.opened(scope)
            self.pass_seconds(1)
            for kind, packet in PACKETS.items():
                client.say(packet)
                failures = [one.failure for one in client.packets() if one.HasField("failure")]
                if NEEDED.get(kind, scope) is scope:
                    self.assertEqual(failures, [], (scope, kind))
                else:
                    (failure,) = failures
                    self.assertEqual(failure.code, "forbidden")
                    self.assertIn(f"lacks the scope `{NEEDED[kind]}`", failure.message)
                    self.assertEqual(failure.client_id, "a" if kind == "send" else "")
                    self.assertEqual(failure.conversation, PLACE if kind in ("received", "read", "sync") else "")
            client.drop()
            self.turn()

    def test_it_ends_with_its_token(self):
        client = self.opened("read", ms=5_000)
        begun = self.clock.seconds()
        while not client.closed:
            self.pass_seconds(0.1)
        self.assertLessEqual(self.clock.seconds(), begun + 5.11)
        self.assertGreater(self.clock.seconds(), begun + 3.8)
        goodbye = client.packets()[-1].goodbye
        self.assertEqual(goodbye.code, "unauthorized")
        self.assertIn("log in again", goodbye.message)
        self.assertEqual(len(self.server.sessions), 0)
        self.assertEqual(len(self.server.ends), 0)

    def test_what_closed_before_is_forgotten(self):
        client = self.opened("read", ms=50_000)
        self.assertEqual(len(self.server.ends), 1)
        client.drop()
        self.turn()
        self.assertEqual(len(self.server.ends), 0)
        self.pass_seconds(55)

    def test_little_is_kept_of_those_that_closed_long_before(self):
        for number in range(SPARE + 10):
            client = self.opened("read", ms=10_000_000 + 1000 * number)
            client.drop()
            self.turn()
        self.assertEqual(len(self.server.ends), 0)
        self.assertLessEqual(len(self.server.ends._seconds), SPARE + 1)
        # Those that are left end in time all the same.
        client = self.opened("read", ms=3_000)
        self.pass_seconds(3.1)
        self.assertTrue(client.closed)

    def test_a_token_that_ends_meanwhile_opens_none_for_long(self):
        client = self.open("read", ms=0)
        self.pass_seconds(1)
        self.assertEqual(client.packets()[-1].goodbye.code, "unauthorized")
        self.assertTrue(client.closed)

    def test_others_go_on(self):
        self.log_in(BOB)
        self.opened("read", ms=2_000)
        self.pass_seconds(5)
        self.assertEqual([session.user for session in self.server.sessions], [BOB])
        self.assertEqual(len(self.server.ends), 0)

    def test_a_ticket_and_a_reservation_that_differ(self):
        """As when a link of an earlier release left out what bounds it."""
        for ticket, reserved in ((True, False), (False, True)):
            client = self.open("read", ticket=ticket, reserved=reserved)
            self.assertEqual(client.packets()[-1].goodbye.code, "unauthorized")
            self.assertTrue(client.closed)
