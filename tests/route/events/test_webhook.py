"""What an operator configures of a webhook."""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from cim.route.events.webhook import LOGGED, MOMENTARY, MOST, Webhook, check_webhooks, webhook_of
from tests.harness.certificates import put

SECRET = bytes(range(32))


class WebhookTests(SynchronousTestCase):
    def setUp(self):
        self.path = self.mktemp()
        put(self.path, b"whsec_" + base64.b64encode(SECRET) + b"\n")

    def table(self, **more):
        return {"name": "shop", "url": "https://shop.example/in", "secret-file": self.path, **more}

    def test_the_least(self):
        self.assertEqual(webhook_of(self.table()), Webhook("shop", "https://shop.example/in", (SECRET,)))

    def test_all(self):
        other = self.mktemp()
        put(other, b"whsec_" + base64.b64encode(SECRET[::-1]))
        read = webhook_of(
            self.table(
                **{"secret-file": [self.path, other], "at-once": 3, "seconds": 2.5},
                events=["message.*", "user.online"],
                conversations=["p:*", "g:7"],
            )
        )
        self.assertEqual(read.secrets, (SECRET, SECRET[::-1]))
        self.assertEqual((read.at_once, read.seconds), (3, 2.5))
        self.assertEqual(
            read.events,
            {"message.sent", "message.edited", "message.recalled", "message.reaction", "user.online", "gap"},
        )
        self.assertTrue(read.follows)

    def test_what_it_wants(self):
        read = webhook_of(self.table(events=["*"], conversations=["p:*", "g:7"]))
        self.assertEqual(read.events, {*LOGGED, *MOMENTARY})
        for conversation, wanted in (("p:1:2", True), ("g:7", True), ("g:8", False), ("g:70", False), ("", True)):
            self.assertEqual(read.wants("message.sent", conversation), wanted, conversation)
        self.assertTrue(webhook_of(self.table()).wants("gap", "g:8"))
        self.assertFalse(webhook_of(self.table()).wants("user.online"))

    def test_moments_alone_follow_no_log(self):
        read = webhook_of(self.table(events=["session.*"]))
        self.assertEqual((read.follows, read.events), (False, {"session.began", "session.ended"}))

    def test_wrong(self):
        bad = self.mktemp()
        put(bad, b"whsec_c2hvcnQ=")
        for more, why in (
            ({"nmae": "x"}, "has no key 'nmae'"),
            ({"name": "Shop"}, "must have a name"),
            ({"name": ""}, "must have a text for name"),
            ({"url": 7}, "must have a text for url"),
            ({"secret-file": []}, "must have 1 to 2 texts for secret-file"),
            ({"secret-file": ["a", "b", "c"]}, "must have 1 to 2 texts for secret-file"),
            ({"secret-file": "/no/such"}, "has a secret-file that cannot be used"),
            ({"secret-file": bad}, "has a secret-file whose secret must be whsec_"),
            ({"events": ["message.sent", "mesage.*"]}, "has no events 'mesage.*'"),
            ({"events": [7]}, "must have a text, or a list of texts, for events"),
            ({"conversations": ["p:2:1"]}, "has 'p:2:1' among its conversations"),
            ({"conversations": ["x:*"]}, "has 'x:*' among its conversations"),
            ({"seconds": 0}, "must have a number from 0.1 to 20 for seconds"),
            ({"seconds": True}, "must have a number"),
            ({"at-once": 17}, "must have a number from 1 to 16 for at-once"),
        ):
            error = self.assertRaises(ValueError, webhook_of, self.table(**more))
            self.assertIn(why, str(error))
            self.assertNotIn("c2hvcnQ", str(error))

    def test_secrets_are_not_shown(self):
        self.assertNotIn(repr(SECRET)[2:10], repr(webhook_of(self.table())))

    def test_all_together(self):
        hooks = [Webhook(f"w{number}", "https://a.example", (SECRET,)) for number in range(MOST)]
        check_webhooks(hooks)
        self.assertRaises(ValueError, check_webhooks, [*hooks, Webhook("more", "https://a.example", (SECRET,))])
        error = self.assertRaises(ValueError, check_webhooks, [hooks[0], hooks[0]])
        self.assertEqual(str(error), "two webhooks are called w0")
