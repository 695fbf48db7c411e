"""Calls to servers over their links (docs/architecture.md, Links)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from cim.errors import CallTimeout, LinkLost, RateLimited
from cim.interfaces import ILink
from cim.model import GroupChange
from cim.supervision import Loop
from cim.wire import link_pb2
from cim.wire.link_pb2 import End, Item, Outcome, Probe, Relay, Relayed, Reserve

#: Upstream's terminal client waits 3 s for a call.
CALL_SECONDS = 2.0


def group_change(change: GroupChange, epoch: int, call: int = 0) -> Item:
    """Return the item that tells a server of a change of a group's members.

    :param epoch: of the store when it was made
    :param call: the number that the answer will carry; 0 if nobody waits for one
    """
    told = link_pb2.GroupChange(
        call=call,
        version=change.version,
        group=change.group,
        user=change.user,
        added=change.added,
        floor=change.floor,
        epoch=epoch,
        previous=change.previous,
    )
    return Item(group_change=told)


class LinkCalls:
    """Sends items that are answered by an Outcome, and passes each answer to its caller.

    One timer serves all calls: they all have the same timeout, so the oldest is always the next to expire.
    """

    def __init__(self, clock: IReactorTime, seconds: float = CALL_SECONDS) -> None:
        self._clock = clock
        self._seconds = seconds
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[float, ILink, Deferred[Any]]] = {}
        self._loop = Loop("failing calls that no server answers", self._expire, clock)

    def __len__(self) -> int:
        return len(self._waiting)

    def reserve(self, link: ILink, reserve: Reserve) -> Deferred[Outcome]:
        """Reserve a session; the code is "live" if a live session there is in the way. Takes ownership of `reserve`."""
        call = reserve.call = next(self._numbers)
        return self._asked(link, call, link.send(Item(reserve=reserve)))

    def end(self, link: ILink, user: int, owner: str, code: str, message: str = "") -> Deferred[Outcome]:
        """End the session or reservation of an owner, or all of the user's if `owner` is empty."""
        call = next(self._numbers)
        return self._ask(link, call, Item(end=End(call=call, user=user, owner=owner, code=code, message=message)))

    def probe(self, link: ILink, user: int, owner: str) -> Deferred[Outcome]:
        """Ask whether the session of a login is alive there."""
        call = next(self._numbers)
        return self._ask(link, call, Item(probe=Probe(call=call, user=user, owner=owner)))

    def deliver(self, link: ILink, make: Callable[..., bytes]) -> Deferred[Outcome]:
        """Deliver, and ask how many sessions it was written to.

        :param make: makes the serialized item, given the number of the `call`

        Every call fails with LinkLost if the link is lost before the answer, with CallTimeout if there is no answer in
        time, and with RateLimited if the queue to a slow server is full.
        """
        call = next(self._numbers)
        return self._asked(link, call, link.send_packed(make(call=call), True))

    def group_change(self, link: ILink, change: GroupChange, epoch: int) -> Deferred[Outcome]:
        """Send a change of a group's members in an epoch; answered once it is in the server's index."""
        call = next(self._numbers)
        return self._ask(link, call, group_change(change, epoch, call))

    def relay(self, link: ILink, route: str, question: bytes) -> Deferred[Relayed]:
        """Have a server ask another route, and return the answer."""
        call = next(self._numbers)
        return self._ask(link, call, Item(relay=Relay(call=call, route=route, question=question)))

    def _ask(self, link: ILink, call: int, item: Item) -> Deferred[Any]:
        return self._asked(link, call, link.send(item))

    def _asked(self, link: ILink, call: int, sent: bool) -> Deferred[Any]:
        if not sent:
            return fail(RateLimited("the server cannot keep up: try again later"))
        answer: Deferred[Any] = Deferred()
        self._waiting[call] = (self._clock.seconds() + self._seconds, link, answer)
        if self._loop.due is None:
            self._loop.wake(self._seconds)
        return answer

    def answered(self, link: ILink, outcome: Outcome | Relayed) -> None:
        """Complete the call that an Outcome answers; drop an Outcome that nobody waits for any more."""
        waiting = self._waiting.pop(outcome.call, None)
        if waiting is not None:
            waiting[2].callback(outcome)

    def link_down(self, link: ILink) -> None:
        """Fail all calls over a link."""
        lost = [call for call, waiting in self._waiting.items() if waiting[1] is link]
        for call in lost:
            self._waiting.pop(call)[2].errback(LinkLost())

    def _expire(self) -> float | None:
        now = self._clock.seconds()
        while self._waiting:
            call, (deadline, _link, answer) = next(iter(self._waiting.items()))
            if deadline > now:
                return deadline - now
            del self._waiting[call]
            answer.errback(CallTimeout())
        return None

    def stop(self) -> None:
        """Fail all calls."""
        self._loop.plan(None)
        waiting, self._waiting = self._waiting, {}
        for _deadline, _link, answer in waiting.values():
            answer.errback(LinkLost())
