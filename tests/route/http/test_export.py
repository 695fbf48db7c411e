"""Tests of reading all that is stored about somebody."""

from __future__ import annotations

from urllib.parse import urlencode

from tests.route.http.api_case import KEY, APICase


class ExportTests(APICase):
    def setUp(self):
        super().setUp()
        self.alice, self.bob, self.carol = (self.user(name) for name in ("alice", "bob", "carol"))
        self.talk = f"p:{self.alice.id}:{self.bob.id}"
        self.group = self.ok("POST", "/v1/groups", {"name": "friends"}, **self.by(self.bob), status=201)["id"]
        self.ok("PUT", f"/v1/groups/{self.group}/members/{self.alice.id}", key=KEY, status=201)

    def say(self, account, text, **fields):
        body = {"client_id": f"c-{next(self.ids)}", "text": text, **fields}
        self.ok("POST", "/v1/messages", body, **self.by(account), status=201)

    def read(self, account, what, **query):
        return self.ok("GET", f"/v1/admin/users/{account.id}/{what}?{urlencode(query)}", key=KEY)

    def texts(self, account, conversation):
        texts, after = [], ""
        while after is not None:
            page = self.read(account, "messages", conversation=conversation, after=after)
            texts += [one["text"] for one in page["messages"]]
            after = page["more"]
        return texts

    def test_what_is_stored(self):
        self.ok("PUT", f"/v1/blocks/{self.carol.id}", **self.by(self.alice), status=204)
        other = self.ok("POST", "/v1/groups", {"name": "others"}, **self.by(self.bob), status=201)["id"]
        self.ok("PUT", f"/v1/groups/{other}/members/{self.alice.id}", **self.by(self.bob), status=202)
        stored = self.read(self.alice, "stored")
        self.assertEqual((stored["id"], stored["name"], stored["password"]), (self.alice.id, "alice", True))
        self.assertEqual(stored["groups"], [{"group": self.group, "role": "member", "muted": None}])
        self.assertEqual(stored["group_bans"], [])
        self.assertEqual([(one["group"], one["by"]) for one in stored["invitations"]], [(other, self.bob.id)])
        self.assertEqual(stored["blocked"], [self.carol.id])
        self.assertEqual([one["device"] for one in stored["sessions"]], ["api"])

    def test_messages(self):
        self.say(self.alice, "hello", to_user=self.bob.id)
        self.say(self.bob, "hi", to_user=self.alice.id)
        self.say(self.bob, "hi, too", to_user=self.carol.id)
        found = self.read(self.alice, "conversations")
        self.assertEqual((found["conversations"], found["more"]), ([self.talk], None))
        self.assertEqual(self.texts(self.alice, self.talk), ["hello", "hi"])
        self.assertEqual(self.texts(self.alice, f"p:{self.bob.id}:{self.carol.id}"), [])

    def test_a_group_that_was_left(self):
        """Only what the user said: the rest is not the user's any more."""
        self.say(self.alice, "hello", to_group=self.group)
        self.say(self.bob, "hi", to_group=self.group)
        self.assertEqual(self.texts(self.alice, f"g:{self.group}"), ["hello", "hi"])
        self.ok("DELETE", f"/v1/groups/{self.group}/members/{self.alice.id}", **self.by(self.alice), status=204)
        self.assertEqual(self.read(self.alice, "conversations")["conversations"], [f"g:{self.group}"])
        self.assertEqual(self.texts(self.alice, f"g:{self.group}"), ["hello"])

    def test_nobody(self):
        self.problem("GET", "/v1/admin/users/77/stored", key=KEY, status=404, code="not-found")
        self.assertEqual(self.ok("GET", "/v1/admin/users/77/conversations", key=KEY)["conversations"], [])

    def test_only_operators(self):
        for what in ("stored", "conversations", f"messages?conversation={self.talk}"):
            path = f"/v1/admin/users/{self.alice.id}/{what}"
            self.problem("GET", path, status=401, code="unauthorized")
            self.problem("GET", path, **self.by(self.alice), status=403, code="forbidden")
