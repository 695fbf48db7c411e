"""Tests of the pages of `web/`, their files and their headers."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

from cim.web.envelope import Envelopes
from cim.web.operations import internal_only
from cim.web.pages import STATIC, Front, Page, WebFiles, WorkerScript, content_policy
from cim.web.request import respond
from cim.web.serving import CallResource
from tests.web.http_case import HTTPCase, encode

BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
HTML = '<!DOCTYPE html><script type="module" src="/web/chat/main.js"></script><a href="https://x/web/y">'
SCRIPT = "export const one = 1;\n" * 100


class PagesCase(HTTPCase):
    def setUp(self):
        self.top = Path(self.mktemp())
        for name, text in (
            ("chat/index.html", HTML),
            ("chat/main.js", SCRIPT),
            ("chat/short.js", "1"),
            ("chat/chat.css", "p {}"),
            ("chat/notes.txt", "not for others"),
            ("chat/types.d.ts", "export type A = number"),
            ("chat/tests/main.test.js", "1"),
            ("console/main.js", "2"),
        ):
            path = self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.sockets = ["wss://b.example/servers/1/v1/socket", "ws://10.0.0.1:11212/v1/socket"]
        self.begin()

    def begin(self):
        files = WebFiles(["chat"], self.top)
        page = Page(files.page("chat/index.html"), {"name": "CIM"}, lambda: self.sockets)
        self.serve(None)
        calls = CallResource({Envelopes(internal_only(None, self.metrics)): ()}, self.metrics)
        self.site.resource = Front(
            calls,
            files,
            {b"/": page, b"/worker.js": WorkerScript(b"addEventListener(0)")},
            self.metrics,
            {b"/other": lambda request: respond(request, 200, b"other")},
        )
        self.prefix = files.prefix.decode()

    def get(self, path, *headers, method="GET"):
        status, answered, body = self.request(method, path, headers=headers)
        return status, answered, body


class PageTests(PagesCase):
    def test_a_browser_gets_the_page_with_the_hash_in_it(self):
        status, headers, body = self.get("/", BROWSER)
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(body.decode(), HTML.replace('"/web/', f'"{self.prefix}'))
        self.assertRegex(self.prefix, r"^/web-[0-9a-f]{16}/$")
        self.assertEqual((headers["Cache-Control"], headers["Vary"]), ("no-cache", "Accept"))

    def test_the_script_of_the_service_worker_has_an_address_that_stays(self):
        status, headers, body = self.get("/worker.js?words=%7B%7D")
        self.assertEqual((status, body), (200, b"addEventListener(0)"))
        self.assertEqual(headers["Content-Type"], "text/javascript; charset=utf-8")
        self.assertEqual(headers["Cache-Control"], "no-cache")
        self.assertEqual(headers["Content-Security-Policy"], "default-src 'none'; connect-src 'self'")
        self.assertEqual(self.get("/worker.js", f"If-None-Match: {headers['ETag']}")[0], 304)
        self.assertEqual(self.get("/worker.js", method="POST")[0], 405)

    def test_a_program_gets_json(self):
        for accept in ((), ("Accept: application/json",), ("Accept: */*",)):
            status, headers, body = self.get("/", *accept)
            self.assertEqual((status, json.loads(body)), (200, {"name": "CIM"}))
            self.assertEqual(headers["Content-Type"], "application/json")

    def test_the_headers_of_a_page(self):
        _, headers, _ = self.get("/", BROWSER)
        self.assertEqual(headers["Content-Security-Policy"], content_policy(self.sockets).decode())
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(headers["Referrer-Policy"], "no-referrer")
        self.assertIn("microphone=()", headers["Permissions-Policy"])
        self.assertNotIn("Access-Control-Allow-Origin", headers)

    def test_what_browsers_ignore_without_tls_is_not_sent(self):
        for host, sent in (
            ("route.example", None),
            ("192.168.1.5:8083", None),
            ("127.0.0.1:8083", "same-origin"),
            ("localhost", "same-origin"),
            ("[::1]:8083", "same-origin"),
            ("localhost.evil.example", None),
            ("127.0.0.1:http", None),
        ):
            conversation = self.connect()
            conversation.send(encode("GET", "/", headers=[BROWSER], host=host))
            self.assertEqual(conversation.answer("GET")[1]["Cross-Origin-Opener-Policy"], sent, host)

    def test_who_has_the_page_is_not_sent_it_again(self):
        _, headers, _ = self.get("/", BROWSER)
        tag = headers["ETag"]
        for known in (tag, f'"other", W/{tag}', "*"):
            status, again, body = self.get("/", BROWSER, f"If-None-Match: {known}")
            self.assertEqual((status, body, again["ETag"]), (304, b"", tag))
            self.assertNotIn("Content-Length", again)
        # A server has come: what a browser keeps does not know it.
        self.sockets.append("wss://c.example/v1/socket")
        self.assertEqual(self.get("/", BROWSER, f"If-None-Match: {tag}")[0], 200)
        self.assertEqual(self.get("/", f"If-None-Match: {tag}")[0], 200)

    def test_only_get(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            for path in ("/", f"{self.prefix}chat/main.js"):
                status, headers, _ = self.get(path, BROWSER, method=method)
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))
        status, headers, body = self.get("/", BROWSER, method="HEAD")
        self.assertEqual((status, body), (200, b""))
        self.assertNotEqual(headers["Content-Length"], "0")

    def test_all_else_is_served_as_before(self):
        status, _, body = self.get("/nothing", BROWSER)
        self.assertEqual((status, json.loads(body)["code"]), (404, "3000"))
        for path in ("//", "/?x", "/index.html", "/web/chat/main.js"):
            self.assertEqual(self.get(path, BROWSER)[0], 200 if path == "/?x" else 404, path)
        self.assertEqual(self.get("/other")[2], b"other")


class FileTests(PagesCase):
    def test_a_file_is_for_ever(self):
        status, headers, body = self.get(f"{self.prefix}chat/main.js")
        self.assertEqual((status, body.decode()), (200, SCRIPT))
        self.assertEqual(headers["Content-Type"], "text/javascript; charset=utf-8")
        self.assertEqual(headers["Cache-Control"], "public, max-age=31536000, immutable")
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(headers["Cross-Origin-Resource-Policy"], "same-origin")
        again = self.get(f"{self.prefix}chat/main.js", f"If-None-Match: {headers['ETag']}")
        self.assertEqual((again[0], again[2]), (304, b""))

    def test_packed_where_that_is_shorter(self):
        _, headers, body = self.get(f"{self.prefix}chat/main.js", "Accept-Encoding: br, gzip")
        self.assertEqual((headers["Content-Encoding"], gzip.decompress(body).decode()), ("gzip", SCRIPT))
        self.assertLess(len(body), 200)
        self.assertEqual(headers["Vary"], "Accept-Encoding")
        _, headers, body = self.get(f"{self.prefix}chat/short.js", "Accept-Encoding: gzip")
        self.assertEqual((headers["Content-Encoding"], body), (None, b"1"))

    def test_nothing_else(self):
        for path in (
            f"{self.prefix}chat/notes.txt",
            f"{self.prefix}chat/types.d.ts",
            f"{self.prefix}chat/index.html",
            f"{self.prefix}chat/tests/main.test.js",
            f"{self.prefix}console/main.js",
            f"{self.prefix}chat/../chat/main.js",
            f"{self.prefix}chat/%2e%2e/chat/main.js",
            f"{self.prefix}/chat/main.js",
            f"{self.prefix}chat",
            self.prefix,
            "/web-0123456789abcdef/chat/main.js",
            f"/{self.prefix}chat/main.js",
        ):
            self.assertEqual(self.get(path, BROWSER)[0], 404, path)

    def test_the_hash_is_one_of_all_files(self):
        before = self.prefix
        self.begin()
        self.assertEqual(self.prefix, before)
        for change in (
            lambda: (self.top / "chat/short.js").write_text("2"),
            lambda: (self.top / "chat/short.js").rename(self.top / "chat/other.js"),
        ):
            before = self.prefix
            change()
            self.begin()
            self.assertNotEqual(self.prefix, before)
        before = self.prefix
        (self.top / "console/main.js").write_text("3")
        self.begin()
        self.assertEqual(self.prefix, before)


class PolicyTests(HTTPCase):
    def directives(self, *sockets):
        return dict(
            directive.strip().split(" ", 1) for directive in content_policy(sockets).decode().split(";") if directive
        )

    def test_nothing_inline_and_nothing_from_elsewhere(self):
        found = self.directives()
        self.assertEqual(
            {name: found[name] for name in ("default-src", "script-src", "style-src", "connect-src")},
            {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'"},
        )
        for name in ("frame-ancestors", "base-uri", "form-action"):
            self.assertEqual(found[name], "'none'")

    def test_where_sockets_are(self):
        for address, origin in (
            ("ws://127.0.0.1:11212/v1/socket", "ws://127.0.0.1:11212"),
            ("wss://chat.example.com/servers/1/v1/socket", "wss://chat.example.com"),
            ("wss://[fd00::1]:1/", "wss://[fd00::1]:1"),
        ):
            self.assertEqual(self.directives(address)["connect-src"], f"'self' {origin}")
        both = self.directives("wss://a/servers/1/v1/socket", "wss://a/servers/2/v1/socket")
        self.assertEqual(both["connect-src"], "'self' wss://a")

    def test_whoever_writes_to_the_registry_changes_nothing_else(self):
        for address in (
            *("*", "wss://*", "wss://*.example.com/", "https://evil.example/", "wss:", "ws://", ""),
            *("wss://a b/", "wss://a;script-src *", "wss://a,b/", "wss://a\r\nX: y/", "wss://u@a/", "wss://a:x/"),
            *("wss://'unsafe-inline'/", "javascript://a/", "wss://[::1", "ws://a:123456/"),
        ):
            self.assertEqual(content_policy([address]), content_policy(), address)

    def test_bounded(self):
        many = content_policy(f"wss://server-{n}.example.com:11212/v1/socket" for n in range(10_000))
        self.assertLess(len(many), 3000)


class OwnPageTests(HTTPCase):
    """The page that is served."""

    def test_what_it_refers_to_is_there(self):
        files = WebFiles(("cim", "shared", "chat"))
        page = files.page("chat/index.html").decode()
        named = re.findall(r'(?:src|href)="(/[^"]*)"', page)
        self.assertTrue(named)
        for path in named:
            self.assertIsNotNone(files.find(path.encode()), path)
        self.assertNotIn('"/web/', page)

    def test_the_links(self):
        for folder in STATIC.iterdir():
            self.assertEqual(folder.resolve(), STATIC.parents[2].resolve() / "web" / folder.name)
