"""Guests' conversations: the server plays a native client's part for them (DESIGN.md section 5, Guests).

What is to be done when is decided by `wire.guest_backlog`, one for each guest that has something to be decided; here it
is done: frames are written, heads and pages asked for (`server.guest_receipts` sends receipts up). A guest's backlog is
made when it is needed and dropped when the guest has been quiet for a while: its marks are in the store.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cim.ecim import BadFrame, CIMError, Unavailable
from cim.metrics import Metrics
from cim.server.guest_frames import Shown, messages, shown
from cim.server.guest_receipts import ReceiptsOfGuests
from cim.server.sessions import GuestSession, Session, Sessions
from cim.server.store_clock import StoreClock
from cim.server.submissions import Submissions
from cim.wire import positions
from cim.wire.cim_pb2 import Packet, Sync
from cim.wire.gap import GapPolicy
from cim.wire.guest_backlog import GuestBacklog
from cim.wire.guest_heads import HeadsWanted
from cim.wire.guests import Generation, GuestMessage
from cim.wire.link_pb2 import BACKLOG, PACKET, Item, Reply, Request
from cim.wire.native import packet
from cim.wire.positions import ZERO, Position

PAGE = 100
RETRY_SECONDS = 1.0
#: The least wait for what is due, so that nothing is looked at twice in a turn.
STEP_SECONDS = 0.05
#: How long whoever fetches waits to hear that the backlog was written: routes wait 2 s.
ANSWER_SECONDS = 1.5
#: When backlogs that have nothing to do are looked for, seconds.
SWEEP_SECONDS = 30.0

#: Failures of a Sync that do not go away by themselves.
_FOR_GOOD = frozenset(("invalid", "forbidden", "not-found"))


class Guests:
    """All guests' places in their conversations.

    :param max_frame: the largest frame that guests are sent, bytes
    :param random: from 0 to 1
    """

    _log = Logger()

    def __init__(
        self,
        sessions: Sessions,
        submissions: Submissions,
        store_clock: StoreClock,
        clock: IReactorTime,
        max_frame: int,
        metrics: Metrics,
        random: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._submissions = submissions
        self._store_clock = store_clock
        self._clock = clock
        self._max_frame = max_frame
        self._metrics = metrics
        self._policy = GapPolicy(random, capacity=2 * PAGE)
        # Those that have a backlog, and whether something happened to it since the last sweep.
        self._active: dict[GuestSession, bool] = {}
        self._timers: dict[GuestSession, IDelayedCall] = {}
        self._fetching: dict[GuestSession, list[Callable[[bool], None]]] = {}
        self._receipts = ReceiptsOfGuests(sessions, submissions, clock)
        self._sweeping: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._active)

    # What happens.

    def opened(self, session: Session) -> None:
        """A session is live: W1 gets its backlog at once."""
        if isinstance(session, GuestSession) and session.generation is Generation.W1:
            self._backlog(session, eager=True)
            self._drive(session)

    def closed(self, session: Session) -> None:
        """A session has ended."""
        if not isinstance(session, GuestSession) or session.backlog is None:
            return
        self._receipts.closed(session)
        self._drop(session)
        for done in self._fetching.pop(session, ()):
            done(False)

    def push(
        self,
        session: GuestSession,
        conversation: str,
        place: tuple[Position, Position],
        message: GuestMessage | None,
        batch: bool,
        repeated: bool,
        done: Callable[[bool], None] | None,
    ) -> None:
        """Write a message when its turn has come; `done` is told once whether it was.

        :param place: position and previous
        :param message: None for what the guest is not shown
        :param batch: it stands for all messages between the two positions
        :param repeated: it was said before, and is pushed again
        """
        backlog = session.backlog
        if backlog is None:
            if message is None:
                if done is not None:
                    done(False)
                return
            backlog = self._backlog(session, eager=session.fetched)
            # Its backlog goes before its first live message.
            session.fetched = True
        backlog.paused = session.connection.slow
        first = place[1] == ZERO and not repeated
        backlog.delivered(conversation, *place, message, self._clock.seconds(), batch=batch, first=first, done=done)
        self._drive(session)

    def recheck(self, session: GuestSession, since: float) -> None:
        """Look for what the guest may have missed since then (seconds on the clock)."""
        if session.backlog is not None:
            session.backlog.missed(since, self._clock.seconds())
        elif session.fetched:
            self._backlog(session, eager=True)
        else:
            # Its backlog waits in the store until it is fetched.
            return
        self._drive(session)

    def relieved(self, session: GuestSession) -> None:
        """The session's connection was slow and is not any more."""
        if session.backlog is not None:
            self._drive(session)

    def fetch_offline(self, user: int, done: Callable[[int], None]) -> None:
        """Write a guest's backlog; `done` is told how many sessions it was written to, within ANSWER_SECONDS."""
        guests = [session for session in self._sessions.of(user) if isinstance(session, GuestSession)]
        written: list[bool] = []

        def settled(was_written: bool) -> None:
            written.append(was_written)
            if len(written) == len(guests):
                done(sum(written))

        if not guests:
            done(0)
        for session in guests:
            self._fetching.setdefault(session, []).append(settled)
            self._clock.callLater(ANSWER_SECONDS, self._give_up, session, settled)
            if session.backlog is None:
                self._backlog(session, eager=True)
            else:
                session.fetched = True
                session.backlog.fetch(self._clock.seconds())
            self._drive(session)

    def _give_up(self, session: GuestSession, settled: Callable[[bool], None]) -> None:
        waiting = self._fetching.get(session, [])
        if settled in waiting:
            waiting.remove(settled)
            if not waiting:
                del self._fetching[session]
            settled(False)

    # Backlogs that come and go.

    def _backlog(self, session: GuestSession, eager: bool) -> GuestBacklog[Shown]:
        session.backlog = GuestBacklog(self._policy, eager, self._clock.seconds())
        session.fetched = session.fetched or eager
        if self._sweeping is None:
            self._sweeping = self._clock.callLater(SWEEP_SECONDS, self._sweep)
        return session.backlog

    def _drop(self, session: GuestSession) -> None:
        session.backlog = None
        self._active.pop(session, None)
        timer = self._timers.pop(session, None)
        if timer is not None:
            timer.cancel()

    def _sweep(self) -> None:
        self._sweeping = None
        for session, used in list(self._active.items()):
            backlog = session.backlog
            if backlog is None or (
                not used and backlog.caught_up and session not in self._receipts and session not in self._fetching
            ):
                self._drop(session)
            else:
                self._active[session] = False
        if self._active:
            self._sweeping = self._clock.callLater(SWEEP_SECONDS, self._sweep)

    # What is done.

    def _drive(self, session: GuestSession) -> None:
        """Do whatever a session's backlog has come to."""
        backlog = session.backlog
        if backlog is None:
            return
        self._active[session] = True
        now = self._clock.seconds()
        backlog.paused = session.connection.slow
        items = backlog.take()
        if items:
            self._write(session, items)
        backlog.written()
        self._receipts.note(session)
        for wanted in backlog.heads_due(now):
            self._ask_heads(session, backlog, wanted)
        for conversation, after in backlog.syncs_due(now):
            self._ask_page(session, backlog, conversation, after)
        if session in self._fetching and backlog.caught_up:
            session.fetched = True
            for done in self._fetching.pop(session):
                done(True)
        self._wait(session, backlog, now)

    def _wait(self, session: GuestSession, backlog: GuestBacklog[Shown], now: float) -> None:
        due = backlog.due
        timer = self._timers.get(session)
        if due is None:
            if timer is not None:
                del self._timers[session]
                timer.cancel()
            return
        due = max(due, now + STEP_SECONDS)
        if timer is not None:
            if timer.getTime() <= due:
                return
            timer.cancel()
        self._timers[session] = self._clock.callLater(due - now, self._due, session)

    def _due(self, session: GuestSession) -> None:
        del self._timers[session]
        self._drive(session)

    def _write(self, session: GuestSession, items: list[Shown]) -> None:
        written = 0
        frames = []
        for message in messages(items, session.generation, self._max_frame):
            if message is None:
                self._metrics.refused("undeliverable")
            else:
                frames.append(message.frames(session.recipient))
                written += 1
        if frames:
            session.connection.write(b"".join(frames))
            self._metrics.messages_out += written

    def _request(self, session: GuestSession, call: int, **fields: object) -> Item:
        request = Request(call=call, user=session.user, name=session.name, session=session.id, device=session.device)
        return Item(request=_filled(request, fields))

    def _ask_heads(self, session: GuestSession, backlog: GuestBacklog[Shown], wanted: HeadsWanted) -> None:
        since = self._store_clock.since(wanted.since) if wanted.since else ""
        asking = self._submissions.ask(
            str(session.user),
            lambda call: self._request(session, call, purpose=BACKLOG, since=since, page=wanted.after),
        )

        def answered(reply: object) -> None:
            if not isinstance(reply, Reply) or reply.code or not reply.packets:
                raise Unavailable()
            welcome = Packet.FromString(reply.packets[0]).welcome
            self._store_clock.note(welcome)
            heads = [
                (head.conversation, positions.parse(head.received), positions.parse(head.latest))
                for head in welcome.heads
            ]
            if session.backlog is backlog:
                backlog.heads(wanted, heads, welcome.more, self._clock.seconds())

        def failed() -> None:
            backlog.heads_failed(wanted, self._clock.seconds(), RETRY_SECONDS)

        self._go_on(asking.addCallback(answered), session, backlog, failed)

    def _ask_page(
        self, session: GuestSession, backlog: GuestBacklog[Shown], conversation: str, after: Position
    ) -> None:
        sync = packet(sync=Sync(conversation=conversation, after=positions.text(after), limit=PAGE))
        asking = self._submissions.ask(
            conversation,
            lambda call: self._request(session, call, purpose=PACKET, conversation=conversation, packet=sync),
        )
        delay: list[float | None] = [RETRY_SECONDS]

        def answered(reply: object) -> None:
            if not isinstance(reply, Reply) or reply.code or not reply.packets:
                if isinstance(reply, Reply) and reply.code in _FOR_GOOD:
                    delay[0] = None
                raise Unavailable()
            if session.backlog is backlog:
                self._page(session, backlog, conversation, reply)

        def failed() -> None:
            backlog.sync_failed(conversation, self._clock.seconds(), delay[0])

        self._go_on(asking.addCallback(answered), session, backlog, failed)

    def _page(self, session: GuestSession, backlog: GuestBacklog[Shown], conversation: str, reply: Reply) -> None:
        entries = []
        for body in reply.packets[:-1]:
            deliver = Packet.FromString(body).deliver
            entries.append(
                (positions.parse(deliver.position), positions.parse(deliver.previous), shown(deliver, session.user))
            )
        last = Packet.FromString(reply.packets[-1])
        if not last.HasField("synced"):
            raise BadFrame("a page without its end")
        synced = last.synced
        backlog.page(
            conversation,
            entries,
            positions.parse(synced.after),
            positions.parse(synced.upto),
            synced.more,
            synced.reset,
            self._clock.seconds(),
        )

    def _go_on(
        self,
        asking: Deferred[None],
        session: GuestSession,
        backlog: GuestBacklog[Shown],
        failed: Callable[[], None],
    ) -> None:
        def done(error: object) -> None:
            if session.backlog is not backlog:
                return
            if error is not None:
                failed()
            self._drive(session)

        asking.addErrback(lambda failure: failure.trap(CIMError)).addCallback(done)
        asking.addErrback(lambda failure: self._log.failure("a guest's conversations were not read", failure))


def _filled(request: Request, fields: dict[str, object]) -> Request:
    for name, value in fields.items():
        setattr(request, name, value)
    return request
