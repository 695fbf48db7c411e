"""Tests of upstream's API over several routes: which is called when, and what is repeated."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.client.api import RouteAPI
from cim.client.dialling import Entrance
from cim.client.routes import REST_SECONDS, Routes, is_loopback, parse_route
from cim.errors import (
    AccountMismatch,
    CallTimeout,
    InvalidField,
    Misdirected,
    NoServerAvailable,
    RepeatLogin,
    Unavailable,
    Unreachable,
    UserOffline,
)
from cim.model import Account
from cim.web.calling import CALL_SECONDS, JSONCalls
from tests.client.fakes import FakeRoute, Network, envelope

ALICE = Account(1000, "alice")


class RouteURLTests(SynchronousTestCase):
    def test_taken(self):
        for text, url in (
            ("http://10.0.0.1:8083", "http://10.0.0.1:8083"),
            ("http://10.0.0.1:8083/", "http://10.0.0.1:8083"),
            ("10.0.0.1:8083", "http://10.0.0.1:8083"),
            ("localhost", "http://localhost"),
            ("https://chat.example/cim/", "https://chat.example/cim"),
            ("http://[::1]:8083", "http://[::1]:8083"),
            ("http://my_route:8083", "http://my_route:8083"),
            ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ):
            self.assertEqual(parse_route(text), url)

    def test_refused(self):
        for text in ("", "http://", "ftp://x", "http://x:y", "http://x:70000", "http://[::1", "/login", "a b"):
            self.assertRaises(InvalidField, parse_route, text)

    def test_loopback(self):
        for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost", "0.0.0.0"):
            self.assertTrue(is_loopback(host), host)
        for host in ("10.0.0.1", "chat.example", "::2", "128.0.0.1"):
            self.assertFalse(is_loopback(host), host)


class RouteAPITests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.route = FakeRoute()
        self.network = Network(self.route)
        self.calls = JSONCalls(self.clock, agent=self.network)
        self.api = RouteAPI(self.calls, Routes(self.clock, ["http://a", "http://b"]))
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def result(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def failure(self, coroutine, kind):
        error = self.failureResultOf(Deferred.fromCoroutine(coroutine), kind).value
        self.assertIs(type(error), kind)
        return error

    def test_every_call_is_the_same_as_upstreams(self):
        self.route.accounts["alice"] = 1000
        self.route.online = [{"userId": 1000, "userName": "alice"}]
        self.assertEqual(self.result(self.api.register("alice")), ALICE)
        self.assertEqual(self.result(self.api.login(ALICE)), Entrance("http://b", "10.0.0.7", 11211))
        self.assertEqual(self.result(self.api.online_users()), [ALICE])
        self.result(self.api.send_group(1000, "大家好 👋"))
        self.result(self.api.send_private(1000, 1001, "hi"))
        self.result(self.api.fetch_offline(1000))
        self.result(self.api.log_out(1000))
        self.assertEqual(
            self.route.calls,
            [
                ("registerAccount", {"userName": "alice"}),
                ("login", {"userId": 1000, "userName": "alice"}),
                ("onlineUser", None),
                ("groupRoute", {"userId": 1000, "msg": "大家好 👋"}),
                ("p2pRoute", {"userId": 1000, "receiveUserId": 1001, "msg": "hi"}),
                ("fetchOfflineMsgs", {"receiveUserId": 1000}),
                ("offLine", {"userId": 1000, "msg": "offLine"}),
            ],
        )

    def test_nobody_online_is_null_upstream(self):
        self.assertEqual(self.result(self.api.online_users()), [])

    def test_codes_become_errors(self):
        for path, call, code, kind in (
            ("login", lambda: self.api.login(ALICE), "5000", RepeatLogin),
            ("login", lambda: self.api.login(ALICE), "7100", NoServerAvailable),
            ("login", lambda: self.api.login(ALICE), "9100", AccountMismatch),
            ("p2pRoute", lambda: self.api.send_private(1, 2, "x"), "7000", UserOffline),
        ):
            self.route.answers[path] = [envelope(code, "because")]
            self.assertEqual(self.failure(call(), kind).message, "because")

    def test_malformed_answers(self):
        for path, call in (
            ("registerAccount", lambda: self.api.register("alice")),
            ("login", lambda: self.api.login(ALICE)),
            ("onlineUser", lambda: self.api.online_users()),
        ):
            for data in ({"userId": None}, [1], "x", 7, {"ip": "10.0.0.7", "cimServerPort": 0, "httpPort": "x"}):
                self.route.answers[path] = [envelope(data=data)]
                self.failure(call(), Unavailable)

    def test_calls_go_to_the_routes_in_turn(self):
        for _ in range(4):
            self.result(self.api.send_group(1, "x"))
        self.assertEqual(self.network.hosts, ["a", "b", "a", "b"])

    def test_a_refused_connection_moves_any_call_on(self):
        self.network.trouble["a"] = "refused"
        self.result(self.api.send_group(1, "x"))
        self.assertEqual(self.network.hosts, ["a", "b"])
        self.assertEqual(self.route.paths(), ["groupRoute"])

    def test_a_failed_route_is_tried_last_for_a_while(self):
        self.network.trouble["a"] = "refused"
        for _ in range(4):
            self.result(self.api.send_group(1, "x"))
        self.assertEqual(self.network.hosts, ["a", "b", "b", "b", "b"])
        del self.network.trouble["a"]
        self.clock.advance(REST_SECONDS)
        self.network.hosts.clear()
        for _ in range(2):
            self.result(self.api.send_group(1, "x"))
        self.assertEqual(sorted(self.network.hosts), ["a", "b"])

    def test_all_routes_refuse_the_connection(self):
        self.network.trouble["*"] = "refused"
        self.failure(self.api.send_group(1, "x"), Unreachable)
        self.assertEqual(self.network.hosts, ["a", "b"])
        self.failure(self.api.send_group(1, "x"), Unreachable)
        self.assertEqual(len(self.network.hosts), 4)

    def test_a_message_that_may_have_been_handled_is_not_sent_again(self):
        self.network.trouble["*"] = "half"
        for call in (self.api.send_group(1, "x"), self.api.send_private(1, 2, "x")):
            self.route.calls.clear()
            self.failure(call, Unavailable)
            self.assertEqual(len(self.route.calls), 1)

    def test_a_message_after_a_refused_connection_may_still_be_lost(self):
        self.network.trouble.update(a="refused", b="lost")
        self.failure(self.api.send_group(1, "x"), Unavailable)

    def test_other_calls_are_repeated_on_another_route(self):
        for call in (
            lambda: self.api.register("alice"),
            lambda: self.api.login(ALICE),
            lambda: self.api.log_out(1),
            lambda: self.api.online_users(),
        ):
            self.clock.advance(REST_SECONDS)
            self.network.hosts.clear()
            self.network.trouble = {}
            self.network.trouble[["a", "b"][self.api._routes._next]] = "half"
            self.result(call())
            self.assertEqual(len(self.network.hosts), 2)

    def test_a_timeout_counts_as_lost(self):
        self.network.trouble["a"] = "silent"
        calling = Deferred.fromCoroutine(self.api.login(ALICE))
        self.assertNoResult(calling)
        self.clock.advance(CALL_SECONDS)
        self.successResultOf(calling)

    def test_an_unknown_fate_is_reported_even_if_later_routes_are_unreachable(self):
        self.network.trouble.update(a="silent", b="refused")
        calling = Deferred.fromCoroutine(self.api.login(ALICE))
        self.clock.advance(CALL_SECONDS)
        self.failureResultOf(calling, CallTimeout)

    def test_a_server_on_loopback_named_by_a_remote_route_is_refused(self):
        self.route.server["ip"] = "127.0.0.1"
        error = self.failure(self.api.login(ALICE), Misdirected)
        self.assertIn("--advertise", error.message)
        local = RouteAPI(self.calls, Routes(self.clock, ["http://127.0.0.1:8083"]))
        self.assertEqual(self.result(local.login(ALICE)).host, "127.0.0.1")
