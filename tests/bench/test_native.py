"""Frames made by hand are those that protobuf makes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from bench.native import (
    ACCEPTED,
    DELIVER,
    PING_FRAME,
    PONG_FRAME,
    Address,
    NativeConnection,
    Place,
    hello_frame,
    packet_frame,
    send_frame,
)
from cim.wire import native, packed
from cim.wire.cim_pb2 import Ping, Pong, Send
from cim.wire.framing import encode_frame


class FrameTests(SynchronousTestCase):
    @given(
        st.integers(1, 1 << 53),
        st.booleans(),
        st.text("abc0.-", min_size=1, max_size=64),
        st.text(min_size=1, max_size=300),
    )
    def test_send(self, to, group, client_id, text):
        send = Send(client_id=client_id, text=text, **({"group": to} if group else {"user": to}))
        address = Address.group(to) if group else Address.user(to)
        self.assertEqual(send_frame(address, client_id.encode(), text.encode()), packet_frame(send=send))

    def test_heartbeats(self):
        self.assertEqual(PING_FRAME, packet_frame(ping=Ping()))
        self.assertEqual(PONG_FRAME, packet_frame(pong=Pong()))

    def test_how_packets_begin(self):
        self.assertTrue(packed.accepted("1", "p:1:2", "5-1", 1, "").startswith(ACCEPTED))
        self.assertTrue(native.deliver_packet(b"", "p:1:2", "5-1", "").startswith(DELIVER))


class PlaceTests(SynchronousTestCase):
    def test_the_answer_of_a_login(self):
        answer = {
            "user_id": "7",
            "ticket": "t",
            "token": "k",
            "server": {"host": "h", "tcp_port": 11211, "websocket": "h:11212"},
        }
        self.assertEqual(Place.of(answer), Place(7, "h", 11211, "t", "k", "h:11212"))


class ConnectionTests(SynchronousTestCase):
    def test_hello_first_then_frames_as_they_come(self):
        came, ends = [], []
        connection = NativeConnection(hello_frame("t", "d"), came.append, lambda: ends.append(True))
        transport = StringTransport()
        transport.setTcpNoDelay = lambda on: None
        connection.makeConnection(transport)
        self.assertEqual(transport.value(), hello_frame("t", "d"))
        two = encode_frame(b"one") + encode_frame(b"two")
        connection.dataReceived(two + two[:3])
        connection.dataReceived(two[3:4])
        self.assertEqual(came, [[b"one", b"two"], [b"one"]])
        connection.connectionLost()
        self.assertEqual(ends, [True])
        self.successResultOf(connection.closed)
