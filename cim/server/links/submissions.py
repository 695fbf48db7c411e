"""Requests to routes and their answers (docs/architecture.md, Links).

A request goes over the live link that rendezvous hashing picks for its conversation or its user, among the routes that
reach their store if any does; a Send goes over the link of the Send that it names while that link lives
(`cim.server.links.send_order`). When a link is lost, its
unanswered requests go up again over the other links, in order and before anything new: they are all idempotent. A
request that is not answered within TIMEOUT has failed with an unknown outcome, however often it went up.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeGuard

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.errors import CallTimeout, CIMError, Unavailable
from cim.interfaces import RUNS, ILink
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
    runs_of,
    send_run,
)
from cim.server.sessions.table import Session
from cim.supervision import Loop
from cim.wire.cim_pb2 import Watch
from cim.wire.error_table import RETRYABLE, of_failure
from cim.wire.link_pb2 import Item, OpenOutcome, Outcome, Reply, StoreState
from cim.wire.native import OUT_OF_ORDER, failure_packet, packet

#: How many requests of its session a Watch counts as while it is unanswered: up to 200 packets answer it.
WATCH_WEIGHT = 32
#: Seconds after which an unanswered request fails.
TIMEOUT = 5.0
#: How many requests may be unanswered, over all links.
MAX_PENDING = 100_000
#: How many bytes may wait on a link before requests are refused, far below the link's own bound.
MAX_QUEUED = 6 << 20
#: How many conversations have their link remembered.
KEPT_CHOICES = 20_000
#: What clients are told of a Send that an earlier one holds back.
BEHIND = "an earlier message failed"

#: What the keys of requests begin with that go to the user's home route, whether or not it reaches its store.
_HOME = "home:"
_WATCH_NOBODY = packet(watch=Watch())


class Submissions:
    """All unanswered requests of this server.

    :ivar links: the live links by the name of their route; `cim.server.links.uplink` maintains it
    """

    def __init__(self, clock: IReactorTime, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._tracer = tracer
        self.links: dict[str, ILink] = {}
        self._names: list[str] = []
        # The names of routes that do not reach their store, and of the others.
        self._away: set[str] = set()
        self._well: list[str] = []
        self._choices: dict[str, ILink] = {}
        self._numbers = itertools.count(1)
        # By call number, and so in the order in which they were made: the first is the next to expire.
        self._pending: dict[int, Pending] = {}
        self._loop = Loop("failing requests that no route answers", self._expire, clock)

    def __len__(self) -> int:
        return len(self._pending)

    # Requests of sessions.

    def send(self, session: Sender, conversation: str, said: Iterable[tuple[str, bytes]]) -> None:
        """Pass up Sends of a session into one conversation, which it counts as asked; its client is told the outcomes.

        A Send that an earlier failed one holds back fails the same way.

        :param said: the client_id and the packet of each, in its client's order
        """
        deadline = self._clock.seconds() + TIMEOUT
        sends: list[SendRequest] = []
        for client_id, body in said:
            order = order_of(session, conversation)
            first = order.first_failed
            if first is not None and first.client_id != client_id:
                session.told((failure_packet(first.error(BEHIND), client_id, conversation),))
                session.answered()
                continue
            send = SendRequest(
                conversation,
                deadline,
                session,
                conversation,
                body,
                client_id=client_id,
                call=next(self._numbers),
            )
            if self._tracer is not None:
                send.span = self._tracer.send(conversation)
            order.put(send)
            sends.append(send)
        failed: list[SendRequest] = []
        for run in runs_of(sends):
            if failed or not self._pass_up(run):
                failed += [send for send in run if send.link is None]
        for send in failed:
            self._fail(send, Unavailable())
        if sends and sends[-1].order.waiting:
            self._order_changed(sends[-1].order)

    def packet(self, session: Asker, packet: bytes, conversation: str, key: str, weight: int = 1) -> None:
        """Pass up another Packet that is answered with packets.

        :param conversation: the conversation that it concerns; empty for none
        :param key: a conversation or a user's id, by which its link is chosen
        :param weight: how many unanswered requests of the session it counts as
        """
        session.asked(weight)
        self._submit(ClientRequest(key, self._clock.seconds() + TIMEOUT, session, conversation, packet, weight))

    def receipt(self, session: Asker, packet: bytes, conversation: str) -> None:
        """Pass up a Received or Read; its client is not told when no answer comes."""
        session.asked()
        self._submit(
            ClientRequest(conversation, self._clock.seconds() + TIMEOUT, session, conversation, packet, quiet=True)
        )

    def hint(self, session: Asker, packet: bytes, conversation: str) -> None:
        """Pass up a packet to which nobody awaits an answer."""
        link = self.link_of(conversation)
        if link is not None and link.queued <= MAX_QUEUED:
            link.send_request(0, session, conversation, packet)

    def watch(self, session: Session, packet: bytes) -> None:
        """Pass a Watch up to the session's home route, which tells it of others' presence."""
        self.packet(session, packet, "", f"{_HOME}{session.user}", WATCH_WEIGHT)

    def watch_again(self, session: Session, former: ILink | None) -> None:
        """Tell a session's new home route whom the session watches.

        :param former: the link of its former home, which is told that the session watches nobody
        """
        if former is not None:
            former.send_request(0, session, "", _WATCH_NOBODY)
        self.watch(session, session.watch)

    # Requests of this server's own.

    def ask(self, key: str, item: Item) -> Deferred[Answer]:
        """Ask a route and return its answer; the Deferred fails with Unavailable or CallTimeout.

        :param key: a conversation, or a user's id for that user's home link
        :param item: the question; this sets its call number
        """
        fate: Deferred[Answer] = Deferred()
        kind = item.WhichOneof("item")
        assert kind is not None
        call = getattr(item, kind).call = next(self._numbers)
        self._submit(Question(key, self._clock.seconds() + TIMEOUT, item.SerializeToString(), fate), call)
        return fate

    def next_call(self) -> int:
        """Return an unused call number for a question that is kept elsewhere."""
        return next(self._numbers)

    def home(self, user: int) -> ILink | None:
        """Return the link of a user's home route."""
        return self.link_of(f"{_HOME}{user}")

    # Sending.

    def link_of(self, key: str) -> ILink | None:
        """Return the link over which requests with a key go, None if there is none."""
        link = self._choices.get(key)
        if link is None:
            if not self._names:
                return None
            names = self._names if key.startswith(_HOME) else self._well or self._names
            link = self.links[rendezvous(key.removeprefix(_HOME), names)]
            if len(self._choices) >= KEPT_CHOICES:
                self._choices.clear()
            self._choices[key] = link
        return link

    def _submit(self, pending: Pending, call: int = 0) -> None:
        if not self._put_up(pending, call or next(self._numbers), self.link_of(pending.key)):
            pending.failed(Unavailable())

    def _pass_up(self, run: Sequence[SendRequest]) -> bool:
        """Pass up a Send, for the first time or again, or a run of new ones; False when no link takes it."""
        first = run[0]
        before = first.before
        link = before.link if before is not None else None
        if link is None or self.links.get(link.peer.name) is not link or link.peer.name in self._away:
            link = self.link_of(first.key)
        if len(run) > 1 and link is not None and link.version < RUNS:
            return all(self._pass_up((send,)) for send in run)
        for send in run:
            send.passed = next(self._numbers)
        if len(run) == 1:
            return self._put_up(first, first.call, link)
        if not self._takes(link) or not send_run(link, run):
            return self._not_taken(link)
        for send in run:
            send.link = link
            self._pending[send.call] = send
        self._expire_in_time()
        return True

    def _put_up(self, pending: Pending, call: int, link: ILink | None) -> bool:
        if not self._takes(link) or not pending.send(link, call):
            return self._not_taken(link)
        pending.link = link
        self._pending[call] = pending
        self._expire_in_time()
        return True

    def _takes(self, link: ILink | None) -> TypeGuard[ILink]:
        return link is not None and len(self._pending) < MAX_PENDING and link.queued <= MAX_QUEUED

    def _not_taken(self, link: ILink | None) -> bool:
        self._metrics.refused("no-route" if link is None else "route-too-slow")
        return False

    def _expire_in_time(self) -> None:
        if self._loop.due is None:
            self._loop.wake(TIMEOUT)

    # Answers.

    def replied(self, link: ILink, reply: Reply) -> None:
        """Take a Reply, which may be that to several Sends that were stored."""
        if reply.calls < 2:
            self.answered(link, reply)
            return
        sends: list[SendRequest] = []
        packets: list[bytes] = []
        for call, accepted in enumerate(reply.packets, reply.call):
            send = self._pending.get(call)
            if isinstance(send, SendRequest) and send.link is link:
                del self._pending[call]
                send.order.settle(send, True)
                sends.append(send)
                packets.append(accepted)
        if sends:
            session, order = sends[-1].session, sends[-1].order
            if session.live:
                session.told(packets)
            session.answered(len(sends))
            if order.waiting:
                self._order_changed(order)

    def answered(self, link: ILink, answer: Answer) -> None:
        """Take an answer; one that nobody here waits for any more is dropped."""
        call = answer.call
        pending = self._pending.get(call)
        if pending is None or pending.link is not link:
            return
        if not isinstance(pending, SendRequest):
            del self._pending[call]
            pending.answered(answer)
            return
        assert not isinstance(answer, OpenOutcome | Outcome)
        if answer.code == OUT_OF_ORDER:
            self._out_of_order(pending)
            return
        del self._pending[call]
        if pending.span is not None:
            pending.span.answered_with(answer.code)
        order = pending.order
        if answer.code not in RETRYABLE:
            order.settle(pending, not answer.code)
            pending.answered(answer)
        else:
            order.fail(pending, of_failure(answer.code, BEHIND))
            if pending.is_awaited:
                pending.answered(answer)
            else:
                # The client was told the outcome already, or will be told that of the repetition.
                pending.session.answered()
        if order.waiting:
            self._order_changed(order)

    def _out_of_order(self, send: SendRequest) -> None:
        if send.state is UP and send.session.live:
            send.order.wait(send)
            self._order_changed(send.order)
        else:
            # The client was told the outcome already, will be told that of the repetition, or is gone.
            del self._pending[send.call]
            send.session.answered()
            if send.span is not None:
                send.span.answered_with(OUT_OF_ORDER)

    def _fail(self, send: SendRequest, error: CIMError) -> None:
        self._pending.pop(send.call, None)
        send.order.fail(send, error)
        send.failed(error)
        if send.order.waiting:
            self._order_changed(send.order)

    def _order_changed(self, order: SendOrder) -> None:
        """Decide on Sends that came back out of order, now that more is known about the ones that they named."""
        for send in order.decided():
            before = send.before
            if before is not None and before.state is FAILED:
                self._fail(send, before.error(BEHIND))
            else:
                order.go_on(send)
                if not self._pass_up((send,)):
                    self._fail(send, Unavailable())

    def _expire(self) -> float | None:
        now = self._clock.seconds()
        while self._pending:
            call, pending = next(iter(self._pending.items()))
            if pending.deadline > now:
                return pending.deadline - now
            self._metrics.refused("route-timeout")
            if isinstance(pending, SendRequest):
                self._fail(pending, CallTimeout())
            else:
                del self._pending[call]
                pending.failed(CallTimeout())
        return None

    # Links.

    def link_up(self, link: ILink) -> None:
        """Use a new link; Sends stay on the link of the Send before them."""
        self.links[link.peer.name] = link
        self._links_changed()

    def link_down(self, link: ILink) -> None:
        """Pass up the unanswered requests of a lost link over the other links, or fail them when there are none."""
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
                # A Send that its client sent twice at once is answered twice.
                pending.before = in_effect(pending.before)
                again = self._pass_up((pending,))
            else:
                again = self._put_up(pending, call, self.link_of(pending.key))
            if not again:
                del self._pending[call]
                lost.append((pending, Unavailable()))
        # Only now, because whoever hears of a failure may submit something new.
        for pending, error in lost:
            pending.failed(error)
        for order in moved:
            if order.waiting:
                self._order_changed(order)

    def _move(self, order: SendOrder, link: ILink) -> Iterator[tuple[Pending, CIMError]]:
        """Pass up again the Sends that were on a lost link; yield those that cannot be, each with the reason."""
        for send in order.unanswered():
            if send.link is not link or send.state is WAITING:
                continue
            before = send.before = in_effect(send.before)
            if before is not None and before.state is FAILED:
                error = before.error(BEHIND)
            elif self._pass_up((send,)):
                continue
            else:
                error = Unavailable()
            del self._pending[send.call]
            order.fail(send, error)
            yield send, error

    def store_state(self, link: ILink, state: StoreState) -> bool:
        """Choose other routes while one does not reach its store; return whether that has changed."""
        name = link.peer.name
        if (name in self._away) is state.away:
            return False
        (self._away.add if state.away else self._away.remove)(name)
        self._links_changed()
        return True

    def without_store(self) -> list[str]:
        """Return the names of the linked routes that do not reach their store."""
        return sorted(self._away)

    def _links_changed(self) -> None:
        self._names = sorted(self.links)
        self._away.intersection_update(self._names)
        self._well = [name for name in self._names if name not in self._away]
        self._choices.clear()
