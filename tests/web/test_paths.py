"""Tests of which call serves a request, and of the answer if none does."""

from __future__ import annotations

import json

from tests.web.api_case import ThingsCase
from tests.web.http_case import encode


class TableTests(ThingsCase):
    """Tests of paths and methods."""

    def test_a_path_with_parameters(self):
        self.assertEqual(self.ask("GET", "/v1/things/5")[2]["id"], 5)
        self.assertEqual(self.ask("PUT", "/v1/things/5/parts/a%2Fb%20%E5%BC%A0")[0], 204)
        self.assertEqual(self.things.said, [(5, "a/b 张")])

    def test_head(self):
        status, headers, body = self.request("HEAD", "/v1/things/5")
        self.assertEqual((status, body), (200, b""))
        self.assertGreater(int(headers["Content-Length"]), 0)

    def test_no_such_path(self):
        for path in (
            "/v1/",
            "/v1/nothing",
            "/v1/things/",
            "/v1//things",
            "/v1/things/5/parts",
            "/v1/things/5/parts/",
            "/v1/things/5/parts/a/b",
            "/v1/%00",
            "/v1/%ff",
            "/v1/" + "x/" * 1000,
        ):
            self.assertProblem(self.ask("GET", path), 404, "not-found")

    def test_other_paths_belong_to_the_other_dialect(self):
        for path in ("/nothing", "/v1", "/v2/things", "//v1/things", "/%761/things", "//openapi.json"):
            status, headers, said = self.ask("GET", path)
            self.assertEqual((status, headers["Content-Type"], said["code"]), (404, "application/json", "3000"))

    def test_a_path_that_is_not_utf_8(self):
        self.assertProblem(self.ask("GET", "/v1/things/%ff"), 400, "invalid")

    def test_another_method(self):
        for method, path, allowed in (
            ("DELETE", "/v1/things", "GET, HEAD, OPTIONS, POST"),
            ("POST", "/v1/things/5", "DELETE, GET, HEAD, OPTIONS"),
            ("GET", "/v1/things/5/parts/a", "OPTIONS, PUT"),
            ("BREW", "/v1/things", "GET, HEAD, OPTIONS, POST"),
            ("post", "/v1/things", "GET, HEAD, OPTIONS, POST"),
            ("POST", "/openapi.json", "GET, HEAD, OPTIONS"),
        ):
            answer = self.ask(method, path, b"{}")
            self.assertProblem(answer, 405, "method-not-allowed")
            self.assertEqual(answer[1]["Allow"], allowed)

    def test_options(self):
        status, headers, body = self.request("OPTIONS", "/v1/things")
        self.assertEqual((status, headers["Allow"], body), (204, "GET, HEAD, OPTIONS, POST", b""))

    def test_segments_in_other_spellings(self):
        self.assertEqual(self.ask("GET", "/v1/th%69ngs/%35")[2]["id"], 5)
        self.assertEqual(self.ask("PUT", "/v1/things/5/parts/p:1")[0], 204)
        self.assertEqual(self.things.said, [(5, "p:1")])
        self.assertProblem(self.ask("GET", "/v1/things%2F5"), 404, "not-found")

    def test_nothing_is_redirected(self):
        for path in ("/v1//things", "/v1/things/5/", "/v1/things//5"):
            for method in ("GET", "POST", "BREW"):
                self.assertProblem(self.ask(method, path), 404, "not-found")

    def test_calls_are_counted(self):
        self.ask("POST", "/v1/things", {"name": "x"})
        self.ask("POST", "/v1/things", {"name": "taken"})
        self.ask("POST", "/v1/things", {"name": "big"})
        self.ask("POST", "/v1/things", b"{")
        self.ask("POST", "/v1/things", b"{}", content_type="text/plain")
        self.ask("GET", "/v1/things/7")
        self.ask("GET", "/v1/nowhere")
        self.ask("BREW", "/v1/things")
        text = self.counted.render().decode()
        for label, status in (
            ("POST /v1/things", 201),
            ("POST /v1/things", 409),
            ("POST /v1/things", 400),
            ("POST /v1/things", 413),
            ("POST /v1/things", 415),
            ("GET /v1/things/{id}", 200),
            (" other", 404),
            (" other", 405),
        ):
            method, _, path = label.partition(" ")
            counted = f'cim_http_requests_total{{method="{method}",path="{path}",status="{status}"}} 1.0'
            self.assertIn(counted, text)
        self.assertIn('cim_http_seconds_count{method="POST",path="/v1/things"} 5.0', text)
        self.assertIn('cim_refused_total{kind="http-request"} 5.0', text)

    def test_the_document(self):
        status, headers, said = self.ask("GET", "/openapi.json", headers=())
        self.assertEqual((status, headers["Content-Type"], said), (200, "application/json", {"openapi": "3.1.0"}))
        self.assertEqual(self.request("HEAD", "/openapi.json")[0], 200)

    def test_no_body_with_204(self):
        conversation = self.connect()
        conversation.send(encode("PUT", "/v1/things/5/parts/a", headers=["X-Key: right"]))
        head = conversation.transport.value().lower()
        self.assertTrue(head.startswith(b"http/1.1 204"))
        self.assertNotIn(b"content-length", head)
        self.assertNotIn(b"content-type", head)
        conversation.send(encode("GET", "/v1/things/5"))
        self.assertIn(b"HTTP/1.1 200", conversation.transport.value())

    def test_a_body_that_is_too_large(self):
        body = b'{"name": "' + b"x" * 3000 + b'"}'
        self.assertProblem(self.ask("POST", "/v1/things", body), 413, "too-large")
        status, _, said = self.ask("POST", "/else", body)
        self.assertEqual((status, said["code"]), (413, "3000"))

    def test_a_body_that_is_far_too_large_is_refused_before_it_arrives(self):
        conversation = self.connect()
        conversation.send(b"POST /v1/things HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        status, headers, raw = conversation.answer()
        self.assertProblem((status, headers, json.loads(raw)), 413, "too-large")
        self.assertFalse(conversation.open)

    def test_a_chunked_body_that_is_too_large(self):
        conversation = self.connect()
        conversation.send(
            b"POST /v1/things HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nbb8\r\n"
            + b"x" * 3000
            + b"\r\n0\r\n\r\n"
        )
        status, headers, raw = conversation.answer()
        self.assertProblem((status, headers, json.loads(raw)), 413, "too-large")


class OriginTests(ThingsCase):
    """Tests of calls by web pages."""

    origins = ("https://chat.example.com", "http://localhost:5173")
    SHARED = ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers")

    def from_page(self, method, path, origin, *headers, body=None):
        given = [f"Origin: {origin}", "X-Key: right", *headers] if origin else ["X-Key: right", *headers]
        return self.request(method, path, body, given)

    def test_a_page_that_may_call(self):
        for origin in self.origins:
            status, headers, _ = self.from_page("GET", "/v1/things/5", origin)
            self.assertEqual(status, 200)
            self.assertEqual(headers.get_all("Access-Control-Allow-Origin"), [origin])
            self.assertEqual(headers["Vary"], "Origin")
            self.assertIn("Retry-After", headers["Access-Control-Expose-Headers"])
            self.assertNotIn("Access-Control-Allow-Credentials", headers)

    def test_problems_are_readable_too(self):
        big = b"x" * 3000
        for method, path, status, body in (
            ("GET", "/v1/nothing", 404, None),
            ("GET", "/v1/things/0", 400, None),
            ("BREW", "/v1/things", 405, None),
            ("POST", "/v1/things", 413, big),
        ):
            answer = self.from_page(method, path, self.origins[0], body=body)
            self.assertEqual((answer[0], answer[1]["Access-Control-Allow-Origin"]), (status, self.origins[0]))

    def test_a_page_that_may_not_call(self):
        for origin in (
            "https://evil.example.com",
            "https://chat.example.com.evil.com",
            "http://chat.example.com",
            "https://chat.example.com:8443",
            "null",
            "",
        ):
            for method in ("GET", "OPTIONS"):
                _, headers, _ = self.from_page(method, "/v1/things", origin, "Access-Control-Request-Method: POST")
                self.assertFalse([name for name in headers if name.startswith("Access-Control")], origin)
                self.assertEqual(headers["Vary"], "Origin")

    def test_preflight(self):
        status, headers, body = self.from_page(
            "OPTIONS",
            "/v1/things",
            self.origins[0],
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,content-type",
        )
        self.assertEqual((status, body), (204, b""))
        self.assertEqual(headers["Access-Control-Allow-Origin"], self.origins[0])
        self.assertIn("POST", headers["Access-Control-Allow-Methods"])
        for name in ("Authorization", "Content-Type", "X-API-Key"):
            self.assertIn(name, headers["Access-Control-Allow-Headers"])
        self.assertEqual(headers["Access-Control-Max-Age"], "600")

    def test_upstreams_calls_are_closed_to_pages(self):
        _, headers, _ = self.from_page("POST", "/login", self.origins[0], body=b"{}")
        self.assertNotIn("Access-Control-Allow-Origin", headers)


class AnyOriginTests(ThingsCase):
    """Tests with --origins *."""

    origins = ("*",)

    def test_all_pages(self):
        for origin in ("https://a.example", "null"):
            _, headers, _ = self.request("GET", "/v1/things/5", headers=[f"Origin: {origin}"])
            self.assertEqual(headers["Access-Control-Allow-Origin"], "*")


class NoOriginTests(ThingsCase):
    """Tests without --origins."""

    def test_no_page(self):
        for method in ("GET", "OPTIONS"):
            _, headers, _ = self.request(method, "/v1/things/5", headers=["Origin: https://a.example"])
            self.assertFalse([name for name in headers if name.startswith("Access-Control")])
