"""What a new password ends: all sessions, tokens and tickets but the caller's session (docs/security.md)."""

from __future__ import annotations

import jwt

from twisted.internet.defer import fail, succeed

from cim.errors import StoreUnavailable, Unavailable
from cim.model import LoginPolicy
from cim.route.http.passwords import Passwords
from cim.route.http.tokens import KEPT_SECONDS
from cim.signed import sign
from tests.route.http.api_case import KEY, PASSWORD, APICase

ANOTHER = "another password"
CHANGE = {"password": PASSWORD, "new_password": ANOTHER}


class NewPasswordTests(APICase):
    """Tests in a cluster of two servers and two routes, with alice on three devices."""

    servers = 2
    routes = 2
    policy = LoginPolicy.MANY

    #: What happens while the next new password is hashed.
    meanwhile = None

    def run_now(self, function, *args):
        meanwhile = self.meanwhile if function.__name__ == "hash" else None
        if meanwhile is not None:
            self.meanwhile = None
            meanwhile()
        return super().run_now(function, *args)

    def setUp(self):
        super().setUp()
        self.alice = self.account("alice")
        self.logins = {
            device: self.log_in("alice", device=device, route=at % 2)
            for at, device in enumerate(("phone", "desk", "watch"))
        }
        self.clients = {device: self.connect_to(login) for device, login in self.logins.items()}
        for client in self.clients.values():
            client.packets()

    def change(self, *, token="", route=0):
        """Change the password by the token of the phone, or another one, and return the answer."""
        return self.ok("PUT", "/v1/password", CHANGE, token=token or self.logins["phone"]["token"], route=route)

    def going_on(self):
        """Return the devices whose sessions go on."""
        return {device for device, client in self.clients.items() if not client.closed}

    def server_of(self, device):
        port = self.logins[device]["server"]["tcp_port"]
        return next(server for server in self.cluster.servers if f":{port}:" in server.own.name)

    def refused(self, login):
        client = self.connect_to(login)
        self.assertNotIn("welcome", [packet.WhichOneof("body") for packet in client.packets()])
        self.assertTrue(client.closed)

    def test_all_other_sessions_end_at_all_servers(self):
        self.assertEqual(len({login["server"]["tcp_port"] for login in self.logins.values()}), 2)
        self.change()
        self.assertEqual(self.going_on(), {"phone"})
        for device in ("desk", "watch"):
            self.assertEqual([body.code for body in self.clients[device].bodies()], ["logged-out"])
        sessions = self.successResultOf(self.store.sessions.sessions(self.alice.id))
        self.assertEqual([session.device for session in sessions], ["phone"])

    def test_the_answer_has_a_token_that_goes_on(self):
        said = self.change(route=1)
        self.assertEqual(said["token_expires_in"], 12 * 3600)
        for route in (0, 1):
            self.ok("GET", "/v1/sessions", token=said["token"], route=route)
        # It belongs to the same session, so that one outlives the next change, too.
        self.ok("PUT", "/v1/password", {"password": ANOTHER, "new_password": PASSWORD}, token=said["token"])
        self.assertEqual(self.going_on(), {"phone"})

    def test_what_nobody_looked_at_does_not_count_as_wrong(self):
        own = self.logins["phone"]["token"]
        match = Passwords.match
        self.patch(Passwords, "match", lambda *args: fail(Unavailable()))
        for _ in range(20):
            self.problem("PUT", "/v1/password", CHANGE, token=own, status=503, code="unavailable")
        self.patch(Passwords, "match", match)
        wrong = {**CHANGE, "password": "not the password"}
        self.problem("PUT", "/v1/password", wrong, token=own, status=403, code="forbidden")

    def test_all_other_tokens_end_at_all_routes(self):
        for login in self.logins.values():
            self.ok("GET", "/v1/sessions", token=login["token"], route=1)
        self.change()
        for login in self.logins.values():
            self.problem("GET", "/v1/sessions", token=login["token"], status=401, code="unauthorized")
            # A session would outlive the moment for which another route may still accept a token.
            self.problem("POST", "/v1/sessions", {}, token=login["token"], route=1, status=401, code="unauthorized")
        self.clock.advance(KEPT_SECONDS)
        for login in self.logins.values():
            self.problem("GET", "/v1/sessions", token=login["token"], route=1, status=401, code="unauthorized")

    def test_a_ticket_from_before_opens_nothing(self):
        tickets = [self.log_in("alice", device=f"new {at}", route=at % 2) for at in range(4)]
        self.change()
        for login in tickets:
            self.refused(login)

    def test_a_ticket_for_a_server_out_of_reach_opens_nothing(self):
        ticket = self.log_in("alice", device="new")
        server = next(s for s in self.cluster.servers if f":{ticket['server']['tcp_port']}:" in s.own.name)
        self.cluster.cut(server, self.cluster.routes[0])
        self.change()
        self.assertEqual(server.sessions.reserved, 1)
        self.refused(ticket)

    def test_a_session_at_a_server_out_of_reach_ends_when_that_is_linked_again(self):
        server = self.server_of("desk")
        self.cluster.cut(server, self.cluster.routes[0])
        self.change()
        self.assertFalse(self.clients["desk"].closed)
        # Another route may be its home, and does not hear of it again.
        self.patch(self.store.sessions, "claim", lambda *args: succeed(True))
        self.cluster.link(server, self.cluster.routes[0])
        self.cluster.turn()
        self.assertEqual(self.going_on(), {"phone"})
        self.assertEqual(self.cluster.routes[0].logins._owed, {})

    def test_a_session_that_another_route_reports_later_ends(self):
        """The route that changed the password is gone, and its memory with it; the store knows who may not return."""
        server = self.server_of("desk")
        self.cluster.cut(server, self.cluster.routes[0])
        self.change()
        self.cluster.kill_route(self.cluster.routes[0])
        self.cluster.cut(server, self.cluster.routes[1])
        self.cluster.link(server, self.cluster.routes[1])
        self.cluster.turn()
        self.assertTrue(self.clients["desk"].closed)

    def test_a_token_that_names_no_session_ends_them_all(self):
        """Tokens of earlier releases do not."""
        claims = jwt.decode(self.logins["phone"]["token"], options={"verify_signature": False})
        del claims["own"]
        said = self.change(token=sign(b"k" * 32, claims))
        self.assertEqual(self.going_on(), set())
        self.ok("GET", "/v1/sessions", token=said["token"])

    def test_a_login_that_was_under_way_is_refused(self):
        logins = self.cluster.routes[1].logins
        admit = logins.login_native

        async def meanwhile(account, device, bounds):
            self.ok("PUT", "/v1/password", CHANGE, token=self.logins["phone"]["token"])
            return await admit(account, device, bounds)

        logins.login_native = meanwhile
        body = {"name": "alice", "password": PASSWORD, "device": "late"}
        self.problem("POST", "/v1/sessions", body, route=1, status=401, code="unauthorized")
        self.assertEqual(self.going_on(), {"phone"})

    def test_what_comes_meanwhile_stands(self):
        """Whoever knows the old password does not undo an operator's cure for that, nor anybody's last word."""
        operators = f"/v1/admin/users/{self.alice.id}/password"
        token = self.logins["desk"]["token"]
        cures = (
            lambda: self.ok("PUT", operators, {"password": "a cure for it"}, key=KEY, route=1, status=204),
            lambda: self.ok("POST", f"/v1/admin/users/{self.alice.id}/logout", key=KEY, route=1, status=204),
            lambda: self.ok("DELETE", "/v1/token", token=token, route=1, status=204),
            lambda: self.ok("PUT", "/v1/password", {**CHANGE, "new_password": "the owner's"}, token=token, route=1),
            lambda: self.ok("DELETE", f"/v1/admin/users/{self.alice.id}", key=KEY, route=1, status=204),
        )
        for cure in cures:
            self.setUp()
            token = self.logins["desk"]["token"]
            self.meanwhile = cure
            before = self.credential
            self.problem(
                "PUT", "/v1/password", CHANGE, token=self.logins["phone"]["token"], status=401, code="unauthorized"
            )
            self.assertNotEqual(self.credential, before)
            self.problem(
                "POST", "/v1/sessions", {"name": "alice", "password": ANOTHER}, status=401, code="unauthorized"
            )

    @property
    def credential(self):
        return self.successResultOf(self.store.credentials.credential(self.alice.id))

    def test_a_revoked_token_that_this_route_still_takes_changes_nothing(self):
        token = self.logins["phone"]["token"]
        self.ok("GET", "/v1/sessions", token=token)
        self.ok("POST", f"/v1/admin/users/{self.alice.id}/logout", key=KEY, route=1, status=204)
        self.ok("GET", "/v1/sessions", token=token)
        self.problem("PUT", "/v1/password", CHANGE, token=token, status=401, code="unauthorized")

    def test_a_wrong_password_ends_nothing(self):
        wrong = {**CHANGE, "password": "not this one"}
        token = self.logins["phone"]["token"]
        self.problem("PUT", "/v1/password", wrong, token=token, status=403, code="forbidden")
        self.assertEqual(self.going_on(), {"phone", "desk", "watch"})
        self.ok("GET", "/v1/sessions", token=token)

    def test_others_are_not_touched(self):
        self.account("bob")
        bob = self.online("bob")
        guest = self.cluster.log_in(self.cluster.account("guest-one"))
        self.change()
        self.assertFalse(bob.closed or guest.closed)

    def test_an_operators_new_password_ends_them_all(self):
        ticket = self.log_in("alice", device="new")
        path = f"/v1/admin/users/{self.alice.id}/password"
        self.ok("PUT", path, {"password": ANOTHER}, key=KEY, route=1, status=204)
        self.assertEqual(self.going_on(), set())
        self.refused(ticket)

    def test_the_store_goes_away_in_between(self):
        self.patch(self.store.sessions, "expel", lambda *args, **options: fail(StoreUnavailable()))
        token = self.logins["phone"]["token"]
        said = self.problem("PUT", "/v1/password", CHANGE, token=token, status=503, code="unavailable")
        self.assertIn("the password was changed", said["detail"])
        self.log_in("alice", ANOTHER)
