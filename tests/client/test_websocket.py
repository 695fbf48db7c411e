"""Clients that connect by WebSocket: at servers of ours, and at whoever stands in their place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import Opcode
from wsproto.utilities import generate_accept_token

from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.values import Guest, State
from cim.client.websocket import MAX_MESSAGE, UPGRADE_SECONDS, WebSocketEndpoint, WebSocketURL
from cim.errors import NotSupported, Unavailable
from cim.server.edge.websocket import WebSocketPort
from cim.web.origins import Origins
from cim.wire.framing import encode_frame
from cim.wire.websocket_frames import PROTOBUF, MessageReader, close_frame, frame, masked_frame
from tests.client.client_case import ClientCase
from tests.client.network import Network
from tests.client.test_tls import upstream_site

TCP, WEBSOCKET = 11211, 11212
URL = "ws://127.0.0.1:11212/v1/socket"


class ClientTests(ClientCase):
    """Whole clients at a cluster."""

    def setUp(self):
        super().setUp()
        (server,) = self.cluster.servers
        self.network.listen(WEBSOCKET, WebSocketPort(server.gateway, Origins(())))

    def test_tcp_is_used_where_it_can_be(self):
        self.online("alice")
        self.assertEqual((len(self.network.to(TCP)), len(self.network.to(WEBSOCKET))), (1, 0))

    def test_messages(self):
        self.network.down.add(TCP)
        alice, bob = self.online("alice"), self.online("bob")
        self.assertEqual(len(self.network.to(WEBSOCKET)), 2)
        for text in ("short", "你好" * 5000):
            self.result(alice.send(bob.me, text))
        self.assertEqual(bob.heard.others, ["short", "你好" * 5000])
        self.wait(60)
        self.assertEqual((alice.state, bob.state), (State.READY, State.READY))
        self.assertEqual([state for state, _ in alice.heard.states].count(State.RECONNECTING), 0)

    def test_by_option(self):
        alice = self.online("alice", websocket=True)
        self.result(alice.send("g:0", "hello"))
        self.assertEqual(alice.heard.texts, ["hello"])
        self.assertEqual((len(self.network.to(TCP)), len(self.network.to(WEBSOCKET))), (0, 1))

    def test_a_connection_that_is_cut(self):
        self.network.down.add(TCP)
        alice, bob = self.online("alice"), self.online("bob")
        self.network.to(WEBSOCKET)[1].cut()
        self.turn()
        self.assertIs(bob.state, State.RECONNECTING)
        self.assertIn(URL, bob.heard.states[-1][1])
        self.result(alice.send(bob.me, "meanwhile"))
        self.wait(5)
        self.assertEqual(bob.heard.others, ["meanwhile"])

    def test_leaving(self):
        alice = self.online("alice", websocket=True)
        closing = alice.close()
        self.turn()
        self.successResultOf(closing)
        self.assertEqual(self.cluster.servers[0].gateway.connections, set())

    def test_leaving_while_nobody_answers(self):
        self.network.mute.add(WEBSOCKET)
        alice = self.make("alice", websocket=True)
        alice.startService()
        self.turn()
        self.assertEqual(len(self.network.to(WEBSOCKET)), 1)
        closing = alice.close()
        self.turn()
        self.successResultOf(closing)
        self.assertEqual(self.network.to(WEBSOCKET), [])

    def test_a_server_that_drains_says_so(self):
        alice = self.online("alice", websocket=True)
        self.cluster.servers[0].gateway.drain()
        self.turn()
        self.assertIs(alice.state, State.RECONNECTING)
        self.assertIn(f"lost the connection to {URL}", alice.heard.states[-1][1])

    def test_a_guest_has_none(self):
        self.network.listen(8083, upstream_site(self))
        alice = self.make("alice", Guest("alice"), websocket=True)
        alice.startService()
        self.assertIn("has no WebSocket", self.error(alice.when_ready(), NotSupported).message)


class Peer(Protocol):
    """Plays the server.

    :ivar request: what came
    """

    def __init__(self, case):
        self.case = case
        self.request = b""
        self.lost = False

    def dataReceived(self, data):
        self.request += data

    def connectionLost(self, reason):
        self.lost = True

    @property
    def key(self):
        return self.request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]

    def answer(self, *, status="101 Switching Protocols", behind=b"", **other):
        """Answer as a server of ours does, but for `other` headers; None leaves one out."""
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": generate_accept_token(self.key).decode(),
            "Sec-WebSocket-Protocol": PROTOBUF,
        }
        headers.update({f"Sec-WebSocket-{name.title()}": value for name, value in other.items()})
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        self.transport.write("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode() + behind)


class Inner(Protocol):
    """Speaks frames."""

    def __init__(self):
        self.heard = b""
        self.why = None

    def connectionMade(self):
        self.transport.setTcpNoDelay(True)
        self.transport.write(encode_frame(b"hello") + encode_frame(b"again"))

    def dataReceived(self, data):
        self.heard += data

    def connectionLost(self, reason):
        self.why = reason.value


class EndpointTests(SynchronousTestCase):
    """Against a server that the test plays."""

    def setUp(self):
        self.clock = Clock()
        network = Network(self.clock)
        factory = Factory()
        factory.buildProtocol = lambda addr: Peer(self)
        network.listen(WEBSOCKET, factory)
        self.inner = Inner()
        made = Factory()
        made.buildProtocol = lambda addr: self.inner
        below = network.endpoint("127.0.0.1", WEBSOCKET)
        self.endpoint = WebSocketEndpoint(
            below, WebSocketURL.parse(f"{URL}?x=1"), self.clock, lambda count: b"k" * count
        )
        self.connecting = self.endpoint.connect(made)
        (self.wire,) = network.wires
        self.peer = self.wire.server.protocol
        self.turn()

    def turn(self):
        for _ in range(6):
            self.clock.advance(0)

    def open(self, **options):
        self.peer.answer(**options)
        self.peer.request = b""
        self.turn()
        self.assertIs(self.successResultOf(self.connecting), self.inner)

    def told(self, data):
        """Have the server write something; return what came back."""
        self.peer.request = b""
        self.peer.transport.write(data)
        self.turn()
        return self.peer.request

    def refused(self, *words):
        self.turn()
        error = self.failureResultOf(self.connecting, Unavailable).value
        for word in ("ws://127.0.0.1:11212/v1/socket", *words):
            self.assertIn(word, error.message)
        self.assertTrue(self.peer.lost)
        self.assertEqual((self.inner.heard, self.inner.why, self.inner.transport), (b"", None, None))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_asked(self):
        head, *headers = self.peer.request.decode().split("\r\n")
        self.assertEqual(head, "GET /v1/socket?x=1 HTTP/1.1")
        self.assertIn("Host: 127.0.0.1:11212", headers)
        self.assertIn("Sec-WebSocket-Version: 13", headers)
        self.assertNotIn("Origin", self.peer.request.decode())
        self.assertEqual(self.inner.transport, None)

    def test_what_is_said(self):
        self.open()
        self.assertEqual(
            self.peer.request,
            masked_frame(Opcode.BINARY, b"hello", b"kkkk") + masked_frame(Opcode.BINARY, b"again", b"kkkk"),
        )
        self.peer.request = b""
        for byte in encode_frame(b"in pieces"):
            self.inner.transport.write(bytes((byte,)))
        self.turn()
        self.assertEqual(self.peer.request, masked_frame(Opcode.BINARY, b"in pieces", b"kkkk"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_comes_with_the_answer(self):
        self.open(behind=frame(Opcode.BINARY, b"welcome"))
        self.assertEqual(self.inner.heard, encode_frame(b"welcome"))

    def test_what_comes(self):
        self.open()
        for byte in frame(Opcode.BINARY, b"one") + b"\x02\x02tw\x80\x01o" + frame(Opcode.BINARY, b""):
            self.told(bytes((byte,)))
        self.assertEqual(self.inner.heard, encode_frame(b"one") + encode_frame(b"two") + encode_frame(b""))

    def test_a_ping(self):
        self.open()
        self.assertEqual(self.told(frame(Opcode.PING, b"x")), masked_frame(Opcode.PONG, b"x", b"kkkk"))

    def test_a_close(self):
        """What came before it is heard."""
        self.open()
        said = self.told(frame(Opcode.BINARY, b"goodbye") + close_frame(1001) + frame(Opcode.BINARY, b"late"))
        self.assertEqual(said, masked_frame(Opcode.CLOSE, b"\x03\xe8", b"kkkk"))
        self.assertEqual(self.inner.heard, encode_frame(b"goodbye"))
        self.assertIsNotNone(self.inner.why)
        self.assertTrue(self.peer.lost)

    def test_what_cannot_be_read(self):
        large = b"\x82\x7f" + (MAX_MESSAGE + 1).to_bytes(8, "big")
        for data, code in (
            (masked_frame(Opcode.BINARY, b"x", b"abcd"), 1002),
            (frame(Opcode.TEXT, b"x"), 1003),
            (large, 1009),
            (b"\xf2\x01x", 1002),
            (b"\x80\x01x", 1002),
        ):
            self.setUp()
            self.open()
            said = list(MessageReader(text=False, max_message=99).feed(self.told(data)))
            self.assertEqual(said, [(Opcode.CLOSE, code)], data)
            self.assertIn("cannot be read", self.inner.why.message)

    def test_leaving(self):
        self.open()
        self.peer.request = b""
        self.inner.transport.loseConnection()
        self.inner.transport.loseConnection()
        self.turn()
        self.assertEqual(self.peer.request, masked_frame(Opcode.CLOSE, b"\x03\xe8", b"kkkk"))
        self.assertTrue(self.peer.lost)

    def test_other_answers(self):
        for options, words in (
            ({"status": "404 Not Found"}, "HTTP 404"),
            ({"status": "200 OK"}, "HTTP 200"),
            ({"status": "302 Found"}, "HTTP 302"),
            ({"accept": generate_accept_token(b"x" * 24).decode()}, "of ours"),
            ({"accept": None}, "of ours"),
            ({"protocol": None}, "of ours"),
            ({"protocol": "cim.v1.json"}, "of ours"),
            ({"extensions": "permessage-deflate"}, "of ours"),
        ):
            self.setUp()
            self.peer.answer(**options)
            self.refused(words)

    def test_no_http(self):
        for data in (
            b"\x02\x08\x02" * 20,
            b"\x15\x03\x03\x00\x02\x02\x28\r\n\r\n",
            b"HTTP/1.1 101 x\r\nX: " + b"y" * 20000,
        ):
            self.setUp()
            self.peer.transport.write(data)
            self.refused("not HTTP")

    def test_no_answer(self):
        self.clock.advance(UPGRADE_SECONDS - 0.1)
        self.assertNoResult(self.connecting)
        self.clock.advance(0.1)
        self.refused("did not answer within 10 s")

    def test_a_connection_that_is_lost(self):
        self.wire.cut()
        self.refused("cannot be reached")

    def test_one_that_is_not_wanted_any_more(self):
        self.connecting.cancel()
        self.peer.answer()
        self.turn()
        self.failureResultOf(self.connecting)
        self.assertTrue(self.peer.lost)
        self.assertEqual((self.inner.transport, self.clock.getDelayedCalls()), (None, []))

    @given(st.binary(max_size=200), st.booleans())
    def test_any_bytes(self, data, after):
        """Whatever comes is an end or is passed over; nothing is raised."""
        self.setUp()
        if after:
            self.open()
        self.told(data)
        self.wire.cut()
        self.turn()
        if not after:
            self.failureResultOf(self.connecting, Unavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class URLTests(SynchronousTestCase):
    def test_what_is_one(self):
        url = WebSocketURL.parse("wss://chat.example/servers/1/v1/socket")
        self.assertEqual(
            (url.tls, url.host, url.port, url.authority, url.target),
            (True, "chat.example", 443, "chat.example", "/servers/1/v1/socket"),
        )
        url = WebSocketURL.parse("ws://[::1]:8080?a=b")
        self.assertEqual(
            (url.tls, url.host, url.port, url.authority, url.target), (False, "::1", 8080, "[::1]:8080", "/?a=b")
        )
