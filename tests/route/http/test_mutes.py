"""Tests of what a user mutes: `/v1/mutes`, and what devices are told."""

from __future__ import annotations

from cim.model import FOREVER, MAX_MUTED_CONVERSATIONS
from cim.wire import conversations
from tests.route.http.api_case import KEY, APICase


class MutesTests(APICase):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")
        self.talk = conversations.private(self.alice.id, self.bob.id)
        self.path = f"/v1/conversations/{self.talk}/mute"

    def mutes(self, who=None):
        return self.ok("GET", "/v1/mutes", **self.by(who or self.alice))["conversations"]

    def test_muting_listing_and_unmuting(self):
        self.assertEqual(self.mutes(), [])
        soon = self.store.clock.now() + 60_000
        self.ok("PUT", self.path, {"until": soon}, **self.by(self.alice), status=204)
        self.ok("PUT", "/v1/conversations/g:0/mute", {}, **self.by(self.alice), status=204)
        both = [{"conversation": "g:0", "until": FOREVER}, {"conversation": self.talk, "until": soon}]
        self.assertEqual(self.mutes(), both)
        self.assertEqual(self.mutes(self.bob), [])
        self.clock.advance(61)
        self.assertEqual(self.mutes(), both[:1])
        self.ok("DELETE", "/v1/conversations/g:0/mute", **self.by(self.alice), status=204)
        self.problem("DELETE", "/v1/conversations/g:0/mute", **self.by(self.alice), status=404, code="not-found")
        self.assertEqual(self.mutes(), [])

    def test_it_is_listed_with_the_conversations_which_go_on_counting(self):
        self.ok("PUT", self.path, {}, **self.by(self.alice), status=204)
        said = {"to_user": self.alice.id, "client_id": "1", "text": "hello"}
        self.ok("POST", "/v1/messages", said, **self.by(self.bob), status=201)

        def listed(who):
            (head,) = self.ok("GET", "/v1/conversations", **self.by(who))["conversations"]
            return head["muted_until"], head["unread"]

        self.assertEqual(listed(self.alice), (FOREVER, 1))
        self.assertEqual(listed(self.bob), (0, 0))

    def test_what_is_told_to_devices(self):
        client, other = self.online("alice"), self.online("bob")
        self.ok("PUT", self.path, {"until": 1795440000000}, **self.by(self.alice), status=204)
        self.ok("DELETE", self.path, **self.by(self.alice), status=204)
        self.cluster.turn()
        told = [(one.conversation, one.until) for one in client.take("muted")]
        self.assertEqual(told, [(self.talk, 1795440000000), (self.talk, 0)])
        self.assertEqual(other.packets(), [])

    def test_refusals(self):
        self.problem("PUT", self.path, {}, status=401, code="unauthorized")
        self.problem("PUT", self.path, {}, key=KEY, status=403, code="forbidden")
        carol = self.user("carol")
        for name in (self.talk, "g:77"):
            path = f"/v1/conversations/{name}/mute"
            self.problem("PUT", path, {}, **self.by(carol), status=403, code="forbidden")
            self.problem("DELETE", path, **self.by(carol), status=404, code="not-found")
        for until in (0, -1, FOREVER + 1, "x", True, None):
            self.problem("PUT", self.path, {"until": until}, **self.by(self.alice), status=400, code="invalid")
        for number in range(MAX_MUTED_CONVERSATIONS):
            self.successResultOf(self.store.mutes.mute(self.alice.id, f"g:{5000 + number}", FOREVER))
        self.problem("PUT", self.path, {}, **self.by(self.alice), status=409, code="conflict")

    def test_what_is_stored_of_a_user_names_them(self):
        self.ok("PUT", self.path, {}, **self.by(self.alice), status=204)
        stored = self.ok("GET", f"/v1/admin/users/{self.alice.id}/stored", key=KEY)
        self.assertEqual(stored["muted"], [self.talk])


class TwoRoutesTests(APICase):
    routes = 2

    def test_a_user_who_was_deleted_just_now_leaves_none(self):
        alice = self.user("alice")
        self.ok("GET", "/v1/mutes", route=1, **self.by(alice))
        self.ok("DELETE", f"/v1/admin/users/{alice.id}", key=KEY, status=204)
        # Another route still takes the token where it reads.
        self.ok("GET", "/v1/mutes", route=1, **self.by(alice))
        path = "/v1/conversations/g:0/mute"
        self.problem("PUT", path, {}, route=1, **self.by(alice), status=401, code="unauthorized")
