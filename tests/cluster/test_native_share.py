"""A session's share: how much of what one client says is served before others have their turn, and how often."""

from __future__ import annotations

from functools import partial

from wsproto.frame_protocol import Opcode

from cim.limits import NO_LIMIT, Limit
from cim.server.edge.connection import SLICE, ClientConnection, Limits
from cim.wire.cim_pb2 import Packet, Ping, Send, Sync, Watch
from cim.wire.websocket_frames import masked_frame
from tests.cluster.native_case import NativeCase

PINGS = [Packet(ping=Ping())]


class ShareTests(NativeCase):
    """Servers serve few frames of one client in a turn, and have no limit for longer."""

    limits = Limits(frames=NO_LIMIT, turn=4)
    #: Opens a client's connection.
    options: dict = {}

    def setUp(self):
        super().setUp()
        self.phone, self.desk = self.log_in(self.alice, **self.options), self.log_in(self.bob)
        self.phone.packets()
        self.desk.packets()

    def pongs(self, client=None):
        return len((client or self.phone).take("pong"))

    def step(self):
        """One reactor turn."""
        self.cluster.clock.advance(0)

    def test_what_is_too_much_for_a_turn_waits_and_nothing_more_is_read(self):
        many = 3 * SLICE
        served = []
        serve_rest = ClientConnection.serve_rest

        def noted(connection, share):
            served.append(serve_rest(connection, share))
            return served[-1]

        self.patch(ClientConnection, "serve_rest", noted)
        self.phone.say(*PINGS * many)
        # A slice is served as a whole.
        first = self.pongs()
        self.assertLessEqual(first, SLICE)
        self.assertFalse(self.phone.read_from)
        # Others have their turn meanwhile.
        self.desk.ping()
        self.assertEqual(self.pongs(self.desk), 1)
        self.step()
        self.assertTrue(self.phone.read_from)
        self.assertGreater(len(served), 5)
        self.assertLessEqual(max(served), SLICE)
        self.assertEqual((first + sum(served), first + self.pongs()), (many, many))
        self.assertEqual(self.refused("limit-session-frames"), 0)

    def test_those_that_wait_have_one_share_of_a_turn_together(self):
        """However many they are: in each turn as much of all of them as of one alone."""
        connections = []
        clients = [self.log_in(self.cluster.account(f"flooder-{n}"), **self.options) for n in range(20)]
        turns = []
        serve_rest = ClientConnection.serve_rest

        def served(connection, share):
            connections.append(connection)
            turns[-1] += (count := serve_rest(connection, share))
            return count

        def taken(take_turns):
            turns.append(0)
            return take_turns()

        self.patch(ClientConnection, "serve_rest", served)
        for server in self.cluster.servers:
            loop = server.gateway._loop
            self.patch(loop, "_step", partial(taken, loop._step))
        for client in clients:
            client.packets()
            client.say(*PINGS * 2 * SLICE)
        self.step()
        # The turn is over with the share that completes it; nobody is served twice before all others were.
        self.assertLess(max(turns), 4 + SLICE)
        for server in self.cluster.servers:
            those = [c for c in connections if c.gateway is server.gateway]
            for at in range(0, 3 * len(set(those)), len(set(those))):
                self.assertEqual(len(set(those[at : at + len(set(those))])), len(set(those)))
        self.assertEqual([self.pongs(client) for client in clients], [2 * SLICE] * 20)

    def test_one_that_cannot_be_served_holds_up_nobody(self):
        desk = self.log_in(self.alice, "desk", **self.options)
        desk.packets()
        self.patch(self.phone.connection, "take", lambda data: 1 / 0)
        self.phone.connection._rest = b"x"
        self.phone.connection.gateway.wait_for_turn(self.phone.connection)
        for client in (desk, self.desk):
            client.say(*PINGS * 2 * SLICE)
        self.step()
        self.assertEqual([self.pongs(desk), self.pongs(self.desk)], [2 * SLICE] * 2)
        self.assertTrue(self.phone.transport.aborted)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_order_stays_whatever_comes_meanwhile(self):
        """TLS hands over what it has read, although nothing is to be read."""
        said = [Packet(send=Send(user=self.bob.id, text=f"{n} " + "x" * 90, client_id=str(n))) for n in range(60)]
        self.phone.say(*said[:40])
        self.assertFalse(self.phone.read_from)
        for packet in said[40:]:
            self.phone.say(packet)
        self.turn()
        self.turn()
        self.assertTrue(self.phone.read_from)
        self.assertEqual([one.client_id for one in self.phone.take("accepted")], [str(n) for n in range(60)])

    def test_a_large_frame_is_one(self):
        self.phone.send(self.bob.id, "x" * 48_000, "large")
        self.assertTrue(self.phone.read_from)
        self.turn()
        self.assertEqual([one.client_id for one in self.phone.take("accepted")], ["large"])

    def test_a_client_that_goes_leaves_nothing(self):
        self.phone.say(*PINGS * 3 * SLICE)
        self.assertFalse(self.phone.read_from)
        before = self.pongs()
        self.phone.drop()
        self.turn()
        self.assertEqual((self.phone.connection._rest, self.pongs()), (b"", 0), before)

    def test_what_follows_a_farewell_is_not_served(self):
        self.phone.say(*PINGS * SLICE, Packet(), *PINGS * SLICE)
        for _ in range(50):
            self.step()
        self.assertTrue(self.phone.connection.closing)
        (goodbye,) = self.phone.take("goodbye")
        self.assertEqual(goodbye.code, "protocol-error")
        self.assertLess(self.pongs(), SLICE + 2 * SLICE // 3)


class WeightTests(NativeCase):
    limits = Limits(frames=NO_LIMIT, turn=40)

    def test_watches_that_were_read_at_once_take_several_turns(self):
        self.phone = self.log_in(self.alice)
        self.phone.packets()
        self.phone.say(*[Packet(watch=Watch(users=range(1, 101)))] * 40)
        # 40 frames are the share of a turn: without their weight all of them would have been served.
        self.assertFalse(self.phone.read_from)
        self.turn()
        self.assertTrue(self.phone.read_from)
        self.assertEqual(len(self.phone.take("presence")), 100 * 40)


class UsualShareTests(NativeCase):
    """With the limits that everybody gets."""

    def test_of_what_is_read_at_once_about_thirty_are_served(self):
        phone = self.log_in(self.alice)
        # Each is as long as a slice, or a little longer.
        sends = [Packet(send=Send(user=self.bob.id, client_id=f"{n:03}", text="x" * SLICE)) for n in range(120)]
        phone.say(*sends)
        waiting = len(phone.connection._rest) / (SLICE + 20)
        self.assertTrue(120 - 36 <= waiting <= 120 - 28, waiting)


class WebSocketShareTests(ShareTests):
    options = {"subprotocol": "cim.v1.protobuf"}


class RateTests(NativeCase):
    limits = Limits(frames=Limit(10, 100), turn=1000, native_idle=33)

    def setUp(self):
        super().setUp()
        self.phone = self.log_in(self.alice)
        self.phone.packets()
        # The Hello was one.
        self.cluster.pass_seconds(1)

    def test_who_says_more_is_read_again_when_nothing_is_owed(self):
        self.phone.say(*PINGS * 100)
        self.assertTrue(self.phone.read_from)
        self.phone.say(*PINGS * 30)
        self.assertFalse(self.phone.read_from)
        self.assertEqual(self.refused("limit-session-frames"), 1)
        # What was read is served; it is what follows that waits.
        self.assertEqual(len(self.phone.take("pong")), 130)
        self.cluster.pass_seconds(2)
        self.assertFalse(self.phone.read_from)
        self.cluster.pass_seconds(1)
        self.assertTrue(self.phone.read_from)

    def test_others_are_read_and_one_of_a_user_s_sessions_is_not_the_other(self):
        desk = self.log_in(self.alice, "desk")
        desk.packets()
        self.phone.say(*PINGS * 100)
        self.phone.ping()
        self.assertFalse(self.phone.read_from)
        desk.say(*PINGS * 50)
        self.assertTrue(desk.read_from)

    def test_whoever_is_not_read_is_not_silent(self):
        self.phone.say(*PINGS * 100)
        self.phone.say(*PINGS * 500)
        self.cluster.pass_seconds(45)
        self.assertFalse(self.phone.closed)
        self.cluster.pass_seconds(6)
        self.assertTrue(self.phone.read_from)
        self.cluster.pass_seconds(34)
        self.assertEqual(self.goodbye(self.phone), "idle")

    def test_what_makes_more_work_counts_as_several(self):
        for packet, frames in (
            (Packet(sync=Sync(conversation=self.conversation)), 8),
            (Packet(sync=Sync()), 8),
            (Packet(sync=Sync(conversation=self.conversation, limit=100)), 8),
            (Packet(sync=Sync(conversation=self.conversation, limit=1 << 30)), 40),
            (Packet(watch=Watch(users=range(1, 201))), 51),
            (Packet(watch=Watch(users=[self.bob.id])), 1),
            (Packet(ping=Ping()), 1),
        ):
            # The burst, less what fits once more.
            self.cluster.pass_seconds(10)
            self.phone.say(*PINGS * (100 - frames))
            self.phone.say(packet)
            self.assertTrue(self.phone.read_from, packet)
            self.phone.ping()
            self.assertFalse(self.phone.read_from, packet)
            self.cluster.pass_seconds(1)
            self.phone.packets()

    def test_nothing_is_kept_of_those_that_are_gone(self):
        gateway = next(s.gateway for s in self.cluster.servers if self.phone.connection in s.gateway.connections)
        self.phone.ping()
        self.assertEqual(len(gateway.frames), 1)
        self.phone.drop()
        self.assertEqual(len(gateway.frames), 0)


class FragmentTests(NativeCase):
    limits = Limits(frames=Limit(10, 100), turn=1000)

    def test_fragments_of_a_message_that_never_ends_are_frames(self):
        phone = self.log_in(self.alice, subprotocol="cim.v1.protobuf")
        first, more = (masked_fragment(opcode, b"") for opcode in (Opcode.BINARY, Opcode.CONTINUATION))
        phone.connection.dataReceived(first + more * 50)
        self.assertTrue(phone.read_from)
        phone.connection.dataReceived(more * 60)
        self.assertFalse(phone.read_from)
        self.assertEqual(self.refused("limit-session-frames"), 1)

    def test_a_large_frame_that_comes_in_parts_is_one(self):
        phone = self.log_in(self.alice, subprotocol="cim.v1.protobuf")
        frame = masked_frame(Opcode.BINARY, PINGS[0].SerializeToString() + b"\xfa\x7f\x80\x10" + b"x" * 2048, b"abcd")
        for _ in range(95):
            for byte in (frame[:5], frame[5:900], frame[900:1700], frame[1700:]):
                phone.connection.dataReceived(byte)
        self.assertTrue(phone.read_from)


def masked_fragment(opcode, payload):
    """A frame that does not end its message."""
    frame = bytearray(masked_frame(opcode, payload, b"abcd"))
    frame[0] &= 0x7F
    return bytes(frame)
