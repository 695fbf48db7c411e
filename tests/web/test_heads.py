"""Tests that a request means the same whether it comes at once, when it is read by the short way, or in pieces."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from cim.web.heads import read_whole
from cim.web.request import PathResource, respond
from tests.web.http_case import HTTPCase

HEAD = b"POST /v1/x?y=1&y=%20 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n"
PLAIN = HEAD + b"Content-Length: 9\r\n\r\n" + b'{"a": 17}'


class Recorder(PathResource):
    """Notes what each request says, and answers it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def render(self, request):
        said = sorted(request.requestHeaders.getAllRawHeaders())
        target = request.method, request.uri, request.path, request.args, request.clientproto
        self.seen.append((target, said, request.received_cookies, request.content.read()))
        respond(request, 200, b"{}")
        return NOT_DONE_YET

    def refuse(self, request, path, error):
        self.seen.append((path, error.status))
        respond(request, error.status, b"{}")


class SameTests(HTTPCase):
    def outcome(self, pieces):
        """Return what comes of these bytes: what was asked, answered and counted, and if the connection is open."""
        recorder = Recorder()
        self.serve(recorder, max_body=1000)
        conversation = self.connect()
        for piece in pieces:
            if conversation.open:
                conversation.send(piece)
        self.clock.advance(1)
        counted = {name: value for name, value in self.metrics.figures().items() if name == "cim_refused_total"}
        return recorder.seen, conversation.transport.value(), conversation.open, counted

    def check(self, data):
        one_by_one = [data[at : at + 1] for at in range(len(data))]
        self.assertEqual(self.outcome([data]), self.outcome(one_by_one), data)

    def test_what_clients_send(self):
        for data in (
            PLAIN,
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            b"HEAD /health HTTP/1.1\r\nhost:x\r\nCOOKIE: a=b; c=d\r\nCookie: e\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\nHost: x\r\nx-a:   \t spaced  out \t \r\nX-A:\r\nX-a: 3\r\n\r\n",
            b"DELETE //v1/%2F/ HTTP/1.1\r\nAuthorization: Bearer " + b"x" * 4000 + b"\r\nConnection: close\r\n\r\n",
            b"PUT /" + b"y" * 400 + b" HTTP/1.1\r\nConnection: keep-alive, Close\r\netag: 1\r\n\r\n",
        ):
            self.assertIsNotNone(read_whole(data))
            self.check(data)
            self.assertEqual(len(self.outcome([data])[0]), 1)

    def test_what_is_not_plain(self):
        for line in (
            b"Content-Length: 9\r\nContent-Length: 9",
            b"Content-Length: 9\r\nTransfer-Encoding: chunked",
            b"Content-Length: +9",
            b"Content-Length: 0x9",
            b"Content-Length: \xb2",
            b"Content-Length: 9999999999",
            b"Content-Length:",
            b"Content-Length : 9",
            b"Content-Length: 9\r\n folded: y",
            b" Content-Length: 9",
            b"Content-Length: 9\r\nX\x00: y",
            b"Content-Length: 9\r\nX: \x00",
            b"Content-Length: 9\nX: y",
            b"Content-Length: 9\rX: y",
            b"Content-Length: 9\r\nX_Y: \xc3\xa9",
            b"Content-Length: 9\r\nno colon",
            b"Content-Length: 9\r\n: no name",
            b"Content-Length: 9\r\nExpect: 100-continue",
            b"Content-Length: 9\r\nUpgrade: websocket",
            b"\r\n".join([b"Content-Length: 9", *(b"X-%d: y" % number for number in range(70))]),
        ):
            data = HEAD + line + b'\r\n\r\n{"a": 17}'
            self.assertIsNone(read_whole(data), line)
            self.check(data)

    def test_lines_that_are_not_plain(self):
        for line in (
            b"post /x HTTP/1.1",
            b"BREW /x HTTP/1.1",
            b"GET /x HTTP/1.0",
            b"GET /x HTTP/2.0",
            b"GET /x http/1.1",
            b"GET  /x HTTP/1.1",
            b"GET /x HTTP/1.1 ",
            b"GET /\xc3\xa9 HTTP/1.1",
            b"GET /\x7f HTTP/1.1",
            b"GET /x",
            b"",
            b"\r\nGET /x HTTP/1.1",
        ):
            data = line + b"\r\nHost: x\r\n\r\n"
            self.assertIsNone(read_whole(data), line)
            self.check(data)

    def test_more_and_less_than_one(self):
        for data in (PLAIN * 3, PLAIN + b"GET", PLAIN[:-1], PLAIN + b"\r\n"):
            self.assertIsNone(read_whole(data), data)
            self.check(data)
        self.assertIsNone(read_whole(b"GET / HTTP/1.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n"))

    def test_too_large_a_body(self):
        self.check(HEAD + b"Content-Length: 1001\r\n\r\n" + b"y" * 1001)

    def test_after_the_last_request_nothing_is_read(self):
        last = PLAIN.replace(b"Host: x", b"Host: x\r\nConnection: close")
        recorder = Recorder()
        self.serve(recorder)
        conversation = self.connect()
        conversation.protocol.dataReceived(last)
        conversation.protocol.dataReceived(PLAIN)
        self.assertEqual(len(recorder.seen), 1)

    def test_nor_on_a_connection_that_closes(self):
        recorder = Recorder()
        self.serve(recorder)
        conversation = self.connect()
        conversation.protocol.end_silent()
        conversation.protocol.dataReceived(PLAIN)
        self.assertEqual(recorder.seen, [])

    def test_behind_a_request_that_came_in_pieces(self):
        self.assertEqual(len(self.outcome([PLAIN, PLAIN[:50], PLAIN[50:], PLAIN, b"\r\n", PLAIN, PLAIN])[0]), 5)

    def test_whatever_comes(self):
        """Requests that differ from a plain one by a few bytes; the seed is fixed."""
        chance = random.Random(13)
        marks = [b"\r\n", b"\r", b"\n", b" ", b":", b"\t", b"\x00", b"\xff", b",", b"1", b"", b"Content-Length: 3\r\n"]
        for _ in range(400):
            data = PLAIN
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(data))
                data = data[:at] + chance.choice(marks) + data[at + chance.randrange(3) :]
            self.check(data)


class ReadTests(SynchronousTestCase):
    def test_what_is_read(self):
        whole = read_whole(PLAIN)
        self.assertEqual((whole.method, whole.target, whole.version), (b"POST", b"/v1/x?y=1&y=%20", b"HTTP/1.1"))
        self.assertEqual(whole.headers[b"Content-Type"], [b"application/json; charset=utf-8"])
        self.assertEqual(PLAIN[whole.start :], b'{"a": 17}')

    def test_nothing_that_is_read_is_shared(self):
        first, second = read_whole(PLAIN), read_whole(PLAIN)
        first.headers[b"Host"].append(b"y")
        self.assertEqual(second.headers[b"Host"], [b"x"])
