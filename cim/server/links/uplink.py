"""What this server tells its routes, and what it does for them (docs/architecture.md, Links).

The server reports sessions that open and close. Rendezvous hashing gives each user one home route among the live links,
and that route alone writes the session's record. A new link first gets all sessions between SnapshotBegin and
SnapshotEnd. The routes send reservations, ends, probes, deliveries and group changes. Requests and their answers are in
`cim.server.links.submissions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any

from attrs import define, field

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.errors import CIMError
from cim.interfaces import ILink, ILinkUser
from cim.model import GUEST
from cim.selection import rendezvous
from cim.server.links.deliveries import Deliveries
from cim.server.links.fences import Fences
from cim.server.links.groups import GroupIndex, groups_in
from cim.server.links.rechecks import Rechecks
from cim.server.links.submissions import Submissions
from cim.server.sessions.table import Session, SessionBounds, Sessions
from cim.supervision import Loop
from cim.wire.link_pb2 import (
    Closed,
    Deliver,
    End,
    GroupChange,
    GroupsSeen,
    Item,
    Missed,
    Opened,
    Outcome,
    Probe,
    Reserve,
    SnapshotBegin,
    SnapshotEnd,
    StoreState,
)

#: How many sessions are reported in one reactor turn.
CHUNK = 500
#: How many bytes may wait on a link before the next chunk is held back, and for how long (seconds).
CHUNK_WAITS_ABOVE = 1 << 20
CHUNK_WAIT = 0.02


@define(eq=False)
class Confirming:
    """A session that has been reported to the routes and is not confirmed by all of them.

    :ivar began: when it was opened, seconds on the clock
    :ivar calls: unconfirmed call -> its link
    """

    began: float
    calls: dict[int, ILink] = field(factory=dict)
    waiting: Deferred[bool] | None = None

    def confirmed(self, call: int) -> None:
        """Note that a route has confirmed; finish once all have."""
        if self.calls.pop(call, None) is not None and not self.calls:
            self.finish(True)

    def finish(self, complete: bool) -> None:
        """Tell whoever waits whether all routes have confirmed."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.callback(complete)


@implementer(ILinkUser)
class Uplink:
    """The server's end of all its links."""

    _log = Logger()

    def __init__(
        self,
        *,
        sessions: Sessions,
        submissions: Submissions,
        index: GroupIndex,
        rechecks: Rechecks,
        deliveries: Deliveries,
        clock: IReactorTime,
        metrics: Metrics,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._sessions = sessions
        self._submissions = submissions
        self._index = index
        self._rechecks = rechecks
        self._deliveries = deliveries
        self._clock = clock
        self._metrics = metrics
        self._links: dict[str, ILink] = {}
        self._names: list[str] = []
        self._confirming: dict[Session, Confirming] = {}
        self._calls: dict[int, Confirming] = {}
        self._fences = Fences(submissions.next_call)
        sessions.observers.append(self)
        index.on_missing.append(self._ask_changes_again)
        # What is stored is no longer what its sessions know.
        index.on_epoch.append(partial(rechecks.all, -inf))
        # What handles an item, by the item's kind.
        self._received: dict[str, Callable[[ILink, Any], None]] = {
            "deliver": self._deliver,
            "reply": submissions.answered,
            "outcome": self._outcome,
            "open_outcome": submissions.answered,
            "reserve": self._reserve,
            "end": self._end,
            "probe": self._probe,
            "group_change": self._group_change,
            "missed": self._missed,
            "store_state": self._store_state,
        }

    def __len__(self) -> int:
        return len(self._links)

    def link_up(self, link: ILink) -> None:
        """Report all sessions on a new link."""
        name = link.peer.name
        before = self._names
        self._links[name] = link
        self._names = sorted(self._links)
        self._submissions.link_up(link)
        self._log.info("linked to route {route}", route=name)
        self._sessions.forget_groups()
        link.send(self._groups_seen())
        link.send(Item(snapshot_begin=SnapshotBegin()))
        self._watch_again(before)
        self._tell(link, iter(list(self._sessions)), self._finish_snapshot)

    def _finish_snapshot(self, link: ILink) -> None:
        link.send(Item(snapshot_end=SnapshotEnd()))
        # Until the route has heard of the sessions it pushes nothing to them.
        self._fences.after(link, partial(self._rechecks.link_up, link.peer.name))

    def _tell(self, link: ILink, sessions: Iterator[Session], finish: Callable[[ILink], None] | None = None) -> None:
        what = f"telling route {link.peer.name} of sessions"
        Loop(what, partial(self._tell_some, link, sessions, finish), self._clock).start()

    def _tell_some(
        self, link: ILink, sessions: Iterator[Session], finish: Callable[[ILink], None] | None
    ) -> float | None:
        if self._links.get(link.peer.name) is not link:
            return None
        if link.queued > CHUNK_WAITS_ABOVE:
            return CHUNK_WAIT
        told = 0
        for session in sessions:
            if session not in self._sessions or not session.announced:
                continue
            link.send(self._opened(session, self._home_of(session) == link.peer.name))
            told += 1
            if told == CHUNK:
                return 0.0
        if finish is not None:
            finish(link)
        return None

    def link_down(self, link: ILink, reason: str) -> None:
        """Give a new home to the sessions whose home was that route."""
        name = link.peer.name
        if self._links.get(name) is not link:
            return
        self._log.info("link to route {route} is gone: {reason}", route=name, reason=reason)
        before = self._names
        del self._links[name]
        self._names = sorted(self._links)
        self._submissions.link_down(link)
        self._fences.link_down(link)
        self._deliveries.interrupt(link)
        self._rechecks.link_down(name)
        for session in self._sessions:
            session.link_lost()
        for call, confirming in list(self._calls.items()):
            if confirming.calls.get(call) is link:
                del self._calls[call]
                confirming.confirmed(call)
        if not self._names:
            return
        self._watch_again(before)
        orphans: dict[str, list[Session]] = {}
        for session in self._sessions:
            key = str(session.user)
            if session.announced and rendezvous(key, before) == name:
                orphans.setdefault(rendezvous(key, self._names), []).append(session)
        for home, sessions in orphans.items():
            self._tell(self._links[home], iter(sessions))

    def _watch_again(self, before: list[str]) -> None:
        """Tell the new home routes of sessions whom those sessions watch."""
        for session in self._sessions:
            if session.watch:
                key = str(session.user)
                if not before or rendezvous(key, before) != rendezvous(key, self._names):
                    former = self._links.get(rendezvous(key, before)) if before else None
                    self._submissions.watch_again(session, former)

    def link_received(self, link: ILink, item: Item) -> None:
        """Do what a route asks, or take what it answers."""
        kind = item.WhichOneof("item")
        receive = self._received.get(kind) if kind is not None else None
        if receive is None:
            self._metrics.refused("unknown-link-item")
        else:
            receive(link, getattr(item, kind))

    def _outcome(self, link: ILink, outcome: Outcome) -> None:
        confirming = self._calls.pop(outcome.call, None)
        if confirming is not None:
            confirming.confirmed(outcome.call)
        else:
            self._fences.answered(outcome.call)

    def _missed(self, link: ILink, missed: Missed) -> None:
        self._deliveries.interrupt(link)
        self._rechecks.missed(missed.seconds)

    def _store_state(self, link: ILink, state: StoreState) -> None:
        name = link.peer.name
        self._index.is_current(state.epoch)
        if self._links.get(name) is not link or not self._submissions.store_state(link, state):
            return
        if state.away:
            self._log.warn("route {route} does not reach its store: other routes do its work", route=name)
        else:
            self._log.info("route {route} reaches its store again", route=name)

    def _answer(self, link: ILink, call: int, code: str = "", sessions: int = 0) -> None:
        if call:
            link.send(Item(outcome=Outcome(call=call, code=code, sessions=sessions)))

    def _reserve(self, link: ILink, reserve: Reserve) -> None:
        try:
            done = self._sessions.reserve(
                reserve.user,
                reserve.name,
                reserve.owner,
                reserve.seconds,
                device=reserve.device if reserve.native else GUEST,
                beside=reserve.beside,
                native=reserve.native,
                groups=groups_in(reserve) if reserve.grouped else None,
                bounds=SessionBounds(frozenset(reserve.scopes), self._clock.seconds() + reserve.lasts_ms / 1000)
                if reserve.bounded
                else None,
            )
        except CIMError:
            self._answer(link, reserve.call, "invalid")
            return
        self._answer(link, reserve.call, "" if done else "live")

    def _end(self, link: ILink, end: End) -> None:
        ended = self._sessions.end(end.user, end.owner, end.code or "logged-out", end.message)
        self._answer(link, end.call, sessions=ended)

    def _probe(self, link: ILink, probe: Probe) -> None:
        found = [session for session in self._sessions.of(probe.user) if probe.owner in ("", session.owner)]
        self._answer(link, probe.call, sessions=len(found))

    def _deliver(self, link: ILink, deliver: Deliver) -> None:
        call = deliver.call
        span = self._tracer.deliver(deliver.trace) if self._tracer is not None and deliver.trace else None
        written = self._deliveries.deliver(link, deliver, lambda written: self._answer(link, call, sessions=written))
        if span is not None:
            span.note("cim.sessions", written)
            span.end()

    def _group_change(self, link: ILink, change: GroupChange) -> None:
        self._index.changed(change)
        self._answer(link, change.call)

    def _ask_changes_again(self) -> None:
        for name in self._names[:1]:
            self._links[name].send(self._groups_seen())

    def _groups_seen(self) -> Item:
        return Item(groups_seen=GroupsSeen(version=self._index.version, epoch=self._index.epoch))

    def opened(self, session: Session) -> None:
        """Tell all routes of a new session."""
        now = self._clock.seconds()
        waits = session.waits_for_routes
        # The only route is asked for heads next, over the same link: when it answers, it knows of the session.
        confirming = Confirming(now) if waits and len(self._links) > 1 else None
        home = self._home_of(session)
        for name, link in self._links.items():
            item = self._opened(session, name == home)
            if confirming is not None:
                call = item.opened.call = self._submissions.next_call()
                confirming.calls[call] = link
                self._calls[call] = confirming
            link.send(item)
            if not waits:
                self._fences.after(link, partial(self._heard, session, now))
        if confirming is not None and confirming.calls:
            self._confirming[session] = confirming

    def _heard(self, session: Session, since: float) -> None:
        """Check a session for what a route did not push before it heard of it, unless that was done already."""
        if session in self._sessions and session.wants_news:
            self._rechecks.recheck(session, since)

    def confirmed(self, session: Session, seconds: float) -> Deferred[bool]:
        """Fire with True once all routes have confirmed that they know of a session, with False if one is late.

        :param seconds: how long they may take
        """
        confirming = self._confirming.pop(session, None)
        if confirming is None or not confirming.calls:
            return succeed(True)
        waiting: Deferred[bool] = Deferred()
        confirming.waiting = waiting

        def late() -> None:
            for call, link in confirming.calls.items():
                self._calls.pop(call, None)
                self._fences.after(link, partial(self._heard, session, confirming.began))
            confirming.finish(False)

        timer = self._clock.callLater(seconds, late)

        def done(complete: bool) -> bool:
            if timer.active():
                timer.cancel()
            return complete

        return waiting.addCallback(done)

    def release(self, session: Session) -> None:
        """Release the record of a session that is already over: tell its home that it opened and closed."""
        home = self._submissions.home(session.user)
        if home is not None:
            home.send(self._opened(session, True))
            home.send(self._closed(session, True))

    def _opened(self, session: Session, home: bool) -> Item:
        return Item(
            opened=Opened(
                user=session.user,
                name=session.name,
                session=session.id,
                owner=session.owner,
                home=home,
                device=session.device,
            )
        )

    def closed(self, session: Session) -> None:
        """Tell all routes that a session has ended."""
        self._confirming.pop(session, None)
        home = self._home_of(session)
        for name, link in self._links.items():
            link.send(self._closed(session, name == home))

    def _closed(self, session: Session, home: bool) -> Item:
        return Item(
            closed=Closed(
                user=session.user,
                session=session.id,
                owner=session.owner,
                home=home,
                device=session.device,
            )
        )

    def _home_of(self, session: Session) -> str:
        """Return the name of the route that writes the session's record; "" when no route is linked."""
        return rendezvous(str(session.user), self._names) if self._names else ""
