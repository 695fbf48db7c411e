"""Tests of signatures, by the example of the specification's own library."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.standard_webhooks import read_secret, signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class SignatureTests(SynchronousTestCase):
    def test_the_example_of_the_specification(self):
        body = b'{"test": 2432232314}'
        self.assertEqual(
            signed(read_secret(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body),
            {
                "Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "Webhook-Timestamp": "1614265330",
                "Webhook-Signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            },
        )

    def test_what_is_no_secret(self):
        for text in ("", "whsec_", "whsec_????", SECRET[6:], "whsec_" + "A" * 28, "whsec_" + "A" * 120):
            error = self.assertRaises(ValueError, read_secret, text)
            self.assertNotIn("AAAA", str(error))
        self.assertEqual(len(read_secret(SECRET)), 24)
