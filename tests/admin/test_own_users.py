"""Tests of the commands about tokens and external ids, on a route in memory."""

from __future__ import annotations

from twisted.python.usage import UsageError

from tests.admin.test_commands import CommandCase

ISSUER = "https://id.example.com"


class OwnUsersTests(CommandCase):
    def setUp(self):
        super().setUp()
        _, told = self.run_command("users", "make", "mary", "--external-id", "m-1")
        self.assertIn("mary (", told)
        self.mary = self.rows("users", "show", "mary")[0]["id"]

    def test_external_ids(self):
        self.run_command("users", "link", "mary", "mary@x", "--issuer", ISSUER)
        heading, first, second = self.run_command("users", "links", "mary")[0].splitlines()
        self.assertEqual(heading.split(), ["EXTERNAL", "ID", "ISSUER"])
        self.assertEqual([first.split(), second.split()], [["m-1"], ["mary@x", ISSUER]])
        self.assertEqual(self.run_command("users", "find", "m-1")[0], f"mary ({self.mary})\n")
        (found,) = self.rows("users", "find", "mary@x", "--issuer", ISSUER)
        self.assertEqual(found, {"id": self.mary, "name": "mary"})
        self.assertIn("no account", self.failing("users", "find", "mary@x"))
        self.assertIn("another external id", self.failing("users", "link", "mary", "other"))
        _, told = self.run_command("users", "unlink", str(self.mary), "--id", "--issuer", ISSUER)
        self.assertIn("all sessions have ended", told)
        self.assertIn("no external id", self.failing("users", "unlink", "mary", "--issuer", ISSUER))
        self.run_command("users", "unlink", "mary")
        self.assertEqual(self.rows("users", "links", "mary"), [])

    def test_tokens(self):
        options = ("--seconds", "60", "--device", "web", "--scopes", "read,send")
        text, told = self.run_command("users", "token", "mary", *options)
        token = text.strip()
        self.assertNotIn(token, told)
        login = self.ok("POST", "/v1/sessions", {}, token=token, status=201)
        self.assertEqual((login["user_id"], login["device"]), (self.mary, "web"))
        (listed,) = self.rows("users", "tokens", "mary")
        self.assertEqual((listed["device"], listed["scopes"]), ("web", ["send", "read"]))
        self.assertIn(listed["id"], told)
        self.assertIn(" UTC  web     send read", self.run_command("users", "tokens", "mary")[0])
        client = self.connect_to(login)
        self.run_command("users", "revoke-token", "mary", listed["id"])
        self.assertTrue(client.closed)
        self.problem("GET", "/v1/groups", token=token, status=401, code="unauthorized")
        self.assertIn("no such token", self.failing("users", "revoke-token", "mary", listed["id"]))
        (made,) = self.rows("users", "token", "mary")
        self.assertEqual((made["expires_in"], len(made["scopes"])), (3600, 4))

    def test_what_cannot_be(self):
        for arguments in (
            ("users", "make", "zoe", "--issuer", ISSUER),
            ("users", "token", "mary", "--scopes", "fly"),
            ("users", "token", "mary", "--seconds", "0"),
            ("users", "revoke-token", "mary"),
            ("users", "revoke-token", "mary", "../x"),
            ("users", "link", "mary"),
            ("users", "find"),
        ):
            self.assertRaises(UsageError, self.started, *arguments)
