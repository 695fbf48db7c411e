"""Tests of `/v1/admin`, which only operators with an API key may call."""

from __future__ import annotations

from urllib.parse import urlencode

from cim.errors import LinkLost
from cim.route.http.tokens import KEPT_SECONDS as TOKEN_SECONDS
from cim.route.messages.accounts import KEPT_SECONDS
from tests.route.http.api_case import KEY, PASSWORD, APICase, OnlineCase

CALLS = (
    ("GET", "/v1/admin/users/{}/sessions", None, 200),
    ("POST", "/v1/admin/users/{}/logout", None, 204),
    ("PUT", "/v1/admin/users/{}/password", {"password": "another password"}, 204),
    ("DELETE", "/v1/admin/sessions/{}/phone", None, 204),
    ("DELETE", "/v1/admin/users/{}", None, 204),
)

#: As most users are.
UNHARMED = {"suspended": False, "ban": None, "mute": None}


class AccessTests(APICase):
    """Tests of who may call."""

    def test_only_with_a_key(self):
        alice = self.user("alice")
        token = self.by(alice)["token"]
        for method, path, body, _ in CALLS:
            path = path.format(alice.id)
            self.problem(method, path, body, status=401, code="unauthorized")
            self.problem(method, path, body, token=token, status=403, code="forbidden")
            for key in ("", "x", KEY[:-1], KEY + "x", KEY.upper(), "\u00e9"):
                self.problem(method, path, body, key=key, status=401, code="unauthorized")
            self.problem(method, path, body, token=KEY + "x", status=401, code="unauthorized")
        self.ok("GET", "/v1/sessions", token=token)

    def test_a_key_as_a_bearer(self):
        alice = self.account("alice")
        self.ok("GET", f"/v1/admin/users/{alice.id}/sessions", token=KEY)

    def test_a_token_does_not_make_up_for_a_wrong_key(self):
        alice = self.user("alice")
        self.problem("GET", "/v1/sessions", **self.by(alice), key="wrong", status=401, code="unauthorized")

    def test_an_unknown_user(self):
        for method, path, body, _ in CALLS:
            self.problem(method, path.format(77), body, key=KEY, status=404, code="not-found")


class UsersTests(APICase):
    """Tests of the list of users."""

    def listed(self, **query):
        found, after = [], ""
        while True:
            page = self.ok("GET", f"/v1/admin/users?{urlencode({**query, 'after': after})}", key=KEY)
            found += page["users"]
            after = page["more"]
            if after is None:
                return found

    def test_listing(self):
        alice, alan = self.account("alice"), self.account("alan")
        guest = self.cluster.account("al the guest")
        self.online("alice")
        rows = (alice, True, True), (alan, True, False), (guest, False, False)
        wanted = [
            {"id": one.id, "name": one.name, "password": password, "online": online, **UNHARMED}
            for one, password, online in rows
        ]
        self.assertCountEqual(self.listed(), wanted)
        self.assertCountEqual(self.listed(limit=1), wanted)
        self.assertCountEqual(self.listed(prefix="ali"), wanted[:1])
        self.assertEqual(self.listed(prefix="x"), [])

    def test_only_with_a_key(self):
        token = self.by(self.user("alice"))["token"]
        self.problem("GET", "/v1/admin/users", status=401, code="unauthorized")
        self.problem("GET", "/v1/admin/users", token=token, status=403, code="forbidden")

    def test_what_is_out_of_bounds(self):
        for query in ("limit=0", "limit=501", f"prefix={'x' * 257}", "after=1&after=2"):
            self.problem("GET", f"/v1/admin/users?{query}", key=KEY, status=400, code="invalid")


class NoKeysTests(APICase):
    """A route without --api-key-file."""

    keys = ()

    def test_all_calls_are_refused(self):
        alice = self.user("alice")
        for method, path, body, _ in CALLS:
            for how in ({"key": KEY}, {"key": ""}, {"token": KEY}, {"token": ""}):
                self.problem(method, path.format(alice.id), body, **how, status=401, code="unauthorized")


class OperatorTests(OnlineCase):
    """Tests of the calls."""

    def admin(self, method, path, body=None, status=204, **options):
        return self.ok(method, f"/v1/admin/{path}", body, key=KEY, status=status, **options)

    def assertLoggedOut(self):
        self.assertEqual([body.code for body in self.client.bodies()], ["logged-out"])
        self.assertTrue(self.client.closed)
        self.assertEqual(list(self.successResultOf(self.store.sessions.sessions(self.alice.id))), [])

    def assertVoid(self):
        self.problem("GET", "/v1/sessions", token=self.token, status=401, code="unauthorized")
        self.clock.advance(TOKEN_SECONDS)
        self.problem("GET", "/v1/sessions", token=self.token, route=1, status=401, code="unauthorized")

    def test_sessions(self):
        (shown,) = self.admin("GET", f"users/{self.alice.id}/sessions", status=200)["sessions"]
        self.assertEqual((shown["device"], shown["live"]), ("phone", True))

    def test_logging_out(self):
        self.ok("GET", "/v1/sessions", token=self.token, route=1)
        self.admin("POST", f"users/{self.alice.id}/logout")
        self.assertLoggedOut()
        self.assertVoid()
        self.log_in("alice")
        self.admin("POST", f"users/{self.alice.id}/logout")

    def test_logging_out_through_a_route_that_saw_the_token_does_not_let_it_log_in_elsewhere(self):
        self.ok("GET", "/v1/sessions", token=self.token, route=1)
        self.admin("POST", f"users/{self.alice.id}/logout")
        # Route 1 still accepts the token for a moment; a session would outlive that.
        self.problem("POST", "/v1/sessions", {}, token=self.token, route=1, status=401, code="unauthorized")

    def test_closing_a_session(self):
        self.problem("DELETE", f"/v1/admin/sessions/{self.alice.id}/desk", key=KEY, status=404, code="not-found")
        self.admin("DELETE", f"sessions/{self.alice.id}/phone")
        self.assertLoggedOut()
        self.ok("GET", "/v1/sessions", token=self.token)

    def test_closing_a_guests_session(self):
        guest = self.cluster.account("guest-one")
        client = self.cluster.log_in(guest)
        self.admin("DELETE", f"sessions/{guest.id}/guest")
        self.assertTrue(client.closed)

    def test_resetting_a_password(self):
        self.admin("PUT", f"users/{self.alice.id}/password", {"password": "another password"})
        self.assertLoggedOut()
        self.assertVoid()
        self.problem("POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=401, code="unauthorized")
        self.log_in("alice", "another password")
        self.problem(
            "PUT", f"/v1/admin/users/{self.alice.id}/password", {"password": "x"}, key=KEY, status=400, code="invalid"
        )

    def test_setting_a_password_for_a_guest(self):
        guest = self.cluster.account("guest-one")
        client = self.cluster.log_in(guest)
        self.admin("PUT", f"users/{guest.id}/password", {"password": PASSWORD})
        self.assertTrue(client.closed)
        self.log_in("guest-one")

    def test_deleting(self):
        bob = self.user("bob")
        self.ok("GET", f"/v1/users/{self.alice.id}", key=KEY, route=1)
        self.admin("DELETE", f"users/{self.alice.id}")
        self.assertLoggedOut()
        self.assertVoid()
        body = {"client_id": "1", "to_user": self.alice.id, "text": "x"}
        self.problem("POST", "/v1/messages", body, **self.by(bob), status=404, code="not-found")
        self.clock.advance(KEPT_SECONDS)
        self.problem("POST", "/v1/messages", body, **self.by(bob), route=1, status=404, code="not-found")
        again = self.account("alice")
        self.assertNotEqual(again.id, self.alice.id)
        self.problem("GET", "/v1/sessions", token=self.token, status=401, code="unauthorized")

    def test_deleting_again_ends_remaining_sessions(self):
        logins = self.cluster.routes[0].logins
        end, failing = logins.end_sessions, [True]

        async def ending(user, device=None):
            if failing:
                failing.pop()
                raise LinkLost()
            return await end(user, device)

        logins.end_sessions = ending
        path = f"/v1/admin/users/{self.alice.id}"
        self.problem("DELETE", path, key=KEY, status=503, code="unavailable")
        self.assertFalse(self.client.closed)
        self.ok("DELETE", path, key=KEY, status=204)
        self.assertLoggedOut()
        self.problem("DELETE", path, key=KEY, status=404, code="not-found")
