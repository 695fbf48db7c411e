"""Tests of who may make accounts, and of the invitations that let people make them."""

from __future__ import annotations

from cim.invitation_codes import AccountPolicy, id_of
from cim.route.http.invitation_codes import USUAL_SECONDS
from tests.route.http.api_case import KEY, PASSWORD, APICase

INVITATIONS = "/v1/admin/invitations"
#: Wrong invitations at once from an address, and seconds until one more is looked at.
BURST, SECONDS = 20, 10


class InvitedCase(APICase):
    accounts = AccountPolicy.INVITED

    def invite(self, **fields):
        return self.ok("POST", INVITATIONS, fields, key=KEY, status=201)

    def listed(self):
        return self.ok("GET", INVITATIONS, key=KEY)["invitations"]

    def body(self, name, **more):
        return {"name": name, "password": PASSWORD, **more}

    def made(self, name, **options):
        """Make an account, and return the status and the code of the answer."""
        key = options.pop("key", None)
        headers = options.pop("headers", ())
        status, _, said = self.call("POST", "/v1/accounts", self.body(name, **options), key=key, headers=headers)
        return status, said.get("code")


class InvitedTests(InvitedCase):
    def test_it_says_what_is_needed(self):
        problem = self.problem("POST", "/v1/accounts", self.body("alice"), status=403, code="invitation-needed")
        self.assertIn("ask an operator", problem["detail"])
        self.assertIsNone(self.successResultOf(self.store.accounts.named("alice")))

    def test_with_an_invitation(self):
        invitation = self.invite(uses=2, note="for 张三")
        self.assertRegex(invitation["code"], "^[a-z2-7]{26}$")
        self.assertEqual(self.made("alice", invitation=invitation["code"]), (201, None))
        # As people type it.
        self.assertEqual(
            self.made("bob", invitation=f" {invitation['code'].upper()[:8]}-{invitation['code'][8:]} "), (201, None)
        )
        self.assertEqual(self.made("carol", invitation=invitation["code"]), (403, "invitation-needed"))
        (shown,) = self.listed()
        self.assertEqual((shown["uses"], shown["used"], shown["note"]), (2, 2, "for 张三"))
        self.assertEqual(shown["expires"] - shown["made"], USUAL_SECONDS * 1000)
        self.log_in("alice")

    def test_its_code_is_stored_nowhere(self):
        code = self.invite()["code"]
        dump = "".join(self.store.database.iterdump())
        self.assertIn(id_of(code), dump)
        self.assertNotIn(code, dump)

    def test_a_taken_name_uses_nothing_up(self):
        code = self.invite()["code"]
        self.cluster.account("alice")
        self.assertEqual(self.made("alice", invitation=code), (409, "conflict"))
        self.assertEqual(self.listed()[0]["used"], 0)
        self.assertEqual(self.made("bob", invitation=code), (201, None))

    def test_without_one_nobody_learns_which_names_are_taken(self):
        self.cluster.account("alice")
        for name in ("alice", "bob"):
            self.assertEqual(self.made(name), (403, "invitation-needed"))
            self.assertEqual(self.made(name, invitation="wrong"), (403, "invitation-needed"))
        self.assertNotIn("hash", self.hashed)

    def test_it_expires_and_is_revoked(self):
        short, revoked = self.invite(expires_in=60), self.invite()
        self.ok("DELETE", f"{INVITATIONS}/{revoked['id']}", key=KEY, status=204)
        self.problem("DELETE", f"{INVITATIONS}/{revoked['id']}", key=KEY, status=404, code="not-found")
        self.clock.advance(61)
        for code in (short["code"], revoked["code"]):
            self.assertEqual(self.made("alice", invitation=code), (403, "invitation-needed"))
        self.assertEqual(self.listed(), [])

    def test_guessing_is_limited_by_address(self):
        code = self.invite(uses=100)["code"]
        for number in range(BURST):
            self.assertEqual(self.made(f"u{number}", invitation=f"guess {number}"), (403, "invitation-needed"))
            # The right one takes nothing.
            if number % 5 == 0:
                self.assertEqual(self.made(f"right {number}", invitation=code), (201, None))
        problem, headers = self.refused("alice", code)
        self.assertEqual(int(headers["Retry-After"]), SECONDS)
        self.assertIn("not valid", problem["detail"])
        elsewhere = ["X-Forwarded-For: 10.9.9.9"]
        self.assertEqual(self.made("bob", invitation=code, headers=elsewhere), (201, None))
        self.clock.advance(SECONDS)
        self.assertEqual(self.made("alice", invitation=code), (201, None))

    def refused(self, name, code):
        status, headers, said = self.call("POST", "/v1/accounts", self.body(name, invitation=code))
        self.assertEqual(status, 429)
        return said, headers

    def test_a_store_that_is_away_counts_nothing(self):
        code = self.invite()["code"]
        self.store.available = False
        for _ in range(BURST + 1):
            self.assertEqual(self.made("alice", invitation=code)[0], 503)
        self.store.available = True
        self.assertEqual(self.made("alice", invitation=code), (201, None))

    def test_back_ends_need_none(self):
        self.assertEqual(self.made("alice", key=KEY), (201, None))
        self.assertEqual(self.made("bob", key="wrong"), (401, "unauthorized"))
        self.assertEqual(self.made("bob", headers=["Authorization: Bearer of-nobody"]), (403, "invitation-needed"))

    def test_only_back_ends_invite(self):
        self.made("alice", key=KEY)
        token = self.log_in("alice")["token"]
        for method, path, body in (
            ("POST", INVITATIONS, {}),
            ("GET", INVITATIONS, None),
            ("DELETE", f"{INVITATIONS}/{self.invite()['id']}", None),
        ):
            self.problem(method, path, body, status=401, code="unauthorized")
            self.problem(method, path, body, token=token, status=403, code="forbidden")
        self.assertEqual(len(self.listed()), 1)


class KeyTests(InvitedCase):
    accounts = AccountPolicy.KEY

    def test_only_back_ends_make_accounts(self):
        code = self.invite()["code"]
        for invitation in ("", code):
            self.assertEqual(self.made("alice", invitation=invitation), (403, "accounts-closed"))
        self.assertEqual(self.made("alice", key=KEY), (201, None))


class OpenTests(InvitedCase):
    accounts = AccountPolicy.OPEN

    def test_an_invitation_is_not_used_up(self):
        code = self.invite()["code"]
        self.assertEqual(self.made("alice", invitation=code), (201, None))
        self.assertEqual(self.listed()[0]["used"], 0)
