"""A client's WebSocket: reading, writing, and how it ends. wsproto is the client."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Message,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import BadLogin
from cim.server.edge.connection import Limits
from cim.server.edge.gateway import Gateway
from cim.server.edge.websocket import WebSocketPort
from cim.server.edge.wheel import TimerWheel
from cim.server.sessions.shared_packet import SharedPacket
from cim.server.sessions.table import Session, Sessions
from cim.web.origins import Origins
from cim.wire.cim_pb2 import Deliver, Hello, Packet, Send
from cim.wire.cim_pb2 import Ping as PacketPing
from cim.wire.json_frames import from_json, to_json
from cim.wire.native import PONG, goodbye_packet, parse_client_packet
from cim.wire.websocket_frames import JSON, PROTOBUF
from tests.harness.cluster import ClientTransport
from tests.wire.test_websocket_frames import masked

HELLO = Packet(hello=Hello(ticket="t")).SerializeToString()
PING = Packet(ping=PacketPing()).SerializeToString()


PIECES = st.integers(1, 200), st.sampled_from((PROTOBUF, JSON)), st.lists(st.integers(0, 300), max_size=6)


class StandIn(Session):
    """A native session that records what it is told and answers pings."""

    protocol = "native"
    logged_in = False

    def __init__(self, connection):
        super().__init__(connection)
        self.packets = []
        self.is_lost = self.is_relieved = False

    def received(self, packet):
        parsed = parse_client_packet(packet)
        kind = parsed.WhichOneof("body")
        self.packets.append(packet)
        if kind == "hello":
            if self.logged_in:
                raise BadLogin("a second Hello")
            self.logged_in = True
            self.connection.logged_in()
        elif kind == "ping":
            self.connection.write_packet(PONG)

    def relieved(self):
        self.is_relieved = True

    def lost(self):
        self.is_lost = True

    def farewell(self, code, retry_after=0, message=""):
        self.connection.end(goodbye_packet(code, message, retry_after))


# The real session's is a property, too.
StandIn.__slots__ = ()


class WebSocketClient:
    """A client with its connection to a port."""

    def __init__(self, port, subprotocol=PROTOBUF, headers=(), path="/v1/socket"):
        self.subprotocol = subprotocol
        self.transport = ClientTransport()
        self.connection = port.buildProtocol(None)
        self.connection.makeConnection(self.transport)
        self.websocket = WSConnection(ConnectionType.CLIENT)
        asked = [] if subprotocol is None else [subprotocol]
        self.request = self.websocket.send(
            Request(host="localhost", target=path, subprotocols=asked, extra_headers=list(headers))
        )

    def upgrade(self):
        self.send(self.request)
        return self.events()

    def send(self, data):
        self.connection.dataReceived(data)

    def say(self, packet, finished=True):
        self.send(self.websocket.send(self.message(packet, finished)))

    def message(self, packet, finished=True):
        if self.subprotocol == JSON:
            return TextMessage(data=to_json(packet), message_finished=finished)
        return BytesMessage(data=packet, message_finished=finished)

    def events(self):
        """Take what arrived, with messages assembled."""
        data = self.transport.value()
        self.transport.clear()
        try:
            self.websocket.receive_data(data)
        except LocalProtocolError:
            return []
        return list(self.websocket.events())

    def packets(self, events=None):
        """Take the Packets that arrived."""
        found = []
        for event in self.events() if events is None else events:
            if isinstance(event, Message):
                text = isinstance(event, TextMessage)
                assert text == (self.subprotocol == JSON)
                found.append(from_json(event.data) if text else Packet.FromString(bytes(event.data)))
        return found

    @property
    def closed(self):
        return self.transport.disconnecting

    def drop(self):
        self.connection.connectionLost(Failure(ConnectionLost()))


class PortTestCase(SynchronousTestCase):
    """A port with a stand-in behind it."""

    limits = Limits(max_frame=1000)
    client_of = WebSocketClient

    def setUp(self):
        self.clock = Clock()
        self.wheel = TimerWheel(self.clock)
        self.wheel.startService()
        self.addCleanup(self.wheel.stopService)
        self.counted = []
        self.native = []
        self.gateway = Gateway(
            sessions=Sessions(self.clock),
            native=self.make_session,
            clock=self.clock,
            wheel=self.wheel,
            refused=self.counted.append,
            limits=self.limits,
            max_connections=10,
            guest=self.make_session,
        )
        self.port = WebSocketPort(self.gateway, Origins(["https://chat.example.com"]))

    def make_session(self, connection):
        self.native.append(StandIn(connection))
        return self.native[-1]

    def connect(self, subprotocol=PROTOBUF, **options):
        """Return a client with an open WebSocket."""
        client = self.client_of(self.port, subprotocol, **options)
        (event,) = client.upgrade()
        self.assertIsInstance(event, AcceptConnection)
        return client

    def log_in(self, subprotocol=PROTOBUF):
        client = self.connect(subprotocol)
        client.say(HELLO)
        return client

    def pass_seconds(self, seconds):
        for _ in range(seconds):
            self.clock.advance(1)

    def assert_closing(self, client, code, goodbye=None):
        """Assert that the server sent a Goodbye if it could, sent a Close, and waits for the client's."""
        events = client.events()
        self.assertEqual([packet.goodbye.code for packet in client.packets(events)], [goodbye] if goodbye else [])
        close = events[-1]
        self.assertIsInstance(close, CloseConnection)
        self.assertEqual(close.code, code)
        return close


class HandshakeTests(PortTestCase):
    def test_both_subprotocols(self):
        for subprotocol in (PROTOBUF, JSON):
            client = self.client_of(self.port, subprotocol)
            (event,) = client.upgrade()
            self.assertEqual(event.subprotocol, subprotocol)
            client.say(HELLO)
            client.say(PING)
            self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["pong"])
            self.assertEqual(self.native[-1].packets, [HELLO, PING])

    def test_a_hello_may_follow_at_once(self):
        client = self.client_of(self.port)
        client.send(client.request + masked(2, HELLO))
        self.assertEqual(self.native[0].packets, [HELLO])

    def test_requests_for_anything_but_a_websocket_are_answered_and_closed(self):
        client = self.client_of(self.port, path="/")
        (event,) = [event for event in client.upgrade() if isinstance(event, RejectConnection)]
        self.assertEqual(event.status_code, 404)
        self.assertTrue(client.closed)
        self.assertIsNone(client.transport.producer)
        self.assertEqual(self.counted, ["no-websocket"])
        client.send(client.request)
        self.assertEqual(client.transport.value(), b"")

    def test_a_foreign_origin(self):
        for origin, kind in (
            (b"https://evil.example", RejectConnection),
            (b"https://chat.example.com", AcceptConnection),
        ):
            client = self.client_of(self.port, headers=[(b"Origin", origin)])
            self.assertIsInstance(client.upgrade()[0], kind)
        self.assertEqual(self.counted, ["foreign-origin"])

    def test_a_request_that_never_ends(self):
        client = self.client_of(self.port)
        for byte in client.request[:10]:
            self.assertFalse(client.closed)
            client.send(bytes((byte,)))
            self.pass_seconds(1)
        self.assertTrue(client.closed)
        self.assertTrue(client.transport.value().startswith(b"HTTP/1.1 408 "))
        self.assertEqual(self.counted, ["login-timeout"])

    def test_a_login_that_never_comes(self):
        client = self.connect()
        for _ in range(10):
            self.assertFalse(client.transport.value())
            client.send(masked(9))
            client.events()
            self.pass_seconds(1)
        self.assert_closing(client, 1008)
        self.assertEqual(self.counted, ["login-timeout"])

    def test_when_full_the_oldest_without_a_login_goes(self):
        first, second, *_ = [self.connect() for _ in range(10)]
        self.assertIsNotNone(self.port.buildProtocol(None))
        self.assertEqual((first.transport.aborted, second.transport.aborted), (True, False))
        self.assertEqual(self.counted, ["too-many-connections"])

    @settings(max_examples=60, deadline=None)
    @given(*PIECES)
    def test_any_pieces(self, piece, subprotocol, sizes):
        self.send_in_pieces(piece, subprotocol, sizes)

    def send_in_pieces(self, piece, subprotocol, sizes):
        """Request, Hello and messages come out the same, however the bytes are cut."""
        packets = [HELLO]
        packets += [Packet(send=Send(user=7, text="€" * size)).SerializeToString() for size in sizes]
        client = self.client_of(self.port, subprotocol)
        data = client.request
        for packet in packets:
            payload = to_json(packet).encode() if subprotocol == JSON else packet
            data += masked(1 if subprotocol == JSON else 2, payload[:5], fin=False) + masked(9) + masked(0, payload[5:])
        for start in range(0, len(data), piece):
            client.send(data[start : start + piece])
        self.assertEqual(self.native[-1].packets, packets)
        client.drop()


class WritingTests(PortTestCase):
    def test_a_shared_packet_is_encoded_once_per_subprotocol(self):
        clients = [self.log_in(subprotocol) for subprotocol in (PROTOBUF, JSON, PROTOBUF, JSON)]
        packet = Packet(deliver=Deliver(conversation="p:1:2", text="hello")).SerializeToString()
        shared = SharedPacket(packet)
        written = []
        for client in clients:
            self.patch(client.transport, "write", written.append)
            client.connection.write_shared(shared)
        self.assertIs(written[0], written[2])
        self.assertIs(written[1], written[3])
        self.assertEqual(written[0], b"\x82" + bytes((len(packet),)) + packet)
        self.assertEqual(json.loads(written[1][2:]), {"deliver": {"conversation": "p:1:2", "text": "hello"}})

    def test_a_large_packet_arrives(self):
        for subprotocol in (PROTOBUF, JSON):
            client = self.log_in(subprotocol)
            packet = Packet(deliver=Deliver(text="x" * 70_000)).SerializeToString()
            client.connection.write_packet(packet)
            parts = [event.data for event in client.events()]
            if subprotocol == JSON:
                self.assertEqual("".join(parts), to_json(packet))
            else:
                self.assertEqual(b"".join(map(bytes, parts)), packet)

    def test_a_slow_reader_is_not_read_from_until_it_has_read(self):
        client = self.log_in()
        self.assertEqual(client.transport.bufferSize, self.limits.write_buffer)
        client.connection.pauseProducing()
        self.assertTrue(client.connection.slow)
        self.assertEqual(client.transport.producerState, "paused")
        client.connection.resumeProducing()
        self.assertFalse(client.connection.slow)
        self.assertTrue(self.native[0].is_relieved)
        self.assertEqual(client.transport.producerState, "producing")
        self.assertEqual(self.counted, ["slow-session"])

    def test_a_slow_reader_that_never_reads_is_told_and_cut(self):
        client = self.log_in()
        client.connection.pauseProducing()
        self.pass_seconds(34)
        self.assert_closing(client, 1008, "too-slow")
        self.assertTrue(self.native[0].is_lost)
        self.assertFalse(client.closed)
        self.pass_seconds(6)
        self.assertTrue(client.transport.aborted)

    def test_the_close_of_a_formerly_slow_client_is_still_read(self):
        client = self.log_in()
        client.connection.pauseProducing()
        self.pass_seconds(34)
        self.assertEqual(client.transport.producerState, "paused")
        client.connection.resumeProducing()
        self.assertEqual(client.transport.producerState, "producing")
        client.send(masked(8, b"\x03\xf0"))
        self.assertTrue(client.closed)


class LivenessTests(PortTestCase):
    def test_pings_are_answered_with_their_payload(self):
        client = self.log_in()
        client.send(client.websocket.send(Ping(b"are you there")))
        self.assertEqual(client.events(), [Pong(bytearray(b"are you there"))])
        self.assertEqual(self.gateway.pings, 1)

    def test_anything_is_a_sign_of_life(self):
        for alive in (masked(9), masked(10), masked(2, PING)):
            client = self.log_in()
            for _ in range(4):
                self.pass_seconds(30)
                client.send(alive)
                self.assertFalse([event for event in client.events() if isinstance(event, CloseConnection)])
            client.drop()

    def test_silence(self):
        client = self.log_in()
        self.pass_seconds(21)
        self.assertEqual(client.events(), [])
        self.pass_seconds(1)
        self.assertEqual(client.events(), [Ping()])
        self.pass_seconds(11)
        self.assertEqual(client.events(), [])
        self.pass_seconds(1)
        self.assert_closing(client, 1001, "idle")
        self.assertEqual(self.counted, ["idle"])

    def test_who_answers_pings_stays(self):
        """A page in a hidden tab says nothing, but the browser answers."""
        client = self.log_in()
        for _ in range(10):
            self.pass_seconds(22)
            self.assertEqual(client.events(), [Ping()])
            client.send(masked(10))
        self.assertFalse(client.closed)

    def test_a_message_that_never_ends(self):
        fragments = [masked(2, PING[:1], fin=False), *[masked(0, b"", fin=False)] * 9]
        bytewise = [bytes((byte,)) for byte in masked(2, b"x" * 100)[:10]]
        pinged = [masked(2, b"", fin=False), *[masked(9)] * 9]
        for pieces in (fragments, bytewise, pinged):
            client = self.log_in()
            for piece in pieces:
                self.assertFalse([event for event in client.events() if isinstance(event, CloseConnection)])
                client.send(piece)
                self.pass_seconds(1)
            events = client.events()
            self.assertEqual(events[-1].code, 1002)
            self.assertEqual(client.packets(events)[-1].goodbye.code, "protocol-error")
            self.assertEqual(self.counted.pop(), "slow-frame")

    def test_a_client_that_is_always_in_the_middle_of_a_message_is_not_slow(self):
        client = self.log_in()
        ping = masked(2, PING)
        client.send(ping[:3])
        for _ in range(30):
            client.send(ping[3:] + ping[:3])
            self.pass_seconds(1)
            self.assertFalse([event for event in client.events() if isinstance(event, CloseConnection)])


class EndTests(PortTestCase):
    def test_bad_input(self):
        """Each kind is counted, and answered with a Goodbye and the Close that the RFC or Autobahn expects."""
        ping = json.dumps({"ping": {}}).encode()
        cases = [
            (PROTOBUF, masked(1, b"text"), 1003, "bad-frame"),
            (JSON, masked(2, PING), 1003, "bad-frame"),
            (PROTOBUF, masked(2, b"x" * 1001), 1009, "frame-too-large"),
            (JSON, masked(1, b"x" * 6001), 1009, "frame-too-large"),
            (JSON, masked(1, b'{"sync": {"conversation": "%s"}}' % (b"x" * 1001)), 1009, "frame-too-large"),
            (PROTOBUF, masked(2, b"\xff\xff"), 1007, "bad-frame"),
            (PROTOBUF, masked(2, b""), 1007, "bad-frame"),
            (JSON, masked(1, b"\xff"), 1007, "bad-frame"),
            (JSON, masked(1, b"{"), 1007, "bad-frame"),
            (JSON, masked(1, b""), 1007, "bad-frame"),
            (JSON, masked(1, b"[" * 1000), 1007, "bad-frame"),
            (JSON, masked(1, b'{"send": {"user": NaN}}'), 1007, "bad-frame"),
            (JSON, masked(1, b'{"pings": {}}'), 1007, "bad-frame"),
            (PROTOBUF, masked(2, HELLO), 1008, "bad-login"),
            (PROTOBUF, masked(3), 1002, "bad-frame"),
            (PROTOBUF, masked(2, PING, rsv=(1, 0, 0)), 1002, "bad-frame"),
            (PROTOBUF, b"\x82\x02" + PING, 1002, "bad-frame"),
            (PROTOBUF, masked(9, b"x" * 126), 1002, "bad-frame"),
            (PROTOBUF, masked(8, b"\x03"), 1002, "bad-frame"),
            (JSON, masked(1, ping, fin=False) + masked(1, ping), 1002, "bad-frame"),
        ]
        for subprotocol, data, code, kind in cases:
            with self.subTest(data=data[:40], code=code):
                client = self.log_in(subprotocol)
                session = self.native[-1]
                client.send(data)
                self.assert_closing(client, code, "protocol-error")
                self.assertEqual(self.counted, [kind])
                self.assertTrue(session.is_lost)
                self.counted.clear()
                client.drop()

    def test_bad_input_before_the_login(self):
        client = self.connect()
        client.send(masked(2, b"\xff\xff"))
        self.assert_closing(client, 1007, "protocol-error")
        client = self.connect()
        client.send(masked(1, b"text"))
        self.assert_closing(client, 1003)

    def test_nothing_is_read_after_bad_input(self):
        client = self.log_in()
        client.send(masked(2, PING) + masked(2, b"\xff\xff") + masked(2, PING) + masked(9))
        client.send(masked(2, PING))
        self.assertEqual(self.native[0].packets, [HELLO, PING])
        self.assertEqual([type(event) for event in client.events()][2:], [CloseConnection])

    def test_the_connection_ends_with_the_client_s_close(self):
        client = self.log_in()
        client.send(masked(2, b"\xff\xff"))
        close = self.assert_closing(client, 1007, "protocol-error")
        self.assertFalse(client.closed)
        client.send(masked(2, b"y" * 5000))
        self.assertFalse(client.closed)
        client.send(client.websocket.send(close.response()))
        self.assertTrue(client.closed)
        self.assertIsNone(client.transport.producer)
        self.assertFalse(client.transport.aborted)

    def test_the_connection_ends_at_once_when_nothing_can_be_read_any_more(self):
        client = self.log_in()
        client.send(masked(3))
        self.assertTrue(client.closed)
        self.assertIsNone(client.transport.producer)

    def test_the_connection_ends_at_once_when_the_close_has_already_come(self):
        client = self.log_in()
        client.send(masked(2, b"\xff\xff") + masked(8))
        self.assertTrue(client.closed)

    def test_a_client_that_never_sends_a_close_is_cut(self):
        client = self.log_in()
        client.send(masked(2, b"\xff\xff"))
        self.pass_seconds(4)
        self.assertFalse(client.transport.aborted)
        self.pass_seconds(2)
        self.assertTrue(client.transport.aborted)

    def test_a_client_s_close_is_answered_with_its_code(self):
        for payload, code in ((b"\x03\xe8bye", 1000), (b"\x0f\xa0", 4000), (b"", 1005)):
            client = self.log_in()
            client.say(PING)
            client.events()
            client.send(masked(2, PING) + masked(8, payload) + masked(2, PING))
            events = client.events()
            self.assertEqual(len(client.packets(events)), 1)
            self.assertEqual((type(events[-1]), events[-1].code), (CloseConnection, code))
            self.assertTrue(client.closed)
            self.assertTrue(self.native[-1].is_lost)
        self.assertEqual(self.counted, [])

    def test_the_close_code_that_goes_with_a_goodbye(self):
        for goodbye, code in (
            ("replaced", 1008),
            ("logged-out", 1008),
            ("unauthorized", 1008),
            ("too-slow", 1008),
            ("protocol-error", 1002),
            ("draining", 1001),
            ("idle", 1001),
        ):
            for subprotocol in (PROTOBUF, JSON):
                client = self.log_in(subprotocol)
                client.connection.end(goodbye_packet(goodbye, retry_after=3))
                self.assert_closing(client, code, goodbye)
                client.connection.end(goodbye_packet(goodbye))
                self.assertEqual(client.events(), [])
                client.drop()

    def test_the_client_s_goodbye(self):
        client = self.log_in()
        client.connection.close("goodbye")
        self.assert_closing(client, 1000)

    def test_draining(self):
        member, stranger = self.log_in(), self.connect()
        early = self.client_of(self.port)
        drained = self.gateway.drain()
        self.assert_closing(member, 1001, "draining")
        self.assert_closing(stranger, 1001)
        self.assertTrue(early.transport.value().startswith(b"HTTP/1.1 503 "))
        self.assertTrue(early.closed)
        self.assertIsNone(self.port.buildProtocol(None))
        for client in (member, stranger):
            client.send(masked(8, b"\x03\xe9"))
            self.assertTrue(client.closed)
        self.assertNoResult(drained)
        for client in (member, stranger, early):
            client.drop()
        self.successResultOf(drained)
        self.assertEqual(len(self.wheel), 0)

    def test_a_lost_connection_ends_its_session(self):
        client = self.log_in()
        client.drop()
        self.assertTrue(self.native[0].is_lost)
        self.assertEqual((len(self.wheel), self.gateway.connections), (0, set()))
