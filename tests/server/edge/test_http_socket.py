"""WebSockets on an HTTP port: as on a port of their own, and beside calls."""

from __future__ import annotations

from hypothesis import given, settings
from wsproto.events import AcceptConnection

from twisted.internet.address import IPv4Address

from cim.addresses import Addresses, proxy
from cim.daemon.metrics import Metrics
from cim.limits import Limit
from cim.server.edge.connection import Limits
from cim.server.edge.http_socket import HTTPSockets
from cim.web.envelope import Envelopes
from cim.web.hosts import Hosts
from cim.web.operations import internal_only, located
from cim.web.origins import Origins
from cim.web.pages import Front, WebFiles
from cim.web.serving import CallResource
from cim.web.site import BoundedSite, Bounds
from tests.harness.cluster import ClientTransport
from tests.server.edge import test_websocket as alone
from tests.server.edge.test_websocket import HELLO, PING, PROTOBUF, WebSocketClient, masked


class HTTPClient(WebSocketClient):
    """A client with its connection to a site."""

    def __init__(self, port, subprotocol=PROTOBUF, headers=(), path="/v1/socket"):
        super().__init__(port, subprotocol, headers, path)
        self.channel = self.connection

    def send(self, data):
        self.channel.dataReceived(data)
        self.connection = self.channel._other or self.channel


class HTTPPort:
    """Replaces the port of `PortTestCase` by a site."""

    client_of = HTTPClient
    bounds = Bounds()
    hosts = None

    def setUp(self):
        super().setUp()
        self.metrics = Metrics("suite")
        self.addresses = Addresses([proxy("10.0.0.1")], self.metrics.refused)
        calls = CallResource({Envelopes(internal_only(None, self.metrics)): ()}, self.metrics)
        sockets = HTTPSockets(
            self.gateway, Origins(["https://chat.example.com"]), located(self.addresses), self.metrics
        )
        front = Front(calls, WebFiles([]), {}, self.metrics, {b"/v1/socket": sockets.render})
        self.port = BoundedSite(
            *(front, self.clock, self.metrics),
            hosts=self.hosts,
            bounds=self.bounds,
            max_connections=10,
            address_of=self.addresses.at,
        )
        self.port.startFactory()


class HandshakeTests(HTTPPort, alone.HandshakeTests):
    def test_requests_for_anything_but_a_websocket_are_answered_and_closed(self):
        """They are calls like others, and the connection goes on."""
        client = HTTPClient(self.port)
        for request, status in (
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
            (b"GET /v1/socket HTTP/1.1\r\nHost: localhost\r\n\r\n", b"426"),
            (b"POST /v1/socket HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx", b"405"),
        ):
            client.send(request)
            self.assertEqual(client.transport.value().split()[1], status)
            client.transport.clear()
        self.assertEqual(self.counted, ["no-websocket"] * 2)
        (event,) = client.upgrade()
        self.assertIsInstance(event, AcceptConnection)

    def test_a_foreign_origin(self):
        for origin, status in (
            (b"https://evil.example", b"403"),
            (b"null", b"403"),
            (b"https://chat.example.com", b"101"),
            # That of the host which the request is for.
            (b"http://localhost", b"101"),
            (b"https://localhost", b"101"),
            (b"http://localhost:8083", b"403"),
            (b"ftp://localhost", b"403"),
        ):
            client = HTTPClient(self.port, headers=[(b"Origin", origin)])
            client.send(client.request)
            self.assertEqual(client.transport.value().split()[1], status, origin)
        self.assertEqual(self.counted, ["foreign-origin"] * 4)
        # Nobody knows which of two it is for.
        client = HTTPClient(self.port, headers=[(b"Origin", b"http://other")])
        client.send(client.request.replace(b"Host: localhost\r\n", b"Host: localhost\r\nHost: other\r\n"))
        self.assertEqual(client.transport.value().split()[1], b"403")

    @settings(max_examples=60, deadline=None)
    @given(*alone.PIECES)
    def test_any_pieces(self, piece, subprotocol, sizes):
        self.send_in_pieces(piece, subprotocol, sizes)

    def test_a_request_that_never_ends(self):
        client = HTTPClient(self.port)
        client.send(client.request[:10])
        self.pass_seconds(66)
        self.assertTrue(client.closed)

    def test_when_full_the_oldest_without_a_login_goes(self):
        first, second, *_ = [self.connect() for _ in range(10)]
        self.connect()
        self.assertEqual((first.transport.aborted, second.transport.aborted), (True, False))
        self.assertEqual(self.counted, ["too-many-connections"])

    def test_when_all_are_logged_in_one_more_is_told(self):
        for _ in range(10):
            self.log_in()
        client = HTTPClient(self.port)
        client.send(client.request)
        self.assertIn(b"503 Service Unavailable", client.transport.value())
        self.assertIn(b"Retry-After: 1", client.transport.value())
        self.assertEqual(self.counted, ["too-many-connections"])


class WritingTests(HTTPPort, alone.WritingTests):
    pass


class LivenessTests(HTTPPort, alone.LivenessTests):
    pass


class EndTests(HTTPPort, alone.EndTests):
    def test_draining(self):
        member, stranger = self.log_in(), self.connect()
        self.assertTrue(self.successResultOf(self.port.drain()) is None)
        drained = self.gateway.drain()
        self.assert_closing(member, 1001, "draining")
        self.assert_closing(stranger, 1001)
        self.assertNoResult(drained)
        for client in (member, stranger):
            client.drop()
        self.successResultOf(drained)


class BoundsTests(HTTPPort, alone.PortTestCase):
    """Connections count where they belong."""

    bounds = Bounds(connects=Limit(0.001, 3), address_connections=3)
    limits = Limits(connects=Limit(0.001, 5))
    hosts = Hosts(["chat.example.com"])

    def setUp(self):
        super().setUp()
        self.gateway.address_of = self.addresses.at

    def open(self, peer="203.0.113.9", *headers, host="chat.example.com"):
        """Return the status of a request to open one, and the client."""
        transport = ClientTransport()
        transport.getPeer = lambda: IPv4Address("TCP", peer, 5)
        channel = self.port.buildProtocol(transport.getPeer())
        if channel is None:
            return None, None
        channel.makeConnection(transport)
        request = WebSocketClient.__new__(HTTPClient)
        request.channel, request.transport = channel, transport
        lines = [
            *("GET /v1/socket HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"),
            *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"),
            *(f"Sec-WebSocket-Protocol: {PROTOBUF}", *headers),
        ]
        request.send("\r\n".join([*lines, "", ""]).encode())
        return int(transport.value().split()[1]), request

    def test_not_as_connections_of_http(self):
        """Many that are open shut nobody out of HTTP, and none of them is closed as silent HTTP is."""
        opened = [self.open() for _ in range(4)]
        self.assertEqual([status for status, _ in opened], [101] * 4)
        for _, client in opened:
            client.send(masked(2, HELLO))
        for _ in range(9):
            self.pass_seconds(10)
            for _, client in opened:
                client.send(masked(2, PING))
        self.assertEqual([client.transport.disconnecting for _, client in opened], [False] * 4)
        self.successResultOf(self.port.drain())

    def test_those_that_log_in_do_not_use_up_an_address(self):
        for _ in range(8):
            status, client = self.open()
            self.assertEqual(status, 101)
            client.send(masked(2, HELLO))

    def test_those_that_come_to_nothing_do(self):
        self.assertEqual([self.open()[0] for _ in range(6)], [101] * 5 + [503])
        self.assertEqual(self.open("203.0.113.10")[0], 101)
        self.assertEqual(self.counted, ["limit-address-connects"])

    def test_behind_a_proxy_each_client_counts_alone(self):
        statuses = [self.open("10.0.0.1", "X-Forwarded-For: 203.0.113.9")[0] for _ in range(6)]
        self.assertEqual(statuses, [101] * 5 + [503])
        self.assertEqual(self.open("10.0.0.1", "X-Forwarded-For: 203.0.113.10")[0], 101)
        # One that names nobody is not held up.
        self.assertEqual([self.open("10.0.0.1")[0] for _ in range(6)], [101] * 6)

    def test_whoever_is_no_proxy_counts_as_itself(self):
        statuses = [self.open("203.0.113.9", f"X-Forwarded-For: 203.0.113.{n}")[0] for n in range(6)]
        self.assertEqual(statuses, [101] * 5 + [503])

    def test_a_host_that_is_not_ours(self):
        """A page whose name resolves to this machine: its origin and the Host are the same."""
        for header in ((), ("Origin: http://evil.example",)):
            self.assertEqual(self.open("203.0.113.9", *header, host="evil.example")[0], 421)
        self.assertEqual(self.native, [])

    def test_cookies_open_nothing(self):
        """The session alone decides, by the ticket in its Hello."""
        status, client = self.open("203.0.113.9", "Cookie: cim-80=x", "Authorization: Bearer y")
        self.assertEqual((status, self.native), (101, []))
        self.pass_seconds(12)
        self.assertEqual(self.counted, ["login-timeout"])
        self.assertFalse(client.transport.aborted)


class OptionalTLSTests(HTTPPort, alone.PortTestCase):
    def test_a_transport_that_knows_the_channel_s_method_alone(self):
        """As `cim.daemon.optional_tls` calls it: the method that the channel had before the switch."""
        client = HTTPClient(self.port)
        receive, lose = client.channel.dataReceived, client.channel.connectionLost
        receive(client.request)
        receive(masked(2, HELLO))
        self.assertEqual(self.native[0].packets, [HELLO])
        lose(None)
        self.assertTrue(self.native[0].is_lost)
