"""A policy that the test plays."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IMessagePolicy
from cim.policies import ALLOWED, About


@implementer(IMessagePolicy)
class PolicyDouble:
    """Answers at once what the test has set, or later what it says then.

    :ivar answers: verdicts by text; what has none is allowed
    :ivar asked: the questions
    :ivar waiting: Deferreds of the questions that wait, unless it answers at once
    """

    name = "double"

    def __init__(self, *, at_once=False, kinds=frozenset(About)):
        self.at_once = at_once
        self.kinds = kinds
        self.answers = {}
        self.asked = []
        self.waiting = []
        self.hold = False

    def configured(self, argument):
        return self

    def check(self, question):
        self.asked.append(question)
        if self.hold:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return self.answers.get(question.text, ALLOWED)

    @property
    def texts(self):
        """Return what it was asked about, and forget it."""
        asked, self.asked = self.asked, []
        return [question.text for question in asked]

    def answer(self, verdict=ALLOWED, at=0):
        """Answer the question that waits first."""
        self.waiting.pop(at).callback(verdict)
