"""Tests of declared calls: what they read, who may make them, and every way they end."""

from __future__ import annotations

import json

from cim.web.declaring import Who, calls_of
from tests.web.api_case import Things, ThingsCase
from tests.web.http_case import encode


class DeclarationTests(ThingsCase):
    """Tests of what follows from a declaration."""

    def test_all_calls_are_found_on_the_class(self):
        self.assertEqual(set(calls_of(Things)), {"thing", "things", "make", "put", "remove", "document"})
        self.assertEqual(calls_of(Things), calls_of(self.things))

    def test_problems_that_follow_from_a_declaration(self):
        declared = calls_of(Things)
        always = {429, 503, 504}
        self.assertEqual(declared["thing"].errors, {400, 404} | always)
        self.assertEqual(declared["make"].errors, {400, 401, 403, 409, 413, 415} | always)
        self.assertEqual(declared["put"].errors, {400, 401, 403} | always)

    def test_the_summary_and_the_description(self):
        declared = calls_of(Things)["things"]
        self.assertEqual((declared.summary, declared.about), ("List things", "Those of a name."))
        self.assertIs(calls_of(Things)["make"].who, Who.USER)
        self.assertTrue(calls_of(Things)["make"].body_required)
        self.assertFalse(calls_of(Things)["remove"].body_required)


class QueryTests(ThingsCase):
    """Tests of queries."""

    def test_values_and_defaults(self):
        self.assertEqual(self.ask("GET", "/v1/things?name=a+b%2B&limit=3&other=x")[0], 200)
        self.assertEqual(self.ask("GET", "/v1/things?name=")[0], 400)
        self.assertEqual(self.ask("GET", "/v1/things?name=a" + "&x" * 15)[0], 200)
        self.assertEqual(
            self.things.said,
            [{"name": "a b+", "limit": 3, "all": None}, {"name": "a", "limit": 5, "all": None}],
        )

    def test_what_is_refused(self):
        for query, field in (
            ("", "name"),
            ("?limit=1", "name"),
            ("?name=a&name=b", "name"),
            ("?name=a&limit=0", "limit"),
            ("?name=a&limit=10", "limit"),
            ("?name=a&limit=1.0", "limit"),
            ("?name=a&limit=%2B1", "limit"),
            ("?name=a&limit=" + "1" * 5000, "limit"),
            ("?name=a&limit=%D9%A1", "limit"),
            ("?name=" + "x" * 21, "name"),
            ("?name=%ff", None),
            ("?%ff=a", None),
            ("?name=a" + "&x" * 16, None),
        ):
            self.assertProblem(self.ask("GET", f"/v1/things{query}"), 400, "invalid", field)


class BodyTests(ThingsCase):
    """Tests of bodies."""

    def make(self, body, **options):
        return self.ask("POST", "/v1/things", body, **options)

    def test_values_and_defaults(self):
        self.assertEqual(self.make({"name": "张三"})[0], 201)
        self.assertEqual(self.make({"name": "b", "open": True, "data": "AAE=", "kind": "b"})[0], 201)
        (_, first, defaults), (caller, _, given) = self.things.said
        self.assertEqual((first, defaults), ("张三", {"open": False, "data": None, "kind": "a"}))
        self.assertEqual((caller, given), ("someone", {"open": True, "data": b"\0\1", "kind": "b"}))

    def test_a_status_other_than_the_usual_one(self):
        self.assertEqual(self.make({"name": "there"})[0], 200)

    def test_invalid_fields(self):
        for body, field in (
            ({}, "name"),
            ({"name": None}, "name"),
            ({"name": ["x"]}, "name"),
            ({"name": "x", "open": 1}, "open"),
            ({"name": "x", "open": "true"}, "open"),
            ({"name": "x", "kind": "c"}, "kind"),
            ({"name": "x", "kind": ["a"]}, "kind"),
            ({"name": "x", "data": "AA"}, "data"),
            ({"name": "x", "data": "A A="}, "data"),
            ({"name": "x", "data": "AAAAAAAAAA=="}, "data"),
            ({"name": "x", "nmae": 1}, "nmae"),
            ({"name": "x", "y" * 100: 1}, "y" * 40),
        ):
            self.assertProblem(self.make(body), 400, "invalid", field)
        self.assertEqual(self.things.said, [])

    def test_malformed_json(self):
        for body in (
            b"",
            b"{",
            b"[]",
            b"null",
            b'"x"',
            b"1",
            b"NaN",
            b"\xff\xfe",
            b'{"name": "\xff"}',
            b'{"name": NaN}',
            b'{"name": "x", "open": Infinity}',
            b'{"name": -Infinity}',
            b'{"name": "x"} x',
            b'{"a":' * 300 + b"1" + b"}" * 300,
            b"[" * 1900,
            b'{"name": ' + b"9" * 1900 + b"}",
            b'{"name": 1e999}',
        ):
            status, headers, said = self.make(body)
            self.assertEqual((status, said.get("code")), (400, "invalid"), body)
            self.assertEqual(headers["Content-Type"], "application/problem+json")
        self.assertEqual(self.things.said, [])

    def test_other_content_types(self):
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
            self.assertProblem(self.make(b'{"name": "x"}', content_type=content_type), 415, "unsupported-media-type")
        for content_type in ("application/json", "Application/JSON; charset=utf-8", "application/json;charset=UTF-8"):
            self.assertEqual(self.make({"name": "x"}, content_type=content_type)[0], 201)

    def test_an_optional_body(self):
        self.assertEqual(self.ask("DELETE", "/v1/things/5")[0], 204)
        self.assertEqual(self.ask("DELETE", "/v1/things/5", {"why": "old"})[0], 204)
        self.assertProblem(
            self.ask("DELETE", "/v1/things/5", b"{}", content_type="text/plain"), 415, "unsupported-media-type"
        )
        self.assertEqual(self.things.said, [(5, ""), (5, "old")])


class EndTests(ThingsCase):
    """Tests of how calls end."""

    def make(self, name, **options):
        return self.ask("POST", "/v1/things", {"name": name}, **options)

    def test_the_caller_is_checked_before_the_fields(self):
        answer = self.ask("POST", "/v1/things", b"{", headers=())
        self.assertProblem(answer, 401, "unauthorized")
        self.assertEqual(answer[1]["WWW-Authenticate"], "Bearer")
        self.assertProblem(self.ask("POST", "/v1/things", b"{", headers=["X-Key: wrong"]), 403, "forbidden")

    def test_problems(self):
        self.assertProblem(self.make("taken"), 409, "conflict")
        answer = self.make("busy")
        self.assertProblem(answer, 429, "rate-limited")
        self.assertEqual(answer[1]["Retry-After"], "7")

    def test_who_was_refused_by_a_limit_is_read_again_a_second_later(self):
        self.site.address_of = lambda transport: "192.0.2.7"
        conversation = self.connect()
        for name, state in (("taken", "producing"), ("busy", "paused")):
            conversation.send(encode("POST", "/v1/things", {"name": name}, ["X-Key: right"]))
            self.assertEqual(conversation.transport.producerState, state)
        self.clock.advance(1)
        self.assertEqual(conversation.transport.producerState, "producing")

    def test_a_bug_is_logged_and_its_cause_not_revealed(self):
        answer = self.make("broken")
        self.assertProblem(answer, 500, "internal")
        self.assertNotIn("secret", json.dumps(answer[2]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_nothing_is_cached(self):
        for name in ("x", "broken"):
            self.assertEqual(self.make(name)[1]["Cache-Control"], "no-store", name)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_a_call_runs_to_its_end_if_the_client_disconnects(self):
        conversation = self.connect()
        conversation.send(encode("POST", "/v1/things", {"name": "slow"}, ["X-Key: right"]))
        conversation.lose()
        self.things.waiting[0].callback(None)
        self.assertEqual(self.things.said[-1], "finished")
