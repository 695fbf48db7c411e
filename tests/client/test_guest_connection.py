"""Tests of a guest's connection: its frames, its heartbeat, and every way it ends."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.guest_connection import DEAD_SECONDS, PING_SECONDS, GuestConnection, sender_of, texts_of
from cim.model import Account
from cim.wire.cim_pb2 import MESSAGE, PING, Packet, Pong
from cim.wire.framing import encode_frame
from tests.client.fakes import PONG, ServerSide

ZHANGSAN = Account(1545574049323, "zhangsan")
LOGIN = bytes.fromhex("110a087a68616e6773616e10abcc91dbfd2c")
PING_FRAME = bytes.fromhex("0f0a0470696e6710abcc91dbfd2c1802")
PUSHED = bytes.fromhex(
    "590a0568656c6c6f10abcc91dbfd2c180122110a0a73656e64557365724964120331303022140a0c73656e64557365724e616d6512046c"
    "697369221e0a0d72656365697665557365724964120d31353435353734303439333233"
)
OFFLINE_BATCH = bytes.fromhex(
    "5810abcc91dbfd2c180322110a0a73656e64557365724964120331303022140a0c73656e64557365724e616d6512046c697369221e0a0d"
    "72656365697665557365724964120d313534353537343034393332332a01612a0162"
)


class Recorder:
    """Records the events of a connection."""

    def __init__(self):
        self.events = []

    def connected(self):
        """Do nothing."""

    frames_done = beat = connected

    def welcomed(self):
        self.events.append("ready")

    def pushed(self, packet):
        self.events.append((sender_of(packet), texts_of(packet)))

    def ended(self, error):
        self.events.append(("ended", error.message))


class ConnectionTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.user = Recorder()
        self.connection = GuestConnection(self.user, ZHANGSAN, self.clock)
        self.server = ServerSide(self.connection)
        self.connection.makeConnection(self.server)
        self.addCleanup(self.finish)

    def finish(self):
        self.server.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([event[0] for event in self.user.events].count("ended"), 1)

    def ready(self):
        self.connection.dataReceived(PONG)
        self.server.clear()
        self.user.events.clear()

    def test_login_and_ping_go_first_in_upstreams_bytes(self):
        self.assertEqual(self.server.value(), LOGIN + PING_FRAME)
        self.assertEqual(self.server.options, ["nodelay", "keepalive"])
        self.assertEqual(self.user.events, [])

    def test_only_the_first_pong_makes_it_ready(self):
        self.connection.dataReceived(PONG)
        self.connection.dataReceived(PONG)
        self.assertEqual(self.user.events, ["ready"])

    def test_messages_of_every_kind_in_any_chunks(self):
        for byte in PUSHED + PONG + OFFLINE_BATCH:
            self.connection.dataReceived(bytes((byte,)))
        self.assertEqual(self.user.events, [((100, "lisi"), ["hello"]), "ready", ((100, "lisi"), ["a", "b"])])

    def test_pings_go_out_every_ten_seconds(self):
        self.ready()
        self.clock.advance(PING_SECONDS - 0.1)
        self.assertEqual(self.server.value(), b"")
        for _ in range(3):
            self.clock.advance(PING_SECONDS)
            self.connection.dataReceived(PONG)
            self.assertEqual(self.server.value(), PING_FRAME)
            self.server.clear()

    def test_a_silent_server_is_dead(self):
        self.ready()
        self.clock.pump([1] * (int(DEAD_SECONDS) - 1))
        self.assertFalse(self.server.aborted)
        self.clock.pump([1] * int(PING_SECONDS))
        self.assertTrue(self.server.aborted)
        [(_, reason)] = self.user.events
        self.assertIn("nothing heard", reason)

    def test_whatever_is_heard_keeps_it_alive(self):
        self.ready()
        for _ in range(10):
            self.clock.advance(PING_SECONDS)
            self.connection.dataReceived(PUSHED)
        self.assertFalse(self.server.aborted)

    def test_a_server_that_never_answers_the_login_is_dropped(self):
        self.clock.pump([1] * int(DEAD_SECONDS))
        self.assertTrue(self.server.aborted)

    def test_silence_does_not_count_while_paused(self):
        self.ready()
        self.connection.pause(True)
        self.connection.pause(True)
        self.assertEqual(self.server.producerState, "paused")
        self.clock.pump([1] * 100)
        self.assertFalse(self.server.aborted)
        self.assertEqual(self.server.value(), PING_FRAME * 10)
        self.connection.pause(False)
        self.connection.pause(False)
        self.assertEqual(self.server.producerState, "producing")
        self.clock.pump([1] * (int(DEAD_SECONDS) - 1))
        self.assertFalse(self.server.aborted)
        self.clock.pump([1] * int(PING_SECONDS))
        self.assertTrue(self.server.aborted)

    def test_resuming_is_not_a_sign_of_life(self):
        self.ready()
        for _ in range(int(DEAD_SECONDS)):
            self.connection.pause(False)
            self.clock.advance(1)
        self.clock.advance(PING_SECONDS)
        self.assertTrue(self.server.aborted)

    def test_garbage_ends_it(self):
        for garbage in (b"\xff" * 6, encode_frame(b"\x0a\xff"), b"\x80\x80\x80\x08"):
            self.server.close()
            self.setUp()
            self.ready()
            self.connection.dataReceived(garbage)
            self.assertTrue(self.server.aborted, garbage)
            self.assertEqual([event[0] for event in self.user.events], ["ended"])

    def test_frames_of_the_native_generation_are_not_messages(self):
        self.ready()
        self.connection.dataReceived(encode_frame(Packet(pong=Pong()).SerializeToString()))
        self.assertEqual(self.user.events, [])

    def test_leaving_closes_gracefully(self):
        self.ready()
        self.connection.leave()
        self.assertFalse(self.server.aborted)
        self.assertEqual(self.user.events, [("ended", "left")])

    def test_the_servers_close_is_reported(self):
        self.ready()
        self.server.close()
        self.assertEqual(self.user.events, [("ended", "Connection was closed cleanly")])


class PushedTests(SynchronousTestCase):
    def test_missing_and_malformed_senders(self):
        for properties in (
            {},
            {"sendUserId": "x"},
            {"sendUserId": "9" * 30},
            {"sendUserId": "-1"},
            {"sendUserId": "²"},
        ):
            self.assertEqual(sender_of(Packet(command=MESSAGE, properties=properties)), (0, "nobody"))

    def test_a_batch_hides_the_text(self):
        self.assertEqual(texts_of(Packet(text="x", batch=["a", "b"])), ["a", "b"])
        self.assertEqual(texts_of(Packet(command=PING)), [""])
