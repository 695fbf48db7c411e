"""Tests of how a client reads the answers of `/v1`: as values, or as errors that say what to do."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from cim.client.dialling import Entrance
from cim.client.routes import Busy, Routes, check_place
from cim.client.v1 import Listed, LoggedIn, NotNative, V1Calls, group_of, retry_after, user_of
from cim.client.values import User
from cim.errors import (
    BadRequest,
    CallTimeout,
    Conflict,
    Forbidden,
    Misdirected,
    NotFound,
    RateLimited,
    RepeatLogin,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unreachable,
)
from cim.web.calling import Answer

PLACE = {"host": "127.0.0.1", "tcp_port": 11211, "websocket": None}
LOGIN = {"user_id": 5, "name": "alice", "device": "d", "server": PLACE, "ticket": "t", "token": "k"}


class Calls:
    """Returns the given answers in order, and the last one from then on."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def ask(self, method, url, body=None, token=""):
        self.asked.append((method, url, body, token))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


def answer(status, said, kind="application/json", **headers):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    found = Headers({"Content-Type": [kind]})
    for name, value in headers.items():
        found.setRawHeaders(name.replace("_", "-"), [value])
    return Answer(status, found, body)


def problem(status, code, detail="why", **headers):
    return answer(status, {"code": code, "detail": detail}, "application/problem+json", **headers)


class V1Tests(SynchronousTestCase):
    def api(self, *answers, urls=("http://127.0.0.1:1",)):
        self.calls = Calls(*answers)
        return V1Calls(self.calls, Routes(Clock(), urls))

    def ok(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def error(self, coroutine, kind):
        return self.failureResultOf(Deferred.fromCoroutine(coroutine), kind).value

    def user(self, api):
        return api.ask("GET", "users/5", user_of)

    def test_a_login_by_password_then_by_token(self):
        api = self.api(answer(201, LOGIN))
        login = self.ok(api.log_in("alice", "d", "secret"))
        entrance = Entrance("http://127.0.0.1:1", "127.0.0.1", 11211)
        self.assertEqual(login, LoggedIn(User(5, "alice"), "d", entrance, "t", "k"))
        self.ok(api.log_in("alice", "d"))
        url = "http://127.0.0.1:1/v1/sessions"
        self.assertEqual(
            self.calls.asked,
            [
                ("POST", url, {"name": "alice", "device": "d", "password": "secret"}, ""),
                ("POST", url, {"name": "alice", "device": "d"}, "k"),
            ],
        )

    def test_where_the_websockets_are(self):
        for route, socket, told, url in (
            ("http://127.0.0.1:1", None, "ws://127.0.0.1:2/v1/socket", "ws://127.0.0.1:2/v1/socket"),
            ("http://127.0.0.1:1", "/v1/socket", "ws://127.0.0.1:2/v1/socket", "ws://127.0.0.1:1/v1/socket"),
            ("https://chat.example.com", "/v1/socket", None, "wss://chat.example.com/v1/socket"),
            ("https://[fd00::1]:8083", "/v1/socket", None, "wss://[fd00::1]:8083/v1/socket"),
            # Nowhere but where the API is.
            ("https://chat.example.com", "ws://evil.example/", None, ""),
            ("https://chat.example.com", "@evil.example/", None, ""),
        ):
            api = self.api(
                answer(201, {**LOGIN, "server": {**PLACE, "websocket": told, "socket": socket}}), urls=(route,)
            )
            self.assertEqual(self.ok(api.log_in("alice", "d", "secret")).entrance.websocket, url)

    def test_errors(self):
        for status, code, kind in (
            (400, "invalid", BadRequest),
            (401, "unauthorized", Unauthorized),
            (403, "forbidden", Forbidden),
            (404, "not-found", NotFound),
            (409, "conflict", Conflict),
            (409, "second-login", RepeatLogin),
            (413, "too-large", TooLarge),
            (429, "rate-limited", RateLimited),
            (418, "novelty", BadRequest),
            (500, "internal", Unavailable),
            (503, "unavailable", Busy),
            (504, "timeout", CallTimeout),
        ):
            error = self.error(self.user(self.api(problem(status, code))), kind)
            self.assertEqual(error.message, "why")

    def test_when_to_retry(self):
        for status, wait, seconds in (
            (429, "7", 7),
            (503, "7", 7),
            (503, "99999", 3600),
            (503, "Wed, 21 Oct 2026 07:28:00 GMT", 0),
            (503, "-1", 0),
        ):
            error = self.error(self.user(self.api(problem(status, "x", Retry_After=wait))), Exception)
            self.assertEqual(retry_after(error), seconds)
        self.assertEqual(retry_after(NotFound()), 0)

    def test_routes_without_v1(self):
        for status, body, kind in (
            (404, {"status": 404, "error": "Not Found"}, "application/json"),
            (404, b"<html>", "text/html"),
            (405, b"", "text/plain"),
            (200, b"<html>welcome", "text/html"),
        ):
            self.error(self.api(answer(status, body, kind)).log_in("a", "d", "p"), NotNative)
        for status in (302, 500, 502):
            error = self.error(self.api(answer(status, b"<html>", "text/html")).log_in("a", "d", "p"), Unavailable)
            self.assertNotIsInstance(error, NotNative)

    def test_malformed_answers(self):
        for said in ({}, {"user_id": "x", "server": 5}, {**LOGIN, "server": {}}):
            self.error(self.api(answer(201, said)).log_in("a", "d", "p"), Unavailable)
        self.error(self.user(self.api(answer(200, {"id": 5}))), Unavailable)
        self.error(self.api(answer(200, {"conversations": [{}], "more": None})).conversations(), Unavailable)

    def test_pages(self):
        lines = [{"conversation": f"g:{n}", "latest": "1-1", "read": "", "unread": n, "active": 0} for n in range(3)]
        api = self.api(
            answer(200, {"conversations": lines[:2], "more": "m&"}),
            answer(200, {"conversations": lines[2:], "more": None}),
        )
        self.assertEqual(self.ok(api.conversations()), [Listed(f"g:{n}", "1-1", "", n) for n in range(3)])
        self.assertIn("after=m%26", self.calls.asked[1][1])

    def test_an_unreachable_route_is_skipped_and_tried_last(self):
        urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
        user = answer(200, {"id": 5, "name": "alice"})
        api = self.api(Unreachable(), user, urls=urls)
        for _ in range(3):
            self.ok(self.user(api))
        self.assertEqual([url[17] for _, url, _, _ in self.calls.asked], ["1", "2", "2", "2"])

    def test_a_call_that_may_have_been_done_is_not_repeated_elsewhere(self):
        urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
        group = answer(201, {"id": 5, "name": "x", "open": False, "history": False, "members": 1})
        api = self.api(CallTimeout(), group, urls=urls)
        self.error(api.ask("POST", "groups", group_of, {"name": "x"}), CallTimeout)
        api = self.api(Unreachable(), group, urls=urls)
        self.ok(api.ask("POST", "groups", group_of, {"name": "x"}))
        # A login may be done twice.
        api = self.api(CallTimeout(), answer(201, LOGIN), urls=urls)
        self.ok(api.log_in("alice", "d", "p"))

    def test_a_server_that_only_its_own_machine_can_reach(self):
        check_place("http://localhost:1", "127.0.0.1")
        check_place("http://10.0.0.1:1", "10.0.0.2")
        self.assertRaises(Misdirected, check_place, "http://10.0.0.1:1", "127.0.0.1")
