"""What goes up to routes and is answered (docs/architecture.md, Links).

A request goes over the link that rendezvous hashing picks for its conversation, or its user, among the live ones; a
Send goes over the link of the one that it names as long as that lives (`send_order`). When a link is lost, what
was unanswered on it goes up again over the others, in order and before anything new: all of it is idempotent. An answer
that does not come within TIMEOUT is a failure of unknown outcome, however often the request went up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from cim.daemon.metrics import Metrics
from cim.errors import CallTimeout, CIMError, Unavailable
from cim.interfaces import ILink
from cim.selection import rendezvous
from cim.server.links.pending import Answer, Asker, ClientRequest, Pending, Question
from cim.server.links.send_order import (
    FAILED,
    REPEATED,
    SETTLED,
    UP,
    WAITING,
    Sender,
    SendOrder,
    SendRequest,
    in_effect,
    order_of,
)
from cim.server.sessions.table import Session
from cim.wire import packed
from cim.wire.cim_pb2 import Watch
from cim.wire.error_table import RETRYABLE, of_failure
from cim.wire.link_pb2 import Item, Reply
from cim.wire.native import OUT_OF_ORDER, failure_packet, packet

#: Seconds until an unanswered request has failed.
TIMEOUT = 5.0
#: Requests that may be unanswered, all links together.
MAX_PENDING = 100_000
#: Bytes that may wait on a link before requests are refused, far below the link's own bound for them.
MAX_QUEUED = 6 << 20
#: Conversations whose link is remembered.
KEPT_CHOICES = 20_000
#: What clients are told of a Send that another keeps back.
BEHIND = "a message before it failed"

_WATCH_NOBODY = packet(watch=Watch())


class Submissions:
    """All requests of this server that are under way.

    :ivar links: the live links by the name of their route; kept by `uplink`
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
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._pending)

    # What sessions say.

    def send(self, session: Sender, packet: bytes, conversation: str, client_id: str) -> None:
        """Send a session's Send up; its client is told what became of it.

        One that another keeps back, which failed before it, fails the same way.
        """
        order = order_of(session, conversation)
        first = order.first_failed
        if first is not None and first.client_id != client_id:
            session.connection.write_packet(failure_packet(first.error(BEHIND), client_id, conversation))
            return
        call = next(self._numbers)
        send = SendRequest(
            conversation, self._deadline(), session, conversation, packet, client_id=client_id, call=call
        )
        order.put(send)
        session.asked()
        if not self._pass_up(send):
            self._fail(send, Unavailable())
        elif order.waiting:
            self._order_changed(order)

    def packet(self, session: Asker, packet: bytes, conversation: str, key: str, weight: int = 1) -> None:
        """Send another Packet up that is answered with packets.

        :param conversation: what it is about; empty when it is about none
        :param key: what picks its link
        :param weight: for how many of the session's unanswered requests it counts
        """
        session.asked(weight)
        self._submit(ClientRequest(key, self._deadline(), session, conversation, packet, weight))

    def receipt(self, session: Asker, packet: bytes, conversation: str) -> None:
        """Send a Received or Read up; its client does not hear when no answer comes."""
        session.asked()
        self._submit(ClientRequest(conversation, self._deadline(), session, conversation, packet, quiet=True))

    def hint(self, session: Asker, packet: bytes, conversation: str) -> None:
        """Send something up that nobody waits for."""
        link = self._pick(conversation)
        if link is not None and link.queued <= MAX_QUEUED:
            link.send_packed(packed.request(0, session.asker, conversation, packet), False)

    def watch_again(self, session: Session, former: ILink | None) -> None:
        """Say whom a session watches at its home, which is another than before.

        :param former: the link of its former home, which is told that it watches nobody
        """
        if former is not None:
            former.send_packed(packed.request(0, session.asker, "", _WATCH_NOBODY), False)
        self.packet(session, session.watch, "", str(session.user))

    # What this server asks for itself.

    def ask(self, key: str, item: Item) -> Deferred[Answer]:
        """Ask something and return the answer; it fails with Unavailable or CallTimeout.

        :param key: a conversation, or a user's id for its home link
        :param item: what is asked; its call's number is set here
        """
        fate: Deferred[Answer] = Deferred()
        kind = item.WhichOneof("item")
        assert kind is not None
        call = getattr(item, kind).call = next(self._numbers)
        self._submit(Question(key, self._deadline(), item.SerializeToString(), fate), call)
        return fate

    def next_call(self) -> int:
        """Return a number for a question that is kept elsewhere."""
        return next(self._numbers)

    def home(self, user: int) -> ILink | None:
        """Return the link of a user's home route."""
        return self._pick(str(user))

    # How it goes up.

    def _deadline(self) -> float:
        return self._clock.seconds() + TIMEOUT

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

    def _submit(self, pending: Pending, call: int = 0) -> None:
        if not self._put_up(pending, call or next(self._numbers), self._pick(pending.key)):
            pending.failed(Unavailable())

    def _pass_up(self, send: SendRequest) -> bool:
        """Have a Send go up, for the first time or again; False when no link takes it."""
        before = send.before
        link = before.link if before is not None else None
        if link is None or self.links.get(link.peer.name) is not link:
            link = self._pick(send.key)
        send.passed = next(self._numbers)
        return self._put_up(send, send.call, link)

    def _put_up(self, pending: Pending, call: int, link: ILink | None) -> bool:
        if (
            link is None
            or len(self._pending) >= MAX_PENDING
            or link.queued > MAX_QUEUED
            or not link.send_packed(pending.item(call), False)
        ):
            self._metrics.refused("no-route" if link is None else "route-too-slow")
            return False
        pending.link = link
        self._pending[call] = pending
        if self._timer is None:
            self._timer = self._clock.callLater(TIMEOUT, self._expire)
        return True

    # What becomes of it.

    def answered(self, link: ILink, answer: Answer) -> None:
        """An answer came; one that nobody waits for here any more is dropped."""
        call = answer.call
        pending = self._pending.get(call)
        if pending is None or pending.link is not link:
            return
        if not isinstance(pending, SendRequest):
            del self._pending[call]
            pending.answered(answer)
            return
        assert isinstance(answer, Reply)
        if answer.code == OUT_OF_ORDER:
            self._out_of_order(pending)
            return
        del self._pending[call]
        order = pending.order
        if answer.code not in RETRYABLE:
            order.settle(pending, not answer.code)
            pending.answered(answer)
        else:
            order.fail(pending, of_failure(answer.code, BEHIND))
            if pending.state is FAILED:
                pending.answered(answer)
            else:
                # What became of it was told already, or will be told of its repetition.
                pending.session.answered()
        if order.waiting:
            self._order_changed(order)

    def _out_of_order(self, send: SendRequest) -> None:
        session = send.session
        if send.state is UP and session.live:
            send.order.wait(send)
            self._order_changed(send.order)
        else:
            # What became of it was told already, or will be told of its repetition, or its client is gone.
            del self._pending[send.call]
            session.answered()

    def _fail(self, send: SendRequest, error: CIMError) -> None:
        self._pending.pop(send.call, None)
        send.order.fail(send, error)
        send.failed(error)
        if send.order.waiting:
            self._order_changed(send.order)

    def _order_changed(self, order: SendOrder) -> None:
        """See to those that came back out of order, now that more is known of what they named."""
        for send in order.decided():
            before = send.before
            if before is not None and before.state is FAILED:
                self._fail(send, before.error(BEHIND))
            else:
                order.go_on(send)
                if not self._pass_up(send):
                    self._fail(send, Unavailable())

    def _expire(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._pending:
            call, pending = next(iter(self._pending.items()))
            if pending.deadline > now:
                self._timer = self._clock.callLater(pending.deadline - now, self._expire)
                return
            self._metrics.refused("route-timeout")
            if isinstance(pending, SendRequest):
                self._fail(pending, CallTimeout())
            else:
                del self._pending[call]
                pending.failed(CallTimeout())

    # Links that come and go.

    def link_up(self, link: ILink) -> None:
        """A link is there; Sends go on over the link of the one before them."""
        self.links[link.peer.name] = link
        self._links_changed()

    def link_down(self, link: ILink) -> None:
        """Have what was unanswered on a lost link go up over the others, or fail when there are none."""
        if self.links.get(link.peer.name) is link:
            del self.links[link.peer.name]
            self._links_changed()
        lost: list[tuple[Pending, CIMError]] = []
        moved: dict[SendOrder, None] = {}
        for call, pending in [(call, pending) for call, pending in self._pending.items() if pending.link is link]:
            if isinstance(pending, SendRequest):
                if pending.order not in moved:
                    moved[pending.order] = None
                    lost += self._move(pending.order, link)
                if pending.state is not REPEATED and pending.state is not SETTLED:
                    continue
                # What its client said twice at once is answered twice.
                pending.before = in_effect(pending.before)
                again = self._pass_up(pending)
            else:
                again = self._put_up(pending, call, self._pick(pending.key))
            if not again:
                del self._pending[call]
                lost.append((pending, Unavailable()))
        # Only now: whoever hears of it may submit something new.
        for pending, error in lost:
            pending.failed(error)
        for order in moved:
            if order.waiting:
                self._order_changed(order)

    def _move(self, order: SendOrder, link: ILink) -> Iterator[tuple[Pending, CIMError]]:
        """Have Sends go up again that were on a lost link; yield those that cannot, and why."""
        for send in order.unanswered():
            if send.link is not link or send.state is WAITING:
                continue
            before = send.before = in_effect(send.before)
            if before is not None and before.state is FAILED:
                error = before.error(BEHIND)
            elif self._pass_up(send):
                continue
            else:
                error = Unavailable()
            del self._pending[send.call]
            order.fail(send, error)
            yield send, error

    def _links_changed(self) -> None:
        self._names = sorted(self.links)
        self._choices.clear()
