"""Tests of who is let in, and with which API keys."""

from __future__ import annotations

import os
import re
from types import SimpleNamespace

from twisted.internet.defer import maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from cim.api_keys import APIKey, Scope, line_of, parse_keys
from cim.daemon.rereading import LOOK_SECONDS
from cim.errors import Forbidden
from cim.limits import defaults
from cim.model import Account, Credential
from cim.route.front.rates import RATE_LIMITS, Rates
from cim.route.http.access import Access, Caller
from cim.route.http.api import APIS
from cim.route.http.api_keys import APIKeys
from cim.route.http.tokens import Proven
from cim.user_tokens import UserScope
from cim.web.declaring import USERS, Who, calls_of
from cim.web.operations import nowhere
from tests.harness.spawning import private_file
from tests.route.http.api_case import KEY, PASSWORD, APICase
from tests.web.http_case import Conversation, encode


class PastBlocksTests(SynchronousTestCase):
    def test_which_keys_send_past_blocks(self):
        lines = (f"operator {KEY}a", f"{KEY}b", line_of(f"{KEY}c", "c", [Scope.READ], past_blocks=True))
        access = Access(SimpleNamespace(), None, APIKeys(parse_keys(lines)), nowhere, SimpleNamespace())
        for last, past_blocks in (("a", True), ("b", False), ("c", True)):
            request = DummyRequest([b""])
            request.requestHeaders.addRawHeader(b"x-api-key", f"{KEY}{last}".encode())
            caller = access(request, SimpleNamespace(who=Who.OPERATOR, scope=Scope.READ, audited=False))
            self.assertEqual((caller.operator, caller.key.past_blocks), (True, past_blocks))


class ScopeTests(APICase):
    """What keys with scopes may do."""

    keys = tuple(line_of(f"{KEY}-{scope}", scope, [scope]) for scope in Scope)
    #: The only calls that need each scope.
    SCOPES = {
        "POST /v1/messages": Scope.SEND,
        "POST /v1/accounts": Scope.USERS,
        "POST /v1/users/{id}/tokens": Scope.USERS,
        "GET /v1/users/{id}/tokens": Scope.READ,
        "DELETE /v1/users/{id}/tokens/{token}": Scope.USERS,
        "GET /v1/admin/external-ids": Scope.READ,
        "GET /v1/admin/users/{id}/external-ids": Scope.READ,
        "PUT /v1/admin/users/{id}/external-ids": Scope.USERS,
        "DELETE /v1/admin/users/{id}/external-ids": Scope.USERS,
        "GET /v1/users": Scope.READ,
        "GET /v1/users/{id}": Scope.READ,
        "GET /v1/online": Scope.READ,
        "PUT /v1/groups/{id}/members/{user}": Scope.GROUPS,
        "GET /v1/admin/users/{id}/sessions": Scope.READ,
        "POST /v1/admin/users/{id}/logout": Scope.USERS,
        "DELETE /v1/admin/sessions/{user}/{device}": Scope.USERS,
        "PUT /v1/admin/users/{id}/password": Scope.USERS,
        "DELETE /v1/admin/users/{id}": Scope.USERS,
        "PUT /v1/admin/users/{id}/suspension": Scope.USERS,
        "DELETE /v1/admin/users/{id}/suspension": Scope.USERS,
        "PUT /v1/admin/users/{id}/ban": Scope.MODERATE,
        "DELETE /v1/admin/users/{id}/ban": Scope.MODERATE,
        "PUT /v1/admin/users/{id}/mute": Scope.MODERATE,
        "DELETE /v1/admin/users/{id}/mute": Scope.MODERATE,
        "GET /v1/admin/reports": Scope.MODERATE,
        "POST /v1/admin/broadcasts": Scope.MODERATE,
        "DELETE /v1/admin/conversations/{conversation}/messages/{position}": Scope.MODERATE,
        "GET /v1/admin/reports/{report}": Scope.MODERATE,
        "POST /v1/admin/reports/{report}/close": Scope.MODERATE,
        "GET /v1/admin/conversations/{conversation}": Scope.ADMIN,
        "POST /v1/admin/users/{id}/reset-code": Scope.USERS,
        "POST /v1/admin/users/{id}/erase": Scope.USERS,
        "GET /v1/admin/users/{id}/stored": Scope.ADMIN,
        "GET /v1/admin/users/{id}/conversations": Scope.ADMIN,
        "GET /v1/admin/users/{id}/messages": Scope.ADMIN,
        "GET /v1/admin/users": Scope.READ,
        "GET /v1/admin/groups": Scope.READ,
        "GET /v1/admin/groups/{id}": Scope.READ,
        "GET /v1/admin/groups/{id}/members": Scope.READ,
        "PATCH /v1/admin/groups/{id}": Scope.GROUPS,
        "DELETE /v1/admin/groups/{id}": Scope.GROUPS,
        "DELETE /v1/admin/groups/{id}/members/{user}": Scope.GROUPS,
        "GET /v1/admin/sessions": Scope.READ,
        "GET /v1/admin/status": Scope.ADMIN,
        "GET /v1/admin/figures": Scope.ADMIN,
        "GET /v1/admin/webhooks": Scope.ADMIN,
        "POST /v1/admin/webhooks/{name}/replay": Scope.ADMIN,
        "POST /v1/admin/webhooks/{name}/skip": Scope.ADMIN,
        "POST /v1/admin/invitations": Scope.USERS,
        "GET /v1/admin/invitations": Scope.USERS,
        "DELETE /v1/admin/invitations/{id}": Scope.USERS,
        "POST /v1/groups/{id}/members": Scope.GROUPS,
        "PUT /v1/groups/{id}/mute": Scope.GROUPS,
        "DELETE /v1/groups/{id}/mute": Scope.GROUPS,
        "PUT /v1/groups/{id}/members/{user}/mute": Scope.GROUPS,
        "DELETE /v1/groups/{id}/members/{user}/mute": Scope.GROUPS,
        "GET /v1/groups/{id}/bans": Scope.READ,
        "PUT /v1/groups/{id}/bans/{user}": Scope.GROUPS,
        "DELETE /v1/groups/{id}/bans/{user}": Scope.GROUPS,
    }

    def test_every_call_with_every_scope(self):
        calls = {
            f"{method} {call.path}": call for api in APIS for call in calls_of(api).values() for method in call.methods
        }
        self.assertEqual({line: call.scope for line, call in calls.items() if call.scope is not None}, self.SCOPES)
        for line, call in calls.items():
            method, path = line.split(" ")
            path = re.sub(r"\{\w+\}", "7", path)
            for scope in Scope:
                status, _, said = self.call(method, path, call.body and {}, key=f"{KEY}-{scope}")
                if call.scope is None and call.who is not Who.ANYONE:
                    self.assertEqual((status, said["code"]), (403, "forbidden"), (line, scope))
                elif call.scope is scope or call.who is Who.ANYONE:
                    self.assertNotIn(status, (401, 403), (line, scope))
                else:
                    self.assertEqual((status, said["code"]), (403, "forbidden"), (line, scope))
                    self.assertIn(f"lacks the scope `{call.scope}`", said["detail"])

    def test_a_key_that_may_not_make_accounts_is_not_anybody(self):
        """Where anyone may make one, it is told what it lacks all the same."""
        body = {"name": "alice", "password": PASSWORD}
        self.problem("POST", "/v1/accounts", body, key=f"{KEY}-read", status=403, code="forbidden")
        self.ok("POST", "/v1/accounts", body, key=f"{KEY}-users", status=201)


class RereadTests(SynchronousTestCase):
    """The file of keys changes while a route runs."""

    def setUp(self):
        self.clock = Clock()
        self.path = self.mktemp()
        self.write(f"{KEY}-first")
        self.keys = APIKeys.of_file(self.path, self.clock.seconds)
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def write(self, *lines):
        private_file(self.path, "".join(f"{line}\n" for line in lines))

    def usable(self):
        return [name for name in ("first", "second") if self.keys.find(f"{KEY}-{name}".encode()) is not None]

    def test_new_keys(self):
        self.write(line_of(f"{KEY}-second", "second", Scope))
        self.assertEqual(self.usable(), ["first"])  # it was looked at just now
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.usable(), ["second"])
        self.assertEqual(self.keys.facts(), {})
        self.assertEqual(len(self.logged), 1)

    def test_a_file_that_cannot_be_used(self):
        for spoil in (lambda: self.write(f"{KEY}-second", "no key"), lambda: os.remove(self.path)):
            self.logged._events.clear()
            spoil()
            self.clock.advance(LOOK_SECONDS)
            self.assertEqual(self.usable(), ["first"])
            for _ in range(3):
                self.clock.advance(LOOK_SECONDS)
                self.assertIn("has changed and cannot be used: ", self.keys.facts()["api_keys"])
            self.assertEqual([event["log_level"].name for event in self.logged], ["error"])
        self.write(f"{KEY}-second")
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual((self.keys.facts(), self.usable()), ({}, ["second"]))


class CallerTests(SynchronousTestCase):
    """Tests of callers."""

    def test_an_operator_is_not_a_user(self):
        for caller in (Caller(key=APIKey(b"0")), Caller()):
            with self.assertRaises(Forbidden):
                _ = caller.account

    def test_a_token_opens_calls_that_are_only_for_users(self):
        proven = Proven(Account(1, "alice"), 0)
        rates = Rates(defaults(RATE_LIMITS), Clock(), lambda kind: None)
        credential = Credential("", 0)
        tokens = SimpleNamespace(
            check=lambda text: succeed(proven), check_now=lambda text: succeed((proven, credential))
        )
        access = Access(tokens, None, APIKeys(), nowhere, rates)
        request = DummyRequest([b""])
        request.requestHeaders.addRawHeader(b"authorization", b"Bearer token")
        for who in Who:
            needs = UserScope.READ if who in USERS else None
            admitted = maybeDeferred(access, request, SimpleNamespace(who=who, scope=None, needs=needs))
            if who in (Who.OPERATOR, Who.CLUSTER, Who.GUEST):
                self.failureResultOf(admitted, Forbidden)
            else:
                caller = self.successResultOf(admitted)
                self.assertIs(caller.proven, None if who in (Who.ANYONE, Who.MAYBE_OPERATOR) else proven)
                # Logins alone need what there is at this moment.
                self.assertIs(caller.credential, credential if who is Who.MAYBE_USER else None)


class ConnectionTests(APICase):
    """What a connection is counted as after a call on it."""

    def after(self, path, *headers):
        conversation = Conversation(self.sites[0])
        conversation.send(encode("GET", path, headers=headers))
        self.cluster.turn()
        channel = conversation.protocol
        conversation.lose()
        return channel.whose, channel.trusted

    def test_whose_it_is(self):
        alice = self.user("alice")
        bearer = f"Authorization: Bearer {self.by(alice)['token']}"
        self.assertEqual(self.after("/v1/groups", bearer), (f"user {alice.id}", False))
        self.assertEqual(self.after("/v1/online", bearer), (f"user {alice.id}", False))
        self.assertEqual(self.after("/v1/online", f"X-API-Key: {KEY}"), ("", True))
        for headers in ((), ("X-API-Key: wrong",), (f"{bearer}x",)):
            self.assertEqual(self.after("/v1/groups", *headers), ("", False))
        self.assertEqual(self.after("/openapi.json", bearer), ("", False))
