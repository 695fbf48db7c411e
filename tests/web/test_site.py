"""Tests of the bounds of an HTTP listener, and of how it drains."""

from __future__ import annotations

import json

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.web.server import NOT_DONE_YET

from cim.limits import Limit
from cim.web.request import PathResource, respond
from cim.web.site import MAX_BODY, Bounds, HTTPService
from tests.web.http_case import Conversation, HTTPCase, encode


class Slow(PathResource):
    """Holds requests until the test answers them."""

    def __init__(self):
        super().__init__()
        self.requests = []

    def render(self, request):
        self.requests.append((request, request.content.read()))
        return NOT_DONE_YET

    def refuse(self, request, path, error):
        respond(request, error.status, json.dumps({"path": path.decode(), "reason": error.message}).encode())

    def answer(self):
        request, body = self.requests.pop(0)
        respond(request, 200, b'"%d"' % len(body))


def _chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class SiteCase(HTTPCase):
    def setUp(self):
        self.slow = Slow()
        self.serve(self.slow, max_body=1000)

    def refused(self, kind):
        return f'cim_refused_total{{kind="{kind}"}} 1.0'.encode() in self.metrics.render()


class BodyTests(SiteCase):
    def test_within_the_bound(self):
        for data in (
            encode("POST", "/x", b"y" * 1000),
            CHUNKED + _chunk(b"y" * 400) * 2 + _chunk(b"y" * 200) + _chunk(b""),
        ):
            conversation = self.connect()
            conversation.send(data)
            self.slow.answer()
            self.assertEqual(conversation.answer()[2], b'"1000"')

    def test_too_large(self):
        """An oversized body is read to its end and discarded, so that the client sees the answer."""
        for data in (encode("POST", "/x", b"y" * 1001), CHUNKED + _chunk(b"y" * 600) * 2 + _chunk(b"")):
            conversation = self.connect()
            for start in range(0, len(data), 100):
                self.assertEqual(conversation.answers(), [])
                conversation.send(data[start : start + 100])
            status, headers, body = conversation.answer()
            self.assertEqual((status, headers["Connection"], json.loads(body)["path"]), (413, "close", "/x"))
            self.assertIn("at most 1000 bytes", json.loads(body)["reason"])
            self.assertFalse(conversation.open)
        self.assertEqual(self.slow.requests, [])

    def test_nothing_beyond_the_bound_is_buffered(self):
        conversation = self.connect()
        conversation.send(CHUNKED + _chunk(b"y" * 600) * 2)
        self.assertEqual(conversation.protocol.requests[0].content.getvalue(), b"")

    def test_far_too_large(self):
        """It is answered before the body arrives; the rest of the body is ignored."""
        conversation = self.connect()
        conversation.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n" + b"y" * 500)
        self.assertEqual(conversation.answer()[0], 413)
        self.assertFalse(conversation.open)
        conversation.send(b"y" * 500)
        self.assertTrue(self.refused("http-body-too-large"))

    def test_endless_chunks(self):
        conversation = self.connect()
        conversation.send(CHUNKED)
        for _ in range(200):
            conversation.send(_chunk(b"y" * 60_000))
            if not conversation.open:
                break
        self.assertEqual(conversation.answer()[0], 413)
        self.assertFalse(conversation.open)

    def test_an_oversized_body_in_one_piece(self):
        conversation = self.connect()
        conversation.send(CHUNKED + _chunk(b"y" * 9_000_000) + _chunk(b""))
        self.assertEqual(conversation.answer()[0], 413)
        self.assertFalse(conversation.open)

    def test_expect_100_continue(self):
        conversation = self.connect()
        conversation.send(b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
        self.assertEqual(conversation.answer()[0], 413)
        self.assertNotIn(b"100 Continue", conversation.transport.value())
        conversation = self.connect()
        conversation.send(b"POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        self.assertIn(b"100 Continue", conversation.transport.value())

    def test_malformed_requests(self):
        for data in (
            CHUNKED + b"zz\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"\x16\x03\x01" * 9000,
        ):
            conversation = self.connect()
            conversation.send(data)
            self.assertFalse(conversation.open, data[:40])
        self.assertEqual(self.slow.requests, [])
        self.assertIn(b'cim_refused_total{kind="http-malformed"} 4.0', self.metrics.render())

    def test_too_many_headers(self):
        conversation = self.connect()
        conversation.send(encode("GET", "/x", headers=[f"X-{n}: y" for n in range(70)]))
        self.assertFalse(conversation.open)

    def test_the_default_bound(self):
        self.serve(self.slow)
        self.assertEqual(self.site.max_body, MAX_BODY)


class SilenceTests(SiteCase):
    def pass_time(self, seconds):
        for _ in range(int(seconds)):
            self.clock.advance(1)

    def test_a_client_that_never_sends(self):
        conversation = self.connect()
        self.pass_time(59)
        self.assertTrue(conversation.open)
        self.pass_time(7)
        self.assertFalse(conversation.open)

    def test_a_client_that_sends_slowly(self):
        """Sending a byte now and then does not keep a connection open."""
        conversation = self.connect()
        for byte in b"GET /x HTTP/1.1\r\nA: " + b"b" * 100:
            if conversation.open:
                conversation.send(bytes([byte]))
                self.pass_time(2)
        self.assertFalse(conversation.open)

    def test_between_requests(self):
        conversation = self.connect()
        for _ in range(3):
            self.pass_time(50)
            conversation.send(encode("GET", "/x"))
            self.pass_time(100)  # a handler is not timed
            self.slow.answer()
        self.assertTrue(conversation.open)
        self.pass_time(66)
        self.assertFalse(conversation.open)

    def test_no_timer_without_connections(self):
        conversation = self.connect()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        conversation.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_that_does_not_read(self):
        conversation = self.connect()
        conversation.transport.loseConnection = lambda: None
        aborted = []
        conversation.transport.abortConnection = lambda: aborted.append(True)
        self.pass_time(64)
        self.assertEqual(aborted, [])
        self.pass_time(5)
        self.assertEqual(aborted, [True])


class Prompt(PathResource):
    """Answers at once; a path with `limit` as a call that a limit refuses."""

    def render(self, request):
        if b"limit" in request.path:
            request.channel.hold()
        respond(request, 200, b"{}")
        return NOT_DONE_YET


class TurnTests(SiteCase):
    """What came at once is served in several turns, and what is refused is not asked again at once."""

    def setUp(self):
        super().setUp()
        self.address = "192.0.2.7"
        self.serve(Prompt(), address_of=lambda transport: self.address)

    def answered(self, conversation):
        return len(conversation.answers("GET"))

    def test_one_request_in_a_turn(self):
        first, second = self.connect(), self.connect()
        first.send(encode("GET", "/x") * 50 + encode("GET", "/x")[:20])
        self.assertEqual(self.answered(first), 1)
        second.send(encode("GET", "/x"))
        self.assertEqual(self.answered(second), 1)
        # TLS may hand over more, although nothing is to be read.
        self.assertEqual(first.transport.producerState, "paused")
        first.send(encode("GET", "/x")[20:])
        self.assertEqual(self.answered(first), 1)
        self.clock.advance(0)
        self.assertEqual(self.answered(first), 51)
        self.assertEqual(first.transport.producerState, "producing")

    def test_those_who_do_not_read_are_not_read_from(self):
        conversation = self.connect()
        conversation.send(encode("GET", "/x") * 2)
        conversation.protocol.pauseProducing()
        self.clock.advance(0)
        self.assertEqual(conversation.transport.producerState, "paused")
        conversation.protocol.resumeProducing()
        self.assertEqual(conversation.transport.producerState, "producing")

    def test_after_a_refusal_nothing_is_read_for_a_second(self):
        conversation = self.connect()
        conversation.send(encode("GET", "/limit"))
        self.assertEqual(self.answered(conversation), 1)
        self.assertEqual(conversation.transport.producerState, "paused")
        self.clock.advance(0.9)
        conversation.send(encode("GET", "/x"))
        self.assertEqual(self.answered(conversation), 1)
        self.clock.advance(0.1)
        self.assertEqual(self.answered(conversation), 2)
        conversation.send(encode("GET", "/x"))
        self.assertEqual(self.answered(conversation), 3)

    def test_a_proxy_is_not_held_up_for_one_of_its_clients(self):
        self.address = ""
        conversation = self.connect()
        conversation.send(encode("GET", "/limit"))
        conversation.send(encode("GET", "/x"))
        self.assertEqual(self.answered(conversation), 2)

    def test_a_client_that_goes_while_it_waits(self):
        conversation = self.connect()
        conversation.send(encode("GET", "/x") * 50)
        conversation.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ConnectionTests(SiteCase):
    def crowded(self, most):
        """A site that takes so many connections."""
        self.serve(self.slow)
        self.site._max_connections = most

    def aborted(self, *conversations):
        """Which of them were ended."""
        return [conversation.transport.disconnected for conversation in conversations]

    def test_the_oldest_that_waits_for_its_client_gives_way(self):
        self.crowded(2)
        first, second = self.connect(), self.connect()
        first.send(b"POST /x HTTP/1.1\r\nHost: x\r\n")
        third = self.connect()
        # The second has been idle since before the first began its request.
        self.assertEqual(self.aborted(first, second, third), [False, True, False])
        self.assertTrue(self.refused("http-connections"))
        second.send(encode("GET", "/x"))
        self.assertEqual(self.slow.requests, [])
        third.send(encode("GET", "/x"))
        self.slow.answer()
        self.assertEqual(third.answer()[0], 200)
        fourth = self.connect()
        self.assertEqual(self.aborted(first, third, fourth), [True, False, False])
        first.lose()
        self.assertEqual(len(self.site._channels), 2)

    def test_the_oldest_of_an_address_gives_way_to_one_more_there(self):
        address = "192.0.2.7"
        self.serve(self.slow, bounds=Bounds(address_connections=2), address_of=lambda transport: address)
        busy = self.connect()
        busy.send(encode("GET", "/x"))
        here = [self.connect() for _ in range(3)]
        address = "198.51.100.7"
        elsewhere = self.connect()
        # Whoever waits for an answer does not count.
        self.assertEqual(self.aborted(busy, *here, elsewhere), [False, True, False, False, False])
        self.assertEqual(self.refused("http-connections"), 1)
        self.slow.answer()
        self.assertEqual(self.aborted(busy, *here[1:], elsewhere), [False, True, False, False])
        for conversation in here:
            conversation.lose()
        self.assertEqual(len(self.site._channels), 2)

    def used(self, whose="", trusted=False):
        """A connection on which a call was answered."""
        conversation = self.connect()
        conversation.send(encode("GET", "/x"))
        # As a call does whose caller has shown a token, or a key.
        conversation.protocol.whose, conversation.protocol.trusted = whose, trusted
        self.slow.answer()
        return conversation

    def test_the_oldest_of_a_user_gives_way_to_one_more(self):
        self.serve(self.slow, bounds=Bounds(user_connections=2))
        other = self.used("user 2")
        mine = [self.used("user 1") for _ in range(3)]
        self.assertEqual(self.aborted(other, *mine), [False, True, False, False])
        mine[1].send(encode("GET", "/x"))
        # Whoever waits for an answer does not count.
        self.slow.requests.pop()
        more = self.used("user 1")
        self.assertEqual(self.aborted(*mine[1:], more), [False, False, False])

    def test_users_count_by_address_too_and_keys_do_not(self):
        self.serve(self.slow, bounds=Bounds(address_connections=2), address_of=lambda peer: "192.0.2.7")
        keys = [self.used(trusted=True) for _ in range(3)]
        users = [self.used(f"user {number}") for number in range(3)]
        new = self.connect()
        self.assertEqual(self.aborted(*keys, *users, new), [False] * 3 + [True, True, False] + [False])

    def test_who_fills_the_site_shuts_out_nobody_else(self):
        """Users of one address held all connections, and new ones of it closed those of strangers."""
        address = ""
        self.serve(self.slow, address_of=lambda peer: address)
        self.site._max_connections = 50
        address = "198.51.100.7"
        friend = self.used("user 7")
        address = "192.0.2.7"
        for number in range(100):
            self.used(f"user {number % 5}")
        address = "198.51.100.8"
        stranger = self.connect()
        address = "192.0.2.7"
        for _ in range(200):
            self.connect()
        self.assertEqual(self.aborted(friend, stranger), [False, False])
        self.assertEqual(len(self.site._channels), 50)

    def test_through_a_proxy_users_count_alone(self):
        self.crowded(10)
        friend = self.used("user 7")
        for _ in range(20):
            self.used("user 1")
        self.assertFalse(friend.transport.disconnected)
        self.assertEqual(len(self.site._channels), 10)

    def test_connections_that_end_without_an_answer_are_limited_by_address(self):
        self.serve(self.slow, bounds=Bounds(connects=Limit(1, 2)), address_of=lambda peer: "192.0.2.7")
        for _ in range(5):
            conversation = self.connect()
            for _ in range(2):
                conversation.send(encode("GET", "/x"))
                self.slow.answer()
            conversation.lose()
        for _ in range(2):
            self.connect()
        self.assertIsNone(self.site.buildProtocol(None))
        self.assertTrue(self.refused("limit-address-http-connects"))
        self.clock.advance(1)
        self.assertIsNotNone(self.site.buildProtocol(None))

    def test_half_requests_do_not_shut_others_out(self):
        self.crowded(50)
        flood = [self.connect() for _ in range(200)]
        for one in flood:
            one.send(b"POST /x HTTP/1.1\r\nHost: x\r\n")
        honest = self.connect()
        flood += [self.connect() for _ in range(49)]
        honest.send(encode("GET", "/x"))
        flood += [self.connect() for _ in range(49)]
        self.slow.answer()
        self.assertEqual(honest.answer()[0], 200)
        self.assertEqual(len(self.site._channels), 50)

    def test_those_that_are_answered_stay(self):
        self.crowded(2)
        busy = [self.connect() for _ in range(2)]
        for one in busy:
            one.send(encode("GET", "/x"))
        third = self.connect()
        third.protocol.dataReceived(encode("GET", "/x"))
        self.assertEqual((self.aborted(*busy, third), len(self.slow.requests)), ([False, False, True], 2))
        self.assertFalse(third.open)
        self.slow.answer()
        self.assertEqual(busy[0].answer()[0], 200)
        self.connect()
        self.assertEqual(self.aborted(*busy), [True, False])

    def test_those_whose_clients_have_proved_who_they_are_go_last(self):
        self.crowded(3)
        proved, others = self.connect(), [self.connect() for _ in range(2)]
        proved.send(encode("GET", "/x"))
        self.slow.requests[0][0].channel.whose = "user 1"
        self.slow.answer()
        others += [self.connect() for _ in range(5)]
        self.assertEqual(self.aborted(proved, *others[-2:]), [False, False, False])
        for one in others[-2:]:
            one.send(encode("GET", "/x"))
        self.connect()
        self.assertEqual(self.aborted(proved, *others[-2:]), [True, False, False])

    def test_http_1_0_closes(self):
        conversation = self.connect()
        conversation.send(b"GET /x HTTP/1.0\r\n\r\n")
        self.slow.answer()
        self.assertEqual(conversation.answer()[0], 200)
        self.assertFalse(conversation.open)


class Long(PathResource):
    """Answers with as many bytes as the path says."""

    def render(self, request):
        respond(request, 200, b"y" * int(request.path[1:]))
        return NOT_DONE_YET


class SlowTransport(StringTransport):
    """Takes so many bytes before its client reads, as a socket does."""

    def write(self, data):
        super().write(data)
        if len(self.value()) > 1 << 16 and self.producer is not None:
            self.producer.pauseProducing()


class UnreadTests(SiteCase):
    """Answers of which clients do not read anything."""

    def setUp(self):
        super().setUp()
        self.most(bytes_of_one=3_000_000, bytes=8_000_000)
        self.whose = "user 1"

    def most(self, **bounds):
        self.serve(Long(), bounds=Bounds(**bounds))

    def ask(self, size, count=1):
        """A client asks for answers of a size, and reads nothing."""
        conversation = Conversation(self.site, SlowTransport())
        conversation.protocol.whose = self.whose
        self.addCleanup(conversation.lose)
        conversation.send(encode("GET", f"/{size}") * count)
        return conversation

    def read(self, conversation):
        """The client reads what there is; return how much."""
        read = len(conversation.transport.value())
        conversation.transport.clear()
        conversation.protocol.resumeProducing()
        return read

    def cut(self, *conversations):
        return [conversation.transport.disconnected for conversation in conversations]

    def test_a_long_answer_is_written_as_it_is_read(self):
        conversation = self.ask(1_000_000)
        pieces = []
        while conversation.transport.value():
            pieces.append(self.read(conversation))
        self.assertGreater(sum(pieces), 1_000_000)
        self.assertLessEqual(max(pieces), 2 << 16)
        self.assertEqual(len(self.site._held), 0)
        self.assertEqual(conversation.protocol._answer, b"")
        # Of one that is written but not read, only what the transport holds counts.
        self.ask(100_000)
        self.assertEqual(len(self.site._held), 2 << 16)
        conversation.send(encode("GET", "/10"))
        self.assertEqual(conversation.answer("GET")[2], b"y" * 10)

    def test_who_reads_nothing_is_cut(self):
        slow, reading = self.ask(1_000_000), self.ask(1_000_000)
        for _ in range(14):
            self.clock.advance(1)
        self.read(reading)
        self.assertEqual(self.cut(slow, reading), [False, False])
        for _ in range(5):
            self.clock.advance(1)
        self.assertEqual(self.cut(slow, reading), [True, False])
        self.assertTrue(self.refused("http-unread"))

    def test_so_is_who_asks_for_much_that_is_short(self):
        conversation = self.ask(60_000, count=50)
        for _ in range(14):
            self.clock.advance(1)
            self.assertLess(len(conversation.transport.value()), 3 << 16)
        for _ in range(6):
            self.clock.advance(1)
        self.assertEqual(self.cut(conversation), [True])

    def test_what_was_asked_for_meanwhile_is_answered(self):
        conversation = self.ask(60_000, count=50)
        total = 0
        for _ in range(60):
            self.clock.advance(0)
            total += self.read(conversation)
        self.assertGreater(total, 50 * 60_000)
        self.assertEqual(self.cut(conversation), [False])

    def test_bytes_of_one_party(self):
        other = self.ask(1_000_000)
        self.whose = "user 2"
        slow = [self.ask(1_000_000) for _ in range(10)]
        self.assertEqual(self.cut(other, *slow), [False] + [True] * 8 + [False] * 2)
        self.assertLess(len(self.site._held), 4_000_000)

    def test_those_of_whom_nobody_knows_whose_they_are_are_no_party(self):
        """They may be many users' behind one proxy."""
        self.whose = ""
        slow = [self.ask(1_000_000) for _ in range(6)]
        self.assertEqual(self.cut(*slow), [False] * 6)

    def test_bytes_together(self):
        other = self.ask(1_000_000)
        flood = []
        for number in range(20):
            self.whose = f"user {number % 4 + 2}"
            flood.append(self.ask(1_000_000))
        self.assertLess(len(self.site._held), 8_000_000)
        self.assertEqual(self.cut(other), [False])
        self.assertEqual(sum(self.cut(*flood)), 14)

    def half(self, size):
        """A client that sends so much of a body, and not its last byte."""
        conversation = self.connect()
        conversation.protocol.whose = self.whose
        conversation.send(b"POST /5 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (size + 1))
        conversation.send(b"y" * size)
        return conversation

    def test_unfinished_bodies_count_likewise(self):
        other = self.half(200_000)
        self.whose = "user 2"
        slow = [self.half(200_000) for _ in range(20)]
        chunked = self.connect()
        chunked.protocol.whose = self.whose
        chunked.send(CHUNKED + _chunk(b"y" * 200_000))
        self.assertEqual(self.cut(other, *slow, chunked), [False] + [True] * 6 + [False] * 15)
        self.assertEqual(len(self.site._held), 200_000 * 16)
        # Whoever sends the rest is answered, and nothing is held for it.
        for one in (other, slow[-1]):
            one.send(b"y")
            self.assertEqual(one.answer()[2], b"yyyyy")
        self.assertEqual(len(self.site._held), 200_000 * 14)
        self.assertTrue(b'cim_refused_total{kind="http-bytes"} 6.0' in self.metrics.render())

    def test_a_body_that_comes_at_once_is_not_counted(self):
        holds = []
        self.site.holds = lambda *args: holds.append(args)
        conversation = self.connect()
        conversation.send(encode("POST", "/5", b"y" * 1000))
        self.assertEqual((conversation.answer()[2], holds), (b"yyyyy", []))

    def test_what_went_counts_no_more(self):
        for _ in range(5):
            self.ask(1_000_000).lose()
        self.assertEqual((len(self.site._held), self.site._held._sums), (0, {}))


class DrainTests(SiteCase):
    def test_drain(self):
        idle, busy = self.connect(), self.connect()
        busy.send(encode("GET", "/x"))
        done = self.site.drain()
        self.assertFalse(idle.open)
        self.assertTrue(busy.open)
        self.assertNoResult(done)
        self.slow.answer()
        self.assertEqual(busy.answer()[1]["Connection"], "close")
        self.assertFalse(busy.open)
        self.successResultOf(done)

    def test_a_request_under_way_is_still_answered(self):
        conversation = self.connect()
        data = encode("POST", "/x", b"yy")
        conversation.send(data[:-1])
        done = self.site.drain()
        conversation.send(data[-1:])
        self.slow.answer()
        self.assertEqual(conversation.answer()[0], 200)
        self.assertFalse(conversation.open)
        self.successResultOf(done)

    def test_nothing_to_drain(self):
        self.successResultOf(self.site.drain())


class ServiceTests(SiteCase):
    def setUp(self):
        super().setUp()
        self.events = []
        test = self

        class Listening(Service):
            def privilegedStartService(self):
                test.events.append("bind")

            def startService(self):
                test.events.append("start")

            def stopService(self):
                test.events.append("close")
                test.closed = Deferred()
                return test.closed

        self.service = HTTPService(Listening(), self.site, self.clock, grace=5.0)
        self.service.privilegedStartService()
        self.service.startService()

    def test_closes_then_drains(self):
        self.assertEqual(self.events, ["bind", "start"])
        conversation = self.connect()
        conversation.send(encode("GET", "/x"))
        done = self.service.stopService()
        self.assertFalse(self.site.draining)
        self.closed.callback(None)
        self.assertTrue(self.site.draining)
        self.assertNoResult(done)
        self.slow.answer()
        self.assertFalse(conversation.open)
        self.successResultOf(done)

    def test_grace(self):
        conversation = self.connect()
        conversation.send(encode("GET", "/x"))
        aborted = []
        conversation.transport.abortConnection = lambda: aborted.append(True)
        done = self.service.stopService()
        self.closed.callback(None)
        self.clock.advance(4.9)
        self.assertNoResult(done)
        self.clock.advance(0.1)
        self.successResultOf(done)
        self.assertEqual(aborted, [True])
        self.slow.answer()
