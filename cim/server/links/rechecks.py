"""Checking sessions for missed messages after anything that may have lost pushes (docs/architecture.md).

A lost link may have lost pushes from the moment its other end fell silent, and its route cannot push here until the
link is back. So when a link is lost all sessions are checked soon, again from time to time while it is away, and once
more when it is back, because other servers may have been linked to that route all along. Sessions that were too slow
for what was pushed are checked when they can take more.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cim.errors import CIMError, Unavailable
from cim.server.links.submissions import Submissions
from cim.server.sessions.shared_packet import SharedPacket
from cim.server.sessions.table import Session, Sessions
from cim.supervision import Loop
from cim.wire.cim_pb2 import Packet, Welcome
from cim.wire.link_pb2 import HEADS, Item, Reply, Request
from cim.wire.native import news_packet

#: How many sessions are checked per second, and how often the next few get their turn, seconds.
RATE = 500
STEP_SECONDS = 0.1
#: How many questions to routes may be under way.
AT_ONCE = 64
#: How long before the loss of a link was noticed pushes may have been lost: a silent link counts as dead after 10 s.
SILENCE_SECONDS = 15.0
#: When sessions are checked after a link was lost, seconds.
ROUNDS = (1.0, 5.0, 15.0, 30.0, *(60.0 * minute for minute in range(1, 11)))
#: How long a route that was never linked here may have served other servers before its link came up, seconds.
UNLINKED_SECONDS = 600.0
#: How much earlier than the given time the store is asked about: a conversation counts as active from when a message
#: was sent, which may be long before it is stored and pushed; and clocks differ.
MARGIN_SECONDS = 15.0
#: How many lost routes are remembered, for when they come back.
KEPT_LOST = 1000
RETRY_SECONDS = 2.0


class Rechecks:
    """Checks sessions for missed messages at a bounded rate."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, sessions: Sessions, submissions: Submissions) -> None:
        self._clock = clock
        self._sessions = sessions
        self._submissions = submissions
        # How far the store's clock is ahead of ours, by its last answer.
        self._ahead = 0.0
        # Session id -> since when it may have missed something, seconds on the clock; in the order of their turns.
        self._waiting: dict[str, float] = {}
        self._at_once = 0
        self._loop = Loop("looking for missed messages", self._step, clock)
        # Those whose check failed, in the order in which they are checked again: when, and since when as above.
        self._later: deque[tuple[float, Session, float]] = deque()
        self._lost: dict[str, float] = {}
        self._rounds: dict[str, list[IDelayedCall]] = {}

    def __len__(self) -> int:
        return len(self._waiting) + self._at_once

    def link_down(self, name: str) -> None:
        """Schedule checks of all sessions after a link was lost."""
        since = self._clock.seconds() - SILENCE_SECONDS
        self._lost.setdefault(name, since)
        if len(self._lost) > KEPT_LOST:
            oldest = next(iter(self._lost))
            self._cancel(oldest)
            del self._lost[oldest]
        self._cancel(name)
        self._rounds[name] = [self._clock.callLater(delay, self._round, name) for delay in ROUNDS]

    def link_up(self, name: str) -> None:
        """Check all sessions after a link came up, again or for the first time."""
        self._cancel(name)
        since = self._lost.pop(name, self._clock.seconds() - UNLINKED_SECONDS)
        self.all(since)

    def missed(self, seconds: float) -> None:
        """Check all sessions: a route reports that it dropped pushes in the last so many seconds."""
        self.all(self._clock.seconds() - seconds - 2 * SILENCE_SECONDS)

    def _cancel(self, name: str) -> None:
        for call in self._rounds.pop(name, ()):
            if call.active():
                call.cancel()

    def _round(self, name: str) -> None:
        self.all(self._lost[name])

    def stop(self) -> None:
        """Stop checking sessions."""
        for name in list(self._rounds):
            self._cancel(name)
        self._waiting.clear()
        self._later.clear()
        self._loop.plan(None)

    def all(self, since: float) -> None:
        """Check every session for anything new since then (seconds on the clock; -inf for all that is new)."""
        for session in self._sessions:
            if session.announced and session.wants_news:
                self.recheck(session, since)

    def recheck(self, session: Session, since: float) -> None:
        """Check a session for anything new since then (seconds on the clock)."""
        self._waiting[session.id] = min(since, self._waiting.get(session.id, since))
        self._loop.wake(STEP_SECONDS)

    def _step(self) -> float | None:
        now = self._clock.seconds()
        while self._later and self._later[0][0] <= now:
            _, session, since = self._later.popleft()
            if session in self._sessions:
                self.recheck(session, since)
        for _ in range(min(int(RATE * STEP_SECONDS), len(self._waiting))):
            if self._at_once >= AT_ONCE:
                break
            id = next(iter(self._waiting))
            since = self._waiting.pop(id)
            found = self._sessions.session(id)
            if found is not None:
                self._at_once += 1
                looking = Deferred.fromCoroutine(self._look(found, since))
                looking.addErrback(lambda failure: self._log.failure("failed to look for missed messages", failure))
        if self._waiting:
            return STEP_SECONDS
        return max(STEP_SECONDS, self._later[0][0] - now) if self._later else None

    async def _look(self, session: Session, since: float) -> None:
        at_store = int(max(0.0, since + self._ahead - MARGIN_SECONDS) * 1000)
        try:
            welcome = await self.heads(session, str(at_store))
        except CIMError:
            self._later.append((self._clock.seconds() + RETRY_SECONDS, session, since))
            self._loop.wake(RETRY_SECONDS)
            return
        finally:
            self._at_once -= 1
        if not (welcome.heads or welcome.invited) or session not in self._sessions:
            return
        news = news_packet(welcome.heads, welcome.more, unasked=True, invited=welcome.invited)
        if not session.push(SharedPacket(news)):
            # It is checked again when it can take more, as far back as this check would have gone.
            session.behind_since = min(since, session.behind_since or since)

    async def heads(self, session: Session, since: str = "") -> Welcome:
        """Ask a session's home route for the conversations in which something is new to it.

        :param since: only conversations that were active since then, ms since 1970 on the store's clock
        :raises Unavailable: no answer came, or the store is unavailable
        """
        reply = await self._submissions.ask(
            str(session.user),
            Item(
                request=Request(
                    user=session.user,
                    name=session.name,
                    session=session.id,
                    device=session.device,
                    purpose=HEADS,
                    since=since,
                )
            ),
        )
        if not isinstance(reply, Reply) or reply.code or not reply.packets:
            raise Unavailable()
        welcome = Packet.FromString(reply.packets[0]).welcome
        if welcome.as_of.isascii() and welcome.as_of.isdigit():
            self._ahead = int(welcome.as_of[:16]) / 1000 - self._clock.seconds()
        return welcome
