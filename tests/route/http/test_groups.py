"""Tests of `/v1`: groups and members."""

from __future__ import annotations

from cim.route.http.groups import DIRECT
from cim.wire import conversations
from tests.route.http.api_case import KEY, APICase

#: What a group is like at first.
NEW = {"open": False, "history": False, "muted": None}


class GroupsCase(APICase):
    """A base in which alice owns a closed group, and bob and carol have accounts. Nobody is asked."""

    consent = DIRECT
    servers = 2
    routes = 2

    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = (self.user(name) for name in ("alice", "bob", "carol"))
        self.group = self.create(self.alice, "friends")["id"]

    def create(self, owner, name, **fields):
        return self.ok("POST", "/v1/groups", {"name": name, **fields}, **self.by(owner), status=201)

    def path(self, user=None, group=None):
        path = f"/v1/groups/{group or self.group}"
        return path if user is None else f"{path}/members/{user.id}"

    def put(self, actor, user, status=201, group=None, **role):
        return self.ok("PUT", self.path(user, group), role, **self.by(actor), status=status)

    def members(self, reader, **query):
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return self.ok("GET", f"{self.path()}/members?{asked}", **self.by(reader))

    def roles(self):
        return {one["user"]: one["role"] for one in self.members(self.alice)["members"]}

    def say(self, sender, text, status=201, group=None):
        body = {"to_group": group or self.group, "client_id": f"c-{next(self.ids)}", "text": text}
        return self.ok("POST", "/v1/messages", body, **self.by(sender), status=status)

    def texts(self, reader, group=None):
        path = f"/v1/conversations/{conversations.group(group or self.group)}/messages"
        return [message["text"] for message in self.ok("GET", path, **self.by(reader))["messages"]]


class GroupTests(GroupsCase):
    """Tests of creating, renaming and showing groups."""

    def test_members_come_with_their_names(self):
        self.put(self.alice, self.bob)
        self.assertEqual(sorted(one["name"] for one in self.members(self.alice)["members"]), ["alice", "bob"])
        # One that is just being deleted.
        self.store.database.execute("DELETE FROM account WHERE id = ?", (self.bob.id,))
        self.cluster.routes[0].accounts.forget_all()
        self.assertEqual(sorted(one["name"] for one in self.members(self.alice)["members"]), ["", "alice"])

    def test_a_new_group(self):
        shown = self.ok("GET", self.path(), **self.by(self.alice))
        self.assertEqual(shown, {**NEW, "id": self.group, "name": "friends", "members": 1})
        self.assertEqual(self.roles(), {self.alice.id: "owner"})

    def test_a_closed_group_is_shown_to_members_and_an_open_one_to_all(self):
        open = self.create(self.alice, "open", open=True)["id"]
        self.ok("GET", self.path(group=open), **self.by(self.bob))
        self.problem("GET", self.path(), **self.by(self.bob), status=403, code="forbidden")
        for group in (self.group, open):
            self.problem("GET", f"/v1/groups/{group}/members", **self.by(self.bob), status=403, code="forbidden")
        for path in ("/v1/groups/77", "/v1/groups/77/members"):
            self.problem("GET", path, **self.by(self.bob), status=404, code="not-found")
        self.problem("GET", self.path(), key=KEY, status=403, code="forbidden")
        self.problem("GET", self.path(), status=401, code="unauthorized")

    def test_renaming(self):
        self.put(self.alice, self.bob)
        shown = self.ok("PATCH", self.path(), {"name": "old friends"}, **self.by(self.alice))
        self.assertEqual((shown["name"], shown["members"]), ("old friends", 2))
        for user in (self.bob, self.carol):
            self.problem("PATCH", self.path(), {"name": "x"}, **self.by(user), status=403, code="forbidden")
        for body in ({}, {"name": ""}, {"name": "x", "members": 3}):
            self.problem("PATCH", self.path(), body, **self.by(self.alice), status=400, code="invalid")
        # Mini-programs know no PATCH.
        headers = {**self.by(self.alice), "headers": ["X-HTTP-Method-Override: PATCH"]}
        self.assertEqual(self.ok("POST", self.path(), {"name": "new friends"}, **headers)["name"], "new friends")
        self.problem("PATCH", "/v1/groups/77", {"name": "x"}, **self.by(self.alice), status=404, code="not-found")

    def test_invalid_ids(self):
        for id in ("0", "-1", "01x", "x", str(1 << 53), "1" * 400, "%31%00", "٣"):
            if id.isascii():
                self.problem("GET", f"/v1/groups/{id}", **self.by(self.alice), status=400, code="invalid")

    def test_own_groups_in_pages(self):
        mine = [self.group, *(self.create(self.alice, f"g{number}")["id"] for number in range(4))]
        self.create(self.bob, "of bob")
        found, after, pages = [], 0, 0
        while after is not None:
            page = self.ok("GET", f"/v1/groups?limit=2&after={after}", **self.by(self.alice))
            found += [one["group"]["id"] for one in page["groups"]]
            self.assertEqual({one["role"] for one in page["groups"]}, {"owner"})
            after, pages = page["more"], pages + 1
        self.assertEqual((found, pages), (sorted(mine), 3))


class MemberTests(GroupsCase):
    """Tests of joining, inviting, leaving, removing and roles."""

    def test_anyone_joins_an_open_group_once(self):
        open = self.create(self.alice, "open", open=True)["id"]
        self.assertEqual(self.put(self.bob, self.bob, group=open), {"user": self.bob.id, "role": "member"})
        self.assertEqual(self.put(self.bob, self.bob, 200, group=open), {"user": self.bob.id, "role": "member"})

    def test_nobody_joins_a_closed_or_a_missing_group(self):
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.bob), status=403, code="forbidden")
        self.problem("PUT", self.path(self.bob, 77), {}, **self.by(self.bob), status=404, code="not-found")

    def test_nobody_becomes_owner_by_joining(self):
        open = self.create(self.alice, "open", open=True)["id"]
        self.problem(
            "PUT", self.path(self.bob, open), {"role": "owner"}, **self.by(self.bob), status=403, code="forbidden"
        )
        members = self.ok("GET", f"/v1/groups/{open}/members", **self.by(self.alice))["members"]
        self.assertNotIn("owner", [one["role"] for one in members if one["user"] == self.bob.id])

    def test_admins_and_owners_invite(self):
        self.put(self.alice, self.bob)
        self.problem("PUT", self.path(self.carol), {}, **self.by(self.bob), status=403, code="forbidden")
        self.put(self.alice, self.bob, 200, role="admin")
        self.put(self.bob, self.carol)
        self.assertEqual(self.roles(), {self.alice.id: "owner", self.bob.id: "admin", self.carol.id: "member"})

    def test_an_invitation_with_a_role(self):
        self.assertEqual(self.put(self.alice, self.bob, role="admin"), {"user": self.bob.id, "role": "admin"})
        self.assertEqual(self.roles()[self.bob.id], "admin")

    def test_an_admin_cannot_invite_an_owner(self):
        self.put(self.alice, self.bob, role="admin")
        self.problem("PUT", self.path(self.carol), {"role": "owner"}, **self.by(self.bob), status=403, code="forbidden")
        self.assertNotIn(self.carol.id, self.roles())

    def test_users_that_do_not_exist_cannot_be_invited(self):
        nobody = type(self.alice)(77, "nobody")
        self.problem("PUT", self.path(nobody), {}, **self.by(self.alice), status=404, code="not-found")
        self.problem("PUT", self.path(self.bob, 77), {}, **self.by(self.alice), status=404, code="not-found")

    def test_strangers_neither_invite_nor_see_the_members(self):
        self.put(self.alice, self.bob)
        for user in (self.bob, self.alice):
            self.problem("PUT", self.path(user), {}, **self.by(self.carol), status=403, code="forbidden")
            self.problem("DELETE", self.path(user), **self.by(self.carol), status=403, code="forbidden")

    def test_owners_give_roles(self):
        self.put(self.alice, self.bob)
        for actor in (self.bob,):
            for role in ("admin", "owner"):
                self.problem("PUT", self.path(self.bob), {"role": role}, **self.by(actor), status=403, code="forbidden")
        for role in ("boss", "OWNER", "", 1, None):
            self.problem("PUT", self.path(self.bob), {"role": role}, **self.by(self.alice), status=400, code="invalid")

    def test_the_last_owner_needs_a_successor(self):
        self.put(self.alice, self.bob)
        self.problem("DELETE", self.path(self.alice), **self.by(self.alice), status=409, code="conflict")
        self.problem(
            "PUT", self.path(self.alice), {"role": "member"}, **self.by(self.alice), status=409, code="conflict"
        )
        self.put(self.alice, self.bob, 200, role="owner")
        self.ok("DELETE", self.path(self.alice), **self.by(self.alice), status=204)
        self.problem("GET", self.path(), **self.by(self.alice), status=403, code="forbidden")
        self.ok("DELETE", self.path(self.bob), **self.by(self.bob), status=204)
        self.problem("GET", self.path(), **self.by(self.bob), status=404, code="not-found")

    def test_removing(self):
        self.put(self.alice, self.bob, role="admin")
        self.put(self.alice, self.carol)
        self.problem("DELETE", self.path(self.bob), **self.by(self.carol), status=403, code="forbidden")
        self.problem("DELETE", self.path(self.alice), **self.by(self.bob), status=403, code="forbidden")
        self.ok("DELETE", self.path(self.carol), **self.by(self.bob), status=204)
        self.problem("DELETE", self.path(self.carol), **self.by(self.bob), status=404, code="not-found")
        self.ok("DELETE", self.path(self.bob), **self.by(self.bob), status=204)
        self.assertEqual(self.roles(), {self.alice.id: "owner"})

    def test_members_in_pages(self):
        for user in (self.bob, self.carol):
            self.put(self.alice, user)
        first = self.members(self.bob, limit=2)
        rest = self.members(self.bob, limit=2, after=first["more"])
        users = [one["user"] for page in (first, rest) for one in page["members"]]
        self.assertEqual((users, rest["more"]), (sorted((self.alice.id, self.bob.id, self.carol.id)), None))


class TalkTests(GroupsCase):
    """Tests of messages in groups."""

    def test_strangers_can_neither_write_nor_read(self):
        path = f"/v1/conversations/g:{self.group}/messages"
        self.say(self.alice, "x")
        self.problem("GET", path, **self.by(self.bob), status=403, code="forbidden")
        body = {"to_group": self.group, "client_id": "1", "text": "x"}
        self.problem("POST", "/v1/messages", body, **self.by(self.bob), status=403, code="forbidden")
        for group in (77, (1 << 53) - 1):
            self.assertIn(
                self.call("POST", "/v1/messages", {**body, "to_group": group}, **self.by(self.bob))[0], (403, 404)
            )

    def test_members_read_nothing_from_before_they_joined_or_after_they_left(self):
        self.say(self.alice, "before")
        self.put(self.alice, self.bob)
        self.say(self.alice, "with bob")
        self.assertEqual(self.texts(self.bob), ["with bob"])
        self.ok("DELETE", self.path(self.bob), **self.by(self.bob), status=204)
        path = f"/v1/conversations/g:{self.group}/messages"
        self.problem("GET", path, **self.by(self.bob), status=403, code="forbidden")
        listed = self.ok("GET", "/v1/conversations", **self.by(self.bob))
        self.assertEqual(listed["conversations"], [])

    def test_a_group_may_show_its_history(self):
        group = self.create(self.alice, "history", history=True)["id"]
        self.say(self.alice, "before", group=group)
        self.put(self.alice, self.bob, group=group)
        self.assertEqual(self.texts(self.bob, group), ["before"])

    def test_a_removed_member_gets_no_more_pushes(self):
        bob = self.online("bob")
        self.put(self.alice, self.bob)
        self.say(self.alice, "one")
        self.assertEqual(bob.texts(), ["one"])
        self.ok("DELETE", self.path(self.bob), **self.by(self.alice), status=204)
        self.say(self.alice, "two")
        self.assertEqual(bob.texts(), [])

    def test_a_deleted_account_is_in_no_group(self):
        self.put(self.alice, self.bob)
        self.ok("DELETE", f"/v1/admin/users/{self.bob.id}", key=KEY, status=204)
        self.assertEqual(self.roles(), {self.alice.id: "owner"})

    def test_an_account_deleted_through_another_route_comes_into_no_group(self):
        self.put(self.alice, self.bob)
        group = self.create(self.carol, "open", open=True)["id"]
        self.ok("GET", f"/v1/users/{self.bob.id}", **self.by(self.bob), route=1)
        body = {"to_user": self.bob.id, "client_id": "c", "text": "hello"}
        self.ok("POST", "/v1/messages", body, **self.by(self.alice), route=1, status=201)
        self.ok("DELETE", f"/v1/admin/users/{self.bob.id}", key=KEY, status=204)
        alice = self.by(self.alice)
        self.problem("PUT", self.path(self.bob), {"role": "owner"}, **alice, route=1, status=404, code="not-found")
        # Each of others, since whoever finds one deleted has it no longer cached.
        for name, who in (("dave", alice), ("eve", {"key": KEY})):
            deleted = self.account(name)
            self.ok("GET", f"/v1/users/{deleted.id}", **alice, route=1)
            self.ok("DELETE", f"/v1/admin/users/{deleted.id}", key=KEY, status=204)
            self.ok("GET", f"/v1/users/{deleted.id}", **alice, route=1)
            self.problem("PUT", self.path(deleted), {}, **who, route=1, status=404, code="not-found")
        # Its token is still cached there.
        self.ok("GET", "/v1/groups", **self.by(self.bob), route=1)
        path = self.path(self.bob, group)
        self.problem("PUT", path, {}, **self.by(self.bob), route=1, status=401, code="unauthorized")
        self.assertEqual(self.roles(), {self.alice.id: "owner"})
