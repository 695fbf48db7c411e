"""Tests of the options about push."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.outgoing.guard import check_url
from cim.route.push.options import push_rules_of
from cim.route.push.web_push import new_key
from cim.route.tap import Options
from tests.route.push.test_apns import PEM
from tests.route.push.test_fcm import FILE


class OptionsTests(SynchronousTestCase):
    def file(self, content, mode=0o600):
        path = Path(self.mktemp())
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return str(path)

    def rules(self, *words):
        options = Options(environ={})
        options.parseOptions(words)
        return push_rules_of(options, None, check_url, MemoryReactorClock())

    def test_without_options_nobody_is_notified(self):
        rules = self.rules()
        self.assertEqual((list(rules.pushers), rules.told(), rules.names, rules.texts), ([], {}, True, False))

    def test_all_kinds_at_once(self):
        rules = self.rules(
            *("--vapid-key", self.file(new_key()), "--vapid-contact", "https://example.com/contact"),
            *("--fcm-credentials", self.file(json.dumps(FILE))),
            *("--apns", "ABCDE12345/KEY1234567/com.example.chat", "--apns-key", self.file(PEM)),
            *("--push-webhook", "https://push.example.com/cim"),
            *("--push-webhook-secret-file", self.file("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")),
            *("--push-shows", "texts"),
        )
        told = rules.told()
        self.assertEqual(sorted(told), ["apns", "fcm", "webhook", "webpush"])
        self.assertRegex(told.pop("webpush"), r"\AB[A-Za-z0-9_-]{86}\Z")
        self.assertEqual(set(told.values()), {""})
        self.assertEqual((rules.names, rules.texts), (True, True))
        self.assertFalse(self.rules("--push-shows", "nothing").names)
        rules.close()

    def test_what_cannot_be_used(self):
        good = "ABCDE12345/KEY1234567/com.example.chat"
        hook = ("--push-webhook", "https://push.example.com/")
        for words, said in (
            (("--vapid-key", self.file("nothing")), "--vapid-key"),
            (("--vapid-key", self.file(new_key(), 0o644)), "chmod 600"),
            (("--vapid-key", "missing"), "--vapid-key"),
            (("--vapid-contact", "somebody"), "vapid-contact must be mailto"),
            (("--push-hosts", "https://push.example.com"), "push-hosts must be names of hosts"),
            (("--push-hosts", ""), "push-hosts must be names of hosts"),
            (("--push-shows", "all"), "push-shows must be"),
            (("--push-select", "nobody"), "--push-select must be the name of a plugin"),
            (("--fcm-credentials", self.file("{}")), "service account"),
            (("--apns", "nobody"), "--apns must be TEAM/KEY-ID/BUNDLE-ID"),
            (("--apns", good), "--apns needs --apns-key"),
            (("--apns", good, "--apns-key", self.file("nothing")), "(.p8)"),
            (("--apns", good, "--apns-key", self.file(PEM), "--apns-host", "a b"), "--apns-host must be"),
            (hook, "--push-webhook needs --push-webhook-secret-file"),
            ((*hook, "--push-webhook-secret-file", self.file("secret")), "whsec_"),
            (("--push-webhook", "nothing", "--push-webhook-secret-file", self.file("whsec_x")), "--push-webhook must"),
        ):
            error = self.assertRaises(UsageError, self.rules, *words)
            self.assertIn(said, str(error))
            self.assertNotIn("PRIVATE", str(error))
