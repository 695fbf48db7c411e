"""Tests of Web Push: what services get, and what they are told by (RFC 8030, 8291, 8292)."""

from __future__ import annotations

import json

import http_ece
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RateLimited
from cim.model import Notice, Pushed, Registration
from cim.route.push.outcomes import outcome_of
from cim.route.push.web_push import SIGNED_SECONDS, USED_SECONDS, WebPush, new_key
from tests.harness.push_service import Browser, PushService

START = 1_700_000_000


class WebPushTests(SynchronousTestCase):
    def setUp(self):
        self.now = START
        self.web = WebPush(
            self,
            key=new_key(),
            contact="mailto:operator@example.com",
            check_url=lambda url: None,
            time_of_day=lambda: self.now,
            random_bytes=bytes,
        )
        self.service = PushService(self.web.public_key, lambda: self.now)
        self.browser = self.service.subscribe()

    def request(self, *args, **options):
        return self.service.request(*args, **options)

    def push(self, notice, browser=None):
        browser = browser or self.browser
        keys = self.web.check(browser.endpoint, browser.keys)
        made = Registration(7, "webpush", browser.endpoint, "web-1", keys)
        outcome = self.successResultOf(self.web.push(made, notice))
        return (outcome, *self.service.took[-1][1:])

    def test_what_a_service_gets(self):
        outcome, headers, said = self.push(Notice("p:1:2", "5-1", 2, "bob", badge=3))
        self.assertEqual(outcome, Pushed.DONE)
        self.assertEqual((headers["TTL"], headers["Urgency"]), ("86400", "normal"))
        self.assertEqual(
            said, {"conversation": "p:1:2", "position": "5-1", "sender": 2, "sender_name": "bob", "badge": 3}
        )

    def test_what_is_about_one_conversation_has_one_topic_that_does_not_tell_which(self):
        topics = [
            self.push(Notice(name, position))[1]["Topic"]
            for name, position in (("g:1", "1-1"), ("g:1", "1-2"), ("g:2", "1-1"))
        ]
        self.assertEqual(topics[0], topics[1])
        self.assertNotEqual(topics[0], topics[2])
        self.assertNotIn("g:1", topics[0])

    def test_closing_is_not_urgent_and_not_kept_for_long(self):
        _, headers, said = self.push(Notice("g:1", read=True))
        self.assertEqual((headers["TTL"], headers["Urgency"]), ("3600", "low"))
        self.assertEqual(said, {"conversation": "g:1", "read": True, "badge": 0})

    def test_a_signature_is_used_again_and_not_for_too_long(self):
        other = self.service.subscribe(2, "https://web.push.apple.com")
        first = self.push(Notice("g:1"))[1]["Authorization"]
        self.assertEqual(self.push(Notice("g:2"))[1]["Authorization"], first)
        self.assertNotEqual(self.push(Notice("g:1"), other)[1]["Authorization"], first)
        self.now += USED_SECONDS
        again = self.push(Notice("g:1"))[1]["Authorization"]
        self.assertNotEqual(again, first)
        # A clock that is set back, too.
        self.now -= SIGNED_SECONDS * 3
        self.assertNotEqual(self.push(Notice("g:1"))[1]["Authorization"], again)

    def test_a_browser_can_read_it_alone(self):
        self.push(Notice("g:1"))
        self.assertEqual(self.browser.read(self.service.last_body)["conversation"], "g:1")
        with self.assertRaises(http_ece.ECEException):
            Browser(3).read(self.service.last_body)
        self.assertNotIn(b"g:1", self.service.last_body)

    def test_what_is_kept_of_the_keys(self):
        kept = self.web.check(self.browser.endpoint, self.browser.keys)
        self.assertEqual(json.loads(kept), self.browser.keys)

    def test_what_answers_mean(self):
        answers = {
            status: outcome_of(status) for status in (200, 201, 202, 301, 400, 403, 404, 410, 413, 429, 500, 503)
        }
        done, gone, later, refused = Pushed.DONE, Pushed.GONE, Pushed.LATER, Pushed.REFUSED
        expected = [done, done, done, refused, refused, refused, gone, gone, refused, later, later, later]
        self.assertEqual(list(answers.values()), expected)
        self.assertEqual(self.assertRaises(RateLimited, outcome_of, 429, "17").retry_after, 17)
        for strange in ("soon", "-1", "9" * 30, "٣"):
            self.assertEqual(outcome_of(429, strange), Pushed.LATER)

    def test_keys_that_cannot_be_used(self):
        other = generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        locked = generate_private_key(SECP384R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        )
        for key in (b"", b"nothing", other, locked):
            with self.assertRaises(ValueError):
                WebPush(self, key=key, contact="", check_url=len, time_of_day=lambda: 0.0, random_bytes=bytes)
