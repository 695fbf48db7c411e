"""Tests of what back ends do for their own users: accounts, tokens, external ids."""

from __future__ import annotations

from cim.invitation_codes import AccountPolicy
from cim.model import SYSTEM, LoginPolicy
from cim.user_tokens import MOST
from tests.route.http.api_case import KEY, PASSWORD, APICase

ISSUER = "https://id.example.com"


class OwnUsersCase(APICase):
    """A cluster whose accounts a back end makes."""

    accounts = AccountPolicy.KEY
    policy = LoginPolicy.MANY

    def made(self, name="mary", external_id="m-1", status=201, **fields):
        body = {"name": name, "external_id": external_id, **fields}
        return self.ok("POST", "/v1/accounts", body, key=KEY, status=status)

    def token(self, user, status=201, **fields):
        return self.ok("POST", f"/v1/users/{user}/tokens", fields, key=KEY, status=status)

    def enter(self, token, **fields):
        """Log in with a token."""
        return self.ok("POST", "/v1/sessions", fields, token=token, status=201)


class OwnAccountsTests(OwnUsersCase):
    """Accounts with an external id."""

    def test_an_account_without_a_password(self):
        mary = self.made()
        self.assertEqual(mary["name"], "mary")
        for password in (PASSWORD, "x" * 8):
            body = {"id": mary["id"], "password": password}
            self.problem("POST", "/v1/sessions", body, status=401, code="unauthorized")
        self.problem("POST", "/v1/sessions", {"id": mary["id"], "password": ""}, status=400, code="invalid")

    def test_whoever_has_no_account_is_as_slow_and_no_wiser(self):
        mary = self.made()
        said = []
        for id in (mary["id"], mary["id"] + 1000):
            self.hashed.clear()
            said.append(
                self.problem("POST", "/v1/sessions", {"id": id, "password": PASSWORD}, status=401, code="unauthorized")
            )
            said[-1]["hashed"] = tuple(self.hashed)
        self.assertEqual(said[0], said[1])

    def test_the_same_id_is_the_same_account(self):
        mary = self.made()
        self.assertEqual(self.made(status=200), mary)
        self.assertEqual(self.made("other", status=200), mary)
        self.assertEqual(self.made("mary 2", "m-2")["name"], "mary 2")
        self.problem(
            "POST", "/v1/accounts", {"name": "Mary", "external_id": "m-3"}, key=KEY, status=409, code="conflict"
        )
        # An issuer calls somebody else so.
        self.assertNotEqual(self.made("mary 3", issuer=ISSUER)["id"], mary["id"])

    def test_it_may_have_a_password_too(self):
        mary = self.made(password=PASSWORD)
        self.assertEqual(self.log_in("mary")["user_id"], mary["id"])

    def test_only_an_api_key_gives_ids(self):
        body = {"name": "eve", "password": PASSWORD, "external_id": "m-1"}
        self.problem("POST", "/v1/accounts", body, status=403, code="forbidden")
        for body, field in (
            ({"name": "eve"}, "password"),
            ({"name": "eve", "password": PASSWORD, "issuer": ISSUER}, "external_id"),
            ({"name": "eve", "external_id": ""}, "external_id"),
            ({"name": "eve", "external_id": "x" * 256}, "external_id"),
            ({"name": "eve", "external_id": "a\nb"}, "external_id"),
            ({"name": "eve", "external_id": " a"}, "external_id"),
            ({"name": "eve", "external_id": 7}, "external_id"),
        ):
            problem = self.problem("POST", "/v1/accounts", body, key=KEY, status=400, code="invalid")
            self.assertEqual(problem["field"], field)

    def test_ids_are_found_linked_and_unlinked(self):
        mary = self.made()
        find = "/v1/admin/external-ids?external_id=m-1"
        self.assertEqual(self.ok("GET", find, key=KEY), mary)
        self.problem("GET", f"{find}&issuer={ISSUER}", key=KEY, status=404, code="not-found")
        ids = f"/v1/admin/users/{mary['id']}/external-ids"
        self.ok("PUT", ids, {"external_id": "mary@x", "issuer": ISSUER}, key=KEY, status=204)
        self.assertEqual(
            self.ok("GET", ids, key=KEY)["external_ids"],
            [{"external_id": "m-1", "issuer": ""}, {"external_id": "mary@x", "issuer": ISSUER}],
        )
        self.problem("PUT", ids, {"external_id": "x"}, key=KEY, status=409, code="conflict")
        other = self.made("other", "o-1")
        others = f"/v1/admin/users/{other['id']}/external-ids"
        body = {"external_id": "mary@x", "issuer": ISSUER}
        self.problem("PUT", others, body, key=KEY, status=409, code="conflict")
        token = self.token(mary["id"])["token"]
        client = self.connect_to(self.enter(token))
        self.ok("DELETE", ids, key=KEY, status=204)
        self.problem("DELETE", ids, key=KEY, status=404, code="not-found")
        self.problem("GET", find, key=KEY, status=404, code="not-found")
        # Whoever logged in by that is out.
        self.assertTrue(client.closed)
        self.problem("GET", "/v1/groups", token=token, status=401, code="unauthorized")

    def test_they_are_exported_and_go_with_the_account(self):
        mary = self.made()
        made = self.token(mary["id"], device="web", seconds=60)
        stored = self.ok("GET", f"/v1/admin/users/{mary['id']}/stored", key=KEY)
        self.assertEqual(stored["external_ids"], [{"external_id": "m-1", "issuer": ""}])
        self.assertEqual([one["id"] for one in stored["tokens"]], [made["id"]])
        self.assertNotIn(made["token"], str(stored))
        self.ok("DELETE", f"/v1/admin/users/{mary['id']}", key=KEY, status=204)
        self.problem("GET", "/v1/groups", token=made["token"], status=401, code="unauthorized")
        self.assertNotEqual(self.made()["id"], mary["id"])


class MadeTokensTests(OwnUsersCase):
    """Tokens that a back end makes."""

    def setUp(self):
        super().setUp()
        self.mary = self.made()["id"]

    def test_one_logs_in_and_makes_calls(self):
        made = self.token(self.mary)
        self.assertEqual((made["expires_in"], made["device"]), (12 * 3600, ""))
        self.assertEqual(made["scopes"], ["send", "read", "groups", "account"])
        self.ok("GET", "/v1/conversations", token=made["token"])
        login = self.enter(made["token"], device="phone")
        self.assertEqual((login["user_id"], login["name"], login["device"]), (self.mary, "mary", "phone"))
        client = self.connect_to(login)
        self.assertEqual(client.packets()[0].welcome.user_id, self.mary)
        self.ok("GET", "/v1/conversations", token=login["token"])

    def test_nothing_that_comes_of_it_ends_later(self):
        made = self.token(self.mary, seconds=100)
        login = self.enter(made["token"], device="phone")
        self.assertEqual(login["token_expires_in"], 100)
        client = self.connect_to(login)
        client.packets()
        for _ in range(6):
            self.cluster.pass_seconds(10)
            client.ping()
        login = self.enter(login["token"], device="tablet")
        left = login["token_expires_in"]
        self.assertLess(left, 41)
        self.assertGreater(left, 25)
        for _ in range(left - 3):
            self.cluster.pass_seconds(1)
            client.ping()
        self.assertFalse(client.closed)
        self.cluster.pass_seconds(4)
        self.assertEqual(client.packets()[-1].goodbye.code, "unauthorized")
        for token in (made["token"], login["token"]):
            self.problem("GET", "/v1/groups", token=token, status=401, code="unauthorized")
            self.problem("POST", "/v1/sessions", {}, token=token, status=401, code="unauthorized")

    def test_its_device(self):
        made = self.token(self.mary, device="web")
        self.assertEqual(self.enter(made["token"])["device"], "web")
        login = self.enter(made["token"], device="web")
        for token in (made["token"], login["token"]):
            self.problem("POST", "/v1/sessions", {"device": "phone"}, token=token, status=403, code="forbidden")

    def test_its_scopes_hold_for_what_comes_of_it(self):
        bob = self.made("bob", "b-1")["id"]
        made = self.token(self.mary, scopes=["read"])
        self.assertEqual(made["scopes"], ["read"])
        login = self.enter(made["token"], device="phone")
        again = self.enter(login["token"], device="phone")
        for token in (made["token"], login["token"], again["token"]):
            self.ok("GET", "/v1/conversations", token=token)
            body = {"to_user": bob, "text": "hi", "client_id": "1"}
            said = self.problem("POST", "/v1/messages", body, token=token, status=403, code="forbidden")
            self.assertIn("lacks the scope `send`", said["detail"])
            self.problem("DELETE", "/v1/token", token=token, status=403, code="forbidden")
        client = self.connect_to(again)
        client.packets()
        client.send(bob, "hi", "c")
        self.cluster.turn()
        (packet,) = client.packets()
        self.assertEqual((packet.failure.code, packet.failure.client_id), ("forbidden", "c"))

    def test_over_every_way_to_a_server(self):
        bob = self.made("bob", "b-1")["id"]
        made = self.token(self.mary, seconds=30, scopes=["read"])
        server = self.cluster.servers[0].own.name
        clients = []
        for way in ("", "cim.v1.protobuf", "cim.v1.json"):
            login = self.enter(made["token"], device=f"by {way}")
            client = self.cluster.open_native(server, way)
            client.hello(login["ticket"], login["device"])
            self.cluster.turn()
            self.assertEqual([packet.WhichOneof("body") for packet in client.packets()], ["welcome"])
            client.send(bob, "hi", "c")
            client.typing(bob)
            self.cluster.turn()
            self.assertEqual([packet.failure.code for packet in client.packets()], ["forbidden"] * 2)
            clients.append(client)
        for _ in range(31):
            self.cluster.pass_seconds(1)
            for client in clients:
                client.ping()
        for client in clients:
            self.assertEqual(client.packets()[-1].goodbye.code, "unauthorized")
        self.assertEqual(len(self.cluster.servers[0].sessions), 0)

    def test_one_that_may_not_read_opens_no_session(self):
        made = self.token(self.mary, scopes=["send"])
        self.problem("POST", "/v1/sessions", {}, token=made["token"], status=403, code="forbidden")

    def test_a_new_password_gives_no_more_either(self):
        self.ok("PUT", f"/v1/admin/users/{self.mary}/password", {"password": PASSWORD}, key=KEY, status=204)
        made = self.token(self.mary, seconds=100, scopes=["account"])
        body = {"password": PASSWORD, "new_password": "another password"}
        changed = self.ok("PUT", "/v1/password", body, token=made["token"])
        self.assertLessEqual(changed["token_expires_in"], 100)
        self.problem("GET", "/v1/groups", token=changed["token"], status=403, code="forbidden")
        self.ok("GET", f"/v1/users/{self.mary}/tokens", key=KEY)

    def test_they_are_listed_and_revoked_with_all_that_came_of_them(self):
        one, other = self.token(self.mary, seconds=600), self.token(self.mary, seconds=60, scopes=["read"])
        listed = self.ok("GET", f"/v1/users/{self.mary}/tokens", key=KEY)["tokens"]
        self.assertEqual([token["id"] for token in listed], [other["id"], one["id"]])
        self.assertEqual(listed[0]["ends"] - listed[0]["made"], 60_000)
        self.assertEqual(listed[0]["scopes"], ["read"])
        self.assertNotIn("token", listed[0])
        login = self.enter(one["token"], device="phone")
        client = self.connect_to(login)
        again = self.enter(login["token"], device="tablet")
        second = self.connect_to(again)
        kept = self.connect_to(self.enter(other["token"], device="web"))
        path = f"/v1/users/{self.mary}/tokens/{one['id']}"
        self.ok("DELETE", path, key=KEY, status=204)
        self.assertEqual([client.closed, second.closed, kept.closed], [True, True, False])
        self.assertEqual(client.packets()[-1].goodbye.code, "logged-out")
        for token in (one["token"], login["token"], again["token"]):
            self.problem("GET", "/v1/groups", token=token, status=401, code="unauthorized")
            self.problem("POST", "/v1/sessions", {}, token=token, status=401, code="unauthorized")
        self.ok("GET", "/v1/conversations", token=other["token"])
        self.problem("DELETE", path, key=KEY, status=404, code="not-found")
        self.problem("DELETE", f"/v1/users/{self.mary}/tokens/none", key=KEY, status=404, code="not-found")

    def test_one_that_is_revoked_while_it_logs_in_leaves_no_session(self):
        made = self.token(self.mary)
        logins = self.cluster.routes[0].logins
        admit = logins.login_native

        async def meanwhile(account, device, bounds):
            admission = await admit(account, device, bounds)
            await self.store.user_tokens.revoke(self.mary, made["id"])
            return admission

        logins.login_native = meanwhile
        self.problem("POST", "/v1/sessions", {}, token=made["token"], status=401, code="unauthorized")
        self.assertEqual(self.successResultOf(self.store.sessions.sessions(self.mary)), [])

    def test_a_log_out_ends_them_all(self):
        made = self.token(self.mary)
        self.ok("POST", f"/v1/admin/users/{self.mary}/logout", key=KEY, status=204)
        self.problem("GET", "/v1/groups", token=made["token"], status=401, code="unauthorized")
        self.ok("GET", "/v1/groups", token=self.token(self.mary)["token"])

    def test_who_is_blocked_gets_none(self):
        made = self.token(self.mary)
        self.ok("PUT", f"/v1/admin/users/{self.mary}/suspension", key=KEY, status=204)
        self.problem("GET", "/v1/groups", token=made["token"], status=401, code="unauthorized")
        self.problem("POST", f"/v1/users/{self.mary}/tokens", {}, key=KEY, status=403, code="suspended")

    def test_who_cannot_have_one(self):
        guest = self.successResultOf(self.store.accounts.register("guest"))
        self.problem("POST", f"/v1/users/{guest.id}/tokens", {}, key=KEY, status=409, code="conflict")
        self.problem("POST", f"/v1/users/{guest.id + 999}/tokens", {}, key=KEY, status=404, code="not-found")
        self.problem("GET", f"/v1/users/{guest.id + 999}/tokens", key=KEY, status=404, code="not-found")

    def test_nobody_is_the_system_user(self):
        system = self.successResultOf(self.store.credentials.create("System", SYSTEM)).id
        self.problem("POST", f"/v1/users/{system}/tokens", {}, key=KEY, status=409, code="conflict")
        ids = f"/v1/admin/users/{system}/external-ids"
        self.problem("PUT", ids, {"external_id": "s"}, key=KEY, status=409, code="conflict")
        self.assertEqual(self.ok("GET", ids, key=KEY)["external_ids"], [])

    def test_values_that_cannot_be(self):
        path = f"/v1/users/{self.mary}/tokens"
        for fields in (
            {"seconds": 0},
            {"seconds": 366 * 86400 + 1},
            {"seconds": "60"},
            {"device": ""},
            {"device": "guest"},
            {"scopes": []},
            {"scopes": ["read", "fly"]},
            {"scopes": ["admin"]},
            {"scopes": "read"},
            {"scopes": [None]},
            {"user": 7},
        ):
            self.problem("POST", path, fields, key=KEY, status=400, code="invalid")
        self.assertEqual(self.ok("GET", path, key=KEY)["tokens"], [])

    def test_nobody_else_makes_one(self):
        token = self.token(self.mary)["token"]
        path = f"/v1/users/{self.mary}/tokens"
        for options in ({"token": token}, {}):
            status, _, _ = self.call("POST", path, {}, **options)
            self.assertEqual(status, 403 if options else 401)

    def test_a_user_has_so_many(self):
        for _ in range(MOST):
            self.token(self.mary)
        self.problem("POST", f"/v1/users/{self.mary}/tokens", {}, key=KEY, status=409, code="conflict")
