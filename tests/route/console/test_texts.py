"""Tests of what the console shows of what people say: nothing, unless it is told to."""

from __future__ import annotations

from tests.route.console.console_case import ConsoleCase


class TextsCase(ConsoleCase):
    def setUp(self):
        super().setUp()
        self.alice, self.bob = self.user("alice"), self.user("bob")
        body = {"client_id": "c", "text": "the secret plan", "to_user": self.bob.id}
        self.ok("POST", "/v1/messages", body, **self.by(self.alice), status=201)
        self.talk = f"p:{self.alice.id}:{self.bob.id}"
        self.path = f"/v1/admin/users/{self.alice.id}/messages?conversation={self.talk}"
        self.enter()

    def shown(self):
        """Everything that the console can be asked about the two."""
        user = f"/v1/admin/users/{self.alice.id}"
        paths = (f"/v1/admin/conversations/{self.talk}", f"{user}/stored", f"{user}/conversations", f"{user}/sessions")
        answers = [self.ask("GET", path) for path in (*paths, "/v1/admin/status", "/v1/admin/figures")]
        self.assertEqual([status for status, _, _ in answers], [200] * 6)
        return str(answers)


class UnreadTests(TextsCase):
    def test_no_text(self):
        status, _, said = self.ask("GET", self.path)
        self.assertEqual(
            (status, said["detail"]),
            (403, "this console shows nothing that users said: it needs --console-reads-messages"),
        )
        self.assertNotIn("secret", self.shown())


class ReadTests(TextsCase):
    reads_messages = True

    def test_each_reading_is_logged(self):
        self.assertTrue(self.ask("GET", "/v1/console/session")[2]["session"]["reads_messages"])
        self.assertNotIn("secret", self.shown())
        self.assertEqual(len(self.audits()), 1)
        _, _, said = self.ask("GET", self.path)
        self.assertEqual(said["messages"][0]["text"], "the secret plan")
        self.assertEqual(
            self.audits()[1:], [f'audit: key "ops" at the console from 192.168.1.1: GET "{self.path}": 200']
        )
