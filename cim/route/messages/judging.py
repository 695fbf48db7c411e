"""Has a policy decide on messages before they are stored (docs/architecture.md, Policies).

The store keeps the first decision about a message. So a policy that takes time is asked only about what the store knows
nothing of, and once within a minute by each route: its answer is remembered until the store has it.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cim.cache import Cache
from cim.errors import CIMError, Undecided
from cim.interfaces import IMessagePolicy
from cim.model import Append, Appended
from cim.policies import About, Question, Verdict
from cim.traces import Trace
from cim.wire.cim_pb2 import EDIT, REACTION, TEXT, Send

#: How long an answer is remembered that the store may not have yet, in seconds, and how many are.
KEPT_SECONDS = 60.0
MAX_KEPT = 10_000
#: What a message of each kind is to a policy; a RECALL says nothing.
KINDS = {TEXT: About.TEXT, EDIT: About.EDIT, REACTION: About.REACTION}

#: Tells which message it is, and what it says.
_Key = tuple[str, int, str, bytes]


def question_of(send: Send, user: int, name: str, conversation: str, trace: Trace) -> Question:
    """Return what a policy is asked about a message of one of KINDS."""
    return Question(
        about=KINDS[send.kind],
        text=send.text,
        user=user,
        name=name,
        conversation=conversation,
        client_id=send.client_id,
        ref=send.ref,
        data=send.data,
        content_type=send.content_type,
        trace=trace,
    )


class Judging:
    """Asks a policy.

    :param ask_store: appends what is only asked about, and calls back with the answer
    """

    def __init__(
        self,
        policy: IMessagePolicy,
        ask_store: Callable[[Append, Callable[[Appended | CIMError], None]], None],
        clock: IReactorTime,
    ) -> None:
        self._policy = policy
        self._ask_store = ask_store
        self._kept: Cache[_Key, Verdict] = Cache(clock.seconds, KEPT_SECONDS, MAX_KEPT)
        #: Whether `at_once` can be asked about any message.
        self.is_quick = policy.at_once

    def asks(self, send: Send) -> bool:
        """Return whether the policy decides on a message: it has none that withdraws a reaction."""
        about = KINDS.get(send.kind)
        return about in self._policy.kinds and bool(send.text or send.data)

    def at_once(self, question: Question) -> Verdict:
        """Return the verdict of a policy that is quick."""
        verdict = self._policy.check(question)
        assert isinstance(verdict, Verdict)
        return verdict

    async def verdict(self, question: Question, asked: Append | None = None) -> Verdict | Appended:
        """Return the policy's verdict, or where the message is if it was stored before.

        :param asked: what asks the store whether it was decided before; None if it cannot have been
        :raises CIMError: it was refused before, has no right to be stored, or cannot be decided on now
        """
        if self.is_quick:
            return self.at_once(question)
        if asked is None:
            return await self._ask(question)
        key = asked.conversation, asked.sender, asked.client_id, asked.digest
        kept = self._kept.get(key)
        if kept is None:
            told = await self._decided(asked)
            if told is not None:
                return told
            kept = await self._ask(question)
            self._kept.keep(key, kept)
        return kept

    async def _ask(self, question: Question) -> Verdict:
        answer = self._policy.check(question)
        return answer if isinstance(answer, Verdict) else await answer

    async def _decided(self, asked: Append) -> Appended | None:
        """Return where a message is that was stored; None if nothing is decided.

        :raises CIMError: it was refused, or has no right to be stored
        """
        fate: Deferred[Appended | CIMError] = Deferred()
        self._ask_store(asked, fate.callback)
        result = await fate
        if isinstance(result, Undecided):
            return None
        if isinstance(result, CIMError):
            raise result
        return result
