"""Tests of accounts that operators keep from logging in, by the calls of before bans had an end."""

from __future__ import annotations

from tests.route.http.api_case import KEY, PASSWORD, APICase


class SuspensionTests(APICase):
    def setUp(self):
        super().setUp()
        self.alice = self.account("alice")
        self.path = f"/v1/admin/users/{self.alice.id}"

    def suspend(self):
        self.ok("PUT", f"{self.path}/suspension", key=KEY, status=204)

    def refused(self, password=PASSWORD):
        return self.problem(
            "POST", "/v1/sessions", {"name": "alice", "password": password}, status=403, code="suspended"
        )

    def test_nobody_gets_in_or_stays(self):
        token = self.log_in("alice", device="laptop")["token"]
        reserved = self.log_in("alice", device="tablet")
        client = self.online("alice")
        self.suspend()
        self.assertEqual([packet.WhichOneof("body") for packet in client.packets()][-1], "goodbye")
        self.refused()
        self.problem("POST", "/v1/sessions", {}, token=token, status=401, code="unauthorized")
        self.problem("GET", "/v1/sessions", token=token, status=401, code="unauthorized")
        self.assertEqual([one.WhichOneof("body") for one in self.connect_to(reserved).packets()], ["goodbye"])
        self.assertEqual(self.ok("GET", f"{self.path}/sessions", key=KEY)["sessions"], [])

    def test_only_its_owner_is_told(self):
        self.suspend()
        wrong = {"name": "alice", "password": "wrong wrong"}
        told = self.problem("POST", "/v1/sessions", wrong, status=401, code="unauthorized")
        other = self.problem("POST", "/v1/sessions", {**wrong, "name": "bob"}, status=401, code="unauthorized")
        self.assertEqual(told, other)
        self.assertIn("banned for good by an operator", self.refused()["detail"])

    def test_a_new_password_does_not_help(self):
        self.suspend()
        code = self.ok("POST", f"{self.path}/reset-code", key=KEY, status=201)["code"]
        self.ok("POST", "/v1/password-resets", {"code": code, "password": "staple of batteries"})
        self.refused("staple of batteries")
        self.ok("PUT", f"{self.path}/password", {"password": "another staple"}, key=KEY, status=204)
        self.refused("another staple")

    def test_being_let_in_again(self):
        token = self.log_in("alice", device="laptop")["token"]
        self.suspend()
        self.ok("DELETE", f"{self.path}/suspension", key=KEY, status=204)
        self.online("alice")
        # What was void stays so.
        self.problem("GET", "/v1/sessions", token=token, status=401, code="unauthorized")
        self.problem("DELETE", f"{self.path}/suspension", key=KEY, status=404, code="not-found")

    def test_it_is_shown(self):
        self.account("bob")
        self.suspend()
        listed = self.ok("GET", "/v1/admin/users", key=KEY)["users"]
        self.assertEqual({one["name"]: one["suspended"] for one in listed}, {"alice": True, "bob": False})
        self.assertTrue(self.ok("GET", f"{self.path}/stored", key=KEY)["suspended"])

    def test_who_cannot_be(self):
        guest = self.successResultOf(self.store.accounts.register("guest"))
        self.problem("PUT", f"/v1/admin/users/{guest.id}/suspension", key=KEY, status=409, code="conflict")
        for id in (guest.id + 50, 7):
            self.problem("PUT", f"/v1/admin/users/{id}/suspension", key=KEY, status=404, code="not-found")
        token = self.log_in("alice")["token"]
        self.problem("PUT", f"{self.path}/suspension", token=token, status=403, code="forbidden")

    def test_one_that_comes_while_a_login_is_made(self):
        """The login had looked at the password before."""
        hash = self.store.credentials.credential
        self.patch(self.store.credentials, "credential", self.then_suspended(hash))
        said = self.problem(
            "POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=401, code="unauthorized"
        )
        self.assertIn("has changed", said["detail"])
        self.assertEqual(self.ok("GET", f"{self.path}/sessions", key=KEY)["sessions"], [])

    def then_suspended(self, credential):
        def looking(user):
            found = credential(user)
            self.patch(self.store.credentials, "credential", credential)
            self.successResultOf(self.store.credentials.ban(user, 5))
            return found

        return looking
