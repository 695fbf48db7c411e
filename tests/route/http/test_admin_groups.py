"""Tests of `/v1/admin/groups`."""

from __future__ import annotations

from urllib.parse import urlencode

from twisted.internet.defer import fail

from cim.errors import StoreUnavailable
from cim.route.messages import grouping
from cim.wire import native
from tests.route.http.api_case import KEY
from tests.route.http.test_groups import NEW, GroupsCase

CALLS = (
    ("GET", "/v1/admin/groups", None),
    ("GET", "/v1/admin/groups/{}", None),
    ("GET", "/v1/admin/groups/{}/members", None),
    ("PATCH", "/v1/admin/groups/{}", {"name": "theirs"}),
    ("DELETE", "/v1/admin/groups/{}/members/{}", None),
    ("DELETE", "/v1/admin/groups/{}", None),
)


class AdminGroupsTests(GroupsCase):
    def setUp(self):
        super().setUp()
        self.put(self.alice, self.bob)

    def admin(self, method, path="", body=None, status=200):
        return self.ok(method, f"/v1/admin/groups{path}", body, key=KEY, status=status)

    def left(self):
        return {member.user for member in self.successResultOf(self.store.groups.members(self.group))}

    def test_only_with_a_key(self):
        """Not even owners may: they have calls of their own."""
        for method, path, body in CALLS:
            path = path.format(self.group, self.bob.id)
            self.problem(method, path, body, status=401, code="unauthorized")
            self.problem(method, path, body, key="wrong", status=401, code="unauthorized")
            self.problem(method, path, body, **self.by(self.alice), status=403, code="forbidden")
        self.assertEqual(self.left(), {self.alice.id, self.bob.id})

    def test_an_unknown_group(self):
        for method, path, body in CALLS[1:]:
            self.problem(method, path.format(77, self.bob.id), body, key=KEY, status=404, code="not-found")

    def test_listing(self):
        others = [self.create(self.bob, f"group {number}")["id"] for number in range(5)]
        found, after = [], ""
        while True:
            page = self.admin("GET", f"?limit=2&after={after}")
            found += page["groups"]
            after = page["more"]
            if after is None:
                break
        self.assertEqual(sorted(group["id"] for group in found), sorted([self.group, *others]))
        wanted = {**NEW, "id": self.group, "name": "friends", "members": 2}
        self.assertIn(wanted, found)
        self.assertEqual(self.admin("GET", f"/{self.group}"), wanted)
        self.problem("GET", "/v1/admin/groups?after=x", key=KEY, status=400, code="invalid")

    def test_searching(self):
        for name in ("Chess Club", "chess for children", "Räucherverein"):
            self.create(self.bob, name)

        def found(part):
            return sorted(one["name"] for one in self.admin("GET", f"?{urlencode({'part': part})}")["groups"])

        self.assertEqual(found("CHESS"), ["Chess Club", "chess for children"])
        self.assertEqual(found("räucher"), ["Räucherverein"])
        self.assertEqual(found("no such"), [])
        # A page is as long as ever, whatever is left of it.
        page = self.admin("GET", "?part=no+such&limit=1")
        self.assertEqual(page["groups"], [])
        self.assertIsNotNone(page["more"])

    def test_members(self):
        page = self.admin("GET", f"/{self.group}/members?limit=1")
        alice = {"user": {"id": self.alice.id, "name": "alice"}, "role": "owner"}
        self.assertEqual(page, {"members": [alice], "more": self.alice.id})
        page = self.admin("GET", f"/{self.group}/members?after={page['more']}")
        bob = {"user": {"id": self.bob.id, "name": "bob"}, "role": "member"}
        self.assertEqual(page, {"members": [bob], "more": None})

    def test_renaming(self):
        self.assertEqual(self.admin("PATCH", f"/{self.group}", {"name": "theirs"})["name"], "theirs")
        self.assertEqual(self.ok("GET", self.path(), **self.by(self.bob))["name"], "theirs")

    def test_taking_over(self):
        """An operator makes somebody the owner, and removes who was."""
        member = f"/v1/groups/{self.group}/members"
        put = self.ok("PUT", f"{member}/{self.carol.id}", {"role": "owner"}, key=KEY, status=201)
        self.assertEqual(put, {"user": self.carol.id, "role": "owner"})
        self.admin("DELETE", f"/{self.group}/members/{self.alice.id}", status=204)
        members = self.ok("GET", member, **self.by(self.carol))["members"]
        self.assertEqual({one["user"]: one["role"] for one in members}, {self.carol.id: "owner", self.bob.id: "member"})
        path = f"/v1/admin/groups/{self.group}/members"
        self.problem("DELETE", f"{path}/{self.carol.id}", key=KEY, status=409, code="conflict")
        self.problem("DELETE", f"{path}/{self.alice.id}", key=KEY, status=404, code="not-found")

    def test_members_are_told_who_did_it(self):
        self.admin("DELETE", f"/{self.group}/members/{self.bob.id}", status=204)
        self.admin("PATCH", f"/{self.group}", {"name": "theirs"})
        self.cluster.pass_seconds(2)
        entries = self.successResultOf(self.store.conversations.read(f"g:{self.group}", limit=100)).entries
        told = [
            (change.what, change.user, change.by)
            for entry in entries
            for change in native.parse_body(entry.body).changes
        ]
        self.assertEqual(told[-2:], [("removed", self.bob.id, 0), ("renamed", 0, 0)])

    def test_deleting(self):
        self.say(self.alice, "hello")
        self.assertEqual(self.admin("DELETE", f"/{self.group}"), {"members": 0})
        self.problem("GET", f"/v1/admin/groups/{self.group}", key=KEY, status=404, code="not-found")
        self.assertEqual(self.successResultOf(self.store.groups.memberships(self.bob.id)).members, ())
        found = self.successResultOf(self.store.conversations.read(f"g:{self.group}", limit=10))
        self.assertEqual(found.entries, ())
        self.problem("DELETE", f"/v1/admin/groups/{self.group}", key=KEY, status=404, code="not-found")

    def test_deleting_a_large_one_takes_several_calls_and_owners_go_last(self):
        self.patch(grouping, "MOST", 3)
        self.patch(grouping, "TOGETHER", 2)
        for number in range(6):
            user = self.account(f"user {number}")
            self.ok("PUT", f"/v1/groups/{self.group}/members/{user.id}", {}, key=KEY, status=201)
            if number < 4:
                body = {"role": "owner"}
                self.ok("PUT", f"/v1/groups/{self.group}/members/{user.id}", body, key=KEY)
        left = []
        while not left or left[-1]:
            left.append(self.admin("DELETE", f"/{self.group}")["members"])
        self.assertEqual(left, [5, 2, 0])

    def test_a_store_that_goes_away_in_between(self):
        remove = self.store.groups.remove

        def failing(group, actor, user):
            return fail(StoreUnavailable()) if user == self.alice.id else remove(group, actor, user)

        self.store.groups.remove = failing
        path = f"/v1/admin/groups/{self.group}"
        self.problem("DELETE", path, key=KEY, status=503, code="unavailable")
        self.assertEqual(self.left(), {self.alice.id})
        del self.store.groups.remove
        self.assertEqual(self.admin("DELETE", f"/{self.group}"), {"members": 0})
