"""Tests of the audit of what API keys do at the API."""

from __future__ import annotations

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher

from cim.api_keys import Scope, line_of
from cim.route.http.api import APIS
from cim.web.declaring import calls_of
from tests.route.http.api_case import KEY, PASSWORD, APICase


class AuditTests(APICase):
    keys = (line_of(KEY, "ops", Scope), f"{KEY}-unnamed", line_of(f"{KEY}-read", "reader", [Scope.READ]))

    def setUp(self):
        super().setUp()
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def audits(self):
        return [line for event in self.logged if (line := formatEvent(event)).startswith("audit: ")]

    def test_which_calls(self):
        """What changes something, or shows what users said, but for messages that are sent."""
        audited = {call.name for api in APIS for call in calls_of(api).values() if call.audited}
        self.assertEqual(
            audited,
            {
                *("create_account", "log_out_user", "close_session", "reset_password", "delete_user", "erase"),
                *("make_reset_code", "put_member", "edit_any_group", "delete_group", "remove_any_member"),
                *("make_invitation_code", "revoke_invitation_code", "messages_of", "suspend", "resume"),
                *("ban", "unban", "mute_user", "unmute_user"),
                *("mute_group", "unmute_group", "mute_member", "unmute_member", "change_members"),
                *("ban_from_group", "unban_from_group"),
                *("make_token", "revoke_token", "link", "unlink"),
                *("reports", "read_report", "close_report", "delete_message", "broadcast"),
                *("replay_webhook", "skip_webhook"),
            },
        )

    def test_who_what_and_whom(self):
        alice = self.ok("POST", "/v1/accounts", {"name": "alice", "password": PASSWORD}, key=KEY, status=201)["id"]
        self.ok("POST", f"/v1/admin/users/{alice}/logout", key=f"{KEY}-unnamed", status=204)
        self.ok("DELETE", f"/v1/admin/users/{alice}", token=KEY, status=204)
        place = "at the API from 192.168.1.1"
        self.assertEqual(
            self.audits(),
            [
                f'audit: key "ops" {place}: POST "/v1/accounts": 201, id {alice}',
                f'audit: key without a name (sha256 dc4a39f48a51) {place}: POST "/v1/admin/users/{alice}/logout": 204',
                f'audit: key "ops" {place}: DELETE "/v1/admin/users/{alice}": 204',
            ],
        )
        self.assertNotIn(PASSWORD, " ".join(map(str, self.logged)))

    def test_reading_and_sending_are_not_logged(self):
        alice, bob = self.account("alice"), self.account("bob")
        self.ok("GET", "/v1/admin/users", key=KEY)
        self.ok("GET", "/v1/admin/status", key=KEY)
        self.call("POST", "/v1/messages", {"as": alice.id, "to_user": bob.id, "text": "hi", "client_id": "1"}, key=KEY)
        self.problem("DELETE", f"/v1/admin/users/{bob.id}", key=f"{KEY}-read", status=403, code="forbidden")
        self.assertEqual(self.audits(), [])

    def test_reading_what_users_said_is(self):
        alice, bob = self.account("alice"), self.account("bob")
        path = f"/v1/admin/users/{alice.id}/messages"
        talk = f"{path}?conversation=p:{alice.id}:{bob.id}"
        self.ok("GET", talk, key=KEY)
        self.problem("GET", f"{path}?token=secret", key=KEY, status=400, code="invalid")
        place = "at the API from 192.168.1.1"
        self.assertEqual(
            self.audits(),
            [f'audit: key "ops" {place}: GET "{talk}": 200', f'audit: key "ops" {place}: GET "{path}": 400'],
        )
