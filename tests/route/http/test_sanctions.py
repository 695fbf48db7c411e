"""Tests of operators' bans."""

from __future__ import annotations

from cim.api_keys import Scope, line_of
from cim.model import LoginPolicy
from cim.route.http.sanctions import MAX_REASON, MAX_SECONDS
from tests.route.http.api_case import KEY, PASSWORD, APICase

MODERATOR = f"{KEY}-moderator"
USERS = f"{KEY}-users"


class SanctionsCase(APICase):
    policy = LoginPolicy.MANY
    keys = (KEY, line_of(MODERATOR, "moderator", [Scope.MODERATE]), line_of(USERS, "users", [Scope.USERS, Scope.SEND]))

    def setUp(self):
        super().setUp()
        self.alice = self.account("alice")
        self.path = f"/v1/admin/users/{self.alice.id}"

    def listed(self):
        (row,) = self.ok("GET", "/v1/admin/users?prefix=alice", key=KEY)["users"]
        return row


class BansTests(SanctionsCase):
    routes = 2

    def ban(self, **body):
        return self.ok("PUT", f"{self.path}/ban", body, key=MODERATOR)

    def refused(self):
        return self.problem(
            "POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=403, code="suspended"
        )

    def test_what_the_user_is_told(self):
        client = self.online("alice")
        ban = self.ban(seconds=3600, reason="spam: 广告")
        self.assertEqual((ban["until"] - ban["since"], ban["reason"]), (3_600_000, "spam: 广告"))
        goodbye = client.packets()[-1].goodbye
        refused = self.refused()
        self.assertEqual((goodbye.code, goodbye.message), ("banned", refused["detail"]))
        self.assertRegex(refused["detail"], r"^this account is banned until 20\d\d-.* UTC by an operator: spam: 广告$")
        self.assertEqual((refused["until"], refused["reason"]), (ban["until"], "spam: 广告"))
        row = self.listed()
        self.assertEqual((row["ban"], row["suspended"]), (ban, True))

    def test_it_ends_by_itself(self):
        self.ban(seconds=3600)
        self.clock.advance(3599)
        self.refused()
        self.clock.advance(2)
        self.online("alice")
        self.assertEqual((self.listed()["ban"], self.listed()["suspended"]), (None, False))
        self.problem("DELETE", f"{self.path}/ban", key=MODERATOR, status=404, code="not-found")

    def test_one_for_good(self):
        self.ban()
        refused = self.refused()
        self.assertEqual((refused["until"], refused["reason"]), (None, ""))
        self.clock.advance(MAX_SECONDS + 10)
        self.refused()
        self.ok("DELETE", f"{self.path}/ban", key=MODERATOR, status=204)
        self.online("alice")

    def test_the_other_calls_do_the_same(self):
        self.ok("PUT", f"{self.path}/suspension", key=USERS, status=204)
        self.assertEqual(self.listed()["ban"]["until"], None)
        self.ok("DELETE", f"{self.path}/ban", key=MODERATOR, status=204)
        self.ban(seconds=5)
        self.ok("DELETE", f"{self.path}/suspension", key=USERS, status=204)
        self.assertIsNone(self.listed()["ban"])

    def test_nothing_of_before_opens_anything(self):
        """Neither a token, at whatever route, nor a ticket, nor a page's cookie."""
        token = self.log_in("alice", device="laptop")["token"]
        self.ok("GET", "/v1/sessions", token=token, route=1)
        reserved = self.log_in("alice", device="tablet")
        cookie = self.cookie_of("alice")
        self.ban(seconds=3600)
        self.problem("POST", "/v1/sessions", {}, token=token, status=401, code="unauthorized")
        # Another route forgets it after some seconds, and asks anew where it matters.
        self.problem("POST", "/v1/sessions", {}, token=token, status=401, code="unauthorized", route=1)
        self.clock.advance(5)
        for route in (0, 1):
            self.problem("GET", "/v1/sessions", token=token, status=401, code="unauthorized", route=route)
            self.problem("GET", "/v1/sessions", headers=cookie, status=401, code="unauthorized", route=route)
        self.assertEqual([one.WhichOneof("body") for one in self.connect_to(reserved).packets()], ["goodbye"])
        # Nor do they once it has ended.
        self.clock.advance(3600)
        self.problem("GET", "/v1/sessions", token=token, status=401, code="unauthorized")

    def cookie_of(self, name):
        own = "Sec-Fetch-Site: same-origin"
        body = {"name": name, "password": PASSWORD, "device": "page", "cookie": True}
        status, answered, _ = self.call("POST", "/v1/sessions", body, headers=[own])
        self.assertEqual(status, 201)
        return [own, f"Cookie: {answered['Set-Cookie'].partition(';')[0]}"]

    def test_scopes(self):
        for method in ("PUT", "DELETE"):
            said = self.problem(method, f"{self.path}/ban", key=USERS, status=403, code="forbidden")
            self.assertIn("`moderate`", said["detail"])
            self.problem(method, f"{self.path}/suspension", key=MODERATOR, status=403, code="forbidden")
            token = self.log_in("alice")["token"]
            self.problem(method, f"{self.path}/ban", token=token, status=403, code="forbidden")

    def test_what_is_out_of_bounds(self):
        for body in (
            {"seconds": 0},
            {"seconds": MAX_SECONDS + 1},
            {"seconds": "5"},
            {"reason": "x" * (MAX_REASON + 1)},
            {"reason": "two\nlines"},
            {"until": 5},
        ):
            self.problem("PUT", f"{self.path}/ban", body, key=MODERATOR, status=400, code="invalid")
        self.assertIsNone(self.listed()["ban"])
