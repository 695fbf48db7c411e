"""Sessions in the memory of one process.

They belong to the store of a single route, where no session outlives the process, so writing them to disk would be
pointless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from twisted.internet.defer import Deferred, execute, fail, succeed
from zope.interface import implementer

from cim.interfaces import ISessions
from cim.model import Place, SessionRecord
from cim.store.decided import DecidedSessions
from cim.store.rules.sessions import (
    BARRED_SECONDS,
    MOST_BARRED,
    REPEATED_WITHIN_MS,
    Records,
    SessionChange,
    SessionFacts,
    unexpired,
)

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


@implementer(ISessions)
class LocalSessions(DecidedSessions):
    """The sessions of one route, which end with it.

    :param clock: only goes forward
    :param guard: called with the name of each operation before it; the operation fails with what it raises
    :param time_of_day: the time in seconds since 1970, by which records say when they were made; the clock's without it
    """

    def __init__(
        self,
        clock: IReactorTime,
        guard: Callable[[str], None] = lambda operation: None,
        time_of_day: Callable[[], float] | None = None,
    ) -> None:
        self._clock = clock
        # Looked at once: whoever sets the machine's clock later ends nothing.
        self._ahead = time_of_day() - clock.seconds() if time_of_day is not None else 0.0
        self._guard = guard
        self._records: dict[int, Records] = {}
        self._expiries: list[tuple[int, int]] = []  # heap of (time, user); some are outdated
        self._ended: dict[int, int] = {}  # user -> time of the last end
        self._ends: deque[tuple[int, int]] = deque()  # the same, in order of time
        # User -> until when its owners that were expelled are barred, the first first.
        self._barred: dict[int, dict[str, float]] = {}
        self._leases: dict[Place, dict[str, float]] = {}
        self._upstream: dict[str, set[int]] = {}

    def _facts(self, user: int) -> SessionFacts:
        now = int((self._clock.seconds() + self._ahead) * 1000)
        while self._expiries and self._expiries[0][0] <= now:
            _, whose = heappop(self._expiries)
            records = self._records.get(whose, ())
            self._put(whose, records, unexpired(records, now))
        while self._ends and self._ends[0][0] + REPEATED_WITHIN_MS <= now:
            when, whose = self._ends.popleft()
            if self._ended.get(whose) == when:
                del self._ended[whose]
        return SessionFacts(self._records.get(user, ()), user in self._ended, now)

    def _put(self, user: int, before: Records, after: Records) -> None:
        if after:
            self._records[user] = after
        else:
            self._records.pop(user, None)
        left, there = {id(held) for held in after}, {id(held) for held in before}
        for held in before:
            server = held.record.place.server
            if id(held) not in left and server in self._upstream and held.at_upstream:
                self._upstream[server].discard(user)
                if not self._upstream[server]:
                    del self._upstream[server]
        for held in after:
            if id(held) not in there:
                if held.at_upstream:
                    self._upstream.setdefault(held.record.place.server, set()).add(user)
                if held.expires:
                    heappush(self._expiries, (held.expires, user))

    def change(
        self,
        name: str,
        user: int,
        decide: Callable[[SessionFacts], SessionChange[T]],
        *,
        by_end: bool = False,
        owner: str = "",
    ) -> Deferred[T]:
        """See DecidedSessions."""
        try:
            self._guard(name)
            facts = self._facts(user)
            if owner and user in self._barred:
                facts = evolve(facts, barred=self._barred[user].get(owner, 0.0) > self._clock.seconds())
            change = decide(facts)
        except Exception:
            return fail()
        if change.records is not facts.records:
            self._put(user, facts.records, change.records)
        if change.ends:
            self._ended[user] = facts.now
            self._ends.append((facts.now, user))
        if change.bars:
            self._bar(user, change.bars)
        return succeed(change.result)

    def _bar(self, user: int, owners: Collection[str]) -> None:
        now = self._clock.seconds()
        barred = self._barred.pop(user, {})
        barred.update(dict.fromkeys(owners, now + BARRED_SECONDS))
        while len(barred) > MOST_BARRED:
            del barred[next(iter(barred))]
        self._barred[user] = barred
        # The user of whom one was expelled longest ago comes first.
        while max(next(iter(self._barred.values())).values()) <= now:
            del self._barred[next(iter(self._barred))]

    def _asked(self, name: str, answer: Callable[[], T]) -> Deferred[T]:
        def run() -> T:
            self._guard(name)
            return answer()

        return execute(run)

    def sessions(self, user: int) -> Deferred[Sequence[SessionRecord]]:
        """See ISessions."""
        return self._asked("sessions", lambda: [held.record for held in self._facts(user).records])

    def hold_lease(self, place: Place, route: str, seconds: float) -> Deferred[None]:
        """See ISessions."""

        def hold() -> None:
            self._leases.setdefault(place, {})[route] = self._clock.seconds() + seconds

        return self._asked("hold_lease", hold)

    def drop_lease(self, place: Place, route: str) -> Deferred[None]:
        """See ISessions."""

        def drop() -> None:
            routes = self._leases.get(place, {})
            routes.pop(route, None)
            if not routes:
                self._leases.pop(place, None)

        return self._asked("drop_lease", drop)

    def leased(self, place: Place) -> Deferred[bool]:
        """See ISessions."""

        def look() -> bool:
            now = self._clock.seconds()
            routes = {route: until for route, until in self._leases.get(place, {}).items() if until > now}
            if routes:
                self._leases[place] = routes
            else:
                self._leases.pop(place, None)
            return bool(routes)

        return self._asked("leased", look)

    def users_at(self, server: str) -> Deferred[Sequence[int]]:
        """See ISessions."""
        return self._asked("users_at", lambda: sorted(self._upstream.get(server, ())))
