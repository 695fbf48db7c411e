"""One attempt to send an event: how it is signed, and what each answer means."""

from __future__ import annotations

import base64
import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.defer import fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from cim.errors import OutgoingRefused
from cim.route.events.attempts import LONGEST_WAIT, PATIENCE, Attempts, Outcome, wait_after
from cim.route.events.event import Event
from cim.route.events.webhook import Webhook
from cim.web.calling import Answer

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
EVENT = Event("user.online", 1_700_000_000_000, {"user": 7}, "k")


class AttemptsTests(SynchronousTestCase):
    def send(self, answer, secrets=(OLD,)):
        asked = []

        def request(method, url, **more):
            asked.append((method, url, more))
            return succeed(answer) if isinstance(answer, Answer) else fail(answer)

        attempts = Attempts(Webhook("shop", "https://shop.example/in", secrets), request, lambda: 1_700_000_001.9)
        outcome = self.successResultOf(attempts.send(EVENT))
        [(method, url, self.more)] = asked
        self.assertEqual((method, url), ("POST", "https://shop.example/in"))
        return outcome

    def test_signatures(self):
        """By both secrets, while one takes the place of the other."""
        self.assertEqual(self.send(Answer(204, Headers(), b""), (NEW, OLD)), Outcome())
        headers, body = self.more["headers"], self.more["body"]
        self.assertEqual(headers["Webhook-Id"], EVENT.id("shop"))
        self.assertEqual(headers["Webhook-Timestamp"], "1700000001")
        self.assertEqual(body, b'{"type":"user.online","timestamp":"2023-11-14T22:13:20.000Z","data":{"user":7}}')
        signed = b"%s.1700000001.%s" % (EVENT.id("shop").encode(), body)
        expected = [
            "v1," + base64.b64encode(hmac.new(one, signed, hashlib.sha256).digest()).decode() for one in (NEW, OLD)
        ]
        self.assertEqual(headers["Webhook-Signature"].split(" "), expected)

    def test_answers(self):
        for status in (200, 201, 204, 299):
            self.assertEqual(self.send(Answer(status, Headers(), b"")).error, "")
        for status in (100, 301, 302, 400, 404, 429, 500, 503):
            outcome = self.send(Answer(status, Headers(), b""))
            self.assertEqual(outcome, Outcome(f"it answered with status {status}"))
        self.assertTrue(self.send(Answer(410, Headers(), b"")).gone)

    def test_retry_after(self):
        for said, expected in (("7", 7), (" 120 ", 120), ("-1", 0), ("1e9", 0), ("9" * 10, 0), ("Wed, 21 Oct", 0)):
            answer = Answer(503, Headers({"Retry-After": [said]}), b"")
            self.assertEqual(self.send(answer).retry_after, expected, said)

    def test_no_answer(self):
        self.assertEqual(self.send(OutgoingRefused("it leads nowhere")), Outcome("it leads nowhere"))

    @given(st.integers(1, 10_000), st.floats(0, 1e9), st.floats(0, 1))
    def test_waits(self, failures, retry_after, random):
        wait = wait_after(failures, retry_after, random)
        self.assertTrue(2.5 <= wait <= LONGEST_WAIT)
        self.assertGreaterEqual(wait, min(retry_after, LONGEST_WAIT))
        self.assertLessEqual(wait_after(failures, 0, random), wait_after(failures + 1, 0, random))

    def test_how_often_it_is_tried(self):
        """In a day about 30 times."""
        waited, failures = 0.0, 0
        while waited < PATIENCE:
            failures += 1
            waited += wait_after(failures, 0, 0.5)
        self.assertTrue(25 < failures < 45, failures)
