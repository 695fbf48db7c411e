"""Tests of the policies that options describe."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.policies import ALLOWED, About, Question, changed
from cim.route.policy.guarded import Bounds
from cim.route.policy.hook import HookSettings
from cim.route.policy.options import PolicyOptions, hooks_of, policies_of
from tests.route.policy_double import PolicyDouble


class Options(PolicyOptions):
    daemon = "route"


class PoliciesTests(SynchronousTestCase):
    def setUp(self):
        self.double = PolicyDouble(at_once=True)
        self.words = self.mktemp()
        with open(self.words, "w", encoding="utf-8") as file:
            file.write("damn")

    def options(self, *given):
        options = Options({})
        options.parseOptions(list(given))
        return options

    def made(self, *given, hooks=(), settings=()):
        options = self.options(*given)
        if settings:
            options["before-hook"] = list(settings)
        return policies_of(options, lambda: [self.double], hooks, Clock(), lambda *counted: None)

    def hook(self, name, seconds=0.3, kinds=(About.TEXT,)):
        return HookSettings(name, "https://hook.example", frozenset(kinds), Bounds(seconds), b"s" * 32)

    def test_none(self):
        self.assertIsNone(self.made())

    def test_those_in_the_process_are_asked_in_order(self):
        policy = self.made("--message-policy", f"words:mask:{self.words}", "--message-policy", "double:x")
        self.assertTrue(policy.at_once)
        self.double.answers["**** it"] = changed("**** that")
        self.assertEqual(policy.check(Question(about=About.TEXT, text="damn it")), changed("**** that"))
        self.assertEqual(self.double.texts, ["**** it"])

    def test_hooks_come_behind_them(self):
        hook = PolicyDouble(kinds={About.TEXT})
        hook.name = "mine"
        policy = self.made("--message-policy", "double", hooks=[hook], settings=[self.hook("mine")])
        self.assertEqual(self.successResultOf(policy.check(Question(about=About.TEXT, text="x"))), ALLOWED)
        self.assertEqual((self.double.texts, hook.texts), (["x"], ["x"]))
        self.assertEqual(policy.facts(), {"policies": {"double": "well", "mine": "well"}})

    def test_what_cannot_be(self):
        for given, wrong in (
            (("--message-policy", "none"), "must be one of double, words, not"),
            (("--message-policy", "words"), "must be words:mask:FILE or words:refuse:FILE"),
            (("--message-policy", "words:mask:/does/not/exist"), "cannot be read"),
        ):
            self.assertIn(wrong, str(self.assertRaises(UsageError, self.made, *given)))

    def test_hooks_that_cannot_be_together(self):
        options = self.options()
        options["before-hook"] = [self.hook("a"), self.hook("a")]
        self.assertIn("a name of its own", str(self.assertRaises(UsageError, hooks_of, options)))
        options["before-hook"] = [self.hook("a", 2), self.hook("b", 1.5)]
        self.assertIn("3 seconds at most together", str(self.assertRaises(UsageError, hooks_of, options)))
        options["before-hook"] = [self.hook("a", 2), self.hook("b", 1.5, [About.JOIN])]
        self.assertEqual(len(hooks_of(options)), 2)
