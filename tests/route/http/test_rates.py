"""Limits of what one user may do by `/v1`, and what is refused for good."""

from __future__ import annotations

from cim.limits import Buckets, Limit
from cim.store.rules import groups as rules
from tests.route.http.api_case import KEY, PASSWORD, APICase


class UserRateTests(APICase):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")

    def limit(self, name, rate, burst):
        self.cluster.routes[0].rates._buckets[name] = Buckets(Limit(rate, burst))

    def too_many(self, name, retry_after, *call, who):
        """A call is refused by a limit, and granted when it said so."""
        before = self.metrics._refused[f"limit-{name}"]
        problem = self.problem(*call, **self.by(who), status=429, code="rate-limited")
        self.assertEqual(problem["retry"], str(retry_after))
        self.assertEqual(self.metrics._refused[f"limit-{name}"], before + 1)

    def make(self, who, **fields):
        return self.ok("POST", "/v1/groups", {"name": "x", **fields}, **self.by(who), status=201)["id"]

    def test_calls_of_a_user_wherever_they_come_from(self):
        self.limit("user-calls", 0.5, 3)
        for number in range(3):
            self.ok("GET", "/v1/groups", **self.by(self.alice), headers=[f"X-Forwarded-For: 192.0.2.{number}"])
        self.too_many("user-calls", 2, "GET", "/v1/groups", who=self.alice)
        self.ok("GET", "/v1/groups", **self.by(self.bob))
        # An operator's key counts on itself.
        for _ in range(5):
            self.ok("GET", "/v1/online", key=KEY)
        self.clock.advance(2)
        self.ok("GET", "/v1/groups", **self.by(self.alice))

    def test_groups(self):
        for _ in range(100):
            self.make(self.alice)
        self.too_many("user-groups", 20, "POST", "/v1/groups", {"name": "x"}, who=self.alice)
        self.make(self.bob)
        self.clock.advance(20)
        self.make(self.alice)

    def test_joins_and_leaves(self):
        self.limit("user-memberships", 0.1, 4)
        group = self.make(self.alice, open=True)
        mine = f"/v1/groups/{group}/members/{self.bob.id}"
        for _ in range(2):
            self.ok("PUT", mine, {}, **self.by(self.bob), status=201)
            self.ok("DELETE", mine, **self.by(self.bob), status=204)
        self.too_many("user-memberships", 10, "PUT", mine, {}, who=self.bob)
        # Whoever invites somebody pays for it.
        self.ok("PUT", mine, {}, **self.by(self.alice), status=202)
        self.too_many("user-memberships", 10, "DELETE", mine, who=self.bob)
        self.clock.advance(10)
        self.ok("DELETE", mine, **self.by(self.bob), status=204)

    def test_logins(self):
        self.limit("user-logins", 0.1, 2)
        said = {"device": "phone"}
        for _ in range(2):
            self.ok("POST", "/v1/sessions", said, **self.by(self.alice), status=201)
        self.too_many("user-logins", 10, "POST", "/v1/sessions", said, who=self.alice)
        self.ok("POST", "/v1/sessions", said, **self.by(self.bob), status=201)

    def test_logins_are_counted_before_a_password_is_looked_at(self):
        self.limit("user-logins", 0.1, 2)
        wrong, right = ({"name": "alice", "password": password} for password in ("wrong wrong wrong", PASSWORD))
        for _ in range(5):
            # Whoever does not know the password uses up nothing of hers.
            self.problem("POST", "/v1/sessions", wrong, status=401, code="unauthorized")
        for _ in range(2):
            self.ok("POST", "/v1/sessions", {**right, "device": "phone"}, status=201)
        hashed = len(self.hashed)
        for said in (wrong, right):
            self.assertEqual(self.problem("POST", "/v1/sessions", said, status=429, code="rate-limited")["retry"], "10")
        self.assertEqual(len(self.hashed), hashed)

    def test_changes_of_the_password_are_counted_before_it_is_looked_at(self):
        self.limit("user-logins", 0.1, 2)
        wrong, right = ({"password": old, "new_password": PASSWORD} for old in ("wrong wrong wrong", PASSWORD))
        for _ in range(5):
            self.problem("PUT", "/v1/password", wrong, **self.by(self.alice), status=403, code="forbidden")
        for _ in range(2):
            self.tokens[self.alice.id] = self.ok("PUT", "/v1/password", right, **self.by(self.alice))["token"]
        hashed = len(self.hashed)
        self.too_many("user-logins", 10, "PUT", "/v1/password", right, who=self.alice)
        self.assertEqual(len(self.hashed), hashed)

    def test_a_stolen_token_keeps_the_owner_from_nothing(self):
        stolen, home = self.tokens[self.alice.id], {"device": "home"}
        first = self.ok("POST", "/v1/sessions", home, token=stolen, status=201)["token"]
        second = self.ok("POST", "/v1/sessions", home, token=first, status=201)["token"]
        wrong = {"password": "not the one", "new_password": "battery staple"}
        for number in range(30):
            # Logging in with it gives the thief no further guesses.
            status = self.call("PUT", "/v1/password", wrong, token=(stolen, first, second)[number % 3])[0]
            self.assertEqual(status, 403 if number < 10 else 429)
        self.limit("user-logins", 0.1, 3)
        logins = [self.call("POST", "/v1/sessions", home, token=stolen)[0] for _ in range(5)]
        self.assertEqual(logins, [201] * 3 + [429] * 2)
        self.problem("POST", "/v1/sessions", home, token=second, status=429, code="rate-limited")
        said = {"name": "alice", "password": PASSWORD, **home}
        own = self.ok("POST", "/v1/sessions", said, status=201)["token"]
        self.ok("POST", "/v1/sessions", home, token=own, status=201)
        self.ok("PUT", "/v1/password", {"password": PASSWORD, "new_password": "battery staple"}, token=own)
        self.problem("GET", "/v1/sessions", token=stolen, status=401, code="unauthorized")

    def test_logins_that_find_no_server_do_not_count(self):
        self.limit("user-logins", 0.1, 2)
        said = {"device": "phone"}
        self.cluster.kill(self.cluster.servers[0])
        for _ in range(5):
            self.problem("POST", "/v1/sessions", said, **self.by(self.alice), status=503, code="unavailable")
        self.cluster.start_server(0)
        self.cluster.turn()
        for _ in range(2):
            self.ok("POST", "/v1/sessions", said, **self.by(self.alice), status=201)
        self.too_many("user-logins", 10, "POST", "/v1/sessions", said, who=self.alice)

    def test_who_proves_nothing_counts_by_address(self):
        self.limit("address-calls", 0.5, 2)
        said = {"name": "alice", "password": "wrong wrong wrong"}
        for _ in range(2):
            self.problem("POST", "/v1/sessions", said, status=401, code="unauthorized")
        for path in ("/v1/sessions", "/v1/accounts"):
            self.assertEqual(self.problem("POST", path, said, status=429, code="rate-limited")["retry"], "2")
        # Who shows a token, or comes from elsewhere, does not.
        self.ok("POST", "/v1/sessions", {"device": "phone"}, **self.by(self.alice), status=201)

    def test_renames(self):
        """The log of a group keeps each name, and no quota pays for it."""
        self.limit("user-groups", 0.1, 3)
        group = self.make(self.alice)
        call = "PATCH", f"/v1/groups/{group}", {"name": "y"}
        for _ in range(2):
            self.ok(*call, **self.by(self.alice))
        self.too_many("user-groups", 10, *call, who=self.alice)

    def test_what_is_refused_for_good_names_no_time(self):
        group = self.make(self.alice, open=True)
        mine = f"/v1/groups/{group}/members/{self.bob.id}"
        self.patch(rules, "MAX_MEMBERS", 1)
        problem = self.problem("PUT", mine, {}, **self.by(self.bob), status=409, code="conflict")
        self.assertEqual((problem["retry"], problem["detail"]), (None, "a group can have at most 100,000 members"))
        self.patch(rules, "MAX_MEMBERS", 2)
        self.patch(rules, "MAX_GROUPS", 0)
        for call in (("PUT", mine, {}), ("POST", "/v1/groups", {"name": "y"})):
            problem = self.problem(*call, **self.by(self.bob), status=409, code="conflict")
            self.assertEqual((problem["retry"], problem["detail"]), (None, "a user can be in at most 1,000 groups"))
