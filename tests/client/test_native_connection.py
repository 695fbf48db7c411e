"""Tests of a native client's connection: Hello, signs of life, and its end."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.client.native_connection import DEAD_HEARTBEATS, HEARTBEAT_SECONDS, WELCOME_SECONDS, NativeConnection
from cim.wire.cim_pb2 import Deliver, Hello, News, Packet, Ping, Pong
from cim.wire.framing import FrameReader, encode_frame


class Transport(StringTransport):
    aborted = False

    def setTcpNoDelay(self, enabled):
        pass

    setTcpKeepAlive = setTcpNoDelay

    def abortConnection(self):
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionLost()))


class User:
    def __init__(self):
        self.told = []

    def connected(self):
        self.told.append("connected")

    def frames_done(self):
        self.told.append("done")

    def beat(self):
        self.told.append("beat")

    def ended(self, error):
        self.told.append(("ended", error.message))


class ConnectionTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.user = User()
        self.connection = self.make()
        self.transport = self.connection.transport = Transport()
        self.transport.protocol = self.connection
        self.connection.makeConnection(self.transport)
        self.reader = FrameReader()
        self.assertEqual(self.told(), ["connected"])

    def make(self):
        hearing = {"deliver": lambda body: self.user.told.append(("deliver", body))}
        return NativeConnection(self.user, Hello(ticket="t"), hearing, self.clock)

    def said(self):
        data = self.transport.value()
        self.transport.clear()
        return [Packet.FromString(frame).WhichOneof("body") for frame in self.reader.feed(data)]

    def hear(self, *packets):
        self.connection.dataReceived(b"".join(encode_frame(packet.SerializeToString()) for packet in packets))

    def told(self):
        told, self.user.told = self.user.told, []
        return told

    def test_hello_comes_first(self):
        self.assertEqual(self.said(), ["hello"])

    def test_packets_are_passed_on_and_a_ping_is_answered(self):
        self.said()
        self.hear(Packet(deliver=Deliver(text="a")), Packet(ping=Ping()), Packet(deliver=Deliver(text="b")))
        self.assertEqual(self.told(), [("deliver", Deliver(text="a")), ("deliver", Deliver(text="b")), "done"])
        self.assertEqual(self.said(), ["pong"])

    def test_after_the_welcome_other_handlers_apply(self):
        heard = []
        self.connection.welcomed(4, {"news": heard.append})
        self.hear(Packet(deliver=Deliver(text="a")), Packet(news=News(more="m")), Packet(pong=Pong()))
        self.assertEqual((heard, self.told()), ([News(more="m")], ["done"]))

    def test_something_is_sent_in_every_heartbeat(self):
        self.connection.welcomed(4, {})
        self.said()
        for _ in range(10):
            self.clock.advance(4)
            self.hear(Packet(pong=Pong()))
        self.assertEqual(self.said(), ["ping"] * 10)
        self.assertFalse(self.transport.aborted)

    def test_a_server_that_does_not_answer_the_login_is_dropped(self):
        self.hear(Packet(pong=Pong()))
        self.clock.advance(WELCOME_SECONDS)
        self.assertTrue(self.transport.aborted)
        self.assertEqual(self.told()[-1], ("ended", "it did not answer the login within 15 s"))

    def test_the_login_does_not_time_out_while_paused(self):
        self.connection.pause(True)
        self.clock.pump([1] * int(2 * WELCOME_SECONDS))
        self.connection.pause(False)
        self.clock.advance(WELCOME_SECONDS - 1)
        self.assertFalse(self.transport.aborted)
        self.clock.advance(1)
        self.assertTrue(self.transport.aborted)

    def test_paused_before_it_is_made_it_reads_nothing(self):
        connection = self.make()
        connection.pause(True)
        transport = Transport()
        transport.protocol = connection
        connection.makeConnection(transport)
        self.assertEqual(transport.producerState, "paused")
        transport.abortConnection()

    def test_a_silent_server_is_dropped(self):
        self.connection.welcomed(HEARTBEAT_SECONDS, {})
        for _ in range(int(DEAD_HEARTBEATS + 1)):
            self.assertFalse(self.transport.aborted)
            self.clock.advance(HEARTBEAT_SECONDS)
        self.assertTrue(self.transport.aborted)
        self.assertIn("nothing heard", self.told()[-1][1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silence_does_not_count_while_paused(self):
        self.connection.welcomed(HEARTBEAT_SECONDS, {})
        self.connection.pause(True)
        for _ in range(10):
            self.clock.advance(HEARTBEAT_SECONDS)
        self.assertEqual((self.transport.aborted, self.transport.producerState), (False, "paused"))
        self.connection.pause(False)
        self.clock.advance(HEARTBEAT_SECONDS)
        self.assertEqual((self.transport.aborted, self.transport.producerState), (False, "producing"))

    def test_garbage_ends_the_connection_after_earlier_packets(self):
        self.hear(Packet(deliver=Deliver(text="a")))
        self.connection.dataReceived(encode_frame(b"\xff\xff"))
        told = self.told()
        self.assertEqual(told[0], ("deliver", Deliver(text="a")))
        self.assertIn(("ended", "the server sent a malformed frame"), told)

    def test_nothing_is_reported_or_sent_after_leaving(self):
        self.said()
        self.connection.leave()
        self.hear(Packet(deliver=Deliver(text="a")))
        self.connection.say(ping=Ping())
        self.assertEqual((self.said(), self.transport.disconnecting), (["goodbye"], True))
        self.assertNotIn(("deliver", Deliver(text="a")), self.told())
        self.connection.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.told(), self.clock.getDelayedCalls()), ([("ended", "left")], []))
