"""Tests of what operators see of a conversation without reading it."""

from __future__ import annotations

from tests.route.http.api_case import KEY, APICase


class ConversationTests(APICase):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")

    def say(self, account, text, **fields):
        body = {"client_id": f"c-{next(self.ids)}", "text": text, **fields}
        return self.ok("POST", "/v1/messages", body, **self.by(account), status=201)["position"]

    def facts(self, name):
        return self.ok("GET", f"/v1/admin/conversations/{name}", key=KEY)

    def test_two_people(self):
        talk = f"p:{self.alice.id}:{self.bob.id}"
        both = [{"id": self.alice.id, "name": "alice"}, {"id": self.bob.id, "name": "bob"}]
        empty = self.facts(talk)
        self.assertEqual(empty, {"conversation": talk, "users": both, "group": None, "oldest": None, "newest": None})
        first = self.say(self.alice, "the secret plan", to_user=self.bob.id)
        self.say(self.alice, "more of it", to_user=self.bob.id)
        last = self.say(self.bob, "agreed", to_user=self.alice.id)
        found = self.facts(talk)
        self.assertEqual((found["oldest"]["position"], found["oldest"]["sender"]), (first, self.alice.id))
        self.assertEqual((found["newest"]["position"], found["newest"]["sender"]), (last, self.bob.id))
        for said in ("secret", "more", "agreed"):
            self.assertNotIn(said, str(found))
        self.ok("DELETE", f"/v1/admin/users/{self.bob.id}", key=KEY, status=204)
        self.assertEqual(self.facts(talk)["users"], [both[0], {"id": self.bob.id, "name": ""}])

    def test_a_group(self):
        group = self.ok("POST", "/v1/groups", {"name": "friends"}, **self.by(self.alice), status=201)
        self.say(self.alice, "hello", to_group=group["id"])
        found = self.facts(f"g:{group['id']}")
        self.assertEqual((found["users"], found["group"]), ([], group))
        self.assertEqual(found["newest"]["sender"], self.alice.id)

    def test_everyone(self):
        found = self.facts("g:0")
        self.assertEqual((found["users"], found["group"], found["newest"]), ([], None, None))

    def test_which_are_none(self):
        self.problem("GET", "/v1/admin/conversations/g:77", key=KEY, status=404, code="not-found")
        for name in ("x", "p:2:1", "g:-1", "p:1"):
            self.problem("GET", f"/v1/admin/conversations/{name}", key=KEY, status=400, code="invalid")

    def test_only_with_a_key(self):
        self.problem("GET", "/v1/admin/conversations/g:0", status=401, code="unauthorized")
        self.problem("GET", "/v1/admin/conversations/g:0", **self.by(self.alice), status=403, code="forbidden")
