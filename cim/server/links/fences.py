"""Fences: learning when a route has handled everything that was sent to it so far.

A route does not push to a session that it has not heard of yet, and nothing shows that the session missed anything, for
no push was lost. So once the route has heard of it, a session that had read its news before is checked again. One
question is under way on a link at a time, and callers that come meanwhile wait for the next: a busy link is asked
rarely.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from cim.interfaces import ILink
from cim.wire.link_pb2 import Fence, Item

Heard = Callable[[], None]


@define(eq=False)
class _Fenced:
    """A question under way on a link.

    :ivar heard: called when it is answered
    :ivar next: called when the next question is answered
    """

    heard: list[Heard]
    next: list[Heard] = field(factory=list)


class Fences:
    """Asks routes whether they have handled what was sent to them.

    :param next_call: returns an unused call number
    """

    def __init__(self, next_call: Callable[[], int]) -> None:
        self._next_call = next_call
        self._asked: dict[ILink, _Fenced] = {}
        self._calls: dict[int, ILink] = {}

    def after(self, link: ILink, heard: Heard) -> None:
        """Call `heard` once the route has handled what was sent over the link so far, unless the link ends first."""
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
        """Take an Outcome; one that nobody here waits for any more is dropped."""
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
        """Forget the questions on a lost link."""
        self._asked.pop(link, None)
        self._calls = {call: at for call, at in self._calls.items() if at is not link}
