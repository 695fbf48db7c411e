"""Tests of a new password for somebody who forgot the old one."""

from __future__ import annotations

from cim.reset_codes import RESET_SECONDS
from cim.route.http.tokens import KEPT_SECONDS as TOKEN_SECONDS
from tests.route.http.api_case import KEY, PASSWORD, OnlineCase

NEW = "a new password"
PATH = "/v1/password-resets"


class ResetCodeTests(OnlineCase):
    def code(self, user=None, **options):
        return self.ok("POST", f"/v1/admin/users/{user or self.alice.id}/reset-code", key=KEY, status=201, **options)

    def use(self, code, password=NEW, **options):
        return self.ok("POST", PATH, {"code": code, "password": password}, **options)

    def refused(self, code, **options):
        said = self.problem("POST", PATH, {"code": code, "password": NEW}, status=403, code="forbidden", **options)
        self.assertEqual(
            said["detail"], "this code is not valid: it is wrong, or was used, or has expired; ask for another one"
        )

    def test_it_sets_a_password_and_ends_all_that_went_before(self):
        for route in (0, 1):
            self.ok("GET", "/v1/sessions", token=self.token, route=route)
        made = self.code(route=1)
        self.assertLess(abs(made["expires"] - self.clock.seconds() * 1000 - 900_000), 2_000)
        self.assertEqual(self.use(made["code"]), {"id": self.alice.id, "name": "alice"})
        self.assertTrue(self.client.closed)
        self.assertEqual(list(self.successResultOf(self.store.sessions.sessions(self.alice.id))), [])
        self.problem("GET", "/v1/sessions", token=self.token, status=401, code="unauthorized")
        self.clock.advance(TOKEN_SECONDS)
        self.problem("GET", "/v1/sessions", token=self.token, route=1, status=401, code="unauthorized")
        self.problem("POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=401, code="unauthorized")
        self.log_in("alice", NEW)
        self.refused(made["code"])

    def test_a_guest_has_a_password_from_then_on(self):
        guest = self.cluster.account("guest-one")
        client = self.cluster.log_in(guest)
        guests = self.cluster.routes[0].guests
        self.successResultOf(guests.check(guest.id))
        self.assertTrue(guests.at_hand(guest.id))
        self.use(self.code(guest.id)["code"])
        self.assertTrue(client.closed)
        self.assertFalse(guests.at_hand(guest.id))
        self.log_in("guest-one", NEW)

    def test_how_it_is_typed_does_not_matter(self):
        self.use(f" {self.code()['code'].upper().replace('-', ' ')} ")

    def test_it_expires(self):
        code = self.code()["code"]
        self.cluster.pass_seconds(RESET_SECONDS)
        self.refused(code)

    def test_one_that_is_wrong(self):
        code = self.code()["code"]
        other = "b" if code[-1] == "a" else "a"
        for wrong in (code[:-1], code[:-1] + other, "x", f"{self.alice.id + 9}{code[-27:]}"):
            self.refused(wrong)
        self.use(code)

    def test_a_password_that_is_too_short_does_not_use_it_up(self):
        code = self.code()["code"]
        self.problem("POST", PATH, {"code": code, "password": "short"}, status=400, code="invalid")
        self.use(code)

    def test_of_nobody(self):
        self.problem("POST", "/v1/admin/users/77/reset-code", key=KEY, status=404, code="not-found")
        code = self.code()["code"]
        self.ok("DELETE", f"/v1/admin/users/{self.alice.id}", key=KEY, status=204)
        self.refused(code)

    def test_only_operators_make_one(self):
        path = f"/v1/admin/users/{self.alice.id}/reset-code"
        self.problem("POST", path, status=401, code="unauthorized")
        self.problem("POST", path, token=self.token, status=403, code="forbidden")

    def test_wrong_ones_count_for_an_address_and_cost_no_hashing(self):
        self.code()
        before = len(self.hashed)
        for _ in range(20):
            self.refused("x")
        self.problem("POST", PATH, {"code": "x", "password": NEW}, status=429, code="rate-limited")
        self.assertEqual(len(self.hashed), before)

    def test_right_ones_and_a_store_that_is_away_do_not_count(self):
        for _ in range(30):
            self.use(self.code()["code"])
        code = self.code()["code"]
        self.store.available = False
        for _ in range(30):
            self.problem("POST", PATH, {"code": code, "password": NEW}, status=503, code="unavailable")
        self.store.available = True
        self.use(code)
