"""Pushes from routes to this server's sessions, the same packet to all of them (docs/architecture.md, Links)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from twisted.internet.interfaces import IReactorTime

from cim.daemon.metrics import Metrics
from cim.interfaces import ILink
from cim.server.links.groups import GroupIndex
from cim.server.sessions.asked import Asked, InTime
from cim.server.sessions.batches import Batches
from cim.server.sessions.shared_packet import SharedPacket, SharedRun
from cim.server.sessions.table import Session, Sessions
from cim.wire.cim_pb2 import Packet
from cim.wire.link_pb2 import Deliver
from cim.wire.native import DELIVER, FETCH, skipped_packet

#: How long an answer waits for sessions that must write something else first, and before that for a guest that is about
#: to connect; routes wait 2 s for it.
ANSWER_SECONDS = 1.5
COMING_SECONDS = 0.4
#: Of how many packets that are written one message is timed, so that this costs nothing.
TIMED = 16


class Deliveries:
    """Pushes what routes send to the sessions that it is for."""

    def __init__(
        self,
        sessions: Sessions,
        index: GroupIndex,
        clock: IReactorTime,
        metrics: Metrics,
        time_of_day: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._index = index
        self._metrics = metrics
        self._time_of_day = time_of_day
        self._untimed = 0
        self._batches = Batches()
        self._clock = clock
        self._in_time = InTime(clock, ANSWER_SECONDS)
        # By user, what a guest is to get that has logged in: a caller that hears at once that it is not there would say
        # it again, or ask again for what it missed.
        self._coming: dict[int, dict[Asked, SharedPacket]] = {}

    def deliver(self, link: ILink, deliver: Deliver, answer: Callable[[int], None]) -> int:
        """Push what came over a link; call `answer` with the number of sessions that it was written to.

        `answer` is called once every session is known about, within ANSWER_SECONDS; never when the Deliver has no call.

        :returns: the number of sessions that it was written to at once
        """
        packet, left = deliver.packet, deliver.batch
        if deliver.more:
            return self._deliver_run(link, deliver)
        shared = SharedPacket(packet, deliver.repeated)
        if left or self._batches.under_way:
            self._batches.take(link, shared, left)
        asked = Asked(answer) if deliver.call else None
        fetches = packet == FETCH
        except_user, except_session = deliver.except_user, deliver.except_session
        written = 0
        receivers, others = self._receivers(deliver)
        if deliver.members:
            others = [*others, *(session for session in receivers if not session.members)]
            receivers = [session for session in receivers if session.members]
        if others:
            skipped = SharedPacket(skipped_packet(packet))
            for session in others:
                session.push(skipped)
        for session in receivers:
            if (except_user and session.user == except_user) or session.id == except_session:
                continue
            if fetches:
                session.fetch(asked)
            elif session.push(shared, asked):
                written += 1
        self._metrics.messages_out += written
        self._untimed += written
        if self._untimed >= TIMED and written and packet.startswith(DELIVER) and not deliver.repeated:
            self._untimed = 0
            self._time(packet)
        if left == 1:
            self._batches.finish(link)
        if asked is not None:
            user = deliver.users[0] if len(deliver.users) == 1 else 0
            if not receivers and self._sessions.expects_guest(user):
                # One of its own, for a batch that this was in is over by then.
                self._wait(user, SharedPacket(packet, deliver.repeated), asked)
                return written
            asked.written += written
            asked.settle(False)
            if asked.open:
                self._in_time.answer(asked)
        return written

    def _deliver_run(self, link: ILink, deliver: Deliver) -> int:
        """Push packets that came together, for which nobody asks."""
        run = SharedRun((deliver.packet, *deliver.more), deliver.repeated)
        self._batches.interrupt(link)
        except_session = deliver.except_session
        receivers, others = self._receivers(deliver)
        if others:
            skipped = SharedRun([skipped_packet(packet) for packet in run.packets])
            for session in others:
                session.push_run(skipped)
        written = sum(session.push_run(run) for session in receivers if session.id != except_session)
        self._metrics.messages_out += written
        self._untimed += written
        if self._untimed >= TIMED and written:
            self._untimed = 0
            self._time(run.packets[-1])
        return written

    def _time(self, packet: bytes) -> None:
        sent_at = Packet.FromString(packet).deliver.sent_at
        # Another machine's clock has said when that was.
        self._metrics.delivered(max(0.0, self._time_of_day() - sent_at / 1000))

    def _wait(self, user: int, shared: SharedPacket, asked: Asked) -> None:
        self._coming.setdefault(user, {})[asked] = shared
        self._clock.callLater(COMING_SECONDS, self._waited, user, asked)

    def _waited(self, user: int, asked: Asked) -> None:
        waiting = self._coming.get(user, {})
        if waiting.pop(asked, None) is not None:
            asked.settle(False)
            if not waiting:
                del self._coming[user]

    def opened(self, session: Session) -> None:
        """See SessionObserver: write what waits for a guest."""
        for asked, shared in self._coming.pop(session.user, {}).items():
            if shared.packet == FETCH:
                session.fetch(asked)
            elif session.push(shared, asked):
                self._metrics.messages_out += 1
                asked.written += 1
            asked.settle(False)
            if asked.open:
                self._in_time.answer(asked)

    def closed(self, session: Session) -> None:
        """See SessionObserver."""

    def interrupt(self, link: ILink) -> None:
        """End the batch that a link was in: something on the link, or the link itself, was lost."""
        self._batches.interrupt(link)

    def _receivers(self, deliver: Deliver) -> tuple[Iterable[Session], Collection[Session]]:
        """Return the sessions that a packet is for, and those who may not read it but are told that it is there."""
        if deliver.everyone:
            return list(self._sessions), ()
        if deliver.group:
            may, others = self._index.who_may_read(deliver.group, deliver.reads)
            return list(may), others
        users = deliver.users
        if deliver.watched:
            watched = deliver.watched
            return [session for user in users for session in self._sessions.of(user) if session.watches(watched)], ()
        if len(users) == 1 and not deliver.sessions:
            return self._sessions.of(users[0]), ()
        found = [session for user in users for session in self._sessions.of(user)]
        for id in deliver.sessions:
            session = self._sessions.session(id)
            if session is not None:
                found.append(session)
        return found, ()
