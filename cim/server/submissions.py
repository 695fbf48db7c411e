"""What goes up to routes and is answered (DESIGN.md sections 5, Order, and 6).

Whatever names a conversation goes over the link that rendezvous hashing picks for it among the live ones, and stays
with that link while anything of it is unanswered there, so that nothing overtakes anything. When a link is lost, what
was unanswered on it is sent again over the others, in order and before anything new: all of it is idempotent. But a
Send behind one that failed fails as well: the lost route would have refused it. An answer that does not come within
TIMEOUT is a failure of unknown outcome.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, frozen

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from cim.ecim import CallTimeout, CIMError, Unavailable
from cim.icim import ILink
from cim.metrics import Metrics
from cim.selection import rendezvous
from cim.wire import packed
from cim.wire.cim_pb2 import Watch
from cim.wire.link_pb2 import Item, OpenOutcome, Outcome, Reply
from cim.wire.native import RETRYABLE, failure_code, packet

if TYPE_CHECKING:
    from cim.server.native import NativeSession

#: Seconds until an unanswered request has failed.
TIMEOUT = 5.0
#: Requests that may be unanswered, all links together.
MAX_PENDING = 100_000
#: Bytes that may wait on a link before requests are refused, far below the link's own bound for them.
MAX_QUEUED = 6 << 20
#: Conversations whose link is remembered.
KEPT_CHOICES = 20_000

_WATCH_NOBODY = packet(watch=Watch())

Answer = Reply | OpenOutcome | Outcome


@define(eq=False, slots=True)
class Pending:
    """A request that is not answered yet.

    :ivar link: where it went
    :ivar key: what picks its link: a conversation or a user
    :ivar pinned: it keeps its conversation with its link
    :ivar session: who gets the packets of the answer
    :ivar client_id: of a Send
    :ivar order: the call of its first attempt
    :ivar weight: for how many of its session's unanswered requests it counts
    :ivar quiet: its session is not told when it fails at this server
    :ivar done: gets the answer instead of a session
    """

    item: bytes
    link: ILink
    key: str
    pinned: bool
    deadline: float
    session: NativeSession | None = None
    client_id: str = ""
    order: int = 0
    quiet: bool = False
    weight: int = 1
    done: Callable[[Answer | CIMError], None] | None = None


@frozen
class Poison:
    """A Send that failed so that it may come again.

    :ivar order: the call of its first attempt: what is behind it has a greater one
    :ivar upto: the next call, when it failed
    """

    client_id: str
    code: str
    order: int
    upto: int


class Pin:
    """How much of a conversation is unanswered on a link."""

    __slots__ = ("count", "link")

    def __init__(self, link: ILink) -> None:
        self.link = link
        self.count = 0


class Submissions:
    """All requests of this server that are under way.

    :ivar links: the live links by the name of their route; kept by `server.uplink`
    """

    def __init__(self, clock: IReactorTime, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self.links: dict[str, ILink] = {}
        self._names: list[str] = []
        self._choices: dict[str, ILink] = {}
        self._numbers = itertools.count(1)
        # By call, and so in the order in which they were made: the first is the next to expire.
        self._pending: dict[int, Pending] = {}
        self._pins: dict[str, Pin] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._pending)

    # What sessions say.

    def packet(
        self,
        session: NativeSession,
        packet: bytes,
        conversation: str,
        client_id: str = "",
        order: int = 0,
        weight: int = 1,
    ) -> None:
        """Send a session's Packet up; the answer's packets are written to it, or a Failure is.

        :param client_id: of a Send: when it fails retryably, the session's next ones are kept back
        :param order: the call of its first attempt, when the client repeats what failed
        """
        call = next(self._numbers)
        item = packed.request(call, session.asker, conversation, packet, order > 0)
        self._submit(call, item, conversation, session, client_id, order or call, weight=weight)

    def receipt(self, session: NativeSession, packet: bytes, conversation: str) -> None:
        """Send a Received or Read up: it keeps no conversation at its link, and nobody hears of its failure here."""
        call = next(self._numbers)
        item = packed.request(call, session.asker, conversation, packet)
        self._submit(call, item, conversation, session, quiet=True, pinned=False)

    def hint(self, session: NativeSession, packet: bytes, conversation: str) -> None:
        """Send something up that nobody waits for."""
        link = self._pick(conversation)
        if link is not None and link.queued <= MAX_QUEUED:
            link.send_packed(packed.request(0, session.asker, conversation, packet), False)

    def watch_again(self, session: NativeSession, former: ILink | None) -> None:
        """Say whom a session watches at its home, which is another than before.

        :param former: the link of its former home, which is told that it watches nobody
        """
        if former is not None:
            former.send_packed(packed.request(0, session.asker, "", _WATCH_NOBODY), False)
        self.packet(session, session.watch, "")

    # What this server asks for itself.

    def ask(self, key: str, make: Callable[[int], Item]) -> Deferred[Answer]:
        """Ask something and return the answer; it fails with Unavailable or CallTimeout.

        :param key: a conversation, or a user's id for its home link
        :param make: makes the item with its call's number
        """
        fate: Deferred[Answer] = Deferred()

        def done(answer: Answer | CIMError) -> None:
            if isinstance(answer, CIMError):
                fate.errback(answer)
            else:
                fate.callback(answer)

        call = next(self._numbers)
        self._submit(call, make(call).SerializeToString(), key, None, pinned=False, done=done)
        return fate

    def next_call(self) -> int:
        """Return a number for a question that is kept elsewhere."""
        return next(self._numbers)

    def home(self, user: int) -> ILink | None:
        """Return the link of a user's home route."""
        return self._pick(str(user))

    # How it goes up.

    def _pick(self, key: str) -> ILink | None:
        link = self._choices.get(key)
        if link is None:
            if not self._names:
                return None
            link = self.links[rendezvous(key, self._names)]
            if len(self._choices) >= KEPT_CHOICES:
                self._choices.clear()
            self._choices[key] = link
        return link

    def _submit(
        self,
        call: int,
        item: bytes,
        key: str,
        session: NativeSession | None,
        client_id: str = "",
        order: int = 0,
        quiet: bool = False,
        pinned: bool = True,
        weight: int = 1,
        done: Callable[[Answer | CIMError], None] | None = None,
    ) -> None:
        if not key:
            assert session is not None
            key, pinned = str(session.user), False
        pin = self._pins.get(key) if pinned else None
        link = pin.link if pin is not None else self._pick(key)
        if session is not None:
            session.asked(weight)
        deadline = self._clock.seconds() + TIMEOUT
        if (
            link is None
            or len(self._pending) >= MAX_PENDING
            or link.queued > MAX_QUEUED
            or not link.send_packed(item, False)
        ):
            # Its place is nowhere: `link` is only for what was sent.
            self._metrics.refused("no-route" if link is None else "route-too-slow")
            nowhere = Pending(item, None, key, pinned, deadline, session, client_id, order, quiet, weight, done)  # type: ignore[arg-type]  # see above
            self._failed(nowhere, Unavailable())
            return
        if pinned:
            if pin is None:
                pin = self._pins[key] = Pin(link)
            pin.count += 1
        self._pending[call] = Pending(item, link, key, pinned, deadline, session, client_id, order, quiet, weight, done)
        if self._timer is None:
            self._timer = self._clock.callLater(TIMEOUT, self._expire)

    # What becomes of it.

    def answered(self, link: ILink, call: int, answer: Answer) -> bool:
        """An answer came; False when nobody waits for it here (any more)."""
        pending = self._pending.get(call)
        if pending is None or pending.link is not link:
            return False
        del self._pending[call]
        if pending.pinned:
            self._unpin(pending)
        session = pending.session
        if session is None:
            if pending.done is not None:
                pending.done(answer)
            return True
        assert isinstance(answer, Reply)
        if answer.code in RETRYABLE:
            self._poison(session, pending, answer.code)
        if session.live:
            write = session.connection.write_packet
            for packet in answer.packets:
                write(packet)
        session.answered(pending.weight)
        return True

    def _poison(self, session: NativeSession, pending: Pending, code: str) -> None:
        if pending.client_id:
            session.poison(pending.key, Poison(pending.client_id, code, pending.order, next(self._numbers)))

    def _unpin(self, pending: Pending) -> None:
        pin = self._pins[pending.key]
        pin.count -= 1
        if not pin.count:
            del self._pins[pending.key]

    def _failed(self, pending: Pending, error: CIMError) -> None:
        session = pending.session
        if session is None:
            if pending.done is not None:
                pending.done(error)
            return
        self._poison(session, pending, failure_code(error))
        if not pending.quiet and session.live:
            session.refuse(error, pending.client_id, pending.key if pending.pinned else "")
        session.answered(pending.weight)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._pending:
            call, pending = next(iter(self._pending.items()))
            if pending.deadline > now:
                self._timer = self._clock.callLater(pending.deadline - now, self._expire)
                return
            del self._pending[call]
            if pending.pinned:
                self._unpin(pending)
            self._metrics.refused("route-timeout")
            self._failed(pending, CallTimeout())

    # Links that come and go.

    def link_up(self, link: ILink) -> None:
        """A link is there; what is pinned elsewhere stays there."""
        self.links[link.peer.name] = link
        self._changed()

    def link_down(self, link: ILink) -> None:
        """Send what was unanswered on a lost link over the others, or fail it when there are none."""
        if self.links.get(link.peer.name) is link:
            del self.links[link.peer.name]
            self._changed()
        self._pins = {key: pin for key, pin in self._pins.items() if pin.link is not link}
        orphans = [(call, pending) for call, pending in self._pending.items() if pending.link is link]
        failed: list[Pending] = []
        # Whose Sends into which conversation went nowhere: those behind them go nowhere, either.
        lost: set[tuple[NativeSession, str]] = set()
        for call, pending in orphans:
            session = pending.session
            if pending.client_id and session is not None:
                line = session, pending.key
                if line in lost or session.dooms(pending.key, call, pending.order):
                    del self._pending[call]
                    failed.append(pending)
                    continue
            pin = self._pins.get(pending.key) if pending.pinned else None
            other = pin.link if pin is not None else self._pick(pending.key)
            if other is None or not other.send_packed(pending.item, False):
                del self._pending[call]
                failed.append(pending)
                if session is not None:
                    lost.add((session, pending.key))
                continue
            pending.link = other
            if pending.pinned:
                if pin is None:
                    pin = self._pins[pending.key] = Pin(other)
                pin.count += 1
        # Only now: whoever hears of it may submit something new.
        for pending in failed:
            self._failed(pending, Unavailable())

    def _changed(self) -> None:
        self._names = sorted(self.links)
        self._choices.clear()
