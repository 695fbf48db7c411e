"""A native session from its ticket to its Welcome (docs/architecture.md, Logins).

First the home route claims the session in the store and returns the user's groups. Then all routes are told of the
session, and have a second to confirm, unless there is only one, which hears what follows on the same link after that.
Only then is the home route asked what is new, so that whatever comes later is pushed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from cim.errors import CIMError, Unavailable
from cim.server.links.groups import GroupIndex, groups_in
from cim.server.links.rechecks import Rechecks
from cim.server.links.submissions import Submissions
from cim.server.native.session import NativeSession
from cim.server.sessions.table import Session, Sessions
from cim.supervision import Loop
from cim.wire.cim_pb2 import Welcome
from cim.wire.link_pb2 import Item, Open, OpenOutcome

#: For how long and how often claiming, and asking for heads, is tried, seconds.
TRY_SECONDS = 5.0
RETRY_SECONDS = 0.5
#: How long the routes may take to confirm a session.
CONFIRM_SECONDS = 1.0
#: Clients that could not be let in are told to come back within this many seconds.
COME_BACK_SECONDS = 10
#: How many sessions have their groups read again at once, and how often, seconds.
READ_AT_ONCE = 50
READ_SECONDS = 0.1


class Announcer(Protocol):
    """What tells the routes of sessions."""

    def confirmed(self, session: Session, seconds: float) -> Deferred[bool]:
        """Fire with True once all routes have confirmed that they know of a session, with False if one is late."""

    def release(self, session: Session) -> None:
        """Release the record of a session that is already over."""


class Openings:
    """Takes sessions from their claim to their Welcome.

    :param random: returns evenly distributed numbers from 0 to 1
    """

    _log = Logger()

    def __init__(
        self,
        *,
        sessions: Sessions,
        submissions: Submissions,
        index: GroupIndex,
        announcer: Announcer,
        rechecks: Rechecks,
        clock: IReactorTime,
        random: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._submissions = submissions
        self._index = index
        self._announcer = announcer
        self._rechecks = rechecks
        self._clock = clock
        self._random = random
        self._unread: dict[Session, None] = {}
        # Those whose groups could not be read, in the order in which that is tried again, and when.
        self._later: deque[tuple[float, Session]] = deque()
        self._loop = Loop("reading the groups of sessions", self._read_some, clock)
        sessions.observers.append(self)
        index.on_outdated.append(self.read_groups)

    def begin(self, session: NativeSession, since: str) -> None:
        """Open a session that has claimed its place.

        :param since: as in its Hello
        """
        opening = Deferred.fromCoroutine(self._open(session, since))
        opening.addErrback(lambda failure: self._log.failure("failed to open a session", failure))

    async def _open(self, session: NativeSession, since: str) -> None:
        try:
            if not await self._claim(session):
                return
            began = self._clock.seconds()
            self._sessions.announce(session)
            complete = await self._announcer.confirmed(session, CONFIRM_SECONDS)
            welcome = await self._heads(session, since)
        except CIMError as error:
            if session in self._sessions:
                session.unavailable(error, 1 + int(self._random() * COME_BACK_SECONDS))
            return
        if session in self._sessions:
            session.welcome(welcome)
            if not complete:
                self._rechecks.recheck(session, began)

    async def _claim(self, session: Session) -> bool:
        """Have the home route make the session's record and read its groups; False if the session is over by then."""
        deadline = self._clock.seconds() + TRY_SECONDS
        while True:
            outcome: OpenOutcome | None
            try:
                answer = await self._submissions.ask(
                    str(session.user),
                    Item(
                        open=Open(
                            user=session.user,
                            name=session.name,
                            session=session.id,
                            owner=session.owner,
                            device=session.device,
                        )
                    ),
                )
                outcome = answer if isinstance(answer, OpenOutcome) else None
            except Unavailable:
                outcome = None
            if session not in self._sessions:
                if outcome is not None and not outcome.code:
                    self._announcer.release(session)
                return False
            if outcome is not None:
                if outcome.code == "replaced":
                    if self._sessions.close(session):
                        session.farewell("replaced")
                    return False
                if not outcome.code and self._index.join(session, groups_in(outcome)):
                    return True
            if self._clock.seconds() >= deadline:
                raise Unavailable("no route can open a session, please try again")
            await deferLater(self._clock, RETRY_SECONDS)
            if session not in self._sessions:
                return False

    async def _heads(self, session: Session, since: str) -> Welcome:
        deadline = self._clock.seconds() + TRY_SECONDS
        while True:
            try:
                return await self._rechecks.heads(session, since)
            except Unavailable:
                if self._clock.seconds() >= deadline or session not in self._sessions:
                    raise
            await deferLater(self._clock, RETRY_SECONDS)

    def read_groups(self, sessions: Iterable[Session]) -> None:
        """Read the groups of live sessions, at a bounded rate."""
        idle = not self._unread
        for session in sessions:
            self._unread[session] = None
        if idle and self._unread:
            self._loop.wake()

    def _read_some(self) -> float | None:
        now = self._clock.seconds()
        while self._later and self._later[0][0] <= now:
            self._unread[self._later.popleft()[1]] = None
        for session in list(self._unread)[:READ_AT_ONCE]:
            del self._unread[session]
            if session in self._sessions:
                reading = Deferred.fromCoroutine(self._read(session))
                reading.addErrback(lambda failure: self._log.failure("failed to read the groups of a session", failure))
        if self._unread:
            return READ_SECONDS
        return max(READ_SECONDS, self._later[0][0] - now) if self._later else None

    async def _read(self, session: Session) -> None:
        try:
            await self._claim(session)
        except Exception as error:
            if session in self._sessions:
                self._later.append((self._clock.seconds() + TRY_SECONDS, session))
                self._loop.wake(TRY_SECONDS)
            if not isinstance(error, Unavailable):
                raise

    def opened(self, session: Session) -> None:
        """Read the groups of a session that went live, unless they are known."""
        if session.groups is None:
            self.read_groups((session,))

    def closed(self, session: Session) -> None:
        """Forget a session that has ended."""
        self._unread.pop(session, None)
        self._index.leave(session)
