"""What this server tells its routes and does for them (DESIGN.md section 6).

Up go the sessions that open and close; each user has one home route among the live links, by rendezvous, which alone
writes the session's record. A new link first gets all sessions between SnapshotBegin and SnapshotEnd. Down come
reservations, ends, probes and deliveries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cim.ecim import CIMError
from cim.icim import ILink, ILinkUser
from cim.metrics import Metrics
from cim.selection import rendezvous
from cim.server.sessions import Session, Sessions
from cim.wire.guests import GuestMessage
from cim.wire.link_pb2 import Closed, Deliver, End, Item, Opened, Outcome, Probe, Reserve, SnapshotBegin, SnapshotEnd

#: Sessions told in one reactor turn.
CHUNK = 500
#: Bytes that may wait on a link before the next chunk is held back, and for how long (seconds).
CHUNK_WAITS_ABOVE = 1 << 20
CHUNK_WAIT = 0.02


@implementer(ILinkUser)
class Uplink:
    """The server's end of all its links.

    :param max_frame: the largest frame that guests are sent, bytes
    """

    _log = Logger()

    def __init__(self, sessions: Sessions, clock: IReactorTime, max_frame: int, metrics: Metrics) -> None:
        self._sessions = sessions
        self._clock = clock
        self._max_frame = max_frame
        self._metrics = metrics
        self._links: dict[str, ILink] = {}
        self._names: list[str] = []
        sessions.observers.append(self)

    def __len__(self) -> int:
        return len(self._links)

    def link_up(self, link: ILink) -> None:
        """Tell a new link of all sessions."""
        self._links[link.peer.name] = link
        self._names = sorted(self._links)
        self._log.info("linked to route {route}", route=link.peer.name)
        link.send(Item(snapshot_begin=SnapshotBegin()))
        self._tell(link, iter(list(self._sessions)), self._finish_snapshot)

    @staticmethod
    def _finish_snapshot(link: ILink) -> None:
        link.send(Item(snapshot_end=SnapshotEnd()))

    def _tell(self, link: ILink, sessions: Iterator[Session], finish: Callable[[ILink], None] | None = None) -> None:
        if self._links.get(link.peer.name) is not link:
            return
        if link.queued > CHUNK_WAITS_ABOVE:
            self._clock.callLater(CHUNK_WAIT, self._tell, link, sessions, finish)
            return
        told = 0
        for session in sessions:
            if session not in self._sessions.of(session.user):
                continue
            link.send(self._opened(session, link))
            told += 1
            if told == CHUNK:
                self._clock.callLater(0, self._tell, link, sessions, finish)
                return
        if finish is not None:
            finish(link)

    def link_down(self, link: ILink, reason: str) -> None:
        """Give the sessions whose home was there a new home."""
        name = link.peer.name
        if self._links.get(name) is not link:
            return
        self._log.info("link to route {route} is gone: {reason}", route=name, reason=reason)
        before = self._names
        del self._links[name]
        self._names = sorted(self._links)
        if not self._names:
            return
        orphans: dict[str, list[Session]] = {}
        for session in self._sessions:
            key = str(session.user)
            if rendezvous(key, before) == name:
                orphans.setdefault(rendezvous(key, self._names), []).append(session)
        for home, sessions in orphans.items():
            self._tell(self._links[home], iter(sessions))

    def link_received(self, link: ILink, item: Item) -> None:
        """Do what a route asks."""
        kind = item.WhichOneof("item")
        if kind == "deliver":
            self._deliver(link, item.deliver)
        elif kind == "reserve":
            self._reserve(link, item.reserve)
        elif kind == "end":
            self._end(link, item.end)
        elif kind == "probe":
            self._probe(link, item.probe)
        else:
            self._metrics.refused("unknown-link-item")

    def _answer(self, link: ILink, call: int, code: str = "", sessions: int = 0) -> None:
        if call:
            link.send(Item(outcome=Outcome(call=call, code=code, sessions=sessions)))

    def _reserve(self, link: ILink, reserve: Reserve) -> None:
        try:
            done = self._sessions.reserve(reserve.user, reserve.name, reserve.owner, reserve.seconds)
        except CIMError:
            self._answer(link, reserve.call, "invalid")
            return
        self._answer(link, reserve.call, "" if done else "live")

    def _end(self, link: ILink, end: End) -> None:
        ended = self._sessions.end(end.user, end.owner, end.code or "logged-out")
        self._answer(link, end.call, sessions=ended)

    def _probe(self, link: ILink, probe: Probe) -> None:
        self._answer(link, probe.call, sessions=sum(1 for _ in self._sessions.of(probe.user)))

    def _deliver(self, link: ILink, deliver: Deliver) -> None:
        guest = deliver.guest
        try:
            message = GuestMessage(
                guest.sender,
                guest.sender_name,
                guest.texts,
                batch=guest.batch,
                offline=guest.offline,
                properties=guest.properties,
                max_frame=self._max_frame,
            )
        except CIMError:
            self._metrics.refused("undeliverable")
            self._answer(link, deliver.call, "invalid")
            return
        written = 0
        if deliver.everyone:
            for session in self._sessions:
                if session.user != deliver.except_user and session.push(message):
                    written += 1
        else:
            for user in deliver.users:
                for session in self._sessions.of(user):
                    written += session.push(message)
        self._metrics.messages_out += written
        self._answer(link, deliver.call, sessions=written)

    def opened(self, session: Session) -> None:
        """Tell all routes of a new session."""
        for link in self._links.values():
            link.send(self._opened(session, link))

    def _opened(self, session: Session, link: ILink) -> Item:
        return Item(
            opened=Opened(
                user=session.user,
                name=session.name,
                session=session.id,
                owner=session.owner,
                home=self._is_home(session, link),
            )
        )

    def closed(self, session: Session) -> None:
        """Tell all routes that a session has ended."""
        for link in self._links.values():
            home = self._is_home(session, link)
            link.send(Item(closed=Closed(user=session.user, session=session.id, owner=session.owner, home=home)))

    def _is_home(self, session: Session, link: ILink) -> bool:
        return rendezvous(str(session.user), self._names) == link.peer.name
