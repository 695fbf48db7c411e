"""Tests of `/v1`: looking up users, and who is online."""

from __future__ import annotations

from cim.route.messages.accounts import KEPT_SECONDS
from tests.route.http.api_case import KEY, APICase, segment


class UserTests(APICase):
    """GET /v1/users."""

    routes = 2

    def test_looking_up_by_id_and_by_name(self):
        alice = self.user("张 三/%")
        for how in (self.by(alice), {"key": KEY}):
            for path in (f"/v1/users/{alice.id}", f"/v1/users?name={segment('张 三/%')}"):
                self.assertEqual(self.ok("GET", path, **how), {"id": alice.id, "name": "张 三/%"})
        self.assertEqual(self.ok("GET", "/v1/users?name=%E5%BC%A0+%E4%B8%89/%25", key=KEY)["id"], alice.id)

    def test_unknown_users(self):
        for path in ("/v1/users/77", "/v1/users?name=nobody"):
            self.problem("GET", path, key=KEY, status=404, code="not-found")
        for path in ("/v1/users", "/v1/users?name=", "/v1/users?name=a&name=b", "/v1/users/0"):
            self.problem("GET", path, key=KEY, status=400, code="invalid")
        self.problem("GET", "/v1/users/77", status=401, code="unauthorized")

    def test_a_user_deleted_elsewhere_is_soon_gone(self):
        bob = self.account("bob")
        for route in (0, 1):
            self.ok("GET", f"/v1/users/{bob.id}", key=KEY, route=route)
        self.ok("DELETE", f"/v1/admin/users/{bob.id}", key=KEY, status=204)
        self.problem("GET", f"/v1/users/{bob.id}", key=KEY, status=404, code="not-found")
        self.assertLessEqual(KEPT_SECONDS, 60)
        self.clock.advance(KEPT_SECONDS + 1)
        self.problem("GET", f"/v1/users/{bob.id}", key=KEY, route=1, status=404, code="not-found")


class OnlineTests(APICase):
    """GET /v1/online."""

    def online_page(self, **query):
        asked = "&".join(f"{name}={segment(str(value))}" for name, value in query.items())
        said = self.ok("GET", f"/v1/online?{asked}", key=KEY)
        return [user["name"] for user in said["users"]], said["total"], said["more"]

    def test_searching_by_prefix_in_pages_with_a_total(self):
        clients = {}
        for name in ("bob", "alice", "al", "alina", "张三", "alicia"):
            self.account(name)
            clients[name] = self.online(name)
        self.account("albert")
        self.assertEqual(self.online_page(), (["al", "alice", "alicia", "alina", "bob", "张三"], 6, None))
        self.assertEqual(self.online_page(prefix="ali", limit=2), (["alice", "alicia"], 3, "alicia"))
        self.assertEqual(self.online_page(prefix="ali", limit=2, after="alicia"), (["alina"], 3, None))
        self.assertEqual(self.online_page(prefix="张"), (["张三"], 1, None))
        self.assertEqual(self.online_page(prefix="x"), ([], 0, None))
        clients["alicia"].drop()
        self.cluster.turn()
        self.assertEqual(self.online_page(prefix="ali"), (["alice", "alina"], 2, None))

    def test_guests_are_included(self):
        self.cluster.log_in(self.cluster.account("guest-one"))
        self.assertEqual(self.online_page(), (["guest-one"], 1, None))

    def test_bad_queries(self):
        for query in ("limit=0", "limit=501", f"prefix={'x' * 257}", f"after={'x' * 1025}", "prefix=%80"):
            self.problem("GET", f"/v1/online?{query}", key=KEY, status=400, code="invalid")
        self.problem("GET", "/v1/online", status=401, code="unauthorized")
