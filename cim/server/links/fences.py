"""When a route has heard what it was told.

What a session is not told of by a route that has not heard of it yet nobody misses but the session, for no push was
lost. So once the route has heard, sessions are looked at that read their news before. One question is under way on a
link at a time, whatever comes meanwhile waits for the next: a link that is busy is asked seldom.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from cim.interfaces import ILink
from cim.wire.link_pb2 import Fence, Item

Heard = Callable[[], None]


@define(eq=False)
class _Fenced:
    """A link on which a question is under way.

    :ivar heard: who hears of its answer
    :ivar next: who waits for the next one
    """

    heard: list[Heard]
    next: list[Heard] = field(factory=list)


class Fences:
    """Asks routes whether they have handled what was sent to them.

    :param next_call: returns a number for a question
    """

    def __init__(self, next_call: Callable[[], int]) -> None:
        self._next_call = next_call
        self._asked: dict[ILink, _Fenced] = {}
        self._calls: dict[int, ILink] = {}

    def after(self, link: ILink, heard: Heard) -> None:
        """Call `heard` when the route has handled all that was sent over the link so far; never when the link ends."""
        asked = self._asked.get(link)
        if asked is not None:
            asked.next.append(heard)
        else:
            self._asked[link] = _Fenced([heard])
            self._ask(link)

    def _ask(self, link: ILink) -> None:
        call = self._next_call()
        self._calls[call] = link
        link.send(Item(fence=Fence(call=call)))

    def answered(self, call: int) -> None:
        """An Outcome came; one that nobody waits for here any more is dropped."""
        link = self._calls.pop(call, None)
        if link is None:
            return
        heard, asked = self._asked[link].heard, self._asked[link]
        if asked.next:
            asked.heard, asked.next = asked.next, []
            self._ask(link)
        else:
            del self._asked[link]
        for one in heard:
            one()

    def link_down(self, link: ILink) -> None:
        """Nothing more is heard on that link."""
        self._asked.pop(link, None)
        self._calls = {call: at for call, at in self._calls.items() if at is not link}
