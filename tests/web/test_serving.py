"""Calls of the upstream API over HTTP: every outcome is one envelope."""

from __future__ import annotations

import json

from klein import Klein
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from cim.ecim import InvalidField, RepeatLogin
from cim.metrics import Metrics
from cim.web.operations import internal_only
from cim.web.serving import UpstreamResource, upstream_call
from cim.web.site import MAX_BODY
from tests.web.http_case import HTTPCase, encode

SUCCESS = b'{"code":"9000","message":"Success","reqNo":null,"dataBody":null}'


class API:
    """Calls of every kind."""

    app = Klein()

    def __init__(self):
        self.waiting = []
        self.finished = []
        self.cancelled = []

    @upstream_call(app, "/sync")
    def sync(self, fields):
        return {"id": fields.user_id("userId")}

    @upstream_call(app, "/nothing")
    def nothing(self, fields):
        return None

    @upstream_call(app, "/deferred")
    def deferred(self, fields):
        self.waiting.append(Deferred(self.cancelled.append))
        return self.waiting[-1]

    @upstream_call(app, "/coroutine")
    async def coroutine(self, fields):
        self.waiting.append(Deferred(self.cancelled.append))
        result = await self.waiting[-1]
        self.finished.append(result)
        return result

    @upstream_call(app, "/onlineUser", methods=("GET", "POST"), body=False)
    def online(self, fields):
        return []

    @upstream_call(app, "/sendMsg", internal=True)
    def push(self, fields):
        return {"msg": "OK"}

    @upstream_call(app, "/bug")
    def bug(self, fields):
        raise KeyError("secret detail")

    @upstream_call(app, "/unspeakable")
    def unspeakable(self, fields):
        return {"number": float("nan")}


def _message(body):
    envelope = json.loads(body)
    assert list(envelope) == ["code", "message", "reqNo", "dataBody"]
    assert envelope["reqNo"] is None
    return envelope["code"], envelope["message"]


class ServingTests(HTTPCase):
    def setUp(self):
        self.api = API()
        self.counted = Metrics("route")
        self.serve(UpstreamResource(self.api, metrics=self.counted, check=internal_only("key")), max_body=1000)

    def post(self, path, body=None, **keywords):
        return self.request("POST", path, {} if body is None else body, **keywords)

    def test_sync(self):
        status, headers, body = self.post("/sync", {"userId": "7"})
        self.assertEqual((status, headers["Content-Type"], headers["Server"]), (200, "application/json", "CIM"))
        self.assertEqual(body, b'{"code":"9000","message":"Success","reqNo":null,"dataBody":{"id":7}}')
        self.assertEqual(self.post("/nothing")[2], SUCCESS)

    def test_later(self):
        for path in ("/deferred", "/coroutine"):
            conversation = self.connect()
            conversation.send(encode("POST", path, {}))
            self.assertEqual(conversation.answers(), [])
            self.api.waiting.pop().callback("x")
            self.assertEqual(json.loads(conversation.answer()[2])["dataBody"], "x")

    def test_refusals_are_envelopes_with_status_200(self):
        status, _, body = self.post("/sync", {"userId": "x"})
        self.assertEqual(status, 200)
        self.assertEqual(_message(body), ("3000", "invalid argument: userId must be a whole number"))
        for path in ("/deferred", "/coroutine"):
            conversation = self.connect()
            conversation.send(encode("POST", path, {}))
            self.api.waiting.pop().errback(RepeatLogin())
            status, _, body = conversation.answer()
            self.assertEqual((status, _message(body)[0]), (200, "5000"))
        self.assertIn(b'cim_refused_total{kind="http-request"} 1.0', self.counted.render())

    def test_bugs_are_logged_once_and_say_nothing(self):
        status, _, body = self.post("/bug")
        self.assertEqual((status, _message(body)), (500, ("4000", "Failure")))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        conversation = self.connect()
        conversation.send(encode("POST", "/coroutine", {}))
        self.api.waiting.pop().errback(KeyError("secret detail"))
        self.assertEqual(conversation.answer()[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.post("/unspeakable")[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.counted.internal_errors, 3)

    def test_bodies_that_do_not_parse(self):
        for body, reason in ((b"", "JSON"), (b"{", "JSON"), (b"[1]", "object")):
            status, _, answer = self.post("/sync", body)
            self.assertEqual((status, _message(answer)[0]), (400, "3000"))
            self.assertIn(reason, _message(answer)[1])

    def test_content_type(self):
        for good in ("application/json", "application/json; charset=UTF-8", 'Application/JSON;charset="utf-8"; x=y'):
            self.assertEqual(self.post("/nothing", content_type=good)[0], 200, good)
        for bad in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk", None):
            status, _, body = self.post("/nothing", content_type=bad)
            self.assertEqual((status, _message(body)[0]), (415, "3000"))

    def test_paths(self):
        for path in ("//sync", "///sync", "/s%79nc", "/sync?url=http%3A%2F%2Fx"):
            self.assertEqual(self.post(path, {"userId": 1})[0], 200, path)
        for path in ("/", "/syncs", "/sync/", "/%ff", "/Sync", "http:"):
            status, _, body = self.post(path, {"userId": 1})
            self.assertEqual((status, _message(body)[0]), (404, "3000"), path)

    def test_methods(self):
        for method in ("GET", "PUT", "DELETE", "HEAD", "BREW"):
            status, headers, body = self.request(method, "/sync")
            self.assertEqual((status, headers["Allow"]), (405, "OPTIONS, POST"), method)
            if method != "HEAD":
                self.assertEqual(_message(body), ("3000", "invalid argument: use POST"))
        status, headers, body = self.request("OPTIONS", "/onlineUser")
        self.assertEqual((status, headers["Allow"], body), (200, "GET, HEAD, OPTIONS, POST", b""))

    def test_without_a_body(self):
        _, _, body = self.request("GET", "/onlineUser")
        self.assertEqual(json.loads(body)["dataBody"], [])
        self.assertEqual(self.request("POST", "/onlineUser")[2], body)
        self.assertEqual(self.post("/onlineUser")[2], body)
        status, headers, nothing = self.request("HEAD", "/onlineUser")
        self.assertEqual((status, headers["Content-Length"], nothing), (200, str(len(body)), b""))

    def test_internal(self):
        self.assertEqual(self.post("/sendMsg")[0], 401)
        self.assertEqual(self.post("/sendMsg", headers=["Authorization: Bearer wrong"])[0], 403)
        self.assertEqual(self.post("/sendMsg", headers=["Authorization: Bearer key"])[0], 200)

    def test_keep_alive_and_pipelining(self):
        conversation = self.connect()
        conversation.send(encode("POST", "/deferred", {}) + encode("POST", "/sync", {"userId": 5}))
        self.assertEqual(conversation.answers(), [])
        self.api.waiting.pop().callback(1)
        self.assertEqual([json.loads(body)["dataBody"] for _, _, body in conversation.answers()], [1, {"id": 5}])
        self.assertTrue(conversation.open)

    def test_a_handler_outlives_its_client(self):
        """Nothing is cancelled midway, and writing to nobody is no error."""
        for path, outcome in (("/coroutine", 1), ("/coroutine", InvalidField("x", "y")), ("/deferred", 1)):
            conversation = self.connect()
            conversation.send(encode("POST", path, {}))
            conversation.lose()
            waiting = self.api.waiting.pop()
            if isinstance(outcome, Exception):
                waiting.errback(outcome)
            else:
                waiting.callback(outcome)
        self.assertEqual(self.api.cancelled, [])
        self.assertEqual(self.api.finished, [1])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_counted(self):
        self.post("/nothing")
        self.post("/nowhere")
        text = self.counted.render()
        self.assertIn(b'cim_http_requests_total{path="/nothing",status="200"} 1.0', text)
        self.assertIn(b'cim_http_requests_total{path="other",status="404"} 1.0', text)
        self.assertNotIn(b"nowhere", text)

    def test_fallback(self):
        class Other(Resource):
            isLeaf = True

            def render_GET(self, request):
                return b"/".join(request.postpath)

        self.serve(UpstreamResource(self.api, fallback=Other()))
        self.assertEqual(self.request("GET", "/a/b%20c")[2], b"a/b c")
        self.assertEqual(self.post("/nothing")[2], SUCCESS)


class KleinTests(SynchronousTestCase):
    """The app serves the same declarations by itself, on any site."""

    def setUp(self):
        self.api = API()
        self.treq = StubTreq(self.api.app.resource())

    def test_calls(self):
        answer = self.successResultOf(self.treq.post("http://route/sync", json={"userId": 3}))
        self.assertEqual(answer.code, 200)
        self.assertEqual(json.loads(self.successResultOf(answer.content()))["dataBody"], {"id": 3})
        answer = self.successResultOf(self.treq.post("http://route//sync", json={"userId": "x"}))
        self.assertEqual(json.loads(self.successResultOf(answer.content()))["code"], "3000")

    def test_too_large(self):
        answer = self.successResultOf(self.treq.post("http://route/sync", json={"x": "y" * MAX_BODY}))
        self.assertEqual(answer.code, 413)

    def test_later(self):
        d = self.treq.post("http://route/coroutine", json={})
        self.assertNoResult(d)
        self.api.waiting.pop().callback(4)
        self.treq.flush()
        self.assertEqual(json.loads(self.successResultOf(self.successResultOf(d).content()))["dataBody"], 4)

    def test_a_handler_outlives_its_client(self):
        d = self.treq.post("http://route/coroutine", json={})
        d.addErrback(lambda _: None)
        d.cancel()
        self.treq.flush()
        self.api.waiting.pop().callback(4)
        self.assertEqual((self.api.finished, self.api.cancelled), ([4], []))
        self.assertEqual(self.flushLoggedErrors(), [])
