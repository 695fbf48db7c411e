"""Hostile tests of the console's door: whoever is not its own page, with a key that stands in the file, stays out."""

from __future__ import annotations

from cim.api_keys import Scope, line_of
from cim.daemon.rereading import LOOK_SECONDS
from cim.route.console.sessions import MOST, SECONDS
from tests.route.console.console_case import HOST, LINES, MAKER, OPS, OWN, READER, SESSION, ConsoleCase
from tests.route.http.api_case import KEY, PASSWORD

STATUS = "/v1/admin/status"


class LoginTests(ConsoleCase):
    def test_a_key_is_exchanged_once(self):
        status, headers, said = self.ask("POST", SESSION, {"key": OPS})
        self.assertEqual(
            (status, said),
            (201, {"name": "ops", "scopes": list(Scope), "reads_messages": False, "expires_in": SECONDS}),
        )
        (line,) = headers.get_all("Set-Cookie")
        self.assertEqual(line, "cim-console-8085=secret-1; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict")
        self.assertEqual(headers["Cache-Control"], "no-store")
        self.assertEqual(self.ask("GET", SESSION)[2]["session"]["name"], "ops")
        self.assertTrue(self.ask("GET", STATUS)[2]["ok"])

    def test_over_tls(self):
        _, headers, _ = self.ask("POST", SESSION, {"key": OPS}, secure=True)
        self.assertEqual(
            headers["Set-Cookie"],
            "__Host-cim-console=secret-1; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict; Secure",
        )
        self.assertEqual(self.ask("GET", STATUS, secure=True)[0], 200)
        # Not without TLS, and a cookie that a page without TLS has set does not count with it.
        self.assertEqual(self.ask("GET", STATUS)[0], 401)
        self.assertEqual(self.ask("GET", STATUS, cookies={"cim-console-8085": "secret-1"}, secure=True)[0], 401)

    def test_each_login_has_a_secret_of_its_own(self):
        self.enter()
        first = dict(self.cookies)
        self.enter()
        self.assertNotEqual(self.cookies, first)
        self.assertEqual(self.ask("GET", STATUS, cookies=first)[0], 401)
        self.assertEqual(self.ask("GET", STATUS)[0], 200)

    def test_who_may_not(self):
        for key, expected in (("wrong", 401), ("", 400), (MAKER, 403), ("x" * 513, 400), ("\udc80" * 20, 400)):
            status, headers, said = self.ask("POST", SESSION, {"key": key})
            self.assertEqual((status, headers["Set-Cookie"]), (expected, None), said)
            self.assertNotIn(MAKER, str(said))
        self.assertEqual(self.cookies, {})
        tried = "audit: somebody at the console from 192.168.1.1: tried to log in with a wrong key"
        lacking = 'audit: key "maker" at the console from 192.168.1.1: may not log in: it lacks the scope `admin`'
        self.assertEqual(self.audits(), [tried, lacking])

    def test_logging_out(self):
        self.enter()
        kept = dict(self.cookies)
        status, headers, _ = self.ask("DELETE", SESSION)
        self.assertEqual(status, 204)
        self.assertIn("cim-console-8085=; Path=/; Max-Age=0;", headers["Set-Cookie"])
        self.assertEqual(self.ask("GET", STATUS, cookies=kept)[0], 401)
        self.assertEqual(self.ask("DELETE", SESSION)[0], 204)

    def test_it_ends_after_eight_hours(self):
        self.enter()
        self.clock.advance(SECONDS - 1)
        self.assertEqual(self.ask("GET", SESSION)[2]["session"]["expires_in"], 1)
        self.clock.advance(1)
        self.assertEqual(self.ask("GET", STATUS)[0], 401)
        self.assertEqual(self.ask("GET", SESSION)[2], {"session": None})

    def test_it_ends_with_its_key(self):
        self.enter()
        self.write(*LINES[1:])
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.ask("GET", STATUS)[0], 401)
        self.write(*LINES)
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.ask("GET", STATUS)[0], 401)

    def test_it_ends_with_a_key_that_is_replaced_under_the_same_name(self):
        self.enter()
        self.write(line_of("another-key-0123456789", "ops", Scope))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.ask("GET", STATUS)[0], 401)

    def test_a_key_may_at_once_do_less(self):
        self.enter()
        self.write(line_of(OPS, "ops", [Scope.ADMIN]))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.ask("GET", SESSION)[2]["session"]["scopes"], ["admin"])
        self.assertEqual(self.ask("GET", "/v1/admin/users")[0], 403)
        # Without `admin` nobody logs in, so nobody stays in.
        self.write(line_of(OPS, "ops", [Scope.USERS, Scope.READ]))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.ask("GET", "/v1/admin/users")[0], 401)
        self.assertEqual(self.ask("GET", SESSION)[2], {"session": None})

    def test_logins_are_bounded(self):
        self.enter()
        first = dict(self.cookies)
        for _ in range(MOST):
            self.cookies.clear()
            self.enter()
        self.assertEqual(self.ask("GET", STATUS, cookies=first)[0], 401)
        self.assertEqual(self.ask("GET", STATUS)[0], 200)


class FloodTests(ConsoleCase):
    def test_wrong_keys_are_limited_by_address(self):
        statuses = [self.ask("POST", SESSION, {"key": f"wrong {number}"})[0] for number in range(12)]
        self.assertEqual(statuses, [401] * 10 + [429] * 2)
        status, headers, said = self.ask("POST", SESSION, {"key": OPS})
        self.assertEqual((status, said["code"], headers["Retry-After"]), (429, "rate-limited", "6"))
        self.clock.advance(6)
        self.enter()
        self.assertEqual(len(self.audits()), 11)

    def test_right_keys_use_nothing_up(self):
        for _ in range(30):
            self.enter()

    def test_who_is_in_stays_in(self):
        self.enter()
        for number in range(12):
            self.ask("POST", SESSION, {"key": f"wrong {number}"}, cookies={})
        self.assertEqual(self.ask("GET", STATUS)[0], 200)


class OtherPagesTests(ConsoleCase):
    """Pages of others, whatever their browser sends along."""

    def setUp(self):
        super().setUp()
        self.enter()
        self.alice = self.account("alice")

    def refused(self, **options):
        for method, path, body in (
            ("GET", STATUS, None),
            ("GET", SESSION, None),
            ("DELETE", f"/v1/admin/users/{self.alice.id}", None),
            ("POST", SESSION, {"key": OPS}),
            ("DELETE", SESSION, None),
        ):
            status, headers, said = self.ask(method, path, body, **options)
            self.assertEqual((status, headers["Set-Cookie"]), (403, None), (method, path, options, said))
            self.assertIsNone(headers["Access-Control-Allow-Origin"])

    def test_other_origins(self):
        for site in ("cross-site", "same-site", "none", "SAME-ORIGIN", "same-origin, cross-site", ""):
            self.refused(headers=(f"Sec-Fetch-Site: {site}", f"Origin: http://{HOST}"))
        self.refused(headers=("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"))
        for origin in (
            "http://127.0.0.1:8083",
            "http://127.0.0.1",
            "https://127.0.0.1:8085",
            "http://localhost:8085",
            "http://127.0.0.1:8085.evil.example",
            "null",
            "",
        ):
            self.refused(headers=(f"Origin: {origin}",))
        self.refused(headers=(f"Origin: http://{HOST}", "Origin: http://evil.example"))
        self.refused(headers=())

    def test_its_own_origin_without_fetch_metadata(self):
        self.assertEqual(self.ask("GET", STATUS, headers=(f"Origin: http://{HOST}",))[0], 200)
        self.assertEqual(self.ask("GET", STATUS, headers=(f"Origin: https://{HOST}",), secure=True)[0], 401)

    def test_other_hosts(self):
        """The name of a hostile page may have this machine's address."""
        for host in ("evil.example", "evil.example:8085", "127.0.0.1.evil.example:8085", "chat.example.com"):
            headers = (*OWN, f"Origin: http://{host}")
            self.assertEqual(self.ask("GET", STATUS, headers=headers, host=host)[0], 421)
            self.assertEqual(self.ask("POST", SESSION, {"key": OPS}, headers=headers, host=host)[0], 421)

    def test_preflight(self):
        status, headers, _ = self.ask(
            "OPTIONS", SESSION, headers=("Origin: http://evil.example", "Access-Control-Request-Method: POST")
        )
        self.assertEqual(status, 204)
        self.assertFalse([name for name in headers if name.lower().startswith("access-control")])


class OtherCookiesTests(ConsoleCase):
    def test_no_other_proof_counts(self):
        """Neither a key in a header, nor a user's token, nor a cookie of another port of this host."""
        self.account("alice")
        token = self.log_in("alice", PASSWORD)["token"]
        self.enter()
        secret = self.cookies["cim-console-8085"]
        for cookies, more in (
            ({}, (f"X-API-Key: {OPS}",)),
            ({}, (f"Authorization: Bearer {OPS}",)),
            ({}, (f"Authorization: Bearer {token}",)),
            ({}, (f"Authorization: Bearer {secret}",)),
            ({"cim-8083": secret}, ()),
            ({"cim-console-8083": secret}, ()),
            ({"cim-console": secret}, ()),
            ({"__Host-cim-console": secret}, ()),
            ({"cim-console-8085": f"{secret}x"}, ()),
            ({"cim-console-8085": ""}, ()),
            ({"cim-console-8085": OPS}, ()),
        ):
            self.assertEqual(self.ask("GET", STATUS, headers=(*OWN, *more), cookies=cookies)[0], 401, (cookies, more))

    def test_a_cookie_twice(self):
        """Another port of the host may have set one of them, for a longer path."""
        self.enter()
        line = f"Cookie: cim-console-8085=x; cim-console-8085={self.cookies['cim-console-8085']}"
        self.assertEqual(self.ask("GET", STATUS, headers=(*OWN, line), cookies={})[0], 401)

    def test_its_cookie_is_worth_nothing_at_the_other_listener(self):
        self.enter()
        cookie = f"Cookie: cim-console-8085={self.cookies['cim-console-8085']}"
        self.problem("GET", STATUS, headers=(cookie, *OWN), status=401, code="unauthorized")
        self.assertEqual(self.call("POST", SESSION, {"key": KEY})[0], 404)


class ScopeTests(ConsoleCase):
    def test_a_key_does_what_its_scopes_say(self):
        self.enter(READER)
        alice = self.account("alice")
        self.assertEqual(self.ask("GET", "/v1/admin/users")[2]["users"][0]["name"], "alice")
        status, _, said = self.ask("DELETE", f"/v1/admin/users/{alice.id}")
        self.assertEqual((status, said["detail"]), (403, "this API key may not do that: it lacks the scope `users`"))
        self.ok("GET", f"/v1/users/{alice.id}", key=KEY)

    def test_no_calls_of_users(self):
        self.enter()
        for method, path in (
            ("POST", "/v1/messages"),
            ("POST", "/v1/sessions"),
            ("POST", "/v1/accounts"),
            ("GET", "/v1/groups"),
            ("GET", "/openapi.json"),
            ("GET", "/metrics"),
            ("POST", "/sendMsg"),
        ):
            self.assertEqual(self.ask(method, path, {} if method == "POST" else None)[0], 404, path)
        status, _, said = self.ask("POST", "/v1/password-resets", {"code": "1-x", "password": PASSWORD})
        self.assertEqual((status, said["code"]), (403, "forbidden"))


class AuditTests(ConsoleCase):
    def test_what_is_logged(self):
        self.enter()
        alice = self.account("alice")
        self.ask("GET", "/v1/admin/users")
        self.ask("PUT", f"/v1/admin/users/{alice.id}/password", {"password": "staple of batteries"})
        self.ask("POST", f"/v1/admin/users/{alice.id}/reset-code")
        self.ask("DELETE", f"/v1/admin/sessions/{alice.id}/%0Aaudit%3A%20key")
        self.ask("DELETE", f"/v1/admin/users/{alice.id}")
        self.ask("DELETE", f"/v1/admin/users/{alice.id}")
        self.ask("DELETE", SESSION)
        user = f"/v1/admin/users/{alice.id}"
        self.assertEqual(
            self.audits(),
            [
                f'audit: key "ops" at the console from 192.168.1.1: {what}'
                for what in (
                    "logged in",
                    f'PUT "{user}/password": 204',
                    f'POST "{user}/reset-code": 201',
                    f'DELETE "/v1/admin/sessions/{alice.id}/%0Aaudit%3A%20key": 400',
                    f'DELETE "{user}": 204',
                    f'DELETE "{user}": 404',
                    "logged out",
                )
            ],
        )
        written = " ".join(map(str, self.logged))
        for secret in (OPS, self.cookies.get("cim-console-8085") or "secret-1", "staple"):
            self.assertNotIn(secret, written)
