"""What this server tells its routes, and what it does for them (docs/architecture.md, Links).

The server reports sessions that open and close to the users' home routes, which rendezvous hashing picks among the live
links (`cim.server.links.views`), and to routes that follow a user. A home alone writes the session's record. Over a new
link the sessions that are its route's go between SnapshotBegin and SnapshotEnd. The routes send reservations, ends,
probes, deliveries and group changes. Requests and their answers are in `cim.server.links.submissions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from math import inf
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.errors import CIMError
from cim.interfaces import ILink, ILinkUser
from cim.model import GUEST
from cim.selection import Shares
from cim.server.links.announcements import Announcements, opened_item
from cim.server.links.deliveries import Deliveries
from cim.server.links.fences import Fences
from cim.server.links.groups import GroupIndex, groups_in
from cim.server.links.rechecks import Rechecks
from cim.server.links.relays import Relays
from cim.server.links.submissions import Submissions
from cim.server.links.views import Views
from cim.server.sessions.table import Session, SessionBounds, Sessions
from cim.supervision import Loop
from cim.wire.link_pb2 import (
    Deliver,
    End,
    GroupChange,
    GroupsSeen,
    Item,
    Missed,
    Outcome,
    Probe,
    Reserve,
    SnapshotBegin,
    SnapshotEnd,
    StoreState,
)

#: How many sessions are looked at, and if need be reported, in one reactor turn.
CHUNK = 500
#: How many bytes may wait on a link before the next chunk is held back, and for how long (seconds).
CHUNK_WAITS_ABOVE = 1 << 20
CHUNK_WAIT = 0.02


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
        self._views = Views(clock, self._links, submissions.next_call, lambda: len(sessions))
        self._relays = Relays(clock, self._links, submissions.next_call)
        self._fences = Fences(submissions.next_call)
        self.announcements = Announcements(
            sessions=sessions,
            submissions=submissions,
            links=self._links,
            views=self._views,
            fences=self._fences,
            rechecks=rechecks,
            clock=clock,
        )
        index.on_missing.append(self._ask_changes_again)
        # What is stored is no longer what its sessions know.
        index.on_epoch.append(partial(rechecks.all, -inf))
        # What handles an item, by the item's kind.
        self._received: dict[str, Callable[[ILink, Any], None]] = {
            "deliver": self._deliver,
            "reply": submissions.replied,
            "outcome": self._outcome,
            "open_outcome": submissions.answered,
            "reserve": self._reserve,
            "end": self._end,
            "probe": self._probe,
            "group_change": self._group_change,
            "missed": self._missed,
            "store_state": self._store_state,
            "tell": self.announcements.tell_followers,
            "relay": self._relays.asked,
            "relayed": self._relays.answered,
        }

    def __len__(self) -> int:
        return len(self._links)

    def link_up(self, link: ILink) -> None:
        """Report all sessions of the users whose route it is on a new link."""
        name = link.peer.name
        if name in self._links:
            self._views.link_down(self._links[name])
        self._links[name] = link
        self._submissions.link_up(link)
        self._log.info("linked to route {route}", route=name)
        self._sessions.forget_groups()
        before = self._views.move()
        link.send(self._groups_seen())
        link.send(Item(snapshot_begin=SnapshotBegin()))
        self._watch_again(before)
        self._report(link, iter(list(self._sessions)), self._finish_snapshot)

    def _finish_snapshot(self, link: ILink) -> None:
        link.send(Item(snapshot_end=SnapshotEnd()))
        # Until the route has heard of the sessions it pushes nothing to them.
        self._fences.after(link, partial(self._rechecks.link_up, link.peer.name))

    def _report(
        self, link: ILink, sessions: Iterator[Session], finish: Callable[[ILink], None] = lambda link: None
    ) -> None:
        """Report those of some sessions of which the route is to be told."""
        self._views.report(link)
        what = f"telling route {link.peer.name} of sessions"
        Loop(what, partial(self._report_some, link, sessions, finish), self._clock).start()

    def _report_some(self, link: ILink, sessions: Iterator[Session], finish: Callable[[ILink], None]) -> float | None:
        name = link.peer.name
        if self._links.get(name) is not link:
            return None
        if link.queued > CHUNK_WAITS_ABOVE:
            return CHUNK_WAIT
        shares = self._views.shares
        some = list(islice(sessions, CHUNK))
        for session in some:
            if session in self._sessions and session.announced and name in shares.told(session.user):
                link.send(opened_item(session, shares.home(session.user) == name, again=True))
        if len(some) == CHUNK:
            return 0.0
        finish(link)
        self._fences.after(link, partial(self._views.reported, link))
        return None

    def link_down(self, link: ILink, reason: str) -> None:
        """Give a new home to the sessions whose home was that route."""
        name = link.peer.name
        if self._links.get(name) is not link:
            return
        self._log.info("link to route {route} is gone: {reason}", route=name, reason=reason)
        del self._links[name]
        self._submissions.link_down(link)
        self._fences.link_down(link)
        self._relays.link_down(link)
        self._views.link_down(link)
        self._deliveries.interrupt(link)
        self._rechecks.link_down(name)
        before = self._views.move()
        for session in self._sessions:
            session.link_lost()
        self.announcements.link_down(link)
        if self._links:
            self._watch_again(before)
            for heir, sessions in self._heirs(before).items():
                self._report(self._links[heir], iter(sessions))
        self._views.settle()

    def _heirs(self, before: Shares) -> dict[str, list[Session]]:
        """Return which routes are to be told of which sessions now that they were not told of before as they are."""
        heirs: dict[str, list[Session]] = {}
        now = self._views.shares
        for session in self._sessions:
            if session.announced:
                user = session.user
                told, home = before.told(user), now.home(user)
                moved = home != before.home(user)
                for name in now.told(user):
                    if name not in told or (moved and name == home):
                        heirs.setdefault(name, []).append(session)
        return heirs

    def _watch_again(self, before: Shares) -> None:
        """Tell the new home routes of sessions whom those sessions watch."""
        for session in self._sessions:
            if session.watch:
                former = before.home(session.user)
                if not former or former != self._views.shares.home(session.user):
                    self._submissions.watch_again(session, self._links.get(former))

    def link_received(self, link: ILink, item: Item) -> None:
        """Do what a route asks, or take what it answers."""
        kind = item.WhichOneof("item")
        receive = self._received.get(kind) if kind is not None else None
        if receive is None:
            self._metrics.refused("unknown-link-item")
        else:
            receive(link, getattr(item, kind))

    def _outcome(self, link: ILink, outcome: Outcome) -> None:
        if not self.announcements.answered(outcome.call):
            self._views.aware(outcome.call)
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
        # A route that does not know where a user is pushes to several servers; those where nobody is deliver nothing.
        if span is not None and written:
            span.note("cim.sessions", written)
            span.end()

    def _group_change(self, link: ILink, change: GroupChange) -> None:
        self._index.changed(change)
        self._answer(link, change.call)

    def _ask_changes_again(self) -> None:
        for link in list(self._links.values())[:1]:
            link.send(self._groups_seen())

    def _groups_seen(self) -> Item:
        return Item(groups_seen=GroupsSeen(version=self._index.version, epoch=self._index.epoch))
