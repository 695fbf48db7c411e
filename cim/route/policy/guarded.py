"""Keeps a policy within bounds: how long it takes, how much is asked at a time, what it may answer, and what it means
when it fails. Whatever a policy does, those who ask get a verdict or Undecided, in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cim.errors import CallTimeout, CIMError, Undecided
from cim.interfaces import IMessagePolicy
from cim.policies import ALLOWED, About, Question, Verdict, changed, check_verdict
from cim.route.policy.breaker import Breaker, State
from cim.route.policy.turns import Turns

#: How many questions of a policy are under way at a time, and how many may wait for their turn.
MOST, MAX_WAITING = 32, 1000
#: The part of its deadline that a question may wait for its turn: what is left must do for an answer.
WAITING_PART = 0.75
#: The usual deadline of a policy, in seconds.
DEADLINE = 0.3
#: How often the same policy's failures get a line in the log, in seconds.
LOG_SECONDS = 10.0

#: What is said of failures.
_TROUBLES = {
    "late": "it did not answer in time",
    "busy": "more was to be asked than it answers",
    "failed": "it cannot be asked, or does not answer as it should",
}

#: Counts an answer: of which policy, how it ended, and after how many seconds, if it was asked.
Count = Callable[[str, str, float | None], None]


@frozen
class Bounds:
    """What a policy is held to.

    :param seconds: how long a question may take, waiting included
    :param fails_open: whether its failure allows what it was asked about, which is otherwise not done
    """

    seconds: float = DEADLINE
    fails_open: bool = False


@implementer(IMessagePolicy)
class Guarded:
    """A policy that is held to its bounds.

    :param name: what it is called in metrics and health
    """

    _log = Logger()

    def __init__(self, policy: IMessagePolicy, name: str, bounds: Bounds, clock: IReactorTime, count: Count) -> None:
        self._policy = policy
        self.name = name
        self.kinds: frozenset[About] = frozenset(policy.kinds)
        self.at_once: bool = policy.at_once
        self._bounds = bounds
        self._clock = clock
        self._count = count
        self._breaker = Breaker(clock.seconds)
        self._turns = Turns(clock.seconds, MOST, bounds.seconds * WAITING_PART)
        self._trouble = ""
        self._logged = -LOG_SECONDS

    def configured(self, argument: str) -> IMessagePolicy:
        """Return this one: it is configured."""
        return self

    def check(self, question: Question) -> Verdict | Deferred[Verdict]:
        """See IMessagePolicy; raises Undecided, and nothing else, or the Deferred fails with it."""
        if not self.at_once:
            return Deferred.fromCoroutine(self._ask(question))
        began = self._clock.seconds()
        try:
            return self._answered(question, self._policy.check(question), began)
        except Exception as error:
            return self._failed("failed", error, began)

    async def _ask(self, question: Question) -> Verdict:
        if not self._breaker.permits():
            return self._failed("not-asked", None, None)
        began = self._clock.seconds()
        asked = False

        async def in_turn() -> object:
            nonlocal asked
            await self._turns.take()
            try:
                asked = True
                answer = self._policy.check(question)
                return await answer if isinstance(answer, Deferred) else answer
            finally:
                self._turns.end()

        try:
            if len(self._turns) >= MAX_WAITING:
                raise TimeoutError("too many questions wait for it")
            answer = await Deferred.fromCoroutine(in_turn()).addTimeout(self._bounds.seconds, self._clock)
            verdict = self._answered(question, answer, began)
        except Exception as error:
            # What waited for its turn in vain says little about whoever was never asked.
            if asked or self._breaker.state is State.TRIED:
                self._breaker.failed()
            late = isinstance(error, TimeoutError | CancelledError | CallTimeout)
            return self._failed("late" if late and asked else "busy" if late else "failed", error, began)
        self._breaker.succeeded()
        return verdict

    def _answered(self, question: Question, answer: object, began: float) -> Verdict:
        try:
            verdict = check_verdict(question, answer)
        except ValueError as error:
            raise Undecided(f"its answer {error}") from None
        how = "refused" if verdict.reason is not None else "changed" if verdict.text is not None else "allowed"
        self._count(self.name, how, self._clock.seconds() - began)
        return verdict

    def _failed(self, how: str, error: Exception | None, began: float | None) -> Verdict:
        """Return what a failure means.

        :raises Undecided: that nothing is done
        """
        self._count(self.name, how, None if began is None else self._clock.seconds() - began)
        if error is not None:
            self._note(how, error)
        if self._bounds.fails_open:
            return ALLOWED
        raise Undecided()

    def _note(self, how: str, error: Exception) -> None:
        """Remember a failure in words that strangers may read, and log it unless one was logged lately."""
        self._trouble = _TROUBLES[how]
        now = self._clock.seconds()
        if now - self._logged < LOG_SECONDS:
            return
        self._logged = now
        if isinstance(error, CIMError):
            self._log.warn("the policy {name} did not decide: {error}", name=self.name, error=error)
        elif how == "failed":
            self._log.failure("the policy {name} failed", name=self.name)
        else:
            self._log.warn("the policy {name} did not decide: {why}", name=self.name, why=self._trouble)

    def facts(self) -> Mapping[str, str]:
        """Return what `/health` says of it, by its name."""
        said = "well"
        if self._breaker.state is not State.ASKED:
            instead = "everything is allowed" if self._bounds.fails_open else "nothing of its kinds is taken"
            said = f"not asked for {self._breaker.remaining():.0f} s, and {instead}: {self._trouble}"
        return {self.name: said}


@implementer(IMessagePolicy)
class AllOf:
    """Policies that are asked one after the other; each is asked about what the ones before it left.

    :param policies: in this order; those that answer at once before the others
    """

    name = "all"

    def __init__(self, policies: Sequence[Guarded]) -> None:
        self._policies = policies
        self.kinds: frozenset[About] = frozenset().union(*(one.kinds for one in policies))
        self.at_once = all(one.at_once for one in policies)

    def configured(self, argument: str) -> IMessagePolicy:
        """Return this one: it is configured."""
        return self

    def check(self, question: Question) -> Verdict | Deferred[Verdict]:
        """See IMessagePolicy; raises Undecided, and nothing else, or the Deferred fails with it."""
        return self._now(question) if self.at_once else Deferred.fromCoroutine(self._later(question))

    def _now(self, question: Question) -> Verdict:
        said = question
        for policy in self._policies:
            if said.about in policy.kinds:
                verdict = policy.check(said)
                assert isinstance(verdict, Verdict)
                if verdict.reason is not None:
                    return verdict
                said = _after(said, verdict)
        return _in_all(question, said)

    async def _later(self, question: Question) -> Verdict:
        said = question
        for policy in self._policies:
            if said.about in policy.kinds:
                answer = policy.check(said)
                verdict = answer if isinstance(answer, Verdict) else await answer
                if verdict.reason is not None:
                    return verdict
                said = _after(said, verdict)
        return _in_all(question, said)

    def facts(self) -> Mapping[str, Any]:
        """Return what `/health` says of them."""
        return {"policies": {name: said for one in self._policies for name, said in one.facts().items()}}


def _after(question: Question, verdict: Verdict) -> Question:
    return question if verdict.text is None else evolve(question, text=verdict.text)


def _in_all(question: Question, said: Question) -> Verdict:
    return ALLOWED if said.text == question.text else changed(said.text)
