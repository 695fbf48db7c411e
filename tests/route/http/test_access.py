"""Tests of files with API keys."""

from __future__ import annotations

import os
from types import SimpleNamespace

from twisted.internet.defer import maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from cim.errors import Forbidden, InvalidField
from cim.limits import defaults
from cim.model import Account
from cim.route.front.rates import RATE_LIMITS, Rates
from cim.route.http.access import Access, Caller, read_keys
from cim.route.http.tokens import Proven
from cim.web.declaring import Who
from cim.web.operations import nowhere
from tests.route.http.api_case import KEY, APICase
from tests.web.http_case import Conversation, encode


class KeyFileTests(SynchronousTestCase):
    """--api-key-file"""

    def keys(self, content, mode=0o600):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return read_keys(path)

    def test_one_key_per_line(self):
        content = b"# for billing\nkey-0123456789-abc\n\n  key-0123456789-def  \r\n#no-key-0123456789\n"
        self.assertEqual(self.keys(content), ["key-0123456789-abc", "key-0123456789-def"])

    def test_keys_that_send_past_blocks(self):
        content = b"operator key-0123456789-abc\nkey-0123456789-def\n"
        keys = self.keys(content)
        self.assertEqual(keys, ["operator key-0123456789-abc", "key-0123456789-def"])
        access = Access(SimpleNamespace(), keys, nowhere, SimpleNamespace())
        for key, past_blocks in ((b"key-0123456789-abc", True), (b"key-0123456789-def", False)):
            request = DummyRequest([b""])
            request.requestHeaders.addRawHeader(b"x-api-key", key)
            caller = access(request, Who.OPERATOR)
            self.assertEqual((caller.operator, caller.past_blocks), (True, past_blocks))

    def test_what_is_refused(self):
        for content in (
            b"",
            b"# none\n",
            b"short\n",
            b"key-0123456789-abc\nshort\n",
            b"key 0123456789 abc\n",
            b"operator short\n",
            b"operator operator key-0123456789-abc\n",
            b"someone key-0123456789-abc\n",
            "key-0123456789-äöü\n".encode(),
            b"key-0123456789\0abc\n",
            b"\xff" * 20,
            b"a" * 40,
            b"01234567" * 2,
            b"key-0123456789-abc\n" * 4000,
        ):
            with self.assertRaises(InvalidField) as raised:
                self.keys(content)
            self.assertNotIn("0123456789", raised.exception.message)

    def test_one_that_others_can_read(self):
        with self.assertRaises(InvalidField) as raised:
            self.keys(b"key-0123456789-abc\n", 0o644)
        self.assertIn("is open to others than its owner (mode 0644): chmod 600 ", raised.exception.message)

    def test_a_file_that_is_not_there(self):
        with self.assertRaises(InvalidField) as raised:
            read_keys(os.path.join(self.mktemp(), "none"))
        self.assertIn("cannot be read", raised.exception.message)


class CallerTests(SynchronousTestCase):
    """Tests of callers."""

    def test_an_operator_is_not_a_user(self):
        for caller in (Caller(key=0), Caller()):
            with self.assertRaises(Forbidden):
                _ = caller.account

    def test_a_token_opens_calls_that_are_only_for_users(self):
        proven = Proven(Account(1, "alice"), 0)
        rates = Rates(defaults(RATE_LIMITS), Clock(), lambda kind: None)
        access = Access(SimpleNamespace(check=lambda text: succeed(proven)), (), nowhere, rates)
        request = DummyRequest([b""])
        request.requestHeaders.addRawHeader(b"authorization", b"Bearer token")
        for who in Who:
            admitted = maybeDeferred(access, request, who)
            if who in (Who.OPERATOR, Who.CLUSTER, Who.GUEST):
                self.failureResultOf(admitted, Forbidden)
            else:
                self.assertIs(
                    self.successResultOf(admitted).proven, None if who in (Who.ANYONE, Who.MAYBE_OPERATOR) else proven
                )


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
