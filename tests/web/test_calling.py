"""Tests of what each outcome of a JSON call becomes. The servers are resources in memory."""

from __future__ import annotations

import json
import tracemalloc
import zlib

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from cim.errors import (
    AccountMismatch,
    BadRequest,
    CallTimeout,
    CIMError,
    InvalidField,
    NoServerAvailable,
    RateLimited,
    RepeatLogin,
    Unavailable,
    Unreachable,
    UserOffline,
)
from cim.web.calling import Envelope, JSONCalls

URL = "http://route.example:8083/login"


class Fixed(Resource):
    """Answers every request with one body, and records requests."""

    isLeaf = True
    encoding = b""

    def __init__(self, body, status=200):
        super().__init__()
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status = status
        self.requests = []

    def render(self, request):
        self.requests.append((request.method, request.path, request.requestHeaders, request.content.read()))
        request.setResponseCode(self.status)
        if self.encoding:
            request.setHeader(b"Content-Encoding", self.encoding)
        return self.body


class Half(Resource):
    """Starts an answer and never ends it."""

    isLeaf = True

    def render(self, request):
        request.setHeader(b"Content-Length", b"1000")
        request.write(b'{"code"')
        self.disconnected = []
        request.notifyFinish().addErrback(self.disconnected.append)
        return NOT_DONE_YET


class Silent(Resource):
    """Accepts requests and never answers."""

    isLeaf = True

    def render(self, request):
        return NOT_DONE_YET


@implementer(IAgent)
class Deaf:
    """An agent whose request never ends, or ends with a failure."""

    def __init__(self, error=None):
        self.error = error
        self.cancelled = []

    def request(self, method, uri, headers=None, bodyProducer=None):
        return Deferred(self.cancelled.append) if self.error is None else fail(self.error)


def answer(code="9000", message="Success", data=None):
    return {"code": code, "message": message, "reqNo": None, "dataBody": data}


class CallsTests(SynchronousTestCase):
    def calls(self, resource, **kwargs):
        self.clock = Clock()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.agent = resource if IAgent.providedBy(resource) else RequestTraversalAgent(resource)
        return JSONCalls(self.clock, agent=self.agent, **kwargs)

    def failure(self, resource, kind, **kwargs):
        return self.failureResultOf(self.calls(resource, **kwargs).post(URL, {}), kind).value

    def test_post_sends_utf8_json_and_decodes_the_envelope(self):
        server = Fixed(answer(data={"ip": "10.0.0.1"}))
        envelope = self.successResultOf(self.calls(server).post(URL, {"userId": 1, "userName": "张三"}))
        self.assertEqual(envelope, Envelope("9000", "Success", {"ip": "10.0.0.1"}))
        [(method, path, headers, body)] = server.requests
        self.assertEqual((method, path), (b"POST", b"/login"))
        self.assertEqual(headers.getRawHeaders("content-type"), ["application/json; charset=utf-8"])
        self.assertIn("张三".encode(), body)
        self.assertEqual(json.loads(body), {"userId": 1, "userName": "张三"})

    def test_get_sends_no_body(self):
        server = Fixed(answer())
        self.successResultOf(self.calls(server).get(URL))
        [(method, _, headers, body)] = server.requests
        self.assertEqual((method, body), (b"GET", b""))
        self.assertIsNone(headers.getRawHeaders("content-type"))

    def test_missing_keys_and_numeric_codes_are_fine(self):
        self.assertEqual(self.successResultOf(self.calls(Fixed({"code": 9000})).get(URL)), Envelope("9000", ""))

    def test_an_error_made_from_only_a_text_has_no_code(self):
        envelope = self.successResultOf(self.calls(Fixed(answer(None, "broken"))).get(URL))
        self.assertEqual(envelope, Envelope("4000", "broken"))

    def test_an_envelope_counts_whatever_the_http_status(self):
        envelope = self.successResultOf(self.calls(Fixed(answer("3000", "no"), 400)).get(URL))
        self.assertEqual(envelope.code, "3000")

    def test_answers_that_are_not_envelopes(self):
        for body, status in (
            (b"<html>Bad Gateway</html>", 502),
            (b"", 200),
            (b"[1]", 200),
            (b"\xff\xfe", 200),
            (b"[" * 100_000, 200),
            (b'{"timestamp":1,"status":500,"error":"x","path":"/login"}', 500),
            (b'{"code":"9000"}'[:-1], 200),
        ):
            error = self.failure(Fixed(body, status), Unavailable)
            self.assertIn(f"HTTP {status}", error.message)
            self.assertNotIsInstance(error, Unreachable)

    def test_redirections_are_not_followed(self):
        self.failure(Fixed(b"", 302), Unavailable)

    def test_a_body_over_the_bound_is_refused(self):
        server = Fixed(answer(message="x" * 2000))
        self.failure(server, Unavailable, max_body=1000)
        self.successResultOf(self.calls(server, max_body=3000).get(URL))

    def test_compressed_answers_are_neither_asked_for_nor_unpacked(self):
        """200 MB of zeros are 200 KB when compressed."""
        zeros, packer = bytes(1 << 20), zlib.compressobj(9, wbits=31)
        bomb = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
        self.assertLess(len(bomb), 256 * 1024)
        server = Fixed(bomb)
        server.encoding = b"gzip"
        calls = self.calls(server)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        error = self.failureResultOf(calls.get(URL), Unavailable).value
        self.assertLess(tracemalloc.get_traced_memory()[1], 4 << 20)
        self.assertIn("without an envelope", error.message)
        [(_, _, headers, _)] = server.requests
        self.assertFalse(headers.hasHeader("accept-encoding"))

    def test_lone_surrogates_are_refused_before_anything_is_sent(self):
        server = Fixed(answer())
        self.failureResultOf(self.calls(server).post(URL, {"msg": "\ud800"}), InvalidField)
        self.assertEqual(server.requests, [])

    def test_no_connection_means_nothing_was_sent(self):
        for error in (ConnectionRefusedError(), TimeoutError(), DNSLookupError("no such host")):
            self.assertIn("http://route.example:8083 ", self.failure(Deaf(error), Unreachable).message)

    def test_after_a_connection_lost_before_the_answer_the_fate_is_unknown(self):
        error = self.failure(Deaf(ResponseNeverReceived([Failure(ConnectionLost())])), Unavailable)
        self.assertNotIsInstance(error, Unreachable)

    def test_without_an_answer_in_time_the_fate_is_unknown(self):
        calling = self.calls(Deaf(), timeout=4).post(URL, {})
        self.clock.advance(3.9)
        self.assertNoResult(calling)
        self.clock.advance(0.2)
        self.failureResultOf(calling, CallTimeout)
        self.assertEqual(len(self.agent.cancelled), 1)

    def test_half_an_answer_in_time_is_not_an_answer(self):
        server = Half()
        calling = self.calls(server, timeout=4).post(URL, {})
        self.agent.flush()
        self.clock.advance(4)
        self.failureResultOf(calling, CallTimeout)
        self.agent.flush()
        self.assertEqual(len(server.disconnected), 1)

    def test_a_cancelled_call_is_cancelled(self):
        for server in (Deaf(), Silent(), Half()):
            calling = self.calls(server).post(URL, {})
            calling.cancel()
            self.failureResultOf(calling, CancelledError)

    def test_close_without_a_pool(self):
        self.successResultOf(self.calls(Deaf()).close())


class EnvelopeTests(SynchronousTestCase):
    def test_success_returns_its_data(self):
        self.assertEqual(Envelope("9000", "Success", [1]).result(), [1])

    def test_codes_become_errors_with_their_message(self):
        for code, kind in (
            ("5000", RepeatLogin),
            ("6000", RateLimited),
            ("7000", UserOffline),
            ("7100", NoServerAvailable),
            ("9100", AccountMismatch),
            ("3000", BadRequest),
            ("4000", Unavailable),
            ("9200", CIMError),
        ):
            error = self.assertRaises(kind, Envelope(code, "why it is so").result)
            self.assertEqual(error.message, "why it is so")

    def test_a_missing_message_becomes_the_default_one(self):
        self.assertEqual(self.assertRaises(RepeatLogin, Envelope("5000", "").result).message, RepeatLogin.text)
