"""The page's login: when its cookie counts, what it opens, and how it ends."""

from __future__ import annotations

import itertools

from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from cim.model import LoginPolicy
from tests.route.http.api_case import DOCUMENT, KEY, PAGE, PASSWORD, APICase

OWN = "Sec-Fetch-Site: same-origin"
HOST = "route.example"


@implementer(ISSLTransport)
class TLSTransport(StringTransport):
    """A connection with TLS."""

    def setTcpNoDelay(self, enabled):
        """As of TCP."""


class PageCase(APICase):
    """Two routes of one store, and pages that are logged in."""

    routes = 2
    policy = LoginPolicy.MANY
    secure = False

    def setUp(self):
        super().setUp()
        self.alice = self.account("alice")

    def transport(self):
        return TLSTransport() if self.secure else None

    def open(self, name="alice", device="web-1", *, cookie="", headers=(OWN,), **options):
        """Log in by the page; return the answer, and the header with the cookie."""
        fields = {"name": name, "password": PASSWORD, "device": device, "cookie": True}
        headers = [*headers, *([f"Cookie: {cookie}"] if cookie else [])]
        status, answered, said = self.call("POST", "/v1/sessions", fields, headers=headers, **options)
        self.assertEqual(status, 201, said)
        return said, answered["Set-Cookie"]

    def cookie(self, *args, **options):
        """Log in by the page; return its cookie, as a browser sends it."""
        return self.open(*args, **options)[1].partition(";")[0]

    def go_on(self, cookie, device=None, *, fields=None, **options):
        """Log in anew by the cookie."""
        said = fields if fields is not None else {"cookie": True, **({"device": device} if device else {})}
        return self.call("POST", "/v1/sessions", said, headers=[OWN, f"Cookie: {cookie}"], **options)

    def status(self, cookie, *headers, method="GET", path="/v1/sessions", body=None, **options):
        """Return the status of a call by a cookie, and nothing but these headers."""
        return self.call(method, path, body, headers=[f"Cookie: {cookie}", *headers], **options)[0]

    def is_good(self, cookie):
        """Return whether both routes accept a cookie; they must agree."""
        (status,) = {self.status(cookie, OWN, route=route) for route in (0, 1)}
        self.assertIn(status, (200, 401))
        return status == 200


class LogInTests(PageCase):
    def test_no_token_but_a_cookie(self):
        said, header = self.open()
        self.assertNotIn("token", said)
        self.assertEqual((said["user_id"], said["device"]), (self.alice.id, "web-1"))
        self.assertEqual(said["token_expires_in"], 12 * 3600)
        self.assertTrue(said["ticket"])
        value, *attributes = header.split("; ")
        self.assertEqual(attributes, ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"])
        self.assertTrue(value.startswith("cim="))
        self.assertTrue(self.is_good(value))

    def test_named_by_the_port(self):
        """All ports of a host have one jar."""
        for host, name in ((f"{HOST}:8083", "cim-8083"), ("[::1]:80", "cim-80"), ("[::1]", "cim")):
            self.assertEqual(self.cookie(host=host).partition("=")[0], name)
        other = self.cookie(host=f"{HOST}:8083")
        self.assertEqual(self.status(other, OWN, host=f"{HOST}:8083"), 200)
        self.assertEqual(self.status(other, OWN, host=f"{HOST}:8084"), 401)

    def test_a_new_value_each_time(self):
        values = [self.cookie(), self.cookie()]
        for _ in range(2):
            # Though the browser has one, which somebody may have planted there.
            values.append(self.cookie(cookie=values[-1]))
            _, answered, _ = self.go_on(values[-1])
            values.append(answered["Set-Cookie"].partition(";")[0])
        self.assertEqual(len(set(values)), 6)

    def test_only_for_the_page_of_the_very_address(self):
        fields = {"name": "alice", "password": PASSWORD, "cookie": True}
        hashed = len(self.hashed)
        for headers in ((), (f"Origin: {PAGE}",), ("Sec-Fetch-Site: cross-site", f"Origin: http://{HOST}")):
            status, answered, said = self.call("POST", "/v1/sessions", fields, headers=headers)
            self.assertEqual((status, answered["Set-Cookie"]), (403, None))
            self.assertIn("--trusted-proxies", said["detail"])
        # No password was looked at.
        self.assertEqual(len(self.hashed), hashed)

    def test_on_with_the_cookie(self):
        cookie = self.cookie()
        status, answered, said = self.go_on(cookie, route=1)
        self.assertEqual((status, said["name"], said["device"]), (201, "alice", "web-1"))
        self.assertNotIn("token", said)
        newer = answered["Set-Cookie"].partition(";")[0]
        # Calls of other tabs may be under way with the former one.
        self.assertEqual([self.is_good(cookie), self.is_good(newer)], [True, True])

    def test_a_login_with_the_password_takes_the_place_of_a_former_one_of_the_device(self):
        former = self.cookie()
        _, answered, _ = self.go_on(former)
        cookies = [former, answered["Set-Cookie"].partition(";")[0], self.cookie()]
        self.assertEqual([self.is_good(cookie) for cookie in cookies], [False, False, True])

    def test_a_script_gets_no_token_for_the_cookie(self):
        """Nor may it name another user."""
        cookie = self.cookie()
        for fields in ({}, {"cookie": False}, {"device": "web-1", "cookie": False}):
            status, answered, said = self.go_on(cookie, fields=fields)
            self.assertEqual((status, "token" in said), (201, False))
            self.assertIn("HttpOnly", answered["Set-Cookie"])
        self.account("bob")
        self.assertEqual(self.go_on(cookie, fields={"name": "bob", "cookie": True})[0], 403)

    def test_without_a_cookie_one_has_to_log_in(self):
        for headers in ([OWN], [OWN, "Cookie: cim=nonsense"], [OWN, "Cookie: cim="]):
            status, _, said = self.call("POST", "/v1/sessions", {"cookie": True}, headers=headers)
            self.assertEqual((status, said["code"]), (401, "unauthorized"))

    def test_a_void_cookie_does_not_keep_anyone_from_logging_in(self):
        cookie = self.cookie()
        self.assertEqual(self.status(cookie, OWN, method="DELETE", path="/v1/sessions/web-1"), 204)
        for void in (cookie, "cim=nonsense", "cim=a; cim=b"):
            self.assertTrue(self.is_good(self.cookie(cookie=void)))

    def test_another_user_of_the_same_browser(self):
        self.account("bob")
        alice = self.cookie()
        bob = self.cookie("bob", cookie=alice)
        self.assertEqual([self.is_good(alice), self.is_good(bob)], [False, True])
        self.assertEqual(self.go_on(bob)[2]["name"], "bob")

    def test_a_profile_with_a_new_device(self):
        cookie = self.cookie()
        _, answered, said = self.go_on(cookie, "web-2")
        self.assertEqual(said["device"], "web-2")
        self.assertEqual([self.is_good(cookie), self.is_good(answered["Set-Cookie"].partition(";")[0])], [False, True])

    def test_it_ends_by_itself(self):
        cookie = self.cookie()
        self.clock.advance(12 * 3600 - 10)
        self.assertTrue(self.is_good(cookie))
        self.clock.advance(10)
        self.assertFalse(self.is_good(cookie))

    def test_a_page_that_is_used_stays_logged_in(self):
        cookie = self.cookie()
        headers = [OWN, f"Cookie: {cookie}"]
        self.clock.advance(6 * 3600 - 5)
        self.assertIsNone(self.call("GET", "/v1/sessions", headers=headers)[1]["Set-Cookie"])
        self.clock.advance(5)
        header = self.call("GET", "/v1/sessions", headers=headers)[1]["Set-Cookie"]
        newer, _, attributes = header.partition("; ")
        self.assertEqual(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict")
        self.assertNotEqual(newer, cookie)
        self.clock.advance(6 * 3600)
        self.assertEqual([self.is_good(cookie), self.is_good(newer)], [False, True])
        # What a call itself does to the cookie counts.
        self.clock.advance(3600)
        _, answered, _ = self.call("DELETE", "/v1/sessions/web-1", headers=[OWN, f"Cookie: {newer}"])
        self.assertEqual(answered.get_all("Set-Cookie"), ["cim=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"])
        self.assertFalse(self.is_good(newer))

    def test_no_void_cookie_is_renewed(self):
        cookie = self.cookie()
        self.clock.advance(7 * 3600)
        # Both routes remember for 3 s that it was valid.
        self.assertTrue(self.is_good(cookie))
        token = self.log_in("alice", device="phone")["token"]
        body = {"password": PASSWORD, "new_password": "another one"}
        self.ok("PUT", "/v1/password", body, token=token, route=0)
        _, answered, _ = self.call("GET", "/v1/sessions", headers=[OWN, f"Cookie: {cookie}"], route=1)
        newer = (answered["Set-Cookie"] or "").partition(";")[0]
        self.assertTrue(newer)
        self.cluster.pass_seconds(4)
        self.assertFalse(self.is_good(newer))

    def test_programs_get_tokens_as_ever(self):
        status, answered, said = self.call(
            "POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, headers=[OWN]
        )
        self.assertEqual((status, answered["Set-Cookie"]), (201, None))
        self.assertTrue(said["token"])


class WhereItCountsTests(PageCase):
    def counts(self, *headers, **options):
        return {200: True, 401: False}[self.status(self.kept, *headers, **options)]

    def test_by_what_the_browser_says(self):
        self.kept = self.cookie()
        own = f"Origin: http://{HOST}"
        for headers, counts in (
            ((OWN,), True),
            (("sec-fetch-site: same-origin",), True),
            # A proxy that is not known to us may have ended TLS.
            ((OWN, f"Origin: https://{HOST}"), True),
            (("Sec-Fetch-Site: same-site", own), False),
            (("Sec-Fetch-Site: cross-site", own), False),
            (("Sec-Fetch-Site: none", own), False),
            (("Sec-Fetch-Site: Same-Origin", own), False),
            ((OWN, "Sec-Fetch-Site: cross-site", own), False),
            (("Sec-Fetch-Site: same-origin, cross-site", own), False),
            # Browsers that do not say it.
            ((own,), True),
            ((f"Origin: http://{HOST}:80",), False),
            ((f"Origin: http://{HOST.upper()}",), True),
            ((), False),
            ((f"Origin: https://{HOST}",), False),
            ((f"Origin: http://{HOST}:8083",), False),
            ((f"Origin: http://evil.{HOST}",), False),
            ((f"Origin: http://{HOST}.evil.example",), False),
            ((f"Origin: http://{HOST}/",), False),
            (("Origin: null",), False),
            (("Origin: ",), False),
            ((own, "Origin: http://evil.example"), False),
            ((f"Referer: http://{HOST}/",), False),
            # A page that is listed in --origins acts by tokens.
            ((f"Origin: {PAGE}",), False),
        ):
            self.assertIs(self.counts(*headers), counts, headers)

    def test_with_a_port(self):
        self.kept = self.cookie(host=f"{HOST}:8083")
        for origin, counts in ((f"http://{HOST}:8083", True), (f"http://{HOST}", False), (f"http://{HOST}:80", False)):
            self.assertIs(self.counts(f"Origin: {origin}", host=f"{HOST}:8083"), counts)

    def test_for_whatever_method(self):
        bob = self.account("bob")
        self.kept = self.cookie()
        conversation = f"p:{min(self.alice.id, bob.id)}:{max(self.alice.id, bob.id)}"
        for method, path, body, status in (
            ("GET", "/v1/conversations", None, 200),
            ("HEAD", "/v1/conversations", None, 200),
            ("POST", "/v1/messages", {"to_user": bob.id, "text": "hi", "client_id": "1"}, 201),
            ("GET", f"/v1/conversations/{conversation}/messages", None, 200),
            ("PUT", f"/v1/blocks/{bob.id}", None, 204),
            ("DELETE", f"/v1/blocks/{bob.id}", None, 204),
        ):
            for headers, wanted in (((), 401), (("Sec-Fetch-Site: cross-site",), 401), ((OWN,), status)):
                self.assertEqual(self.status(self.kept, *headers, method=method, path=path, body=body), wanted, path)

    def test_never_under_cors(self):
        self.kept = self.cookie()
        for origin in (PAGE, f"http://{HOST}"):
            _, answered, _ = self.call("GET", "/v1/sessions", headers=[f"Cookie: {self.kept}", f"Origin: {origin}"])
            self.assertIsNone(answered["Access-Control-Allow-Credentials"])
        _, answered, _ = self.call("OPTIONS", "/v1/sessions", headers=[f"Origin: {PAGE}"])
        self.assertIsNone(answered["Access-Control-Allow-Credentials"])
        self.assertNotIn("X-HTTP-Method-Override", answered["Access-Control-Allow-Headers"])

    def test_never_for_operators_calls(self):
        self.kept = self.cookie()
        operators = [
            (path, method)
            for path, operations in DOCUMENT["paths"].items()
            for method in operations
            if path.startswith("/v1/admin") or operations[method]["security"] == [{"key": []}]
        ]
        self.assertGreater(len(operators), 10)
        for path, method in operators:
            path = path.replace("{id}", str(self.alice.id)).replace("{device}", "x").replace("{user}", "1")
            status = self.status(self.kept, OWN, method=method.upper(), path=path, body={} if method != "get" else None)
            self.assertEqual(status, 401, path)

    def test_never_beside_authorization(self):
        """Not even where both are of the same user: nothing is done, and nothing tells whether either is valid."""
        token = self.log_in("alice", device="phone")["token"]
        for cookie, header in itertools.product(
            (self.cookie(), "cim=nonsense"),
            (f"Authorization: Bearer {token}", "Authorization: Basic YTpi", "Authorization: ", f"X-API-Key: {KEY}"),
        ):
            for method, path, body in (("GET", "/v1/sessions", None), ("POST", "/v1/groups", {"name": "friends"})):
                self.assertEqual(self.status(cookie, OWN, header, method=method, path=path, body=body), 403, header)
        self.assertEqual(self.ok("GET", "/v1/groups", token=token)["groups"], [])
        # A call that the key alone may make.
        self.ok("GET", f"/v1/users/{self.alice.id}", key=KEY)
        self.assertEqual(self.status(self.cookie(), OWN, f"X-API-Key: {KEY}", path=f"/v1/users/{self.alice.id}"), 403)
        # Cookies of whatever else is at this host do not matter.
        self.assertEqual(self.status("other=1; cim-8083=2", f"Authorization: Bearer {token}"), 200)

    def test_two_of_one_name_are_none(self):
        cookie = self.cookie()
        self.assertEqual(self.status(f"{cookie}; {cookie}", OWN), 401)
        self.assertEqual(self.status(cookie, OWN, "Cookie: cim=other"), 401)
        self.assertEqual(self.status(f"a=b;{cookie};c", OWN), 200)
        self.assertEqual(self.status(f"x{cookie}", OWN), 401)
        self.assertEqual(self.status(cookie.replace("cim=", "CIM="), OWN), 401)

    def test_nothing_else_is_good_in_its_place(self):
        cookie = self.cookie().removeprefix("cim=")
        login = self.log_in("alice", device="phone")
        for value in (login["token"], login["ticket"], cookie + "x", cookie[:-4], "e30.e30.", "é", "x" * 9000):
            self.assertEqual(self.status(f"cim={value}", OWN), 401, value)
        self.problem("GET", "/v1/sessions", token=cookie, status=401, code="unauthorized")
        self.problem("POST", "/v1/sessions", {}, token=cookie, status=401, code="unauthorized")

    def test_the_calls_of_a_user_are_counted(self):
        self.kept = self.cookie()
        self.assertEqual(self.status(self.kept, OWN), 200)
        for _ in range(999):
            self.cluster.routes[0].rates.take("user-calls", self.alice.id)
        self.assertEqual(self.status(self.kept, OWN), 429)


class MethodTests(PageCase):
    """Browsers say nothing of a GET at an address without TLS."""

    def check(self, method, path, status, headers, raw):
        super().check("GET" if status == 200 else method, path, status, headers, raw)

    def test_a_get_as_a_post(self):
        cookie, own, get = self.cookie(), f"Origin: http://{HOST}", "X-HTTP-Method-Override: GET"
        self.assertEqual(self.status(cookie, own, get, method="POST"), 200)
        # Logging in has the same path, and nothing of it was done.
        _, answered, said = self.call("POST", "/v1/sessions", headers=[f"Cookie: {cookie}", own, get])
        self.assertEqual((answered["Set-Cookie"], list(said)), (None, ["sessions"]))
        for headers in ((get,), (get, f"Origin: {PAGE}"), (get, "Origin: http://evil.example")):
            self.assertEqual(self.status(cookie, *headers, method="POST"), 401)

    def test_no_other_method(self):
        cookie, own = self.cookie(), f"Origin: http://{HOST}"
        for method, override in (("POST", "DELETE"), ("POST", "get"), ("POST", "PUT"), ("GET", "PATCH")):
            header = f"X-HTTP-Method-Override: {override}"
            status = self.status(cookie, own, header, method=method, path="/v1/sessions/web-1")
            self.assertEqual(status, 405)
        for override in ("get", "PUT", "DELETE", ""):
            status = self.status(cookie, own, f"X-HTTP-Method-Override: {override}", method="POST", body={})
            self.assertEqual(status, 201, "it was no login")
        self.assertTrue(self.is_good(cookie))


class LogOutTests(PageCase):
    def log_out(self, cookie, device="web-1", **options):
        return self.call("DELETE", f"/v1/sessions/{device}", headers=[OWN, f"Cookie: {cookie}"], **options)

    def test_it_ends_the_cookie_and_the_session_at_once_and_everywhere(self):
        said, header = self.open()
        client = self.connect_to(said)
        first = header.partition(";")[0]
        # All that goes back to the same password.
        _, answered, said = self.go_on(first)
        client = self.connect_to(said)
        cookies = [first, answered["Set-Cookie"].partition(";")[0]]
        other = self.cookie(device="web-2")
        token = self.log_in("alice", device="phone")["token"]
        self.assertEqual([self.is_good(cookie) for cookie in (*cookies, other)], [True] * 3)
        status, answered, _ = self.log_out(cookies[0])
        self.assertEqual((status, answered["Set-Cookie"].partition("; ")[0]), (204, "cim="))
        self.assertIn("Max-Age=0", answered["Set-Cookie"])
        self.assertEqual(
            [packet.goodbye.code for packet in client.packets() if packet.HasField("goodbye")], ["logged-out"]
        )
        self.assertEqual([self.is_good(cookie) for cookie in (*cookies, other)], [False, False, True])
        for cookie in cookies:
            self.assertEqual(self.go_on(cookie)[0], 401)
        sessions = self.ok("GET", "/v1/sessions", token=token)["sessions"]
        self.assertNotIn("web-1", [session["device"] for session in sessions])

    def test_without_a_session_the_cookie_still_ends(self):
        cookie = self.cookie()
        self.cluster.pass_seconds(40)
        (session,) = self.call("GET", "/v1/sessions", headers=[OWN, f"Cookie: {cookie}"])[2]["sessions"]
        self.assertEqual((session["device"], session["live"], session["server"]), ("web-1", False, ""))
        self.assertEqual(self.log_out(cookie)[0], 204)
        self.assertFalse(self.is_good(cookie))
        self.assertEqual(self.log_out(cookie)[0], 401)

    def test_other_devices_can_be_logged_out(self):
        first, second = self.cookie(device="web-1"), self.cookie(device="web-2")
        status, answered, _ = self.log_out(first, "web-2")
        self.assertEqual((status, answered["Set-Cookie"]), (204, None))
        self.assertEqual([self.is_good(first), self.is_good(second)], [True, False])
        token = self.log_in("alice", device="phone")["token"]
        self.ok("DELETE", "/v1/sessions/web-1", token=token, status=204)
        self.assertFalse(self.is_good(first))
        self.problem("DELETE", "/v1/sessions/web-1", token=token, status=404, code="not-found")

    def test_pages_that_are_closed_are_listed(self):
        first, second = self.cookie(device="web-1"), self.cookie(device="web-2")
        token = self.log_in("alice", device="phone")["token"]
        self.cluster.pass_seconds(40)
        own = [OWN, f"Cookie: {second}"]

        def listed(route=0):
            said = self.call("GET", "/v1/sessions", headers=own, route=route)[2]
            return [(one["device"], one["live"], one["server"]) for one in said["sessions"]]

        self.assertEqual(sorted(listed()), [("web-1", False, ""), ("web-2", False, "")])
        self.connect_to(self.go_on(second)[2])
        self.assertEqual([(device, live) for device, live, _ in listed()], [("web-1", False), ("web-2", True)])
        self.cluster.pass_seconds(1)
        # A new password ends all others, and so they are not there any more.
        body = {"password": PASSWORD, "new_password": "another one"}
        _, answered, _ = self.call("PUT", "/v1/password", body, headers=own)
        own[1] = f"Cookie: {answered['Set-Cookie'].partition(';')[0]}"
        self.cluster.pass_seconds(4)
        self.assertEqual([[device for device, _, _ in listed(route)] for route in (0, 1)], [["web-2"]] * 2)
        self.assertFalse(self.is_good(first))
        self.problem("GET", "/v1/sessions", token=token, status=401, code="unauthorized")

    def test_by_an_operator(self):
        cookies = [self.cookie(device=f"web-{number}") for number in (1, 2)]
        self.ok("DELETE", f"/v1/admin/sessions/{self.alice.id}/web-1", key=KEY, status=204)
        self.assertEqual([self.is_good(cookie) for cookie in cookies], [False, True])
        self.problem("DELETE", f"/v1/admin/sessions/{self.alice.id}/web-1", key=KEY, status=404, code="not-found")
        self.ok("POST", f"/v1/admin/users/{self.alice.id}/logout", key=KEY, status=204)
        self.cluster.pass_seconds(4)
        self.assertFalse(self.is_good(cookies[1]))

    def test_not_those_of_others(self):
        self.account("bob")
        alice, bob = self.cookie(), self.cookie("bob")
        self.assertEqual(self.log_out(bob)[0], 204)
        self.assertTrue(self.is_good(alice))

    def test_another_page_cannot_log_one_out(self):
        cookie = self.cookie()
        self.assertEqual(self.status(cookie, method="DELETE", path="/v1/sessions/web-1"), 401)
        self.assertTrue(self.is_good(cookie))

    def test_what_was_under_way_does_not_log_in_again(self):
        cookie = self.cookie()
        begin = self.store.page_logins.begin

        def begin_late(*args, **options):
            self.assertTrue(self.successResultOf(self.store.page_logins.end(self.alice.id, "web-1")))
            return begin(*args, **options)

        self.patch(self.store.page_logins, "begin", begin_late)
        status, answered, _ = self.go_on(cookie)
        self.assertEqual((status, answered["Set-Cookie"]), (401, None))
        self.assertFalse(self.is_good(cookie))
        token = self.log_in("alice", device="phone")["token"]
        self.assertEqual(
            [session["device"] for session in self.ok("GET", "/v1/sessions", token=token)["sessions"]], ["phone"]
        )

    def test_a_store_that_is_away_lets_nobody_in(self):
        cookie = self.cookie()
        self.store.available = False
        self.assertEqual(self.status(cookie, OWN), 503)
        self.store.available = True
        self.assertTrue(self.is_good(cookie))


class PasswordTests(PageCase):
    def test_a_new_one_voids_all_cookies_but_that_of_the_call(self):
        cookie, other = self.cookie(), self.cookie(device="web-2")
        body = {"password": PASSWORD, "new_password": "another one"}
        status, answered, said = self.call("PUT", "/v1/password", body, headers=[OWN, f"Cookie: {cookie}"])
        self.assertEqual((status, list(said)), (200, ["token_expires_in"]))
        newer = answered["Set-Cookie"].partition(";")[0]
        self.cluster.pass_seconds(4)
        self.assertEqual([self.is_good(one) for one in (cookie, other, newer)], [False, False, True])
        # The login is another one now.
        self.assertEqual(self.go_on(newer)[0], 201)

    def test_so_does_an_operator_s(self):
        cookie = self.cookie()
        self.ok("PUT", f"/v1/admin/users/{self.alice.id}/password", {"password": "new password"}, key=KEY, status=204)
        self.cluster.pass_seconds(4)
        self.assertFalse(self.is_good(cookie))

    def test_revoking_all_tokens(self):
        cookie = self.cookie()
        status, answered, _ = self.call("DELETE", "/v1/token", headers=[OWN, f"Cookie: {cookie}"])
        self.assertEqual(status, 204)
        self.assertIn("Max-Age=0", answered["Set-Cookie"])
        self.cluster.pass_seconds(4)
        self.assertFalse(self.is_good(cookie))

    def test_an_account_that_is_deleted(self):
        cookie = self.cookie()
        self.ok("DELETE", f"/v1/admin/users/{self.alice.id}", key=KEY, status=204)
        self.assertFalse(self.is_good(cookie))


class TLSTests(PageCase):
    """With TLS, by ourselves or by a proxy that is trusted."""

    def check_secure(self):
        said, header = self.open(headers=[f"Origin: https://{HOST}"])
        value, *attributes = header.split("; ")
        self.assertEqual(attributes, ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict", "Secure"])
        self.assertTrue(value.startswith("__Host-cim="))
        self.assertNotIn("token", said)
        return value

    def test_no_other_host_and_no_page_without_it_can_set_the_cookie(self):
        self.secure = True
        cookie = self.check_secure()
        self.assertEqual(self.status(cookie, f"Origin: https://{HOST}"), 200)
        self.assertEqual(self.status(cookie, f"Origin: https://{HOST}:443"), 401)
        self.assertEqual(self.status(cookie, f"Origin: http://{HOST}"), 401)
        self.assertEqual(self.status(cookie.removeprefix("__Host-"), OWN), 401)
        _, answered, _ = self.call("DELETE", "/v1/sessions/web-1", headers=[OWN, f"Cookie: {cookie}"])
        self.assertTrue(answered["Set-Cookie"].startswith("__Host-cim=; Path=/; Max-Age=0;"))
        self.assertIn("Secure", answered["Set-Cookie"])

    def test_a_trusted_proxy_that_ends_it(self):
        self.proxied = True
        said = "X-Forwarded-Proto: https"
        header = self.open(headers=[said, f"Origin: https://{HOST}"])[1]
        self.assertTrue(header.startswith("__Host-cim="))
        self.assertIn("; Secure", header)
        cookie = header.partition(";")[0]
        for headers, status in (
            ((said, f"Origin: https://{HOST}"), 200),
            ((said, f"Origin: http://{HOST}"), 401),
            ((said, OWN), 200),
            # Without TLS its name is another one.
            (("X-Forwarded-Proto: http", OWN), 401),
            ((said, "X-Forwarded-Proto: http", OWN), 401),
            (("X-Forwarded-Proto: https, http", OWN), 401),
            ((OWN,), 401),
        ):
            self.assertEqual(self.status(cookie, *headers), status, headers)

    def test_its_port(self):
        """A proxy may tell the default port, which browsers leave out."""
        self.proxied = True
        headers = ["X-Forwarded-Proto: https", f"Origin: https://{HOST}"]
        self.assertTrue(self.open(headers=headers, host=f"{HOST}:443"))

    def test_others_are_not_believed(self):
        headers = ["X-Forwarded-Proto: https", OWN]
        header = self.open(headers=headers)[1]
        self.assertTrue(header.startswith("cim="))
        self.assertNotIn("Secure", header)
        self.assertEqual(
            self.status(header.partition(";")[0], "X-Forwarded-Proto: https", f"Origin: https://{HOST}"), 401
        )
