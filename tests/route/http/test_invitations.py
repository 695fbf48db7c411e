"""Tests of `/v1`: invitations to groups, which wait until they are accepted."""

from __future__ import annotations

from cim.limits import Limit
from cim.model import INVITED_DAYS, MAX_INVITED_BY
from cim.route.http.groups import DIRECT, INVITE
from tests.route.http.api_case import KEY
from tests.route.http.test_groups import GroupsCase


class InvitationsCase(GroupsCase):
    consent = INVITE

    def invite(self, actor=None, user=None, group=None):
        user = user or self.bob
        said = self.put(actor or self.alice, user, 202, group=group)
        self.assertEqual(said, {"user": user.id, "role": "invited"})

    def waiting(self, user=None):
        said = self.ok("GET", "/v1/invitations", **self.by(user or self.bob))
        return [(one["group"]["id"], one["group"]["name"], one["by"]) for one in said["invitations"]]

    def leave(self, actor, user, status=204, group=None):
        return self.call("DELETE", self.path(user, group), **self.by(actor))[0]


class InvitationTests(InvitationsCase):
    def test_an_invitation_waits_until_it_is_accepted(self):
        self.invite()
        self.invite()
        self.assertEqual(self.roles(), {self.alice.id: "owner"})
        self.assertEqual(self.waiting(), [(self.group, "friends", {"id": self.alice.id, "name": "alice"})])
        self.assertEqual(self.waiting(self.carol), [])
        self.assertEqual(self.put(self.bob, self.bob), {"user": self.bob.id, "role": "member"})
        self.assertEqual(self.waiting(), [])
        # Accepting twice, and inviting a member, change nothing.
        self.put(self.bob, self.bob, 200)
        self.put(self.alice, self.bob, 200)
        self.assertEqual(self.roles(), {self.alice.id: "owner", self.bob.id: "member"})

    def test_whoever_is_invited_reads_nothing_and_writes_nothing(self):
        self.say(self.alice, "secret")
        self.invite()
        path = f"/v1/conversations/g:{self.group}/messages"
        for where in (path, self.path(), f"{self.path()}/members"):
            self.problem("GET", where, **self.by(self.bob), status=403, code="forbidden")
        body = {"to_group": self.group, "client_id": "1", "text": "x"}
        self.problem("POST", "/v1/messages", body, **self.by(self.bob), status=403, code="forbidden")
        self.assertEqual(self.ok("GET", "/v1/conversations", **self.by(self.bob))["conversations"], [])
        bob = self.online("bob")
        bob.packets()
        self.say(self.alice, "secret, too")
        self.assertEqual(bob.packets(), [])

    def test_leaving_is_final_until_another_one_is_accepted(self):
        self.invite()
        self.put(self.bob, self.bob)
        self.assertEqual(self.leave(self.bob, self.bob), 204)
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.bob), status=403, code="forbidden")
        self.invite()
        self.put(self.bob, self.bob)

    def test_declining(self):
        self.invite()
        self.assertEqual(self.leave(self.bob, self.bob), 204)
        self.assertEqual(self.leave(self.bob, self.bob), 404)
        self.assertEqual(self.waiting(), [])
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.bob), status=403, code="forbidden")
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.alice), status=409, code="conflict")

    def test_withdrawing(self):
        self.invite()
        self.assertEqual(self.leave(self.carol, self.bob), 403)
        self.assertEqual(self.leave(self.alice, self.bob), 204)
        self.assertEqual(self.leave(self.alice, self.bob), 404)
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.bob), status=403, code="forbidden")
        self.invite()

    def test_an_expired_one(self):
        self.invite()
        self.cluster.clock.advance(INVITED_DAYS * 86400)
        self.tokens[self.bob.id] = self.log_in("bob", device="api")["token"]
        self.assertEqual(self.waiting(), [])
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.bob), status=403, code="forbidden")

    def test_one_to_a_group_that_is_gone(self):
        self.invite()
        self.assertEqual(self.leave(self.alice, self.alice), 204)
        self.assertEqual(self.waiting(), [])
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.bob), status=404, code="not-found")

    def test_one_by_an_admin_of_before(self):
        self.invite()
        self.put(self.bob, self.bob)
        self.put(self.alice, self.bob, 200, role="admin")
        self.invite(self.bob, self.carol)
        self.put(self.alice, self.bob, 200, role="member")
        self.assertEqual(self.waiting(self.carol), [])
        self.problem("PUT", self.path(self.carol), {}, **self.by(self.carol), status=403, code="forbidden")
        self.assertEqual(self.leave(self.alice, self.bob), 204)
        self.assertEqual(self.waiting(self.carol), [])
        self.invite(self.alice, self.carol)
        self.assertEqual([by["name"] for _, _, by in self.waiting(self.carol)], ["alice"])
        self.put(self.carol, self.carol)

    def test_who_may_invite(self):
        self.problem("PUT", self.path(self.carol), {}, **self.by(self.bob), status=403, code="forbidden")
        self.invite()
        self.put(self.bob, self.bob)
        self.problem("PUT", self.path(self.carol), {}, **self.by(self.bob), status=403, code="forbidden")
        self.put(self.alice, self.bob, 200, role="admin")
        self.invite(self.bob, self.carol)
        self.put(self.carol, self.carol)

    def test_who_may_not_learns_nothing_of_the_invited(self):
        """Neither whether there is such a user, nor whether it blocks the caller."""
        carol, mallory = self.carol, self.user("mallory")
        self.ok("PUT", f"/v1/blocks/{mallory.id}", **self.by(carol), status=204)
        nobody = 77
        for how, group in (("no such group", 123456), ("not in it", self.group), ("no admin", self.group)):
            if how == "no admin":
                self.successResultOf(self.store.groups.add(group, self.alice.id, mallory.id))
            told = set()
            for user in (self.bob.id, carol.id, nobody):
                path = f"/v1/groups/{group}/members/{user}"
                status, _, problem = self.call("PUT", path, {}, **self.by(mallory))
                told.add((status, problem["code"], problem["detail"]))
            self.assertEqual(len(told), 1, (how, told))

    def test_oneself(self):
        self.put(self.alice, self.alice, 200)
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.bob), status=403, code="forbidden")

    def test_roles_are_for_members(self):
        self.problem("PUT", self.path(self.bob), {"role": "admin"}, **self.by(self.alice), status=409, code="conflict")
        self.assertEqual(self.waiting(), [])
        self.assertEqual(self.put(self.alice, self.bob, 202, role="member")["role"], "invited")
        self.problem("PUT", self.path(self.bob), {"role": "owner"}, **self.by(self.bob), status=403, code="forbidden")

    def test_an_open_group_is_joined_as_ever(self):
        group = self.create(self.alice, "open", open=True)["id"]
        self.put(self.bob, self.bob, group=group)
        self.invite(user=self.carol, group=group)
        self.put(self.carol, self.carol, group=group)
        self.assertEqual(self.waiting(self.carol), [])

    def test_bounds(self):
        for _ in range(MAX_INVITED_BY - 1):
            self.invite(group=self.create(self.alice, "x")["id"])
        self.invite()
        other = self.create(self.alice, "x")["id"]
        self.problem("PUT", self.path(self.bob, other), {}, **self.by(self.alice), status=409, code="conflict")
        self.invite(user=self.carol, group=other)

    def test_a_back_end_adds_members_at_once(self):
        answer = self.ok("PUT", self.path(self.bob), {}, key=KEY, status=201)
        self.assertEqual(answer, {"user": self.bob.id, "role": "member"})
        self.put(self.alice, self.bob, 200, role="admin")
        answer = self.ok("PUT", self.path(self.bob), {"role": "member"}, key=KEY)
        self.assertEqual(answer, {"user": self.bob.id, "role": "admin"})
        answer = self.ok("PUT", self.path(self.bob), {"role": "owner"}, key=KEY)
        self.assertEqual(answer, {"user": self.bob.id, "role": "owner"})
        nobody = type(self.alice)(77, "nobody")
        self.problem("PUT", self.path(nobody), {}, key=KEY, status=404, code="not-found")
        self.problem("PUT", self.path(self.carol, 77), {}, key=KEY, status=404, code="not-found")

    def test_blocked_people_invite_nobody(self):
        self.invite(user=self.carol)
        other = self.create(self.bob, "of bob")["id"]
        self.invite(self.bob, self.carol, other)
        nobody = type(self.alice)(77, "nobody")
        for user in (self.bob, self.carol):
            self.ok("PUT", f"/v1/blocks/{self.alice.id}", **self.by(user), status=204)
        self.assertEqual([by["name"] for _, _, by in self.waiting(self.carol)], ["bob"])
        answers = [self.call("PUT", self.path(user), {}, **self.by(self.alice)) for user in (self.bob, nobody)]
        self.assertEqual(
            [(status, said["detail"]) for status, _, said in answers[:1] * 2],
            [(status, said["detail"]) for status, _, said in answers],
        )
        self.assertEqual(answers[0][0], 404)


class RateTests(InvitationsCase):
    def test_the_rate_of_one_user(self):
        for route in self.cluster.routes:
            route.rates._buckets["user-invitations"].__init__(Limit(0.1, 2))
        for number in range(2):
            self.invite(user=self.user(f"user{number}"))
        refused = self.problem("PUT", self.path(self.bob), {}, **self.by(self.alice), status=429, code="rate-limited")
        self.assertEqual(refused["retry"], "10")


class DirectTests(InvitationsCase):
    consent = DIRECT

    def test_blocked_people_add_nobody(self):
        self.ok("PUT", f"/v1/blocks/{self.alice.id}", **self.by(self.bob), status=204)
        self.problem("PUT", self.path(self.bob), {}, **self.by(self.alice), status=404, code="not-found")
        self.put(self.alice, self.carol)
        # A member stays one, and may be given a role.
        self.ok("PUT", f"/v1/blocks/{self.alice.id}", **self.by(self.carol), status=204)
        self.put(self.alice, self.carol, 200, role="admin")


class ToldTests(InvitationsCase):
    """How the invited one hears of it."""

    def told(self, client):
        self.cluster.turn()
        return [(one.group, one.group_name, one.by, one.by_name) for one in client.take("invited")]

    def test_it_is_pushed_to_the_sessions_of_the_invited_one(self):
        clients = [self.online("bob", "phone")]
        carol = self.online("carol")
        self.invite()
        said = (self.group, "friends", self.alice.id, "alice")
        self.assertEqual([self.told(client) for client in clients], [[said]])
        self.assertEqual(self.told(carol), [])

    def test_it_is_found_after_being_offline(self):
        self.invite()
        client = self.connect_to(self.log_in("bob", device="phone"))
        client.begin()
        (invited,) = client.welcome.invited
        self.assertEqual((invited.group, invited.group_name, invited.by_name), (self.group, "friends", "alice"))
        self.put(self.bob, self.bob)
        client.drop()
        client = self.connect_to(self.log_in("bob", device="phone"))
        client.begin()
        self.assertEqual(list(client.welcome.invited), [])

    def test_a_lost_push_comes_as_news(self):
        client = self.online("bob")
        server = next(one for one in self.cluster.servers if client.connection in one.gateway.connections)
        for route in self.cluster.routes:
            self.cluster.cut(server, route)
        self.cluster.pass_seconds(1)
        self.invite()
        self.assertEqual(self.told(client), [])
        for route in self.cluster.routes:
            self.cluster.link(server, route)
        self.cluster.pass_seconds(2)
        groups = {one.group for news in client.take("news") for one in news.invited}
        self.assertEqual(groups, {self.group})
