"""The load generator's HTTP: one request at a time on each connection, and answers however they are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bench.http import HTTPError, HTTPPool, ResponseReader

PLAIN = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"
LENGTH_LAST = b"HTTP/1.1 404 Not Found\r\ncontent-length:2\r\n\r\nno"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN
ANSWERS = {
    PLAIN: (200, b"hello"),
    LENGTH_LAST: (404, b"no"),
    CHUNKED: (200, b"hello"),
    EMPTY: (204, b""),
    CONTINUE: (200, b"hello"),
}


class ReaderTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=4), st.data())
    def test_cut_anywhere(self, answers, data):
        reader = ResponseReader()
        for answer in answers:
            cut = data.draw(st.integers(0, len(answer) - 1))
            self.assertIsNone(reader.feed(answer[:cut]))
            self.assertEqual(reader.feed(answer[cut:]), ANSWERS[answer])


class PoolTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.pool = HTTPPool(self.reactor, "http://127.0.0.1:8083", 2)

    def connect(self, number):
        protocol = self.reactor.tcpClients[number][2].buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def test_a_request_to_the_letter(self):
        answer = self.pool.post(b"/login", b"{}")
        self.assertEqual(self.reactor.tcpClients[0][:2], ("127.0.0.1", 8083))
        protocol, transport = self.connect(0)
        self.assertEqual(
            transport.value(),
            b"POST /login HTTP/1.1\r\nHost: 127.0.0.1:8083\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\n\r\n{}",
        )
        protocol.dataReceived(PLAIN)
        self.assertEqual(self.successResultOf(answer), b"hello")

    def test_a_method_and_a_token(self):
        answer = self.pool.call(b"PUT", b"/v1/groups/1/members/2", token="abc")
        protocol, transport = self.connect(0)
        self.assertTrue(transport.value().startswith(b"PUT /v1/groups/1/members/2 HTTP/1.1\r\n"))
        self.assertIn(b"\r\nAuthorization: Bearer abc\r\nContent-Length: 0\r\n\r\n", transport.value())
        protocol.dataReceived(EMPTY)
        self.assertEqual(self.successResultOf(answer), b"")

    def test_no_more_connections_than_allowed_and_no_pipelining(self):
        answers = [self.pool.post(b"/a", b"%d" % number) for number in range(3)]
        self.assertEqual(len(self.reactor.tcpClients), 2)
        (one, first), (_, second) = self.connect(0), self.connect(1)
        self.assertEqual([first.value()[-1:], second.value()[-1:]], [b"0", b"1"])
        first.clear()
        one.dataReceived(PLAIN)
        self.assertEqual(first.value()[-1:], b"2")
        self.successResultOf(answers[0])
        self.assertNoResult(answers[2])

    def test_connections_are_kept(self):
        self.pool.post(b"/a", b"{}")
        protocol, _ = self.connect(0)
        protocol.dataReceived(PLAIN)
        self.pool.post(b"/a", b"{}")
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_another_status_fails(self):
        answer = self.pool.post(b"/a", b"{}")
        self.connect(0)[0].dataReceived(LENGTH_LAST)
        error = self.failureResultOf(answer, HTTPError).value
        self.assertIn("404", str(error))
        self.assertEqual(error.status, 404)

    def test_a_lost_connection_fails_its_call_and_is_replaced(self):
        answer = self.pool.post(b"/a", b"{}")
        self.connect(0)[0].connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(answer, HTTPError)
        again = self.pool.post(b"/a", b"{}")
        self.connect(1)[0].dataReceived(PLAIN)
        self.successResultOf(again)

    def test_what_nobody_waits_for_is_not_done(self):
        answers = [self.pool.post(b"/a", b"%d" % number) for number in range(4)]
        for answer in answers:
            answer.addErrback(lambda reason: reason.trap(CancelledError))
        protocol, transport = self.connect(0)
        transport.abortConnection = transport.loseConnection
        answers[2].cancel()
        answers[0].cancel()
        self.assertTrue(transport.disconnecting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.connect(1)[1].value()[-1:], b"1")
        self.assertEqual(self.connect(2)[1].value()[-1:], b"3")

    def test_nobody_there(self):
        answers = [self.pool.post(b"/a", b"{}") for _ in range(3)]
        for client in self.reactor.tcpClients[:2]:
            client[2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        for answer in answers:
            self.failureResultOf(answer, HTTPError)

    def test_only_http(self):
        for url in ("https://x", "127.0.0.1:8083", "http://"):
            self.assertRaises(ValueError, HTTPPool, self.reactor, url, 1)
