"""The order of a session's Sends in one conversation (docs/architecture.md, Order).

A Send that goes up names the one before it while that is unanswered, and the store takes it only after that one. So
the order holds whatever is lost or overtaken on the way. This module keeps only what later Sends must name, and
decides what happens to a Send that comes back out of order:

- the one that it named was stored, was refused for good, or has gone up again since: it goes up again at once;
- the one that it named is under way: it waits for that one;
- the one that it named failed and may be repeated: it fails the same way.

The first Send that failed and may be repeated holds back all others until its client repeats it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from attrs import define, field

from cim.daemon.tracing import Span
from cim.errors import CIMError, Unavailable
from cim.interfaces import ILink
from cim.server.links.pending import Asker, ClientRequest
from cim.traces import UNTRACED
from cim.wire.native import failure_packet

#: In how many conversations of one session a failed Send may hold back others.
MAX_KEPT_BACK = 256
#: How many settled Sends are remembered of a session in which a Send has failed.
MAX_SETTLED = 64


class SendState(enum.Enum):
    """The state of a Send.

    :cvar UP: a route has it
    :cvar WAITING: it came back out of order and waits for the one that it named
    :cvar SETTLED: it was stored or refused for good
    :cvar FAILED: its client was told that it failed and may be repeated
    :cvar REPEATED: its client has repeated it
    """

    UP = enum.auto()
    WAITING = enum.auto()
    SETTLED = enum.auto()
    FAILED = enum.auto()
    REPEATED = enum.auto()


UP, WAITING, SETTLED, FAILED, REPEATED = SendState


class Sender(Asker, Protocol):
    """A session that sends.

    :ivar orders: conversation -> the order of the Sends there, while there is anything to keep
    :ivar settled: (conversation, client_id) of the newest Sends that were settled since one failed; None before that
    """

    orders: dict[str, SendOrder] | None
    settled: dict[tuple[str, str], None] | None


@define(eq=False)
class SendRequest(ClientRequest):
    """A Send on its way to a route.

    :ivar call: its call number, the same each time it goes up
    :ivar span: that of it if it is traced
    :ivar order: the order that it belongs to
    :ivar before: the Send that it names, or that came before it when it was answered
    :ivar repetition: the Send by which its client repeated it
    :ivar passed: when it last went up, as a number that counts all Sends that went up
    :ivar error: what it failed with, and what those behind it fail with
    """

    client_id: str = field(kw_only=True)
    call: int = field(kw_only=True)
    span: Span | None = field(default=None, init=False)
    order: SendOrder = field(init=False)
    state: SendState = field(default=UP, init=False)
    before: SendRequest | None = field(default=None, init=False)
    repetition: SendRequest | None = field(default=None, init=False)
    passed: int = field(default=0, init=False)
    error: type[CIMError] = field(default=Unavailable, init=False)

    def send(self, link: ILink, call: int) -> bool:
        """See Pending."""
        before = self.before
        after = before.client_id if before is not None else ""
        trace = self.span.trace if self.span is not None else UNTRACED
        return link.send_request(call, self.session, self.conversation, self.packet, after, trace)

    @property
    def is_awaited(self) -> bool:
        """Whether the client is told that it failed: not if it has been repeated, or its outcome is known."""
        return self.state is FAILED or (self.state is REPEATED and self.repetition is None)

    def failed(self, error: CIMError) -> None:
        """See Pending."""
        if self.span is not None:
            self.span.end(error)
        session = self.session
        if session.live and self.is_awaited:
            session.connection.write_packet(failure_packet(error, self.client_id, self.conversation))
        session.answered()


def runs_of(sends: Iterable[SendRequest]) -> Iterator[list[SendRequest]]:
    """Part a session's new Sends in one conversation into runs, which go up together: each names the one before it."""
    run: list[SendRequest] = []
    for send in sends:
        if run and (send.before is not run[-1] or send.span is not None or run[-1].span is not None):
            yield run
            run = []
        run.append(send)
    if run:
        yield run


def send_run(link: ILink, run: Sequence[SendRequest]) -> bool:
    """Send a run over a link; return what the link returns."""
    first = run[0]
    after = first.before.client_id if first.before is not None else ""
    return link.send_run(first.call, first.session, first.conversation, [send.packet for send in run], after)


def _is_unanswered(send: SendRequest) -> bool:
    return send.state is UP or send.state is WAITING


def in_effect(send: SendRequest | None) -> SendRequest | None:
    """Return what takes a Send's place now: itself, its repetition, or once it is settled what came before it."""
    while send is not None:
        if send.state is SETTLED:
            send = send.before
        elif send.state is REPEATED:
            send = send.repetition
        else:
            break
    return send


class SendOrder:
    """The Sends of a session into one conversation, in its client's order, while later ones may have to name them.

    :ivar first_failed: the failed Send that holds back all others
    :ivar waiting: how many wait for the one that they named
    """

    __slots__ = ("_conversation", "_sends", "_session", "first_failed", "waiting")

    def __init__(self, session: Sender, conversation: str) -> None:
        self._session = session
        self._conversation = conversation
        # Unanswered Sends, and failed ones with an unanswered one behind them.
        self._sends: dict[str, SendRequest] = {}
        self.first_failed: SendRequest | None = None
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._sends)

    def unanswered(self) -> list[SendRequest]:
        """Return the Sends that a route has or that wait to go up again."""
        return [send for send in self._sends.values() if _is_unanswered(send)]

    def put(self, send: SendRequest) -> None:
        """Add a Send that is about to go up: behind all others, or in its former place if it is a repetition."""
        send.order = self
        sends = self._sends
        former = sends.get(send.client_id) if sends else None
        if former is None:
            settled = self._session.settled
            if settled and (self._conversation, send.client_id) in settled:
                # Its client repeated it, perhaps before it heard of it. It is answered once more, but if it fails, that
                # holds nothing back: a client that has heard of it does not repeat it again.
                send.state = REPEATED
                self._trim()
                return
            for other in reversed(sends.values()):
                if other.state is UP or other.state is WAITING:
                    send.before = other
                    break
        else:
            # The client has given up those that failed before it and were not repeated.
            send.before = in_effect(former.before)
            while send.before is not None and send.before.state is FAILED:
                send.before = in_effect(send.before.before)
            self._leave(former, REPEATED)
            former.repetition = send
            if self.first_failed is former:
                self.first_failed = None
        sends[send.client_id] = send

    def wait(self, send: SendRequest) -> None:
        """Have a Send that came back out of order wait for the one that it named."""
        send.state = WAITING
        self.waiting += 1

    def decided(self) -> Iterator[SendRequest]:
        """Yield, in order, the Sends that need not wait any longer; pass each to `go_on` or `fail` before the next.

        A Send must fail when the one before it has failed.
        """
        for send in self.unanswered():
            named = send.before
            if send.state is not WAITING or (named is not None and named.state is UP and named.passed < send.passed):
                continue
            send.before = in_effect(named)
            if send.before is None or send.before.state is not WAITING:
                yield send

    def go_on(self, send: SendRequest) -> None:
        """Note that a Send that waited goes up again."""
        send.state = UP
        self.waiting -= 1

    def settle(self, send: SendRequest, stored: bool) -> None:
        """Note that a Send was stored or refused for good, and with it its repetition, if there is one."""
        while send.repetition is not None:
            send = send.repetition
        if send.state is not SETTLED:
            self._leave(send, SETTLED, stored)
        settled = self._session.settled
        if settled is not None:
            settled[self._conversation, send.client_id] = None
            if len(settled) > MAX_SETTLED:
                del settled[next(iter(settled))]
        # A Send that failed and was forgotten has no `repetition`, but may have been repeated all the same.
        kept = self._sends.pop(send.client_id, None)
        if kept is not None:
            if kept.state is not SETTLED:
                self._leave(kept, SETTLED, stored)
            if self.first_failed is kept:
                self.first_failed = None
            self._trim()

    def fail(self, send: SendRequest, error: CIMError) -> None:
        """Note that a Send failed and may be repeated: the first to do so holds back the others."""
        if _is_unanswered(send):
            self._leave(send, FAILED)
            send.error = type(error)
            if self._session.settled is None:
                self._session.settled = {}
            self.first_failed = next(other for other in self._sends.values() if other.state is FAILED)
            self._trim()

    def _leave(self, send: SendRequest, state: SendState, stored: bool = False) -> None:
        if send.state is WAITING:
            self.waiting -= 1
        send.state = state
        if stored:
            # Everything before it is settled, too.
            send.before = None
        elif send.before is not None:
            # Those behind it look there. Resolve it now, so that no long chain of finished Sends is kept alive.
            send.before = in_effect(send.before)

    def _trim(self) -> None:
        """Forget failed Sends with nothing unanswered behind them, and the whole order when it is empty."""
        sends = self._sends
        while sends:
            last = next(reversed(sends.values()))
            if last.state is not FAILED or last is self.first_failed:
                return
            del sends[last.client_id]
        orders = self._session.orders
        if orders is not None and orders.get(self._conversation) is self:
            del orders[self._conversation]
            if not orders:
                # Most sessions send nothing for a long time, so they should not keep an empty dict.
                self._session.orders = None


def order_of(session: Sender, conversation: str) -> SendOrder:
    """Return the order of a session's Sends in a conversation; make it if there is none."""
    orders = session.orders
    if orders is None:
        orders = session.orders = {}
    order = orders.get(conversation)
    if order is None:
        if len(orders) >= MAX_KEPT_BACK:
            # A Send that its client never repeats must not be kept forever.
            idle = next((name for name, other in orders.items() if not other.unanswered()), None)
            if idle is not None:
                del orders[idle]
        order = orders[conversation] = SendOrder(session, conversation)
    return order
