"""Tests of `/v1`: looking up users, and who is online."""

from __future__ import annotations

from cim.route.http.users import EXACT, OFF
from cim.route.messages.accounts import KEPT_SECONDS
from tests.route.http.api_case import KEY, APICase, segment


def shown(account):
    """An account as it is in answers."""
    return {"id": account.id, "name": account.name}


class UserTests(APICase):
    """GET /v1/users."""

    routes = 2

    def test_looking_up_by_id_and_by_name(self):
        alice = self.user("张 三/%")
        for how in (self.by(alice), {"key": KEY}):
            for path in (f"/v1/users/{alice.id}", f"/v1/users?name={segment('张 三/%')}"):
                said = self.ok("GET", path, **how)
                self.assertEqual((said["id"], said["name"]), (alice.id, "张 三/%"))
                self.assertEqual(said.get("users", [shown(alice)]), [shown(alice)])
        self.assertEqual(self.ok("GET", "/v1/users?name=%E5%BC%A0+%E4%B8%89/%25", key=KEY)["id"], alice.id)

    def test_unknown_users(self):
        for path in ("/v1/users/77", "/v1/users?name=nobody"):
            self.problem("GET", path, key=KEY, status=404, code="not-found")
        bad = ("", "name=", "name=a&name=b", "name=a&prefix=abc", "prefix=", f"prefix={'x' * 65}", "prefix=ab%00c")
        bad += ("ids=", "ids=1,,2", "ids=0", f"ids={1 << 53}", "ids=x", f"ids={','.join('1' * 101)}", "ids=1&name=a")
        for path in (*(f"/v1/users?{query}" for query in bad), "/v1/users/0"):
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


class DirectoryTests(APICase):
    """GET /v1/users?prefix= and ?ids=."""

    def setUp(self):
        super().setUp()
        self.me = self.user("me")

    def find(self, prefix, **how):
        said = self.ok("GET", f"/v1/users?prefix={segment(prefix)}", **(how or self.by(self.me)))
        self.assertEqual(list(said), ["users"])
        return [user["name"] for user in said["users"]]

    def test_by_the_beginning_of_a_name(self):
        there = {name: self.account(name) for name in ("bob", "Alina", "alice", "ALICIA", "al", "张三丰", "李明")}
        self.assertEqual(self.find("ALI"), ["alice", "ALICIA", "Alina"])
        self.assertEqual(self.find("ａｌｉｃ"), ["alice", "ALICIA"])
        self.assertEqual(self.find("alice in"), [])
        self.assertEqual(self.find("张三丰"), ["张三丰"])
        said = self.ok("GET", "/v1/users?prefix=bob", **self.by(self.me))
        self.assertEqual(said, {"users": [shown(there["bob"])]})

    def test_with_fewer_than_three_characters_a_whole_name(self):
        for name in (
            "al",
            "ali",
            "李明",
            "李明明",
            "👩\u200d👩\u200d👧",
            "👩\u200d👩\u200d👧 x",
            "e\u0301e",
            "e\u0301ea",
        ):
            self.account(name)
        for prefix, names in (
            *(
                ("al", ["al"]),
                ("a", []),
                ("李明", ["李明"]),
                ("李", []),
                ("👩\u200d👩\u200d👧", ["👩\u200d👩\u200d👧"]),
            ),
            *(("e\u0301e", ["e\u0301e"]), ("ali", ["ali"]), ("  al  ", ["al"]), ("\u2060\u2060\u2060", [])),
        ):
            self.assertEqual(self.find(prefix), names, prefix)

    def test_at_most_ten_in_an_order_that_stays(self):
        for number in range(15):
            self.account(f"user {(number * 7) % 15:02}")
        for how in (self.by(self.me), {"key": KEY}):
            self.assertEqual(self.find("user", **how), [f"user {number:02}" for number in range(10)])

    def test_who_blocks_the_caller_or_is_blocked_by_it_is_not_found(self):
        names = [f"user {number:02}" for number in range(30)]
        users = [self.user(name) for name in names]
        for user in users[:8]:
            self.ok("PUT", f"/v1/blocks/{self.me.id}", **self.by(user), status=204)
        for user in users[8:16]:
            self.ok("PUT", f"/v1/blocks/{user.id}", **self.by(self.me), status=204)
        self.assertEqual(self.find("user"), names[16:26])
        self.assertEqual(self.find("user 0"), [])
        self.assertEqual(self.find("user", key=KEY), names[:10])
        self.assertEqual(self.find("user", **self.by(users[20])), names[:10])
        self.ok("DELETE", f"/v1/blocks/{users[8].id}", **self.by(self.me), status=204)
        self.assertEqual(self.find("user 0"), ["user 08"])

    def test_neither_guests_nor_deleted_accounts_nor_the_caller(self):
        self.cluster.account("mega guest")
        mega = self.account("mega")
        other = self.user("mega other")
        self.assertEqual(self.find("meg"), ["mega", "mega other"])
        self.assertEqual(self.find("meg", **self.by(other)), ["mega"])
        self.ok("DELETE", f"/v1/admin/users/{mega.id}", key=KEY, status=204)
        self.assertEqual(self.find("meg"), ["mega other"])

    def test_searches_of_one_user_are_limited(self):
        other = self.user("other")
        for _ in range(60):
            self.find("oth")
        path = "/v1/users?prefix=oth"
        problem = self.problem("GET", path, **self.by(self.me), status=429, code="rate-limited")
        self.assertEqual(problem["retry"], "5")
        self.assertEqual(self.metrics._refused["limit-user-searches"], 1)
        self.ok("GET", "/v1/users?name=other", **self.by(self.me))
        self.find("oth", **self.by(other))
        for _ in range(70):
            self.find("oth", key=KEY)
        self.clock.advance(5)
        self.find("oth")

    def test_the_store_is_away(self):
        self.cluster.store.available = False
        self.problem("GET", "/v1/users?prefix=abc", **self.by(self.me), status=503, code="unavailable")

    def test_many_ids_at_once(self):
        alice, bob, carol = (self.user(name) for name in ("alice", "bob", "carol"))
        guest = self.cluster.account("guest")
        self.ok("PUT", f"/v1/blocks/{self.me.id}", **self.by(bob), status=204)
        self.ok("PUT", f"/v1/blocks/{carol.id}", **self.by(self.me), status=204)
        ids = ",".join(str(one.id) for one in (guest, carol, bob, alice, alice, self.me))
        wanted = sorted((alice, carol, guest, self.me), key=lambda one: one.id)
        path = f"/v1/users?ids={ids},77"
        self.assertEqual(self.ok("GET", path, **self.by(self.me)), {"users": [shown(one) for one in wanted]})
        self.assertEqual(len(self.ok("GET", path, key=KEY)["users"]), 5)
        self.ok("DELETE", f"/v1/admin/users/{alice.id}", key=KEY, status=204)
        self.assertEqual(len(self.ok("GET", path, **self.by(self.me))["users"]), 3)


class ExactDirectoryTests(APICase):
    """--directory exact"""

    directory = EXACT

    def test_users_find_others_by_whole_names_only(self):
        alice = self.user("alice")
        self.assertEqual(self.ok("GET", "/v1/users?name=alice", **self.by(alice))["id"], alice.id)
        self.ok("GET", f"/v1/users?ids={alice.id}", **self.by(alice))
        for path in ("/v1/users?prefix=ali", "/v1/users?prefix=alice", "/v1/online"):
            problem = self.problem("GET", path, **self.by(alice), status=403, code="forbidden")
            self.assertIn("`name`", problem["detail"])
            self.ok("GET", path, key=KEY)


class NoDirectoryTests(APICase):
    """--directory off"""

    directory = OFF

    def test_users_find_nobody_by_name(self):
        alice = self.user("alice")
        self.ok("GET", f"/v1/users/{alice.id}", **self.by(alice))
        for path in ("/v1/users?prefix=alice", "/v1/users?name=alice", "/v1/users?name=nobody", "/v1/online"):
            self.problem("GET", path, **self.by(alice), status=403, code="forbidden")
        for path in ("/v1/users?prefix=alice", "/v1/users?name=alice", "/v1/online"):
            self.ok("GET", path, key=KEY)


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
