"""Ends sessions with the tokens that they were opened with (docs/security.md, Tokens of users)."""

from __future__ import annotations

import heapq

from twisted.internet.interfaces import IReactorTime

from cim.server.sessions.table import Session, Sessions
from cim.supervision import Loop

#: How many seconds are kept at which nothing ends any more, beyond as many as there are others.
SPARE = 64


class Ends:
    """Ends each bounded session in its last second, at the latest when it is over.

    One timer is for all of them, and what it does has nothing to do with how many sessions there are.
    """

    def __init__(self, sessions: Sessions, clock: IReactorTime) -> None:
        self._sessions = sessions
        self._clock = clock
        # By the whole second, so that there are no more of them than there are seconds.
        self._ending: dict[int, set[Session]] = {}
        self._seconds: list[int] = []
        self._loop = Loop("ending sessions with their tokens", self._end_some, clock)
        sessions.observers.append(self)

    def __len__(self) -> int:
        return sum(map(len, self._ending.values()))

    def opened(self, session: Session) -> None:
        """Note when a session ends."""
        if session.bounds is None:
            return
        second = int(session.bounds.ends)
        if second not in self._ending:
            self._ending[second] = set()
            heapq.heappush(self._seconds, second)
        self._ending[second].add(session)
        self._loop.wake(max(0.0, second - self._clock.seconds()))

    def closed(self, session: Session) -> None:
        """Forget a session that has ended."""
        if session.bounds is None:
            return
        second = int(session.bounds.ends)
        ending = self._ending.get(second)
        if ending is None:
            return
        ending.discard(session)
        if not ending:
            del self._ending[second]
            if len(self._seconds) > 2 * len(self._ending) + SPARE:
                # Tokens may last for a year, and sessions end long before.
                self._seconds = list(self._ending)
                heapq.heapify(self._seconds)

    def _end_some(self) -> float | None:
        now = self._clock.seconds()
        while self._seconds and self._seconds[0] <= now:
            for session in self._ending.pop(heapq.heappop(self._seconds), ()):
                if self._sessions.close(session):
                    session.farewell("unauthorized", message="the token of this session has ended: log in again")
        return self._seconds[0] - now if self._seconds else None
