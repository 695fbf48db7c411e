"""Tests of upstream's API over HTTP: every outcome is one envelope."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred

from cim.daemon.metrics import Metrics
from cim.errors import InvalidField, RepeatLogin
from cim.web.declaring import Who, http_call
from cim.web.envelope import Envelopes
from cim.web.operations import internal_only
from cim.web.problem import Problems
from cim.web.request import respond
from cim.web.schema import Id, Text
from cim.web.serving import CallResource
from tests.web.api_case import Things, gate
from tests.web.http_case import HTTPCase, encode

SUCCESS = b'{"code":"9000","message":"Success","reqNo":null,"dataBody":null}'


class API:
    """Calls of every kind."""

    def __init__(self):
        self.waiting = []
        self.finished = []
        self.cancelled = []

    @http_call("POST /sync", who=Who.ANYONE, body={"userId": Id()})
    def sync(self, caller, userId):
        return {"id": userId}

    @http_call("POST /nothing", who=Who.ANYONE, body={})
    def nothing(self, caller):
        return None

    @http_call("POST /deferred", who=Who.ANYONE)
    def deferred(self, caller):
        self.waiting.append(Deferred(self.cancelled.append))
        return self.waiting[-1]

    @http_call("POST /coroutine", who=Who.ANYONE)
    async def coroutine(self, caller):
        self.waiting.append(Deferred(self.cancelled.append))
        result = await self.waiting[-1]
        self.finished.append(result)
        return result

    @http_call("GET POST /onlineUser", who=Who.ANYONE)
    def online(self, caller):
        return []

    @http_call("POST /sendMsg", who=Who.CLUSTER, body={})
    def push(self, caller):
        return {"msg": "OK"}

    @http_call("POST /bug", who=Who.ANYONE)
    def bug(self, caller):
        raise KeyError("secret detail")

    @http_call("POST /unspeakable", who=Who.ANYONE)
    def unspeakable(self, caller):
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
        gate = internal_only("key", self.counted)
        self.serve(CallResource({Envelopes(gate): [self.api]}, self.counted), max_body=1000)

    def post(self, path, body=None, **keywords):
        return self.request("POST", path, {} if body is None else body, **keywords)

    def test_a_synchronous_handler(self):
        status, headers, body = self.post("/sync", {"userId": "7"})
        self.assertEqual((status, headers["Content-Type"], headers["Server"]), (200, "application/json", "CIM"))
        self.assertEqual(body, b'{"code":"9000","message":"Success","reqNo":null,"dataBody":{"id":7}}')
        self.assertEqual(self.post("/nothing")[2], SUCCESS)

    def test_an_asynchronous_handler(self):
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

    def test_bugs_are_logged_once_and_their_cause_not_revealed(self):
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

    def test_malformed_bodies(self):
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
        for path in ("/", "/syncs", "/sync/", "/%ff", "/Sync", "http:", "sync", "%2Fsync", "*"):
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

    def test_internal_calls(self):
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
        """Nothing is cancelled midway, and writing to a client that has gone is no error."""
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

    def test_calls_are_counted(self):
        self.post("/nothing")
        self.post("/nowhere")
        text = self.counted.render()
        self.assertIn(b'cim_http_requests_total{method="POST",path="/nothing",status="200"} 1.0', text)
        self.assertIn(b'cim_http_requests_total{method="",path="other",status="404"} 1.0', text)
        self.assertNotIn(b"nowhere", text)


class Other:
    """Has a call of the same name as one of API."""

    @http_call("GET /other/{name}", who=Who.ANYONE, path={"name": Text(300)})
    def sync(self, caller, name):
        """Return the name."""
        return name


class KleinTests(HTTPCase):
    """Tests of Klein's map."""

    def setUp(self):
        self.resource = self.resource_of(API(), Other())
        self.serve(self.resource)

    def resource_of(self, *apis):
        counted = Metrics("route")
        return CallResource({Problems(gate): (), Envelopes(internal_only(None, counted)): apis}, counted)

    def remembered(self):
        return self.resource._remembered.cache_info().currsize

    def data(self, method, path, body=None):
        return json.loads(self.request(method, path, body)[2])["dataBody"]

    def test_endpoints_have_qualified_names(self):
        names = {rule.endpoint for rule in self.resource.app.url_map.iter_rules()}
        self.assertLessEqual({"API.sync", "Other.sync", "API.online"}, names)
        self.assertEqual(names, set(self.resource.app.endpoints))
        self.assertEqual(self.data("GET", "/other/x"), "x")
        self.assertEqual(self.data("POST", "/sync", {"userId": 1}), {"id": 1})

    def test_calls_that_cannot_be_served(self):
        self.assertRaises(ValueError, self.resource_of, Other(), Other())
        self.assertRaises(ValueError, self.resource_of, Things())

    def test_a_replaced_endpoint_is_executed(self):
        self.resource.app.endpoints["Other.sync"] = lambda instance, request, name: respond(request, 203, name.encode())
        self.assertEqual(self.request("GET", "/other/x")[::2], (203, b"x"))

    def test_cached_paths_are_bounded(self):
        for number in range(1500):
            self.assertEqual(self.data("GET", f"/other/{number}"), str(number))
        self.assertEqual(self.remembered(), 1024)

    def test_long_and_unknown_paths_are_not_cached(self):
        before = self.remembered()
        self.assertEqual(self.data("GET", "/other/" + "x" * 300), "x" * 300)
        for path in ("/nowhere", "/other/%ff", "/other/"):
            self.assertGreaterEqual(self.request("GET", path)[0], 400)
        self.assertEqual(self.remembered(), before)
