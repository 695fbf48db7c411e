"""What routes ask one another and servers pass on, unread (docs/architecture.md, Who is told of whom)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import frozen

from twisted.internet.interfaces import IReactorTime

from cim.interfaces import ILink
from cim.selection import SHARING
from cim.supervision import Loop
from cim.wire.link_pb2 import Item, Relay, Relayed

#: How many questions may be unanswered, and after how many seconds one is forgotten: its asker waits 2.
MAX_WAITING = 100_000
FORGOTTEN_SECONDS = 5.0


@frozen
class _Question:
    """A question under way.

    :param call: its number on the link that it came over
    """

    asker: ILink
    call: int
    asked: ILink
    until: float


class Relays:
    """Passes on what one route asks another.

    :param links: the live links by the names of their routes
    :param next_call: returns an unused call number
    """

    def __init__(self, clock: IReactorTime, links: Mapping[str, ILink], next_call: Callable[[], int]) -> None:
        self._clock = clock
        self._links = links
        self._next_call = next_call
        # In the order in which they were asked.
        self._waiting: dict[int, _Question] = {}
        self._loop = Loop("forgetting what routes asked one another", self._forget, clock)

    def __len__(self) -> int:
        return len(self._waiting)

    def asked(self, link: ILink, relay: Relay) -> None:
        """Pass on a question."""
        asked = self._links.get(relay.route)
        if asked is None or asked.version < SHARING or len(self._waiting) >= MAX_WAITING:
            _refuse(link, relay.call)
            return
        call = self._next_call()
        if not asked.send(Item(relay=Relay(call=call, route=link.peer.name, question=relay.question))):
            _refuse(link, relay.call)
            return
        self._waiting[call] = _Question(link, relay.call, asked, self._clock.seconds() + FORGOTTEN_SECONDS)
        if self._loop.due is None:
            self._loop.wake(FORGOTTEN_SECONDS)

    def answered(self, link: ILink, relayed: Relayed) -> None:
        """Pass on an answer; one that nobody waits for any more is dropped."""
        question = self._waiting.get(relayed.call)
        if question is not None and question.asked is link:
            del self._waiting[relayed.call]
            answer = Relayed(call=question.call, code=relayed.code, answer=relayed.answer)
            question.asker.send(Item(relayed=answer))

    def link_down(self, link: ILink) -> None:
        """Refuse what a lost link was to answer."""
        for call, question in list(self._waiting.items()):
            if link in (question.asked, question.asker):
                del self._waiting[call]
                if question.asker is not link:
                    _refuse(question.asker, question.call)

    def _forget(self) -> float | None:
        now = self._clock.seconds()
        while self._waiting:
            call, question = next(iter(self._waiting.items()))
            if question.until > now:
                return question.until - now
            del self._waiting[call]
        return None


def _refuse(link: ILink, call: int) -> None:
    link.send(Item(relayed=Relayed(call=call, code="unlinked")))
