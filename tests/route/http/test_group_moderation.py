"""Tests of `/v1`: mutes, bans, many members at once, and the end of a group; with callers who may not."""

from __future__ import annotations

from cim.limits import Buckets, Limit
from cim.model import Happening, Role
from cim.route.http.groups import INVITE
from cim.wire.cim_pb2 import EDIT, REACTION, RECALL
from tests.route.http.api_case import KEY
from tests.route.http.test_groups import GroupsCase


class ModerationCase(GroupsCase):
    """Alice owns the group, in which bob is an admin and carol a member; each route serves some calls."""

    def setUp(self):
        super().setUp()
        self.put(self.alice, self.bob)
        self.put(self.alice, self.bob, 200, role="admin")
        self.put(self.alice, self.carol)

    def by_key(self):
        return {"key": KEY}

    def refuse(self, method, where, *, status=403, code="forbidden", body=None, **by):
        return self.problem(method, f"{self.path()}{where}", body, **by, status=status, code=code)

    def muted(self, user):
        """Return the problem of a message by somebody who is muted."""
        body = {"to_group": self.group, "client_id": f"c-{next(self.ids)}", "text": "hello"}
        return self.problem("POST", "/v1/messages", body, **self.by(user), status=403, code="muted")

    def happened(self, *kinds):
        found = self.successResultOf(self.store.groups.happened(self.group))
        return [(one.what.value, one.user, one.by) for one in found if one.what in kinds]


class MuteTests(ModerationCase):
    def test_a_muted_member_is_told_why_and_until_when(self):
        said = self.ok("PUT", f"{self.path(self.carol)}/mute", {"seconds": 3600}, **self.by(self.bob))
        now = self.store.clock.now()
        self.assertLessEqual(abs(said["muted"] - now - 3_600_000), 5000)
        problem = self.muted(self.carol)
        self.assertEqual(problem["until"], said["muted"])
        self.assertTrue(problem["detail"].startswith("you are muted until "), problem)
        self.assertTrue(problem["detail"].endswith(" by the admins of this group"), problem)
        shown = {one["name"]: one["muted"] for one in self.members(self.alice)["members"]}
        self.assertEqual(shown, {"alice": None, "bob": None, "carol": said["muted"]})
        (mine,) = self.ok("GET", "/v1/groups", **self.by(self.carol))["groups"]
        self.assertEqual(mine["muted"], said["muted"])
        self.say(self.bob, "hello")
        self.call("DELETE", f"{self.path(self.carol)}/mute", **self.by(self.bob))
        self.say(self.carol, "hello")

    def test_all_ways_of_saying_something_are_refused_and_recalls_go_on(self):
        phone = self.online("carol")
        position = self.say(self.carol, "before")["position"]
        self.ok("PUT", f"{self.path(self.carol)}/mute", {}, **self.by(self.alice), route=1)
        body = {"to_group": self.group, "client_id": "edit", "text": "x", "kind": "edit", "ref": position}
        self.problem("POST", "/v1/messages", body, **self.by(self.carol), status=403, code="muted")
        # An API key that speaks for her is refused alike.
        body = {"from_user": self.carol.id, "to_group": self.group, "client_id": "key", "text": "x"}
        self.problem("POST", "/v1/messages", body, key=KEY, status=403, code="muted")
        for number, fields in enumerate(({}, {"kind": EDIT, "ref": position}, {"kind": REACTION, "ref": position})):
            phone.send_group(self.group, "x", f"native-{number}", **fields)
        phone.send_group(self.group, "", "native-recall", kind=RECALL, ref=position)
        self.cluster.turn()
        failures = phone.take("failure")
        self.assertEqual([one.code for one in failures], ["muted"] * 3)
        self.assertIn("until somebody ends it", failures[0].message)
        self.assertEqual([one.client_id for one in phone.take("accepted")], ["native-recall"])
        self.assertEqual(self.texts(self.alice), ["", ""])

    def test_a_group_for_admins(self):
        self.refuse("PUT", "/mute", body={}, **self.by(self.carol))
        self.assertEqual(self.ok("PUT", f"{self.path()}/mute", {}, **self.by(self.bob)), {"muted": 0})
        self.assertEqual(self.ok("GET", self.path(), **self.by(self.carol))["muted"], 0)
        problem = self.muted(self.carol)
        self.assertIsNone(problem["until"])
        self.assertIn("who alone may write there now", problem["detail"])
        self.say(self.bob, "news")
        self.ok("DELETE", f"{self.path()}/mute", **self.by_key(), status=204)
        self.say(self.carol, "at last")

    def test_who_may_not(self):
        for by, user in (
            (self.bob, self.alice),
            (self.bob, self.bob),
            (self.carol, self.bob),
            (self.carol, self.carol),
        ):
            self.refuse("PUT", f"/members/{user.id}/mute", body={}, **self.by(by))
            self.refuse("DELETE", f"/members/{self.alice.id}/mute", **self.by(self.carol))
        stranger = self.user("dave")
        self.refuse("PUT", f"/members/{self.carol.id}/mute", body={}, **self.by(stranger))
        self.refuse("PUT", f"/members/{stranger.id}/mute", body={}, **self.by(self.alice), status=404, code="not-found")
        for seconds in (0, -1, 10**9, "1", None, 1.5):
            self.refuse(
                "PUT",
                f"/members/{self.carol.id}/mute",
                body={"seconds": seconds},
                **self.by(self.alice),
                status=400,
                code="invalid",
            )
        self.say(self.carol, "still here")


class BanTests(ModerationCase):
    consent = INVITE

    def setUp(self):
        self.consent = "direct"
        super().setUp()

    def test_a_banned_one_is_gone_and_stays_away(self):
        self.ok("PATCH", self.path(), {"open": True}, **self.by(self.alice))
        phone = self.online("carol")
        self.ok("PUT", f"{self.path()}/bans/{self.carol.id}", **self.by(self.bob), status=204)
        (removed,) = phone.take("removed")
        self.assertEqual((removed.group, removed.what, removed.by), (self.group, "banned", self.bob.id))
        self.say(self.alice, "about carol")
        self.assertEqual(phone.take("deliver"), [])
        for route in (0, 1):
            self.problem(
                "PUT", self.path(self.carol), {}, **self.by(self.carol), status=403, code="forbidden", route=route
            )
        for by in (self.by(self.bob), self.by(self.alice), self.by_key()):
            self.problem("PUT", self.path(self.carol), {}, **by, status=409, code="conflict")
        (ban,) = self.ok("GET", f"{self.path()}/bans", **self.by(self.bob))["bans"]
        self.assertEqual((ban["user"]["name"], ban["by"]["name"]), ("carol", "bob"))
        self.ok("DELETE", f"{self.path()}/bans/{self.carol.id}", **self.by(self.bob), status=204)
        self.refuse("DELETE", f"/bans/{self.carol.id}", **self.by(self.bob), status=404, code="not-found")
        self.put(self.carol, self.carol)
        self.assertEqual(self.ok("GET", f"{self.path()}/bans", **self.by(self.alice)), {"bans": []})

    def test_who_may_not(self):
        for by, user in (
            (self.bob, self.alice),
            (self.bob, self.bob),
            (self.carol, self.bob),
            (self.alice, self.alice),
        ):
            self.refuse("PUT", f"/bans/{user.id}", **self.by(by))
        self.refuse("GET", "/bans", **self.by(self.carol))
        self.refuse("PUT", "/bans/77", **self.by(self.alice), status=404, code="not-found")
        stranger = self.user("dave")
        self.refuse("GET", "/bans", **self.by(stranger))
        # One who is no member can be banned; an operator's ban is not for admins to end.
        self.ok("PUT", f"{self.path()}/bans/{stranger.id}", **self.by_key(), status=204)
        (ban,) = self.ok("GET", f"{self.path()}/bans", **self.by_key())["bans"]
        self.assertIsNone(ban["by"])
        for by in (self.bob, self.alice):
            self.refuse("DELETE", f"/bans/{stranger.id}", **self.by(by))
        self.ok("DELETE", f"{self.path()}/bans/{stranger.id}", **self.by_key(), status=204)

    def test_the_server_of_another_route_pushes_no_more_to_a_banned_one(self):
        """The route that bans is not the one that knows of the session, and each has cached who is in the group."""
        phone, other = self.online("carol"), self.online("bob")
        for route in (0, 1):
            body = {"to_group": self.group, "client_id": f"warm-{route}", "text": "warm"}
            self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=201, route=route)
        self.cluster.turn()
        phone.packets(), other.packets()
        self.ok("PUT", f"{self.path()}/bans/{self.carol.id}", **self.by(self.alice), status=204, route=1)
        body = {"to_group": self.group, "client_id": "after", "text": "after"}
        self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=201, route=0)
        self.cluster.turn()
        self.assertEqual([one.text for one in other.take("deliver")], ["after"])
        self.assertEqual(phone.take("deliver"), [])
        phone.send_group(self.group, "let me in", "banned-1")
        self.cluster.turn()
        self.assertEqual([one.code for one in phone.take("failure")], ["forbidden"])


class EditTests(ModerationCase):
    def test_open_and_history_can_be_changed_later(self):
        self.say(self.alice, "hidden")
        dave = self.user("dave")
        shown = self.ok("PATCH", self.path(), {"open": True, "history": True}, **self.by(self.bob))
        self.assertEqual((shown["name"], shown["open"], shown["history"]), ("friends", True, True))
        self.say(self.alice, "shown")
        self.put(dave, dave)
        self.assertEqual(self.texts(dave), ["shown"])
        self.ok("PATCH", f"/v1/admin/groups/{self.group}", {"open": False}, key=KEY)
        erin = self.user("erin")
        self.problem("PUT", self.path(erin), {}, **self.by(erin), status=403, code="forbidden")
        for body in ({}, {"open": None}, {"history": "yes"}, {"name": ""}, {"members": 3}):
            self.problem("PATCH", self.path(), body, **self.by(self.bob), status=400, code="invalid")
        self.problem("PATCH", self.path(), {"open": True}, **self.by(self.carol), status=403, code="forbidden")


class PageTests(ModerationCase):
    def test_pages_tell_what_happened_to_whoever_asks(self):
        self.cluster.pass_seconds(5)
        self.say(self.alice, "hello")
        self.ok("PUT", f"{self.path(self.carol)}/mute", {}, **self.by(self.bob))
        self.cluster.pass_seconds(5)
        path = f"/v1/conversations/g:{self.group}/messages"
        for revisions in ("true", "false"):
            found = self.ok("GET", f"{path}?members=true&revisions={revisions}", **self.by(self.alice))["messages"]
            told = [(one["kind"], one["sender"], [change["what"] for change in one["changes"]]) for one in found]
            came = [("MEMBERS", 0, ["added", "role"]), ("MEMBERS", 0, ["added"])]
            self.assertEqual(told, [*came, ("TEXT", self.alice.id, []), ("MEMBERS", 0, ["muted"])])
        muted = found[-1]["changes"][0]
        self.assertEqual(muted, {"what": "muted", "user": self.carol.id, "by": self.bob.id, "text": "0"})
        kinds = [one["kind"] for one in self.ok("GET", path, **self.by(self.alice))["messages"]]
        self.assertEqual(kinds, ["TEXT"])
        # Whoever may not read what was said before it came is not told what happened then.
        dave = self.user("dave")
        self.put(self.alice, dave)
        found = self.ok("GET", f"{path}?members=true", **self.by(dave))["messages"]
        self.assertEqual(found, [])


class DissolveTests(ModerationCase):
    def test_an_owner_dissolves_it(self):
        phone = self.online("carol")
        for by in (self.bob, self.carol, self.user("dave")):
            self.problem("DELETE", self.path(), **self.by(by), status=403, code="forbidden")
        self.problem("DELETE", self.path(), key=KEY, status=403, code="forbidden")
        self.say(self.alice, "the last words")
        phone.packets()
        self.assertEqual(self.ok("DELETE", self.path(), **self.by(self.alice), route=1), {"members": 0})
        (removed,) = phone.take("removed")
        self.assertEqual((removed.group, removed.what, removed.by), (self.group, "dissolved", self.alice.id))
        for who in (self.alice, self.carol):
            self.problem("GET", self.path(), **self.by(who), status=404, code="not-found")
            self.assertEqual(self.ok("GET", "/v1/groups", **self.by(who))["groups"], [])
        self.problem("DELETE", self.path(), **self.by(self.alice), status=404, code="not-found")
        body = {"to_group": self.group, "client_id": "late", "text": "late"}
        self.problem("POST", "/v1/messages", body, **self.by(self.carol), status=404, code="not-found")

    def test_what_was_begun_is_finished_by_the_next_call(self):
        self.successResultOf(self.store.groups.dissolve(self.group, self.alice.id))
        dave = self.user("dave")
        self.problem("PUT", self.path(dave), {}, key=KEY, status=404, code="not-found")
        self.problem("PATCH", self.path(), {"name": "x"}, **self.by(self.alice), status=404, code="not-found")
        self.assertEqual(self.ok("DELETE", self.path(), **self.by(self.alice)), {"members": 0})


class ManyTests(ModerationCase):
    """Many members at once, where others are asked before."""

    def setUp(self):
        super().setUp()
        self.consent = INVITE
        self.sites = [self.site_of(route) for route in self.cluster.routes]

    def many(self, *, status=200, **fields):
        by = {"by": self.by(self.alice), **fields}.pop("by")
        body = {name: value for name, value in fields.items() if name in ("add", "remove")}
        return self.ok("POST", f"{self.path()}/members", body, **by, status=status)

    def outcomes(self, said):
        return {one["user"]: one["outcome"] if one["code"] is None else one["code"] for one in said["results"]}

    def accounts_made(self, count):
        return [self.successResultOf(self.store.accounts.register(f"guest {number}")).id for number in range(count)]

    def test_each_has_an_outcome_of_its_own(self):
        dave, erin, frank = (self.user(name) for name in ("dave", "erin", "frank"))
        self.ok("PUT", f"/v1/blocks/{self.alice.id}", **self.by(erin), status=204)
        self.ok("PUT", f"{self.path()}/bans/{frank.id}", **self.by(self.alice), status=204)
        said = self.many(add=[dave.id, erin.id, self.bob.id, 77, frank.id], remove=[self.carol.id, 78])
        self.assertEqual(
            self.outcomes(said),
            {
                dave.id: "invited",
                erin.id: "not-found",
                self.bob.id: "present",
                77: "not-found",
                frank.id: "conflict",
                self.carol.id: "removed",
                78: "absent",
            },
        )
        self.assertEqual(set(self.roles()), {self.alice.id, self.bob.id})
        self.assertEqual(self.outcomes(self.many(remove=[dave.id])), {dave.id: "withdrawn"})

    def test_an_admin_removes_no_owner_and_a_member_nobody(self):
        said = self.ok("POST", f"{self.path()}/members", {"remove": [self.alice.id]}, **self.by(self.bob))
        self.assertEqual(self.outcomes(said), {self.alice.id: "forbidden"})
        for by in (self.carol, self.user("dave")):
            self.refuse("POST", "/members", body={"remove": [self.bob.id]}, **self.by(by))

    def test_a_thousand_strangers_are_not_asked(self):
        users = self.accounts_made(1000)
        outcomes = list(self.outcomes(self.many(add=users)).values())
        # The limit of invitations is that of single ones, and a little of it comes back meanwhile.
        self.assertLess(outcomes.count("invited"), 130)
        self.assertEqual(set(outcomes), {"invited", "rate-limited"})
        self.assertEqual(len(self.roles()), 3)

    def test_an_operator_adds_and_removes_a_thousand(self):
        users = self.accounts_made(1000)
        phone = self.online("carol")
        said = self.many(add=users, by=self.by_key())
        self.assertEqual(set(self.outcomes(said).values()), {"added"})
        self.assertEqual(self.ok("GET", self.path(), **self.by(self.alice))["members"], 1003)
        self.cluster.pass_seconds(5)
        said = self.many(remove=users, by=self.by_key())
        self.assertEqual(set(self.outcomes(said).values()), {"removed"})
        self.cluster.pass_seconds(5)
        page = self.successResultOf(self.store.conversations.read(f"g:{self.group}", limit=100))
        self.assertLessEqual(len(page.entries), 5)
        self.assertTrue(phone.packets())
        self.assertEqual(self.happened(Happening.REMOVED), [])

    def test_bounds(self):
        for body in (
            *({}, {"add": []}, {"add": [1, 1]}, {"add": [5], "remove": [5]}, {"add": "5"}, {"add": [0]}),
            *({"add": list(range(1, 1002))}, {"add": list(range(1, 600)), "remove": list(range(600, 1100))}),
        ):
            self.refuse("POST", "/members", body=body, **self.by(self.alice), status=400, code="invalid")
        self.problem("POST", "/v1/groups/77/members", {"add": [5]}, **self.by(self.alice), status=404, code="not-found")

    def test_each_counts_to_the_limits_of_who_makes_the_call(self):
        self.cluster.routes[0].rates._buckets["user-memberships"] = Buckets(Limit(0.001, 2))
        users = [self.user(name).id for name in ("dave", "erin", "frank")]
        outcomes = self.outcomes(self.many(add=users))
        self.assertEqual(list(outcomes.values()).count("rate-limited"), 1)


class RoleTests(ModerationCase):
    def test_an_admin_who_was_muted_and_made_an_owner_ends_it(self):
        self.ok("PUT", f"{self.path(self.bob)}/mute", {}, **self.by(self.alice))
        self.refuse("DELETE", f"/members/{self.bob.id}/mute", **self.by(self.bob))
        self.muted(self.bob)
        self.put(self.alice, self.bob, 200, role=Role.OWNER.name.lower())
        self.ok("DELETE", f"{self.path(self.bob)}/mute", **self.by(self.bob), status=204)
        self.say(self.bob, "hello")
