"""Has a policy decide on names and on who joins a group."""

from __future__ import annotations

from cim.errors import Conflict, Refused
from cim.interfaces import IMessagePolicy
from cim.model import Account
from cim.names import LOOKS_TAKEN, look_the_same
from cim.policies import About, Question, Verdict
from cim.wire import conversations


class Naming:
    """Keeps the system user's name from others, and asks a policy, if there is one.

    :param system: what the system user is called
    """

    def __init__(self, policy: IMessagePolicy | None, system: str) -> None:
        self._policy = policy
        self._system = system

    def check(self, name: str) -> None:
        """Check that a new account does not look like the system user.

        :raises Conflict: it would
        """
        if look_the_same(name, self._system):
            raise Conflict(LOOKS_TAKEN)

    def asks(self, about: About) -> bool:
        """Return whether there is a policy that is asked about something."""
        return self._policy is not None and about in self._policy.kinds

    async def account(self, name: str) -> None:
        """Have a stranger's name for a new account decided on.

        :raises Conflict: it looks like that of the system user
        :raises Refused: it is refused
        :raises Undecided: it cannot be decided on now
        """
        self.check(name)
        await self._text(Question(about=About.ACCOUNT, text=name))

    async def group(self, name: str, by: Account, group: int = 0) -> str:
        """Have a user's name for a group decided on; return the name that it is to have.

        :param group: 0 for a new one
        :raises Refused: it is refused
        :raises Undecided: it cannot be decided on now
        """
        where = conversations.group(group) if group else ""
        return await self._text(Question(about=About.GROUP, text=name, user=by.id, name=by.name, conversation=where))

    async def join(self, group: int, by: Account, member: int) -> None:
        """Have it decided on whether somebody becomes a member of a group.

        :param by: who makes it one; itself if it joins
        :raises Refused: it is refused
        :raises Undecided: it cannot be decided on now
        """
        where = conversations.group(group)
        question = Question(about=About.JOIN, text="", user=by.id, name=by.name, conversation=where, member=member)
        await self._text(question)

    async def _text(self, question: Question) -> str:
        if self._policy is None or not self.asks(question.about):
            return question.text
        answer = self._policy.check(question)
        verdict = answer if isinstance(answer, Verdict) else await answer
        if verdict.reason is not None:
            raise Refused(verdict.reason)
        return question.text if verdict.text is None else verdict.text
