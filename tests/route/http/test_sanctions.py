"""Tests of operators' bans and mutes."""

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


class MutesTests(SanctionsCase):
    def setUp(self):
        super().setUp()
        self.bob = self.user("bob")
        self.token = self.log_in("alice", device="api")["token"]

    def mute(self, **body):
        return self.ok("PUT", f"{self.path}/mute", body, key=MODERATOR)

    def message(self, client_id, **fields):
        return {"to_user": self.bob.id, "client_id": client_id, "text": "hello", **fields}

    def refused(self, client_id, *, key=None, **fields):
        proof = {"key": key} if key else {"token": self.token}
        return self.problem(
            "POST", "/v1/messages", self.message(client_id, **fields), status=403, code="muted", **proof
        )

    def test_what_is_refused_and_what_is_told(self):
        said = self.ok("POST", "/v1/messages", self.message("a"), token=self.token, status=201)["position"]
        mute = self.mute(seconds=3600, reason="calm down")
        self.assertEqual(mute["until"] - mute["since"], 3_600_000)
        for fields in ({}, {"kind": "EDIT", "ref": said}, {"kind": "REACTION", "ref": said, "text": "+"}):
            told = self.refused("b", **fields)
            self.assertEqual((told["until"], told["reason"]), (mute["until"], "calm down"))
            self.assertTrue(told["detail"].endswith("by an operator: calm down"))
        # Nor does a back end say it for the user, whatever its key.
        for key in (KEY, USERS):
            self.refused("c", key=key, from_user=self.alice.id)
        recall = self.message("d", kind="RECALL", ref=said, text="")
        self.ok("POST", "/v1/messages", recall, token=self.token, status=201)
        self.assertEqual((self.listed()["mute"], self.listed()["suspended"]), (mute, False))
        self.assertEqual(self.ok("GET", f"{self.path}/stored", key=KEY)["mute"], mute)

    def test_how_it_ends(self):
        self.mute(seconds=3600)
        self.clock.advance(3601)
        self.ok("POST", "/v1/messages", self.message("a"), token=self.token, status=201)
        self.problem("DELETE", f"{self.path}/mute", key=MODERATOR, status=404, code="not-found")
        self.mute()
        self.assertIsNone(self.refused("b")["until"])
        self.ok("DELETE", f"{self.path}/mute", key=MODERATOR, status=204)
        self.assertIsNone(self.listed()["mute"])
        self.ok("POST", "/v1/messages", self.message("b"), token=self.token, status=201)

    def test_guests_and_nobody(self):
        guest = self.successResultOf(self.store.accounts.register("guest"))
        self.ok("PUT", f"/v1/admin/users/{guest.id}/mute", key=MODERATOR)
        for method in ("PUT", "DELETE"):
            path = f"/v1/admin/users/{guest.id + 50}/mute"
            self.problem(method, path, key=MODERATOR, status=404, code="not-found")

    def test_scopes(self):
        for method in ("PUT", "DELETE"):
            self.problem(method, f"{self.path}/mute", key=USERS, status=403, code="forbidden")
            self.problem(method, f"{self.path}/mute", token=self.token, status=403, code="forbidden")
