"""Tests of `/v1`: accounts, logins under each policy, tokens."""

from __future__ import annotations

from contextlib import contextmanager

from attrs import evolve

from twisted.internet.defer import Deferred, fail

from cim.errors import StoreUnavailable, Unauthorized
from cim.limits import Buckets, Limit
from cim.model import LoginPolicy
from cim.route.http import passwords
from cim.route.http.tokens import KEPT_SECONDS
from cim.signed import sign
from cim.tickets import TICKET_SECONDS, read_ticket
from tests.route.http.api_case import DOCUMENT, KEY, PASSWORD, APICase, cheap_hasher, segment
from tests.web.http_case import Conversation, encode

#: Wrong passwords at once, and seconds until one more is allowed.
BURST, SECONDS = 10, 6


class AccountTests(APICase):
    """POST /v1/accounts."""

    def test_an_account_is_created_once(self):
        made = self.ok("POST", "/v1/accounts", {"name": "张三 👋", "password": PASSWORD}, status=201)
        self.assertEqual(made["name"], "张三 👋")
        for password in (PASSWORD, "another password"):
            self.problem("POST", "/v1/accounts", {"name": "张三 👋", "password": password}, status=409, code="conflict")

    def test_a_guests_name_is_taken(self):
        self.cluster.account("guest-one")
        self.problem("POST", "/v1/accounts", {"name": "guest-one", "password": PASSWORD}, status=409, code="conflict")

    def test_bad_fields_are_named(self):
        for field, body in (
            ("name", {"password": PASSWORD}),
            ("name", {"name": "", "password": PASSWORD}),
            ("name", {"name": "a" * 65, "password": PASSWORD}),
            ("name", {"name": "a\0b", "password": PASSWORD}),
            ("name", {"name": 5, "password": PASSWORD}),
            ("password", {"name": "a"}),
            ("password", {"name": "a", "password": "short"}),
            ("password", {"name": "a", "password": "x" * 1025}),
            ("password", {"name": "a", "password": None}),
            ("admin", {"name": "a", "password": PASSWORD, "admin": True}),
        ):
            problem = self.problem("POST", "/v1/accounts", body, status=400, code="invalid")
            self.assertEqual(problem["field"], field)

    def test_a_lone_surrogate_is_refused_and_quoted_harmlessly(self):
        for body in (
            b'{"name": "\\ud800", "password": "correct horse"}',
            b'{"name":"a","password":"correct \\udfff."}',
        ):
            self.problem("POST", "/v1/accounts", body, status=400, code="invalid")
        self.problem("POST", "/v1/accounts", b'{"\\ud800": 1}', status=400, code="invalid")

    def test_only_the_hash_of_a_password_is_stored(self):
        account = self.account("alice")
        credential = self.successResultOf(self.store.credentials.credential(account.id))
        self.assertTrue(credential.password.startswith("$argon2id$"))
        self.assertNotIn(PASSWORD, credential.password)


class BusyTests(APICase):
    """POST /v1/accounts while as many passwords wait as may."""

    def setUp(self):
        super().setUp()
        self.patch(passwords, "WAITING", 1)
        self.held = []

    def run_now(self, function, *args):
        done = Deferred()
        self.held.append((done, function, args))
        return done

    def begin(self, name, *headers):
        conversation = Conversation(self.sites[0])
        conversation.send(encode("POST", "/v1/accounts", {"name": name, "password": PASSWORD}, headers))
        return conversation

    def test_strangers_do_not_keep_back_ends_out(self):
        """As at resetting a password."""
        begun = [self.begin(name) for name in ("ann", "bea", "cid", "dan")]
        begun.append(self.begin("eve", f"X-API-Key: {KEY}"))
        while self.held:
            done, function, args = self.held.pop(0)
            done.callback(function(*args))
        self.assertEqual([one.answer()[0] for one in begun], [201, 201, 201, 503, 201])


class LoginTests(APICase):
    """POST /v1/sessions with a password."""

    def test_the_answer_to_a_login(self):
        alice = self.account("alice")
        login = self.log_in("alice", device="phone")
        (server,) = self.cluster.servers
        self.assertEqual(login["user_id"], alice.id)
        self.assertEqual(login["device"], "phone")
        self.assertEqual(login["ticket_expires_in"], TICKET_SECONDS)
        self.assertEqual(login["token_expires_in"], 12 * 3600)
        ticket = read_ticket(self.cluster.ticket_key, login["ticket"], server.own.place)
        self.assertEqual((ticket.user, ticket.name, ticket.device), (alice.id, "alice", "phone"))

    def test_how_to_reach_the_server(self):
        self.account("alice")
        place = {"host": "127.0.0.1", "tcp_port": 11211, "websocket": "ws://127.0.0.1:11212/v1/socket", "socket": None}
        self.assertEqual(self.log_in("alice", device="phone")["server"], {**place, "tls": None})
        (link,) = self.cluster.routes[0].presence.links()
        link.peer = evolve(link.peer, tls_name="chat.example.com", websocket="")
        place = {**place, "websocket": None, "tls": "chat.example.com"}
        self.assertEqual(self.log_in("alice", device="phone")["server"], place)

    def test_logging_in_by_id(self):
        alice = self.account("alice")
        login = self.ok("POST", "/v1/sessions", {"id": alice.id, "password": PASSWORD}, status=201)
        self.assertEqual((login["user_id"], login["name"]), (alice.id, "alice"))

    def test_a_login_whose_client_has_gone_is_not_made(self):
        """Else it would end the session that the client has made elsewhere since."""
        self.account("alice")
        live = self.connect_to(self.log_in("alice", device="phone"))
        found, credential = Deferred(), self.store.credentials.credential
        self.patch(self.store.credentials, "credential", lambda user: found.addCallback(lambda _: credential(user)))
        conversation = Conversation(self.sites[0])
        body = b'{"name": "alice", "password": "%s", "device": "phone"}' % PASSWORD.encode()
        conversation.send(encode("POST", "/v1/sessions", body))
        conversation.lose()
        found.callback(None)
        self.cluster.turn()
        self.assertFalse(live.closed)
        self.assertEqual(self.cluster.servers[0].sessions.reserved, 0)

    def test_a_device_without_a_name_gets_a_random_one(self):
        self.account("alice")
        devices = {self.log_in("alice")["device"] for _ in range(3)}
        self.assertEqual(len(devices), 3)

    def test_the_ticket_opens_a_connection_once(self):
        self.account("alice")
        login = self.log_in("alice", device="phone")
        first, second = self.connect_to(login), self.connect_to(login)
        self.assertEqual(first.bodies()[0].session != "", True)
        self.assertEqual([body.code for body in second.bodies()], ["unauthorized"])
        self.assertTrue(second.closed)
        self.assertFalse(first.closed)

    def test_a_ticket_is_for_one_run_of_one_server(self):
        self.account("alice")
        login = self.log_in("alice")
        (server,) = self.cluster.servers
        elsewhere = type(server.own.place)("127.0.0.1:9:9", server.own.place.incarnation)
        later = type(server.own.place)(server.own.place.server, "another run")
        for place in (elsewhere, later):
            with self.assertRaises(Unauthorized):
                read_ticket(self.cluster.ticket_key, login["ticket"], place)

    def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(self):
        self.account("alice")
        wrong = {"password": "not this one"}
        said = [
            self.problem("POST", "/v1/sessions", {**who, **wrong}, status=401, code="unauthorized")
            for who in ({"name": "alice"}, {"name": "nobody"}, {"id": 4})
        ]
        self.assertEqual(said[0], said[1])
        self.assertEqual(said[0], said[2])

    def test_the_password_of_an_unknown_name_is_checked_too(self):
        self.account("alice")
        checked = []
        for name in ("alice", "nobody"):
            before = len(self.hashed)
            self.problem(
                "POST", "/v1/sessions", {"name": name, "password": "wrong one"}, status=401, code="unauthorized"
            )
            checked.append(len(self.hashed) - before)
        self.assertEqual(checked, [1, 1])

    def test_fields_that_must_and_must_not_go_together(self):
        alice = self.account("alice")
        for body, field in (
            ({}, "name"),
            ({"password": PASSWORD}, "name"),
            ({"name": "alice"}, "password"),
            ({"name": "alice", "id": alice.id, "password": PASSWORD}, "id"),
            ({"name": "alice", "password": PASSWORD, "device": "guest"}, "device"),
            ({"name": "alice", "password": PASSWORD, "device": " "}, "device"),
            ({"name": "alice", "password": PASSWORD, "device": "."}, "device"),
            ({"name": "alice", "password": PASSWORD, "device": ".."}, "device"),
            ({"name": "alice", "password": PASSWORD, "device": "a\nb"}, "device"),
            ({"name": "alice", "password": PASSWORD, "device": "x" * 65}, "device"),
        ):
            problem = self.problem("POST", "/v1/sessions", body, status=400, code="invalid")
            self.assertEqual(problem["field"], field)

    def test_a_guests_account_looks_like_none(self):
        guest = self.cluster.account("guest-one")
        said = [
            self.problem("POST", "/v1/sessions", {**who, "password": PASSWORD}, status=401, code="unauthorized")
            for who in ({"name": "guest-one"}, {"id": guest.id}, {"name": "nobody"})
        ]
        self.assertEqual((said[0], said[1]), (said[2], said[2]))

    def test_no_server(self):
        self.account("alice")
        self.cluster.kill(self.cluster.servers[0])
        self.problem("POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=503, code="unavailable")

    def test_the_store_is_away(self):
        self.account("alice")
        self.store.available = False
        problem = self.problem(
            "POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=503, code="unavailable"
        )
        self.assertEqual(problem["retry"], "1")
        self.store.available = True

    def test_wrong_passwords_are_limited_for_each_name(self):
        for name in ("alice", "bob"):
            self.account(name)
        wrong = {"name": "alice", "password": "wrong one"}
        for _ in range(BURST):
            self.problem("POST", "/v1/sessions", wrong, status=401, code="unauthorized")
        limited = self.problem("POST", "/v1/sessions", wrong, status=429, code="rate-limited")
        self.assertEqual(int(limited["retry"]), SECONDS)
        self.problem("POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=429, code="rate-limited")
        self.log_in("bob")
        self.cluster.pass_seconds(int(SECONDS))
        self.log_in("alice")

    def test_limits_do_not_tell_which_names_and_ids_are_taken(self):
        alice = self.account("alice")
        self.cluster.account("guest")
        self.log_in("alice")
        for name in ("alice", "guest", "nobody"):
            address = self.at(f"192.0.2.{len(name)}")
            for number in range(BURST):
                wrong = {"name": name.upper() if number % 2 else name, "password": "wrong one"}
                self.problem("POST", "/v1/sessions", wrong, headers=address, status=401, code="unauthorized")
            said = [
                self.call("POST", "/v1/sessions", {**who, "password": "wrong one"}, headers=address)[0]
                for who in ({"name": name}, {"name": name.title()}, {"id": alice.id})
            ]
            self.assertEqual((name, said), (name, [429, 429, 401]))

    def test_the_limit_of_right_passwords_does_not_tell_either(self):
        """Nor does it lock the owner out, whoever guesses how often."""
        self.cluster.routes[0].rates._buckets["user-logins"] = Buckets(Limit(0.1, 3))
        self.account("alice")
        right, wrong = ({"name": "alice", "password": password} for password in (PASSWORD, "wrong one"))
        for _ in range(BURST + 5):
            self.call("POST", "/v1/sessions", wrong, headers=self.at("198.51.100.7"))
        for number in range(3):
            self.ok("POST", "/v1/sessions", {**right, "device": "d"}, headers=self.at(f"192.0.2.{number}"), status=201)
        # There were too many of all, which only she learns who knows the password.
        there = self.at("192.0.2.7")
        self.problem("POST", "/v1/sessions", wrong, headers=there, status=401, code="unauthorized")
        self.problem("POST", "/v1/sessions", right, headers=there, status=429, code="rate-limited")

    def at(self, address):
        """The header of a proxy that is trusted, for a client there."""
        return (f"X-Forwarded-For: {address}",)

    def test_strangers_do_not_lock_the_owner_out(self):
        self.account("alice")
        right, wrong = ({"name": "alice", "password": password} for password in (PASSWORD, "wrong one"))
        right["device"] = wrong["device"] = "browser"
        self.ok("POST", "/v1/sessions", right, headers=self.at("192.0.2.7"), status=201)
        statuses = []
        for number in range(110):
            headers = self.at(f"198.51.100.{number % 11}")
            statuses.append(self.call("POST", "/v1/sessions", wrong, headers=headers)[0])
        self.assertEqual((statuses[:100], statuses[100:]), ([401] * 100, [429] * 10))
        self.problem("POST", "/v1/sessions", right, headers=self.at("203.0.113.9"), status=429, code="rate-limited")
        self.ok("POST", "/v1/sessions", right, headers=self.at("192.0.2.7"), status=201)

    def test_a_check_that_was_refused_counts_nothing(self):
        self.account("alice")
        body = {"name": "alice", "password": PASSWORD}
        with self.patched_credentials():
            for _ in range(30):
                self.problem("POST", "/v1/sessions", body, status=503, code="unavailable")
        for _ in range(BURST - 1):
            self.problem("POST", "/v1/sessions", {**body, "password": "wrong one"}, status=401, code="unauthorized")
        self.log_in("alice")

    @contextmanager
    def patched_credentials(self):
        """The store does not give credentials."""
        credential = self.store.credentials.credential
        self.store.credentials.credential = lambda user: fail(StoreUnavailable())
        yield
        self.store.credentials.credential = credential


class OldHashTests(APICase):
    """Passwords that an earlier release hashed as they were typed, by a keyboard that does not compose accents."""

    composed, typed = "caf\u00e9 au lait", "cafe\u0301 au lait"

    def setUp(self):
        super().setUp()
        hashed = cheap_hasher().hash(self.typed.encode())
        self.alice = self.successResultOf(self.store.credentials.create("alice", hashed))
        self.old = hashed

    def hashed_now(self):
        return self.successResultOf(self.store.credentials.credential(self.alice.id)).password

    def test_it_is_hashed_anew_when_it_is_right(self):
        self.problem(
            "POST", "/v1/sessions", {"name": "alice", "password": self.composed}, status=401, code="unauthorized"
        )
        self.assertEqual(self.hashed_now(), self.old)
        token = self.log_in("alice", self.typed, device="phone")["token"]
        now = self.hashed_now()
        self.assertNotEqual(now, self.old)
        for password in (self.composed, self.typed):
            self.log_in("alice", password, device="phone")
        self.assertEqual(self.hashed_now(), now)
        self.ok("GET", "/v1/sessions", token=token)

    def test_a_login_at_the_same_time_is_not_refused(self):
        """A new hash of the same password is no new password."""
        logins = self.cluster.routes[0].logins
        admit = logins.login_native

        async def meanwhile(account, device, bounds):
            await self.store.credentials.rehash(account.id, self.hashed_now(), "another hash")
            return await admit(account, device, bounds)

        logins.login_native = meanwhile
        self.log_in("alice", self.typed)
        self.assertEqual(self.hashed_now(), "another hash")

    def test_the_login_does_not_depend_on_it(self):
        self.patch(self.store.credentials, "rehash", lambda *args: fail(StoreUnavailable()))
        self.log_in("alice", self.typed)
        self.assertEqual(self.hashed_now(), self.old)

    def test_it_may_be_changed(self):
        token = self.log_in("alice", self.typed, device="phone")["token"]
        change = {"password": self.typed, "new_password": "nai\u0308ve passphrase"}
        self.ok("PUT", "/v1/password", change, token=token)
        self.log_in("alice", "na\u00efve passphrase", device="phone")

    def test_a_wrong_one_counts_once_in_both_forms(self):
        wrong = {"name": "alice", "password": "the\u0301 vert"}
        for _ in range(BURST):
            self.problem("POST", "/v1/sessions", wrong, status=401, code="unauthorized")
        self.problem("POST", "/v1/sessions", wrong, status=429, code="rate-limited")


class PolicyTests(APICase):
    """A second login on another device."""

    def second(self):
        self.account("alice")
        first = self.online("alice", "phone")
        status, _, said = self.call("POST", "/v1/sessions", {"name": "alice", "password": PASSWORD, "device": "desk"})
        self.cluster.turn()
        return first, status, said

    def test_reject(self):
        first, status, said = self.second()
        self.assertEqual((status, said["code"]), (409, "second-login"))
        self.assertFalse(first.closed)

    def test_reject_the_same_device_replaces_itself(self):
        self.account("alice")
        first = self.online("alice", "phone")
        second = self.online("alice", "phone")
        self.assertEqual([body.code for body in first.bodies()], ["replaced"])
        self.assertTrue(first.closed)
        self.assertFalse(second.closed)


class ReplaceTests(PolicyTests):
    """--login-policy replace."""

    policy = LoginPolicy.REPLACE

    def test_reject(self):
        first, status, said = self.second()
        self.assertEqual(status, 201)
        self.assertTrue(first.closed)
        self.assertFalse(self.connect_to(said).closed)


class ManyTests(PolicyTests):
    """--login-policy many."""

    policy = LoginPolicy.MANY

    def test_reject(self):
        first, status, said = self.second()
        self.assertEqual(status, 201)
        second = self.connect_to(said)
        self.assertFalse(first.closed or second.closed)
        shown = self.ok("GET", "/v1/sessions", token=said["token"])["sessions"]
        self.assertEqual([(one["device"], one["live"]) for one in shown], [("phone", True), ("desk", True)])
        self.ok("DELETE", "/v1/sessions/desk", token=said["token"], status=204)
        self.cluster.turn()
        self.assertTrue(second.closed)
        self.assertFalse(first.closed)


class DefaultPolicyTests(ManyTests):
    """No --login-policy: many for accounts with a password; that guests have one is in tests/compat."""

    policy = None


class SessionTests(APICase):
    """One's own sessions."""

    def test_a_reservation_and_then_a_session(self):
        self.account("alice")
        login = self.log_in("alice", device="phone")
        token = login["token"]
        (shown,) = self.ok("GET", "/v1/sessions", token=token)["sessions"]
        self.assertEqual((shown["device"], shown["live"]), ("phone", False))
        self.connect_to(login)
        (shown,) = self.ok("GET", "/v1/sessions", token=token)["sessions"]
        self.assertEqual((shown["live"], shown["server"]), (True, self.cluster.servers[0].own.name))

    def test_logging_a_device_out(self):
        self.account("alice")
        login = self.log_in("alice", device="a b/c%")
        client = self.connect_to(login)
        client.packets()
        self.problem("DELETE", "/v1/sessions/other", token=login["token"], status=404, code="not-found")
        self.ok("DELETE", f"/v1/sessions/{segment('a b/c%')}", token=login["token"], status=204)
        self.assertEqual([body.code for body in client.bodies()], ["logged-out"])
        self.assertTrue(client.closed)
        self.assertEqual(self.ok("GET", "/v1/sessions", token=login["token"]), {"sessions": []})
        self.log_in("alice", device="desk")

    def test_only_ones_own_sessions(self):
        alice, bob = self.user("alice"), self.user("bob")
        self.problem("DELETE", "/v1/sessions/desk", **self.by(bob), status=404, code="not-found")
        self.assertEqual(len(self.ok("GET", "/v1/sessions", **self.by(alice))["sessions"]), 1)


class TokenTests(APICase):
    """Tests of what a token proves, and until when."""

    routes = 2

    def setUp(self):
        super().setUp()
        self.alice = self.user("alice")
        self.token = self.tokens[self.alice.id]

    def void(self, token, route=0):
        return self.problem("GET", "/v1/sessions", token=token, route=route, status=401, code="unauthorized")

    def test_every_route_accepts_a_token(self):
        for route in (0, 1):
            self.ok("GET", "/v1/sessions", token=self.token, route=route)

    def test_a_login_looks_once_before_the_reservation_and_once_after(self):
        credentials = self.store.credentials
        looked, look = [], credentials.credential
        self.patch(credentials, "credential", lambda user: looked.append(user) or look(user))
        self.ok("POST", "/v1/sessions", {}, token=self.token, status=201)
        self.assertEqual(looked, [self.alice.id] * 2)

    def test_logging_in_again_with_a_token(self):
        login = self.ok("POST", "/v1/sessions", {"device": "desk"}, token=self.token, status=201)
        self.assertEqual(login["user_id"], self.alice.id)
        self.ok("GET", "/v1/sessions", token=login["token"])
        self.ok("POST", "/v1/sessions", {}, token=self.token, status=201)
        self.ok("POST", "/v1/sessions", {"name": "alice", "id": self.alice.id}, token=self.token, status=201)

    def test_not_logging_in_as_someone_else(self):
        bob = self.account("bob")
        for who in ({"name": "bob"}, {"id": bob.id}):
            self.problem("POST", "/v1/sessions", who, token=self.token, status=403, code="forbidden")

    def test_no_token_and_malformed_ones(self):
        self.problem("GET", "/v1/sessions", status=401, code="unauthorized")
        for token in ("", "x", "a.b.c", "\u00e9", "x" * 5000, self.token[:-2], self.token + "x", "null"):
            self.void(token)
        for header in ("Authorization: Basic YTpi", f"Authorization: {self.token}", "Authorization:"):
            self.problem("GET", "/v1/sessions", headers=[header], status=401, code="unauthorized")

    def test_an_altered_token(self):
        head, claims, proof = self.token.split(".")
        for at in (0, 10, len(claims) - 5):
            other = "A" if claims[at] != "A" else "B"
            self.void(".".join((head, claims[:at] + other + claims[at + 1 :], proof)))

    def test_alg_none_and_other_keys(self):
        import jwt

        claims = jwt.decode(self.token, options={"verify_signature": False})
        for forged in (
            jwt.encode(claims, None, algorithm="none"),
            jwt.encode(claims, b"another key of 32 bytes and more!", algorithm="HS256"),
            jwt.encode(claims, b"k" * 64, algorithm="HS512"),
            sign(self.cluster.ticket_key, claims),
        ):
            self.void(forged)
        self.ok("GET", "/v1/sessions", token=sign(b"k" * 32, claims))
        for claim, value in (("sub", 5), ("sub", "-1"), ("sub", str(1 << 53)), ("ims", "now"), ("name", None)):
            self.void(sign(b"k" * 32, {**claims, claim: value}))

    def test_a_ticket_is_not_a_token(self):
        login = self.ok("POST", "/v1/sessions", {}, token=self.token, status=201)
        self.void(login["ticket"])

    def test_an_expired_token(self):
        self.clock.advance(12 * 3600 - 2)
        self.ok("GET", "/v1/sessions", token=self.token)
        self.clock.advance(2)
        self.void(self.token)

    def test_revoking_takes_effect_here_at_once_and_elsewhere_soon(self):
        other = self.log_in("alice", device="api")["token"]
        self.ok("GET", "/v1/sessions", token=other, route=1)
        self.ok("DELETE", "/v1/token", token=self.token, status=204)
        self.void(self.token)
        self.void(other)
        self.clock.advance(KEPT_SECONDS)
        self.void(other, route=1)
        self.ok("GET", "/v1/sessions", token=self.log_in("alice", device="api")["token"], route=1)

    def test_a_void_token_changes_nothing_at_any_route(self):
        bob = self.user("bob")
        group = self.ok("POST", "/v1/groups", {"name": "x"}, token=self.token, status=201)["id"]
        calls = {
            ("POST", "/v1/sessions"): ("", {"device": "phone"}),
            ("DELETE", "/v1/sessions/{device}"): ("/v1/sessions/phone", None),
            ("DELETE", "/v1/token"): ("", None),
            ("PUT", "/v1/password"): ("", {"password": PASSWORD, "new_password": "another password"}),
            ("POST", "/v1/groups"): ("", {"name": "x"}),
            ("PATCH", "/v1/groups/{id}"): (f"/v1/groups/{group}", {"name": "y"}),
            ("PUT", "/v1/groups/{id}/members/{user}"): (f"/v1/groups/{group}/members/{bob.id}", {}),
            ("DELETE", "/v1/groups/{id}/members/{user}"): (f"/v1/groups/{group}/members/{self.alice.id}", None),
            ("POST", "/v1/groups/{id}/members"): (f"/v1/groups/{group}/members", {"remove": [bob.id]}),
            ("PUT", "/v1/groups/{id}/mute"): (f"/v1/groups/{group}/mute", {}),
            ("DELETE", "/v1/groups/{id}/mute"): (f"/v1/groups/{group}/mute", None),
            ("PUT", "/v1/groups/{id}/members/{user}/mute"): (f"/v1/groups/{group}/members/{bob.id}/mute", {}),
            ("DELETE", "/v1/groups/{id}/members/{user}/mute"): (f"/v1/groups/{group}/members/{bob.id}/mute", None),
            ("PUT", "/v1/groups/{id}/bans/{user}"): (f"/v1/groups/{group}/bans/{bob.id}", None),
            ("DELETE", "/v1/groups/{id}/bans/{user}"): (f"/v1/groups/{group}/bans/{bob.id}", None),
            ("DELETE", "/v1/groups/{id}"): (f"/v1/groups/{group}", None),
            ("PUT", "/v1/blocks/{user}"): (f"/v1/blocks/{bob.id}", None),
            ("DELETE", "/v1/blocks/{user}"): (f"/v1/blocks/{bob.id}", None),
            ("PUT", "/v1/pushes"): ("", {"kind": "webpush", "address": "https://x/", "device": "phone"}),
            ("DELETE", "/v1/pushes/{id}"): (f"/v1/pushes/{'0' * 32}", None),
        }
        of_users = {
            (method.upper(), path)
            for path, operations in DOCUMENT["paths"].items()
            for method, operation in operations.items()
            if any("token" in way for way in operation["security"])
        }
        messages = {("POST", "/v1/messages"), ("PUT", "/v1/conversations/{conversation}/read"), ("POST", "/v1/reports")}
        messages |= {(method, "/v1/conversations/{conversation}/mute") for method in ("PUT", "DELETE")}
        self.assertEqual({call for call in of_users if call[0] != "GET"} - messages, set(calls))
        for (method, template), (path, body) in calls.items():
            old = self.log_in("alice", device="phone")["token"]
            self.ok("GET", "/v1/sessions", token=old, route=1)
            self.ok("DELETE", "/v1/token", token=old, status=204)
            new = self.log_in("alice", device="phone")["token"]
            self.ok("GET", "/v1/sessions", token=old, route=1)
            self.problem(method, path or template, body, token=old, route=1, status=401, code="unauthorized")
            sessions = self.ok("GET", "/v1/sessions", token=new)["sessions"]
            self.assertIn("phone", [session["device"] for session in sessions])

    def test_changing_the_password_revokes_all_tokens(self):
        change = {"password": PASSWORD, "new_password": "another password"}
        self.ok("PUT", "/v1/password", change, token=self.token)
        self.void(self.token)
        self.problem("POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=401, code="unauthorized")
        self.ok("GET", "/v1/sessions", token=self.log_in("alice", "another password")["token"])

    def test_changing_the_password_revokes_a_token_from_a_route_whose_clock_is_ahead(self):
        import jwt

        claims = jwt.decode(self.token, options={"verify_signature": False})
        ahead = sign(b"k" * 32, {**claims, "ims": claims["ims"] + 600_000})
        change = {"password": PASSWORD, "new_password": "another password"}
        token = self.ok("PUT", "/v1/password", change, token=ahead)["token"]
        self.void(ahead)
        self.ok("GET", "/v1/sessions", token=token)

    def test_the_current_password_must_be_right_and_attempts_are_limited(self):
        change = {"password": "not this one", "new_password": "another password"}
        for _ in range(BURST):
            self.problem("PUT", "/v1/password", change, token=self.token, status=403, code="forbidden")
        self.problem("PUT", "/v1/password", change, token=self.token, status=429, code="rate-limited")
        self.clock.advance(60)
        self.log_in("alice")

    def test_a_token_of_a_deleted_account(self):
        self.ok("GET", "/v1/sessions", token=self.token, route=1)
        self.ok("DELETE", f"/v1/admin/users/{self.alice.id}", key=KEY, status=204)
        self.void(self.token)
        self.problem("POST", "/v1/sessions", {}, token=self.token, status=401, code="unauthorized")
        self.clock.advance(KEPT_SECONDS)
        self.void(self.token, route=1)

    def test_an_account_deleted_while_it_logs_in_leaves_no_session(self):
        logins = self.cluster.routes[0].logins
        admit = logins.login_native

        async def meanwhile(account, device, bounds):
            admission = await admit(account, device, bounds)
            await self.store.credentials.delete(account.id)
            return admission

        logins.login_native = meanwhile
        self.problem("POST", "/v1/sessions", {"name": "alice", "password": PASSWORD}, status=401, code="unauthorized")
        self.assertEqual(list(self.successResultOf(self.store.sessions.sessions(self.alice.id))), [])

    def test_a_key_is_not_a_user(self):
        self.problem("GET", "/v1/sessions", key=KEY, status=403, code="forbidden")
        self.problem("GET", "/v1/sessions", token=KEY, status=403, code="forbidden")
