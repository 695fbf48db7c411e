"""Tests of what hooks are sent, and of what they may answer."""

from __future__ import annotations

import base64
import json
import os

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface.verify import verifyObject

from cim.errors import CIMError, Unavailable, Unreachable
from cim.interfaces import IMessagePolicy
from cim.policies import ALLOWED, NO_REASON, About, Question, changed, refused
from cim.route.policy.guarded import Bounds
from cim.route.policy.hook import MAX_ANSWER, Hook, HookSettings, hook_of, verdict_of
from cim.standard_webhooks import read_secret, signed
from cim.web.calling import Answer

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
TIME = 1_700_000_000.25


class HookCase(SynchronousTestCase):
    def setUp(self):
        self.sent = []
        self.answer = {"allow": True}
        settings = HookSettings("mine", "https://hook.example/ask", frozenset(About), Bounds(0.5), read_secret(SECRET))
        self.hook = Hook(settings, self.request, lambda: "q-1", lambda: TIME)

    def request(self, method, url, **sent):
        self.sent.append((method, url, sent))
        answer = self.answer
        if isinstance(answer, Deferred):
            return answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return succeed(Answer(self.status, Headers(), body))

    status = 200

    def ask(self, **fields):
        return self.hook.check(Question(**{"about": About.TEXT, "text": "hi 张三", "user": 7, "name": "bob", **fields}))


class AskedTests(HookCase):
    def test_a_message(self):
        asked = self.ask(conversation="p:7:8", client_id="c1", data=b"\xff", content_type="image/png")
        self.assertEqual(self.successResultOf(asked), ALLOWED)
        ((method, url, sent),) = self.sent
        self.assertEqual((method, url), ("POST", "https://hook.example/ask"))
        self.assertEqual((sent["seconds"], sent["most"]), (0.5, MAX_ANSWER))
        self.assertEqual(
            json.loads(sent["body"]),
            {
                "id": "q-1",
                "kind": "text",
                "at": 1_700_000_000_250,
                "text": "hi 张三",
                "user": {"id": 7, "name": "bob"},
                "conversation": "p:7:8",
                "client_id": "c1",
                "data": "/w==",
                "content_type": "image/png",
            },
        )
        expected = signed(b"s" * 32, "q-1", int(TIME), sent["body"])
        self.assertEqual(sent["headers"], {"Content-Type": "application/json", **expected})

    def test_others(self):
        self.ask(about=About.ACCOUNT, text="spammer", user=0, name="")
        self.ask(about=About.JOIN, text="", conversation="g:5", member=9)
        self.ask(about=About.EDIT, ref="1-2")
        said = [json.loads(sent["body"]) for _, _, sent in self.sent]
        self.assertEqual(said[0], {"id": "q-1", "kind": "account", "at": 1_700_000_000_250, "text": "spammer"})
        self.assertEqual((said[1]["kind"], said[1]["conversation"], said[1]["member"]), ("join", "g:5", 9))
        self.assertEqual((said[2]["kind"], said[2]["ref"]), ("edit", "1-2"))

    def test_it_is_a_policy(self):
        verifyObject(IMessagePolicy, self.hook)


class AnswerTests(HookCase):
    def test_verdicts(self):
        for answer, verdict in (
            ({"allow": True}, ALLOWED),
            ({"allow": True, "id": "q-1", "text": None, "more": [1]}, ALLOWED),
            ({"allow": True, "text": "other"}, changed("other")),
            ({"allow": False}, refused(NO_REASON)),
            ({"allow": False, "reason": "no\nway", "text": "ignored"}, refused("no way")),
        ):
            self.answer = answer
            self.assertEqual(self.successResultOf(self.ask()), verdict)

    def test_garbage(self):
        for answer in (
            b"",
            b"true",
            b"{",
            b"\xff",
            b"[" * 200_000,
            b'{"allow": 1}',
            b'{"allow": "true"}',
            b'{"allow": null}',
            b"{}",
            b"[true]",
            b'{"allow": true, "text": 7}',
            b'{"allow": true, "text": ["x"]}',
            b'{"allow": false, "reason": {}}',
            b'{"allow": true, "id": "q-2"}',
            b'{"allow": true, "id": null}',
            b'{"allow": ' + b"9" * 10_000 + b"}",
        ):
            self.answer = answer
            self.failureResultOf(self.ask(), Unavailable)

    def test_other_statuses(self):
        for self.status in (100, 201, 204, 301, 307, 400, 403, 429, 500, 503):
            self.assertIn(str(self.status), str(self.failureResultOf(self.ask(), Unavailable).value))

    def test_no_connection(self):
        self.answer = fail(Unreachable())
        self.failureResultOf(self.ask(), Unreachable)

    def test_errors_quote_nothing(self):
        error = self.assertRaises(CIMError, verdict_of, b'{"allow": "secret"}', "q")
        self.assertNotIn("secret", str(error))


class SettingsTests(SynchronousTestCase):
    def setUp(self):
        self.path = self.mktemp()
        self.write(SECRET + "\n")
        self.table = {
            "name": "mine",
            "url": "https://hook.example/ask",
            "kinds": ["text", "edit"],
            "on-failure": "open",
            "secret-file": self.path,
        }

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(self.path, 0o600)

    def test_a_hook(self):
        hook = hook_of(self.table)
        self.assertEqual((hook.name, hook.url), ("mine", "https://hook.example/ask"))
        self.assertEqual((hook.kinds, hook.bounds), (frozenset({About.TEXT, About.EDIT}), Bounds(0.3, True)))
        self.assertEqual(hook.secret, b"s" * 32)
        self.assertNotIn("sss", repr(hook))
        hook = hook_of({**self.table, "deadline": 1, "on-failure": "closed"})
        self.assertEqual(hook.bounds, Bounds(1.0, False))

    def test_what_is_none(self):
        for key, value, wrong in (
            ("name", None, "must have a text for name"),
            ("name", "A b", "must have a name of"),
            ("url", 7, "must have a text for url"),
            ("kinds", [], "must be some of text, edit"),
            ("kinds", "text", "must be some of text, edit"),
            ("kinds", ["text", "recall"], "must be some of text, edit"),
            ("kinds", 7, "must be some of text, edit"),
            ("on-failure", "maybe", "open (what"),
            ("on-failure", "", "must have a text for on-failure"),
            ("deadline", 2.5, "0.01 to 2 seconds"),
            ("deadline", True, "0.01 to 2 seconds"),
            ("deadline", "1", "0.01 to 2 seconds"),
            ("deadline", float("nan"), "0.01 to 2 seconds"),
            ("secret-file", "/does/not/exist", "secret-file that cannot be used"),
            ("filter", "x", "has no key 'filter'"),
        ):
            table = {**self.table, key: value}
            error = self.assertRaises(ValueError, hook_of, {k: v for k, v in table.items() if v is not None})
            self.assertIn(wrong, str(error))
        for secret in ("", "whsec_AAAA", "é"):
            self.write(secret)
            self.assertRaises(ValueError, hook_of, self.table)
