"""Requests to strangers, over connections in memory: where they go, and what hostile answers do."""

from __future__ import annotations

import zlib
from ipaddress import ip_network

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import (
    CallTimeout,
    InvalidField,
    OutgoingRefused,
    RateLimited,
    Unavailable,
    Unreachable,
)
from cim.outgoing import client
from cim.outgoing.client import MAX_ANSWER, MAX_HEAD, MAX_LOOKUPS, Outgoing
from cim.outgoing.guard import Guard
from cim.traces import traceparent
from tests.harness.tracing import KeptSpans, trace_of

URL = "http://hooks.example:8080/in?x=1"


class Resolver:
    """Answers lookups with what the test says, at once or when it says so."""

    def __init__(self):
        self.answers = {"hooks.example": [["1.1.1.1"]]}
        self.asked = []
        self.held = None

    def resolveHostName(self, receiver, host, portNumber=0, **_):
        self.asked.append(host)
        answers = self.answers.get(host, [[]])
        found = answers[0] if len(answers) == 1 else answers.pop(0)

        def tell():
            receiver.resolutionBegan(None)
            for one in found:
                kind = IPv6Address if ":" in one else IPv4Address
                receiver.addressResolved(kind("TCP", one, portNumber))
            receiver.resolutionComplete()

        if self.held is None:
            tell()
        else:
            self.held.append(tell)


class Wire(StringTransport):
    """A connection of the client's, which the test plays the other end of."""

    def __init__(self, factory):
        super().__init__()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(self)

    def abortConnection(self):
        super().abortConnection()
        self.protocol.connectionLost(Failure(ConnectionAborted()))

    def answer(self, data):
        self.protocol.dataReceived(data)


class ClientCase(SynchronousTestCase):
    allowed = ()
    per_host = 8

    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.resolver = self.reactor.nameResolver = Resolver()
        self.outgoing = Outgoing(self.reactor, Guard(self.allowed), per_host=self.per_host)
        self.addCleanup(self.outgoing.close)

    def dialled(self):
        return [one[:2] for one in self.reactor.tcpClients]

    def wire(self, which=-1):
        return Wire(self.reactor.tcpClients[which][2])

    def ask(self, url=URL, **more):
        return self.outgoing.request("POST", url, body=b"{}", **more)

    def refused(self, kind, asking):
        return self.failureResultOf(asking, kind).value.message


class TracedTests(ClientCase):
    def setUp(self):
        super().setUp()
        self.kept = KeptSpans()
        self.outgoing = Outgoing(self.reactor, Guard(), tracer=self.kept.tracer)

    def ended(self):
        (span,) = self.kept.take()
        return span

    def asked(self, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", **more):
        """Ask, and return the value of the request's `traceparent`."""
        asking = self.ask(**more)
        wire = self.wire()
        named = [line for line in wire.value().split(b"\r\n") if line.lower().startswith(b"traceparent: ")]
        wire.answer(answer)
        self.successResultOf(asking)
        return [line.partition(b": ")[2].decode() for line in named]

    def test_the_stranger_is_told_the_trace(self):
        above = bytes(range(1, 25))
        told = self.asked(trace=above, headers={"traceparent": "of somebody else"})
        span = self.ended()
        self.assertEqual(told, [traceparent(trace_of(span))])
        self.assertEqual(trace_of(span)[:16], above[:16])
        self.assertEqual(span.parent.span_id.to_bytes(8, "big"), above[16:])
        self.assertEqual(
            dict(span.attributes),
            {
                "http.request.method": "POST",
                "server.address": "hooks.example",
                "server.port": 8080,
                "http.response.status_code": 200,
            },
        )

    def test_what_is_not_traced_is_told_nothing(self):
        self.kept.chance = 1.0
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.kept.take(), [])

    def test_failures_are_errors(self):
        self.asked(b"HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.ended().attributes["error.type"], "404")
        self.refused(Unreachable, self.ask("http://nowhere.example/"))
        self.assertEqual(self.ended().attributes["error.type"], "unavailable")
        self.resolver.answers["hooks.example"] = [["127.0.0.1"]]
        self.refused(OutgoingRefused, self.ask())
        self.assertNotIn("127.0.0.1", self.ended().to_json())

    def test_a_deadline_ends_the_span(self):
        asking = self.ask(seconds=3)
        self.reactor.advance(3)
        self.refused(CallTimeout, asking)
        self.assertEqual(self.ended().attributes["error.type"], "timeout")

    def test_no_url_no_span(self):
        self.refused(InvalidField, self.ask("http://u:p@hooks.example/"))
        self.assertEqual(self.kept.take(), [])


class WhereTests(ClientCase):
    def test_the_request(self):
        asking = self.ask(headers={"webhook-id": "m1"})
        wire = self.wire()
        head, _, body = wire.value().partition(b"\r\n\r\n")
        self.assertEqual(body, b"{}")
        self.assertEqual(
            sorted(head.split(b"\r\n")),
            [b"Content-Length: 2", b"Host: hooks.example:8080", b"POST /in?x=1 HTTP/1.1", b"Webhook-Id: m1"],
        )
        wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok")
        answer = self.successResultOf(asking)
        self.assertEqual((answer.status, answer.body), (200, b"ok"))
        self.assertEqual(answer.headers.getRawHeaders("retry-after"), ["7"])

    def test_the_connection_goes_to_the_address_that_was_checked(self):
        """A name that leads elsewhere when it is asked for again is not asked for again."""
        self.resolver.answers["hooks.example"] = [["1.1.1.1"], ["127.0.0.1"]]
        asking = self.ask()
        self.assertEqual((self.dialled(), self.resolver.asked), ([("1.1.1.1", 8080)], ["hooks.example"]))
        self.wire().answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.successResultOf(asking)
        self.assertIn("hooks.example leads to 127.0.0.1", self.refused(OutgoingRefused, self.ask()))
        self.assertEqual(len(self.dialled()), 1)

    def test_one_bad_address_among_good_ones(self):
        self.resolver.answers["hooks.example"] = [["1.1.1.1", "::ffff:10.0.0.1"]]
        self.refused(OutgoingRefused, self.ask())
        self.assertEqual(self.dialled(), [])

    def test_addresses_in_urls_are_checked(self):
        for host in ("127.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1", "2002:7f00:1::"):
            self.resolver.answers[host] = [[host]]
            self.refused(OutgoingRefused, self.ask(f"http://[{host}]/" if ":" in host else f"http://{host}/"))
        self.assertEqual(self.dialled(), [])

    def test_urls_are_checked(self):
        for url in ("http://u:p@hooks.example/", "http://2130706433/", "http://hooks.example./", "file:///etc/passwd"):
            self.refused(InvalidField, self.ask(url))
        self.refused(InvalidField, self.ask(https=True))
        self.assertEqual((self.dialled(), self.resolver.asked), ([], []))

    def test_the_next_address_is_tried(self):
        self.resolver.answers["hooks.example"] = [["2606::1", "1.1.1.1"]]
        asking = self.ask()
        self.assertEqual(self.dialled(), [("2606::1", 8080)])
        self.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.assertEqual(self.dialled()[1:], [("1.1.1.1", 8080)])
        self.reactor.tcpClients[1][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.assertIn("http://hooks.example:8080 cannot be reached", self.refused(Unreachable, asking))

    def test_no_such_host(self):
        self.assertIn("no such host", self.refused(Unreachable, self.ask("http://nowhere.example/")))

    def test_redirections_are_answers(self):
        asking = self.ask()
        self.wire().answer(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.successResultOf(asking).status, 302)
        self.assertEqual(len(self.dialled()), 1)

    def test_connections_are_kept_for_a_while_and_cookies_are_not(self):
        asking = self.ask()
        wire = self.wire()
        wire.answer(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
        self.successResultOf(asking)
        wire.clear()
        asking = self.ask()
        self.assertEqual(len(self.dialled()), 1)
        self.assertNotIn(b"ookie", wire.value())
        wire.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(self.successResultOf(asking).status, 204)
        self.reactor.advance(5)
        self.assertTrue(wire.disconnecting)


class AllowedTests(ClientCase):
    allowed = (ip_network("127.0.0.0/8"),)

    def test_allowed_networks_are_reached(self):
        self.resolver.answers["hooks.example"] = [["127.0.0.1"]]
        self.ask().addErrback(lambda _: None)
        self.assertEqual(self.dialled(), [("127.0.0.1", 8080)])
        self.reactor.advance(20)


class HostileTests(ClientCase):
    def test_who_hangs(self):
        asking = self.ask(seconds=5)
        wire = self.wire()
        self.reactor.advance(4.9)
        self.assertNoResult(asking)
        self.reactor.advance(0.2)
        self.assertEqual(self.refused(CallTimeout, asking), "http://hooks.example:8080 gave no whole answer within 5 s")
        self.assertTrue(wire.disconnecting or wire.disconnected)

    def test_who_drips(self):
        """A byte a second keeps nobody busy for longer than the deadline."""
        asking = self.ask(seconds=5)
        wire = self.wire()
        wire.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(6):
            self.reactor.advance(1)
            if not wire.disconnecting:
                wire.answer(b"x")
        self.refused(CallTimeout, asking)
        self.assertTrue(wire.disconnecting)

    def test_bodies_without_end(self):
        asking = self.ask(most=1000)
        wire = self.wire()
        wire.answer(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        self.assertNoResult(asking)
        wire.answer(b"x")
        self.assertIn("larger than allowed", self.refused(Unavailable, asking))
        self.assertTrue(wire.disconnecting)

    def test_heads_without_end(self):
        for start, line in (
            (b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
            (b"", b"HTTP/1.1 103 Early Hints\r\nX-A: " + b"a" * 900 + b"\r\n\r\n"),
        ):
            asking = self.ask()
            wire = self.wire()
            wire.answer(start)
            for _ in range((MAX_HEAD + MAX_ANSWER) // len(line) + 1):
                if not wire.disconnected:
                    wire.answer(line)
            self.assertTrue(wire.disconnected)
            self.assertIn("was lost before the answer", self.refused(Unavailable, asking))

    def test_compressed_answers_stay_compressed(self):
        asking = self.ask()
        packed = zlib.compress(b"x" * 100_000)
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        self.wire().answer(head + packed)
        self.assertEqual(self.successResultOf(asking).body, packed)

    def test_garbage(self):
        asking = self.ask()
        self.wire().answer(b"SSH-2.0-x\r\n\r\n")
        self.refused(Unavailable, asking)

    def test_lookups_that_hang(self):
        """They end for who asked, and hold at most so many threads."""
        self.resolver.held = []
        asking = [self.ask(f"http://h{number}.example/", seconds=5) for number in range(MAX_LOOKUPS + 2)]
        self.assertEqual(len(self.resolver.asked), MAX_LOOKUPS)
        self.reactor.advance(5)
        for one in asking:
            self.refused(CallTimeout, one)
        later = self.ask(seconds=5)
        self.assertEqual(len(self.resolver.asked), MAX_LOOKUPS)
        self.resolver.held.pop(0)()
        self.assertEqual(self.resolver.asked[MAX_LOOKUPS:], ["hooks.example"])
        self.resolver.held.pop()()
        self.assertEqual(self.dialled(), [("1.1.1.1", 8080)])
        self.reactor.advance(5)
        self.refused(CallTimeout, later)


class TurnTests(ClientCase):
    per_host = 2

    def test_so_many_at_a_time(self):
        asking = [self.ask() for _ in range(3)]
        self.assertEqual(len(self.dialled()), 2)
        self.resolver.answers["other.example"] = [["1.0.0.1"]]
        other = self.ask("http://other.example/")
        self.assertEqual(self.dialled()[2:], [("1.0.0.1", 80)])
        self.wire(0).answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.successResultOf(asking[0])
        self.assertEqual(self.dialled()[3:], [("1.1.1.1", 8080)])
        self.reactor.advance(10)
        for one in (*asking[1:], other):
            self.refused(CallTimeout, one)
        self.assertEqual(self.outgoing._turns, {})

    def test_a_turn_that_is_waited_for_too_long(self):
        first, second, third = (self.ask(seconds=seconds) for seconds in (10, 10, 1))
        self.reactor.advance(1)
        self.refused(CallTimeout, third)
        self.reactor.advance(9)
        self.refused(CallTimeout, first)
        self.refused(CallTimeout, second)

    def test_so_many_wait(self):
        self.patch(client, "MAX_WAITING", 1)
        asking = [self.ask() for _ in range(3)]
        self.refused(RateLimited, self.ask())
        self.reactor.advance(10)
        for one in asking:
            self.refused(CallTimeout, one)
