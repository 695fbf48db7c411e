"""Tests of the commands with which operators moderate."""

from __future__ import annotations

from twisted.python.usage import UsageError

from cim.errors import date_of
from tests.admin.test_commands import CommandCase
from tests.route.http.api_case import KEY


class ModerationTests(CommandCase):
    def said(self, text="buy\tthis\n\x1b[31m"):
        """Have bob say something to alice, who reports it; return the position and the report's id."""
        self.alice, self.bob = self.user("alice"), self.user("bob")
        self.talk = f"p:{self.alice.id}:{self.bob.id}"
        message = {"to_user": self.alice.id, "client_id": "a", "text": text}
        position = self.ok("POST", "/v1/messages", message, status=201, **self.by(self.bob))["position"]
        report = {"conversation": self.talk, "position": position, "reason": "spam"}
        return position, self.ok("POST", "/v1/reports", report, status=201, **self.by(self.alice))["id"]

    def misused(self, *arguments):
        with self.assertRaises(UsageError):
            self.started(*arguments)

    def test_banning(self):
        alice = self.account("alice")
        self.assertEqual(self.failing("ban", "alice"), f"ban alice ({alice.id})? Say so with --yes")
        _, told = self.run_command("ban", "alice", "--minutes", "60", "--reason", "spam", "--yes")
        [listed] = self.ok("GET", "/v1/admin/users?prefix=alice", key=KEY)["users"]
        # As she is told it herself.
        self.assertEqual(told, f"alice ({alice.id}) is banned until {date_of(listed['ban']['until'])}\n")
        self.assertRegex(self.run_command("users", "list")[0], rf"(?m)^alice +{alice.id}  banned *$")
        _, told = self.run_command("unban", "alice")
        self.assertEqual(told, f"alice ({alice.id}) may log in again\n")
        self.assertIn("not banned", self.failing("unban", "alice"))
        (made,) = self.rows("ban", "--id", str(alice.id), "--yes")
        self.assertEqual((made["id"], made["until"], made["reason"]), (alice.id, None, ""))

    def test_muting(self):
        alice = self.account("alice")
        _, told = self.run_command("mute", "alice")
        self.assertEqual(told, f"alice ({alice.id}) is muted for good\n")
        self.assertRegex(self.run_command("users", "list")[0], rf"(?m)^alice +{alice.id}  password, muted *$")
        _, told = self.run_command("unmute", "alice")
        self.assertEqual(told, f"alice ({alice.id}) may speak again\n")
        self.assertIn("not muted", self.failing("unmute", "alice"))

    def test_reports(self):
        position, report = self.said()
        text, _ = self.run_command("reports", "list")
        self.assertRegex(text, rf"(?m)^{report}  20\d\d-.* UTC  alice  bob +spam +buy this ")
        self.assertNotIn("\x1b", text)
        text, _ = self.run_command("reports", "show", str(report))
        self.assertIn(f"{self.talk} {position}", text)
        self.assertNotIn("\x1b", text)
        (row,) = self.rows("reports", "show", str(report))
        self.assertEqual(row["text"], "buy\tthis\n\x1b[31m")
        self.assertEqual(self.rows("reports", "list", "--sender", str(self.alice.id)), [])
        _, told = self.run_command("reports", "close", str(report), "--note", "was warned")
        self.assertEqual(told, f"report {report} is closed\n")
        self.assertEqual(self.rows("reports", "list"), [])
        (row,) = self.rows("reports", "list", "--closed")
        self.assertEqual(row["note"], "was warned")
        self.assertEqual(self.failing("reports", "show", str(report + 1)), "there is no such report")
        self.misused("reports", "show", "x")

    def test_deleting_a_message(self):
        position, _ = self.said()
        asked = f"delete the message {position} in {self.talk} for all? Say so with --yes"
        self.assertEqual(self.failing("delete-message", self.talk, position), asked)
        self.run_command("delete-message", self.talk, position, "--yes")
        page = self.ok("GET", f"/v1/conversations/{self.talk}/messages", **self.by(self.alice))
        self.assertEqual([one["text"] for one in page["messages"]], ["", ""])
        for given in ((self.talk,), ("x", position), (self.talk, "x")):
            self.misused("delete-message", *given)

    def test_broadcasting(self):
        alice = self.user("alice")
        _, told = self.run_command("broadcast", "We are back.", "--to-user", str(alice.id), "--client-id", "a")
        self.assertRegex(told, rf"^said in p:{alice.id}:\d+ at \d+-1\n$")
        (said,) = self.rows("broadcast", "We are back.")
        self.assertEqual(said["conversation"], "g:0")
        self.misused("broadcast", "x", "--to-user", "5", "--to-group", "7")
        self.misused("broadcast")
