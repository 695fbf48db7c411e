"""Tests of APNs, against a double of Apple's server that speaks HTTP/2 and checks what the real one would."""

from __future__ import annotations

import json

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CallTimeout, InvalidField, RateLimited, Unavailable, Unreachable
from cim.model import Notice, Pushed, Registration
from cim.route.push import http2
from cim.route.push.apns import ANSWER_SECONDS, CONNECT_SECONDS, APNs, Signer

START = 1_700_000_000
PRIVATE = generate_private_key(SECP256R1())
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
HOST = "api.push.apple.com"
DEVICE = "0123456789abcdef" * 4


class Transport(StringTransport):
    """A connection by TLS."""

    negotiatedProtocol = b"h2"
    aborted = False

    def abortConnection(self):
        self.aborted = True


class Apple:
    """The server's end of a connection.

    :ivar answers: returns the status and the body for a request, or None for none
    """

    def __init__(self, test, streams=100):
        self.test = test
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: streams})
        self.transport = Transport()
        self.protocol = None
        self.requests = {}
        self.took = []
        self.reset = []
        self.answers = lambda headers, body: (200, b"")

    def accept(self, factory):
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.run()
        return self.protocol

    def run(self):
        """Pass on what either side has said, until nothing more is."""
        while True:
            said = self.transport.value()
            self.transport.clear()
            for event in self.h2.receive_data(said) if said else ():
                self.handle(event)
            answer = self.h2.data_to_send()
            if answer:
                self.protocol.dataReceived(answer)
            if not said and not answer:
                return

    def handle(self, event):
        if isinstance(event, RequestReceived):
            self.requests[event.stream_id] = (dict(event.headers), b"")
        elif isinstance(event, DataReceived):
            headers, body = self.requests[event.stream_id]
            self.requests[event.stream_id] = headers, body + event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamReset):
            self.reset.append(event.stream_id)
        elif isinstance(event, StreamEnded):
            headers, body = self.requests[event.stream_id]
            self.check(headers, body)
            self.took.append((headers, json.loads(body)))
            answer = self.answers(headers, body)
            if answer is not None:
                self.answer(event.stream_id, *answer)

    def answer(self, stream, status, body=b"", **headers):
        self.h2.send_headers(stream, [(":status", str(status)), *headers.items()], end_stream=not body)
        if body:
            self.h2.send_data(stream, body[:16000], end_stream=len(body) <= 16000)

    def check(self, headers, body):
        assert (headers[":method"], headers[":scheme"], headers[":authority"]) == ("POST", "https", HOST)
        assert headers[":path"] == f"/3/device/{DEVICE}"
        assert headers["apns-topic"] == "com.example.chat"
        assert len(headers["apns-collapse-id"]) <= 64 and len(body) <= 4096
        assert int(headers["apns-expiration"]) > self.test.now
        scheme, _, token = headers["authorization"].partition(" ")
        assert scheme == "bearer"
        assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": "KEY1234567", "typ": "JWT"}
        options = {"verify_iat": False, "require": ["iss", "iat"]}
        claims = jwt.decode(token, PRIVATE.public_key(), algorithms=["ES256"], issuer="TEAM123456", options=options)
        assert self.test.now - 3600 < claims["iat"] <= self.test.now, claims
        said = json.loads(body)["aps"]
        if headers["apns-push-type"] == "background":
            assert headers["apns-priority"] == "5" and said == {"content-available": 1}
        else:
            assert headers["apns-push-type"] == "alert" and headers["apns-priority"] == "10" and said["alert"]


class APNsCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.now = START + 0.5
        self.servers = []
        self.connects = lambda factory: succeed(self.server().accept(factory))
        signer = Signer("TEAM123456", "KEY1234567", "com.example.chat", PEM)
        self.apns = APNs(self, HOST, signer, clock=self.clock, time_of_day=lambda: self.now)
        self.made = Registration(7, "apns", DEVICE, "phone")

    def server(self, **options):
        self.servers.append(Apple(self, **options))
        return self.servers[-1]

    def connect(self, factory):
        return self.connects(factory)

    def start(self, notice=None):
        pushing = self.apns.push(self.made, notice or Notice("g:1"))
        for server in self.servers:
            server.run()
        return pushing

    def push(self, notice=None):
        return self.successResultOf(self.start(notice))


class APNsTests(APNsCase):
    def test_what_a_device_gets(self):
        self.assertEqual(self.push(Notice("g:1", "5-1", 2, "bob", "friends", "hello", 3)), Pushed.DONE)
        self.push(Notice("g:1", "5-1", 2, "bob", badge=3))
        self.push(Notice("g:1", read=True))
        aps = [said["aps"] for _, said in self.servers[0].took]
        self.assertEqual(aps[0]["alert"], {"title": "bob", "subtitle": "friends", "body": "hello"})
        self.assertEqual(aps[0]["badge"], 3)
        self.assertEqual(aps[1]["alert"], {"title": "bob", "loc-key": "NEW_MESSAGE"})
        said = {"conversation": "g:1", "position": "5-1", "sender": 2, "sender_name": "bob", "badge": 3}
        self.assertEqual(self.servers[0].took[1][1]["cim"], said)
        self.assertEqual(self.servers[0].took[2][1]["cim"], {"conversation": "g:1", "read": True, "badge": 0})
        self.assertEqual(len(self.servers), 1)

    def test_a_token_is_used_for_less_than_an_hour(self):
        self.push()
        self.now += 1800
        self.push()
        self.now += 1800
        self.push()
        tokens = [headers["authorization"] for headers, _ in self.servers[0].took]
        self.assertEqual((tokens[0], len(set(tokens))), (tokens[1], 2))

    def test_what_answers_mean(self):
        self.push()
        for status, reason, outcome in (
            (410, "Unregistered", Pushed.GONE),
            (410, "ExpiredToken", Pushed.GONE),
            (410, "", Pushed.GONE),
            (400, "BadDeviceToken", Pushed.REFUSED),
            (400, "DeviceTokenNotForTopic", Pushed.REFUSED),
            (400, "BadTopic", Pushed.REFUSED),
            (403, "InvalidProviderToken", Pushed.REFUSED),
            (403, "ExpiredProviderToken", Pushed.LATER),
            (413, "PayloadTooLarge", Pushed.REFUSED),
            (500, "InternalServerError", Pushed.LATER),
            (503, "Shutdown", Pushed.LATER),
        ):
            body = json.dumps({"reason": reason}).encode()
            self.servers[0].answers = lambda *_, status=status, body=body: (status, body)
            self.assertEqual(self.push(), outcome, reason)
        for body in (b"<html>", b"[" * 5000, b"5", b"{}"):
            self.servers[0].answers = lambda *_, body=body: (400, body)
            self.assertEqual(self.push(), Pushed.REFUSED)
        self.servers[0].answers = lambda *_: None
        pushing = self.start()
        self.servers[0].answer(max(self.servers[0].requests), 429, **{"retry-after": "9"})
        self.servers[0].run()
        self.assertEqual(self.failureResultOf(pushing, RateLimited).value.retry_after, 9)

    def test_a_connection_that_is_lost_is_made_anew(self):
        self.push()
        self.servers[0].answers = lambda *_: None
        pushing = self.start()
        self.servers[0].protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(pushing, Unavailable)
        self.assertEqual(self.push(), Pushed.DONE)
        self.assertEqual(len(self.servers), 2)

    def test_one_is_made_at_a_time(self):
        waiting = Deferred()
        asked = []
        self.connects = lambda factory: asked.append(factory) or waiting
        pushing = [self.start() for _ in range(3)]
        waiting.callback(self.server().accept(asked[0]))
        self.servers[0].run()
        self.assertEqual([self.successResultOf(one) for one in pushing], [Pushed.DONE] * 3)
        self.assertEqual(len(asked), 1)

    def test_where_nobody_answers(self):
        self.connects = lambda factory: fail(ConnectionRefusedError())
        self.failureResultOf(self.start(), Unreachable)
        self.connects = lambda factory: Deferred()
        pushing = [self.start(), self.start()]
        self.clock.advance(CONNECT_SECONDS)
        self.failureResultOf(pushing[0], CallTimeout)
        self.failureResultOf(pushing[1], Unavailable)

    def test_a_server_that_gives_no_answer(self):
        self.push()
        self.servers[0].answers = lambda *_: None
        pushing = self.start()
        self.clock.advance(ANSWER_SECONDS)
        self.failureResultOf(pushing, CallTimeout)
        self.servers[0].run()
        self.assertEqual(self.servers[0].reset, [max(self.servers[0].requests)])
        self.servers[0].answers = lambda *_: (200, b"")
        self.assertEqual(self.push(), Pushed.DONE)
        self.assertEqual(len(self.servers), 1)

    def test_what_can_be_registered(self):
        self.assertEqual(self.apns.check(DEVICE, {}), "")
        for address in ("", DEVICE[1:], "x" * 64, f"{DEVICE}/../../admin", "a" * 201):
            self.assertRaises(InvalidField, self.apns.check, address, {})
        self.assertRaises(InvalidField, self.apns.check, DEVICE, {"auth": "x"})

    def test_keys_that_are_none(self):
        for key in ("", "nothing", PEM.replace("M", "N")):
            self.assertRaises(ValueError, Signer("T", "K", "t", key).sign, START)


class HTTP2Tests(APNsCase):
    def test_no_more_at_once_than_the_server_takes(self):
        server = self.server(streams=2)
        server.answers = lambda *_: None
        self.connects = lambda factory: succeed(server.accept(factory))
        pushing = [self.start() for _ in range(5)]
        self.assertEqual(len(server.took), 2)
        for stream in (1, 3):
            server.answer(stream, 200)
        server.run()
        self.assertEqual(len(server.took), 4)
        self.assertEqual([self.successResultOf(one) for one in pushing[:2]], [Pushed.DONE] * 2)
        self.assertNoResult(pushing[2])

    def test_what_waits_is_bounded(self):
        self.patch(http2, "MOST_WAITING", 2)
        server = self.server(streams=1)
        server.answers = lambda *_: None
        self.connects = lambda factory: succeed(server.accept(factory))
        pushing = [self.start() for _ in range(4)]
        self.failureResultOf(pushing[3], RateLimited)
        self.assertNoResult(pushing[2])

    def test_an_answer_without_end(self):
        self.push()
        (server,) = self.servers
        server.answers = lambda *_: None
        pushing = self.start()
        stream = max(server.requests)
        server.h2.send_headers(stream, [(":status", "200")])
        for _ in range(5):
            server.h2.send_data(stream, b"x" * 16000)
            server.run()
            if pushing.called:
                break
        self.failureResultOf(pushing, Unavailable)
        self.assertEqual(server.reset, [stream])

    def test_a_server_that_goes_away_or_breaks_off(self):
        self.push()
        (server,) = self.servers
        server.answers = lambda *_: None
        pushing = self.start()
        server.h2.reset_stream(max(server.requests))
        server.run()
        self.failureResultOf(pushing, Unavailable)
        pushing = self.start()
        server.h2.close_connection()
        server.run()
        self.assertTrue(server.transport.aborted)
        server.protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(pushing, Unavailable)
        self.assertEqual(self.push(), Pushed.DONE)

    def test_bytes_that_are_no_http2(self):
        self.push()
        (server,) = self.servers
        for _ in range(9):
            server.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 600)
        self.assertTrue(server.transport.aborted)
        self.assertEqual(self.push(), Pushed.DONE)
        self.assertEqual(len(self.servers), 2)

    def test_a_server_that_speaks_something_else(self):
        server = self.server()
        server.transport.negotiatedProtocol = b"http/1.1"
        self.connects = lambda factory: succeed(server.accept(factory))
        self.start()
        self.assertTrue(server.transport.aborted)
