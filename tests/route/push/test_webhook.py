"""Tests of pushing by a program of the operator's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from cim.errors import InvalidField
from cim.model import Notice, Pushed, Registration
from cim.route.push.webhook import WebhookPusher
from cim.web.calling import Answer

SECRET = b"0123456789abcdef0123456789abcdef"
URL = "https://push.example.com/cim"


class WebhookTests(SynchronousTestCase):
    def setUp(self):
        self.took = []
        self.status = 204
        self.pusher = WebhookPusher(self, URL, SECRET, time_of_day=lambda: 1_700_000_000.9)
        self.made = Registration(7, "webhook", "a token of mine", "phone")

    def request(self, method, url, *, headers=None, body=None, seconds=10.0, most=65536, https=False):
        self.assertEqual((method, url), ("POST", URL))
        said = f"{headers['Webhook-Id']}.{headers['Webhook-Timestamp']}.".encode() + body
        signature = base64.b64encode(hmac.new(SECRET, said, hashlib.sha256).digest()).decode()
        self.assertEqual(headers["Webhook-Signature"], f"v1,{signature}")
        self.assertEqual(headers["Webhook-Timestamp"], "1700000000")
        self.took.append((headers["Webhook-Id"], json.loads(body)))
        return succeed(Answer(self.status, Headers(), b""))

    def push(self, notice):
        return self.successResultOf(self.pusher.push(self.made, notice))

    def test_what_it_gets(self):
        self.assertEqual(self.push(Notice("g:1", "5-1", 2, "bob", "friends", badge=3, at=1)), Pushed.DONE)
        notice = {"conversation": "g:1", "position": "5-1", "sender": 2, "sender_name": "bob", "group_name": "friends"}
        expected = {
            "type": "push",
            "user": 7,
            "device": "phone",
            "address": "a token of mine",
            "topic": Notice("g:1").topic,
            "notice": {**notice, "badge": 3},
        }
        self.assertEqual(self.took[0][1], expected)

    def test_a_repetition_has_the_same_id_and_nothing_else_has(self):
        for notice in (Notice("g:1", at=1), Notice("g:1", at=1), Notice("g:1", at=2), Notice("g:2", at=1)):
            self.push(notice)
        ids = [id for id, _ in self.took]
        self.assertEqual(ids[0], ids[1])
        self.assertEqual(len(set(ids)), 3)

    def test_what_answers_mean(self):
        for self.status, outcome in ((200, "done"), (410, "gone"), (404, "refused"), (400, "refused"), (503, "later")):
            self.assertEqual(self.push(Notice("g:1")), outcome)

    def test_what_can_be_registered(self):
        self.assertEqual(self.pusher.check("anything that can be read 界", {}), "")
        for address in ("a\nb", "x" * 1025, "\ud800"):
            self.assertRaises(InvalidField, self.pusher.check, address, {})
        self.assertRaises(InvalidField, self.pusher.check, "x", {"auth": "x"})
