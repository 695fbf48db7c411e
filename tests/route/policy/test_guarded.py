"""Tests of policies that take too long, say what cannot be, or fail: those who ask are answered in time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cim.errors import Undecided, Unreachable
from cim.interfaces import IMessagePolicy
from cim.policies import ALLOWED, MAX_REASON, NO_REASON, About, Question, Verdict, changed, refused
from cim.route.policy.breaker import FAILURES
from cim.route.policy.guarded import DEADLINE, MAX_WAITING, MOST, AllOf, Bounds, Guarded
from cim.wire.native import MAX_CONTENT
from tests.route.policy_double import PolicyDouble


def text(said="hello", **fields):
    return Question(about=About.TEXT, text=said, user=1, name="alice", conversation="p:1:2", **fields)


class GuardedCase(SynchronousTestCase):
    fails_open = False
    at_once = False

    def setUp(self):
        self.clock = Clock()
        self.policy = PolicyDouble(at_once=self.at_once)
        self.counted = []
        self.guarded = self.guard(self.policy)

    def guard(self, policy, name="double"):
        bounds = Bounds(fails_open=self.fails_open)
        return Guarded(policy, name, bounds, self.clock, lambda *counted: self.counted.append(counted))

    def ask(self, question=None):
        return self.guarded.check(question or text())

    def outcomes(self):
        counted, self.counted = self.counted, []
        return [outcome for _, outcome, _ in counted]


class LaterTests(GuardedCase):
    def test_it_is_a_policy(self):
        verifyObject(IMessagePolicy, self.guarded)
        verifyObject(IMessagePolicy, AllOf([self.guarded]))

    def test_what_is_answered_is_counted_with_its_time(self):
        self.policy.hold = True
        answers = [self.ask() for _ in range(3)]
        self.clock.advance(0.1)
        for verdict in (ALLOWED, refused("no"), changed("x")):
            self.policy.answer(verdict)
        self.assertEqual([self.successResultOf(one) for one in answers], [ALLOWED, refused("no"), changed("x")])
        self.assertEqual(self.counted, [("double", how, 0.1) for how in ("allowed", "refused", "changed")])
        self.assertEqual(self.guarded.facts(), {"double": "well"})

    def test_what_takes_too_long_is_not_decided(self):
        self.policy.hold = True
        asked = self.ask()
        self.clock.advance(DEADLINE - 0.01)
        self.assertNoResult(asked)
        self.clock.advance(0.01)
        self.failureResultOf(asked, Undecided)
        self.assertEqual(self.outcomes(), ["late"])

    def test_whoever_never_answers_is_left_alone(self):
        self.policy.hold = True
        for _ in range(FAILURES):
            asked = self.ask()
            self.clock.advance(DEADLINE)
            self.failureResultOf(asked, Undecided)
        self.failureResultOf(self.ask(), Undecided)  # at once
        self.assertEqual(self.outcomes(), ["late"] * FAILURES + ["not-asked"])
        self.assertEqual(
            self.guarded.facts(),
            {"double": "not asked for 1 s, and nothing of its kinds is taken: it did not answer in time"},
        )
        self.clock.advance(1)
        asked = self.ask()
        self.failureResultOf(self.ask(), Undecided)
        self.policy.answer(at=-1)
        self.assertEqual(self.successResultOf(asked), ALLOWED)
        self.policy.hold = False
        self.assertEqual(self.successResultOf(self.ask()), ALLOWED)
        self.assertEqual(self.guarded.facts(), {"double": "well"})

    def test_a_thousand_senders_and_a_slow_policy(self):
        """So many are asked at a time; those behind them wait no longer than the deadline, and cost it nothing."""
        self.policy.hold = True
        asked = [self.ask() for _ in range(MOST + MAX_WAITING + 5)]
        self.assertEqual(len(self.policy.waiting), MOST)
        self.assertEqual(self.outcomes(), ["busy"] * 5)
        self.clock.advance(DEADLINE / 2)
        for _ in range(MOST):
            self.policy.answer()
        self.assertEqual((len(self.policy.waiting), self.outcomes()), (MOST, ["allowed"] * MOST))
        self.clock.advance(DEADLINE / 2)
        self.assertEqual(sorted(self.outcomes()), ["busy"] * (MAX_WAITING - MOST) + ["late"] * MOST)
        for one in asked[MOST:]:
            self.failureResultOf(one, Undecided)

    def test_what_only_waited_says_nothing_about_it(self):
        self.policy.hold = True
        for _ in range(MOST):
            self.ask().addErrback(lambda _: None)
        self.clock.advance(DEADLINE - 0.01)
        for _ in range(FAILURES):
            self.ask().addErrback(lambda _: None)
        for _ in range(MOST):
            self.policy.waiting.pop(0).callback(ALLOWED)
        self.clock.advance(0.01)
        self.assertEqual(self.guarded.facts(), {"double": "well"})
        self.clock.advance(1)

    def test_turns_are_given_back(self):
        self.policy.hold = True
        for _ in range(3 * MOST):
            asked = self.ask()
            if self.policy.waiting:
                self.policy.waiting.pop().errback(RuntimeError())
                self.failureResultOf(asked, Undecided)
                self.clock.advance(31)
        self.policy.hold = False
        self.clock.advance(31)
        self.assertEqual(self.successResultOf(self.ask()), ALLOWED)
        self.flushLoggedErrors(RuntimeError)

    def test_answers_that_cannot_be_followed(self):
        lone = "\ud800"
        for verdict in (
            None,
            True,
            "allowed",
            object(),
            changed(""),
            changed("x" * (MAX_CONTENT + 1)),
            changed(lone),
            Verdict(text=7),
        ):
            self.policy.answers["hello"] = verdict
            self.failureResultOf(self.ask(), Undecided)
            self.clock.advance(31)
        self.assertEqual(set(self.outcomes()), {"failed"})
        self.flushLoggedErrors()

    def test_what_may_be_changed(self):
        data = b"x" * (MAX_CONTENT - 4)
        for question, to, well in (
            (text(data=data), "x" * 4, True),
            (text(data=data), "x" * 5, False),
            (text(data=b"x"), "", True),
            (Question(about=About.EDIT, text="hello"), "x", True),
            (Question(about=About.REACTION, text="hello"), "x", False),
            (Question(about=About.ACCOUNT, text="hello"), "x", False),
            (Question(about=About.JOIN, text=""), "x", False),
            (Question(about=About.GROUP, text="hello"), "friends", True),
            (Question(about=About.GROUP, text="hello"), "\u202efriends", False),
            (Question(about=About.GROUP, text="hello"), "", False),
            (Question(about=About.REACTION, text="hello"), "hello", True),
        ):
            self.policy.answers = {question.text: changed(to)}
            asked = self.guarded.check(question)
            if well:
                self.assertEqual(self.successResultOf(asked).text, None if to == question.text else to)
            else:
                self.failureResultOf(asked, Undecided)
                self.clock.advance(31)
        self.flushLoggedErrors()

    def test_errors_are_logged_now_and_then(self):
        for error in (ValueError("secret"), Unreachable("10.1.2.3 cannot be reached")):
            self.policy.check = lambda question, error=error: (_ for _ in ()).throw(error)
            self.failureResultOf(self.ask(), Undecided)
            self.failureResultOf(self.ask(), Undecided)
            self.clock.advance(31)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        # What it was is for the log, not for whoever asks for health.
        for _ in range(FAILURES):
            self.failureResultOf(self.ask(), Undecided)
        said = self.guarded.facts()["double"]
        self.assertNotIn("10.1.2.3", said)
        self.assertIn("it cannot be asked", said)

    def test_reasons_are_one_short_line(self):
        self.assertEqual(refused("  no\n\u202e\x1b[31m way  ").reason, "no [31m way")
        self.assertEqual(len(refused("x" * 5000).reason), MAX_REASON)
        self.assertEqual((refused("").reason, refused("\n").reason), (NO_REASON, NO_REASON))


class OpenTests(GuardedCase):
    fails_open = True

    def test_a_failure_allows(self):
        self.policy.hold = True
        for _ in range(FAILURES):
            asked = self.ask()
            self.clock.advance(DEADLINE)
            self.assertEqual(self.successResultOf(asked), ALLOWED)
        self.assertEqual(self.successResultOf(self.ask()), ALLOWED)
        self.assertEqual(self.outcomes(), ["late"] * FAILURES + ["not-asked"])
        self.assertIn("everything is allowed", self.guarded.facts()["double"])


class AtOnceTests(GuardedCase):
    at_once = True

    def test_the_verdict_is_there(self):
        self.policy.answers["hello"] = refused("no")
        self.assertEqual(self.ask(), refused("no"))

    def test_whoever_does_not_keep_its_promise_has_failed(self):
        for answer in (Deferred(), None, changed("")):
            self.policy.answers["hello"] = answer
            self.assertRaises(Undecided, self.ask)
        self.policy.check = lambda question: 1 / 0
        self.clock.advance(31)
        self.assertRaises(Undecided, self.ask)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.outcomes(), ["failed"] * 4)


class AllOfTests(GuardedCase):
    def all_of(self, *policies):
        return AllOf([self.guard(policy) for policy in policies])

    def test_each_is_asked_about_what_those_before_it_left(self):
        one, two = PolicyDouble(at_once=True), PolicyDouble(kinds={About.TEXT})
        both = self.all_of(one, two)
        self.assertEqual((both.at_once, both.kinds), (False, frozenset(About)))
        one.answers["damn spam"] = changed("**** spam")
        self.assertEqual(self.successResultOf(both.check(text("damn spam"))), changed("**** spam"))
        self.assertEqual(two.texts, ["**** spam"])
        two.answers["**** spam"] = refused("no")
        self.assertEqual(self.successResultOf(both.check(text("damn spam"))), refused("no"))
        two.answers["**** spam"] = changed("damn spam")
        self.assertEqual(self.successResultOf(both.check(text("damn spam"))), ALLOWED)
        one.answers["x"] = refused("never")
        two.asked.clear()
        self.assertEqual(self.successResultOf(both.check(text("x"))), refused("never"))
        self.successResultOf(both.check(Question(about=About.JOIN, text="")))
        self.assertEqual(two.asked, [])

    def test_all_at_once(self):
        both = self.all_of(PolicyDouble(at_once=True), PolicyDouble(at_once=True))
        self.assertEqual(both.check(text()), ALLOWED)
        self.assertEqual(both.facts(), {"policies": {"double": "well"}})
