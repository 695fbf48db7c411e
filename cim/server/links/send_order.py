"""The order of a session's Sends in one conversation (docs/architecture.md, Order).

A Send that goes up names the one before it, as long as that is unanswered: the store takes it only behind that one. So
the order holds whatever is lost or overtaken on the way; what is kept here is only what has to be named, and what is to
become of a Send that comes back out of order:

- the one that it named was stored, was refused for good, or went up again since: it goes up again at once;
- the one that it named is under way: it waits for that;
- the one that it named failed so that it may come again: it fails the same way.

The first Send that failed so keeps all others back until its client comes again with it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Protocol

from attrs import define, field

from cim.errors import CIMError, Unavailable
from cim.server.links.pending import Asker, ClientRequest
from cim.wire import packed
from cim.wire.native import failure_packet

#: Conversations of a session in which a Send that failed keeps others back.
MAX_KEPT_BACK = 256
#: Settled Sends that are remembered of a session in which something has failed.
MAX_SETTLED = 64


class SendState(enum.Enum):
    """What has become of a Send.

    :cvar UP: a route has it
    :cvar WAITING: it came back out of order, and waits for the one that it named
    :cvar SETTLED: it was stored, or refused for good
    :cvar FAILED: its client was told that it may come again
    :cvar REPEATED: its client came again with it
    """

    UP = enum.auto()
    WAITING = enum.auto()
    SETTLED = enum.auto()
    FAILED = enum.auto()
    REPEATED = enum.auto()


UP, WAITING, SETTLED, FAILED, REPEATED = SendState


class Sender(Asker, Protocol):
    """A session that sends.

    :ivar orders: conversation -> the order of its Sends there, while there is anything to keep
    :ivar settled: conversation and client_id of what was settled since one of its Sends failed, the newest; None before
    """

    orders: dict[str, SendOrder] | None
    settled: dict[tuple[str, str], None] | None


@define(eq=False)
class SendRequest(ClientRequest):
    """A Send.

    :ivar call: its number, the same whenever it goes up
    :ivar order: where it stands among the others
    :ivar before: the one that it names, or that stood before it when it was answered
    :ivar repetition: what its client came again with
    :ivar passed: when it went up last, as a number that counts all that went up
    :ivar error: what it failed with, and so what those behind it fail with
    """

    client_id: str = field(kw_only=True)
    call: int = field(kw_only=True)
    order: SendOrder = field(init=False)
    state: SendState = field(default=UP, init=False)
    before: SendRequest | None = field(default=None, init=False)
    repetition: SendRequest | None = field(default=None, init=False)
    passed: int = field(default=0, init=False)
    error: type[CIMError] = field(default=Unavailable, init=False)

    def item(self, call: int) -> bytes:
        """See Pending."""
        before = self.before
        after = before.client_id if before is not None else ""
        return packed.request(call, self.session.asker, self.conversation, self.packet, after)

    def failed(self, error: CIMError) -> None:
        """See Pending; nothing is said of one that came again, or of which it was told already what became of it."""
        session = self.session
        if session.live and self.state is FAILED:
            session.connection.write_packet(failure_packet(error, self.client_id, self.conversation))
        session.answered()


def _is_unanswered(send: SendRequest) -> bool:
    return send.state is UP or send.state is WAITING


def in_effect(send: SendRequest | None) -> SendRequest | None:
    """Return what stands in a Send's place now: itself, its repetition, or what was before it when it is settled."""
    while send is not None:
        if send.state is SETTLED:
            send = send.before
        elif send.state is REPEATED:
            send = send.repetition
        else:
            break
    return send


class SendOrder:
    """The Sends of a session into one conversation, in its client's order, as far as others may have to name them.

    :ivar first_failed: what keeps all others back
    :ivar waiting: how many wait for the one that they named
    """

    __slots__ = ("_conversation", "_sends", "_session", "first_failed", "waiting")

    def __init__(self, session: Sender, conversation: str) -> None:
        self._session = session
        self._conversation = conversation
        # What is unanswered, and what failed with something unanswered behind it.
        self._sends: dict[str, SendRequest] = {}
        self.first_failed: SendRequest | None = None
        self.waiting = 0

    def __len__(self) -> int:
        return len(self._sends)

    def unanswered(self) -> list[SendRequest]:
        """Return what a route has, or what waits to go up again."""
        return [send for send in self._sends.values() if _is_unanswered(send)]

    def put(self, send: SendRequest) -> None:
        """Take a Send that is about to go up: behind all others, or in its own place when it comes again."""
        send.order = self
        sends = self._sends
        former = sends.get(send.client_id) if sends else None
        if former is None:
            settled = self._session.settled
            if settled and (self._conversation, send.client_id) in settled:
                # Its client came again before it heard. It is answered once more, but nobody waits for it if it fails.
                send.state = REPEATED
                self._trim()
                return
            for other in reversed(sends.values()):
                if other.state is UP or other.state is WAITING:
                    send.before = other
                    break
        else:
            # What failed before it, and did not come again, its client has given up.
            send.before = in_effect(former.before)
            while send.before is not None and send.before.state is FAILED:
                send.before = in_effect(send.before.before)
            self._leave(former, REPEATED)
            former.repetition = send
            if self.first_failed is former:
                self.first_failed = None
        sends[send.client_id] = send

    def wait(self, send: SendRequest) -> None:
        """A Send came back out of order."""
        send.state = WAITING
        self.waiting += 1

    def decided(self) -> Iterator[SendRequest]:
        """Yield, in order, what waits and need not wait longer; each is to `go_on` or to `fail` before the next.

        It is to fail when the one before it has failed.
        """
        for send in self.unanswered():
            named = send.before
            if send.state is not WAITING or (named is not None and named.state is UP and named.passed < send.passed):
                continue
            send.before = in_effect(named)
            if send.before is None or send.before.state is not WAITING:
                yield send

    def go_on(self, send: SendRequest) -> None:
        """A Send that waited goes up again."""
        send.state = UP
        self.waiting -= 1

    def settle(self, send: SendRequest, stored: bool) -> None:
        """A Send was stored, or refused for good; if its client has come again with it, so is the repetition."""
        while send.repetition is not None:
            send = send.repetition
        self._decide(send, stored)
        settled = self._session.settled
        if settled is not None:
            settled[self._conversation, send.client_id] = None
            if len(settled) > MAX_SETTLED:
                del settled[next(iter(settled))]
        # What failed and was forgotten has no repetition, but may have come again all the same.
        kept = self._sends.pop(send.client_id, None)
        if kept is not None:
            if kept is not send:
                self._decide(kept, stored)
            if self.first_failed is kept:
                self.first_failed = None
            self._trim()

    def _decide(self, send: SendRequest, stored: bool) -> None:
        if send.state is not SETTLED:
            self._leave(send, SETTLED)
            if stored:
                # So is all that it stood behind.
                send.before = None

    def fail(self, send: SendRequest, error: CIMError) -> None:
        """A Send failed so that it may come again: the first that did keeps the others back."""
        if _is_unanswered(send):
            self._leave(send, FAILED)
            send.error = type(error)
            if self._session.settled is None:
                self._session.settled = {}
            self.first_failed = next(other for other in self._sends.values() if other.state is FAILED)
            self._trim()

    def _leave(self, send: SendRequest, state: SendState) -> None:
        if send.state is WAITING:
            self.waiting -= 1
        send.state = state
        if send.before is not None:
            # Those behind it look there. Looked up now, so that nobody keeps a long line of those that are over.
            send.before = in_effect(send.before)

    def _trim(self) -> None:
        """Forget what failed and has nothing unanswered behind it, and the whole order when nothing is left of it."""
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
                # Most sessions say nothing for long.
                self._session.orders = None


def order_of(session: Sender, conversation: str) -> SendOrder:
    """Return the order of a session's Sends in a conversation, made when there is none."""
    orders = session.orders
    if orders is None:
        orders = session.orders = {}
    order = orders.get(conversation)
    if order is None:
        if len(orders) >= MAX_KEPT_BACK:
            # What a client never comes again with must not be kept for ever.
            idle = next((name for name, other in orders.items() if not other.unanswered()), None)
            if idle is not None:
                del orders[idle]
        order = orders[conversation] = SendOrder(session, conversation)
    return order
