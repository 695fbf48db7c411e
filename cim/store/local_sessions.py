"""Sessions in the memory of one process.

They go with the stores of a single route: there a session never outlives the process, so writing it down would buy
nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, execute
from zope.interface import implementer

from cim.ecim import RepeatedEnd
from cim.icim import ISessions
from cim.model import Place, SessionRecord

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

P = ParamSpec("P")
T = TypeVar("T")

#: As for Redis: see cim.store.redis_sessions.
YOUNG = 1.0
REPEATED_WITHIN = 3.0


def _answered(
    operation: Callable[Concatenate[LocalSessions, P], T],
) -> Callable[Concatenate[LocalSessions, P], Deferred[T]]:
    @wraps(operation)
    def method(self: LocalSessions, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        def run() -> T:
            self._guard(operation.__name__)
            return operation(self, *args, **kwargs)

        return execute(run)

    return method


@implementer(ISessions)
class LocalSessions:
    """Sessions of one route, gone with it.

    :param guard: called with the operation's name before each; what it raises is the answer
    """

    def __init__(self, clock: IReactorTime, guard: Callable[[str], None] = lambda operation: None) -> None:
        self._clock = clock
        self._guard = guard
        self._records: dict[int, SessionRecord] = {}
        self._expires: dict[int, float] = {}  # users with a reservation -> when it expires
        self._expiries: list[tuple[float, int]] = []  # a heap of these, and of some that were replaced
        self._ended: dict[int, float] = {}  # user -> when the last end was handled
        self._ends: deque[tuple[float, int]] = deque()  # the same in order of time
        self._leases: dict[Place, dict[str, float]] = {}
        self._upstream: dict[str, set[int]] = {}

    def _now_ms(self) -> int:
        return int(self._clock.seconds() * 1000)

    def _record(self, user: int) -> SessionRecord | None:
        self._expire()
        return self._records.get(user)

    def _expire(self) -> None:
        now = self._clock.seconds()
        while self._expiries and self._expiries[0][0] <= now:
            when, user = heappop(self._expiries)
            if self._expires.get(user) == when:
                self._forget(self._records[user])
        while self._ends and self._ends[0][0] + REPEATED_WITHIN <= now:
            when, user = self._ends.popleft()
            if self._ended.get(user) == when:
                del self._ended[user]

    def _forget(self, record: SessionRecord) -> None:
        del self._records[record.user]
        self._expires.pop(record.user, None)
        users = self._upstream.get(record.place.server)
        if users is not None:
            users.discard(record.user)
            if not users:
                del self._upstream[record.place.server]

    def _remember_end(self, user: int) -> None:
        now = self._clock.seconds()
        self._ended[user] = now
        self._ends.append((now, user))

    @_answered
    def reserve(
        self, user: int, place: Place, owner: str, expected: str = "", *, seconds: float, live: bool = False
    ) -> SessionRecord | None:
        """See ISessions."""
        held = self._record(user)
        if held is not None:
            if held.live and (not expected or held.owner != expected):
                return held
            self._forget(held)
        self._records[user] = SessionRecord(user, place, owner, live, self._now_ms())
        if live:
            self._upstream.setdefault(place.server, set()).add(user)
        else:
            self._expires[user] = self._clock.seconds() + seconds
            heappush(self._expiries, (self._expires[user], user))
        return None

    @_answered
    def claim(self, user: int, place: Place, owner: str) -> bool:
        """See ISessions."""
        held = self._record(user)
        if held is not None and held.owner != owner:
            return False
        if held is None or not held.live:
            self._expires.pop(user, None)
            self._records[user] = SessionRecord(user, place, owner, True, self._now_ms())
        return True

    @_answered
    def release(self, user: int, owner: str) -> bool:
        """See ISessions."""
        held = self._record(user)
        if held is None or held.owner != owner:
            return False
        self._forget(held)
        self._remember_end(user)
        return True

    @_answered
    def end(self, user: int) -> SessionRecord | None:
        """See ISessions."""
        held = self._record(user)
        if held is not None and self._now_ms() - held.since < YOUNG * 1000 and user in self._ended:
            raise RepeatedEnd()
        self._remember_end(user)
        if held is not None:
            self._forget(held)
        return held

    @_answered
    def session(self, user: int) -> SessionRecord | None:
        """See ISessions."""
        return self._record(user)

    @_answered
    def hold_lease(self, place: Place, route: str, seconds: float) -> None:
        """See ISessions."""
        self._leases.setdefault(place, {})[route] = self._clock.seconds() + seconds

    @_answered
    def drop_lease(self, place: Place, route: str) -> None:
        """See ISessions."""
        routes = self._leases.get(place, {})
        routes.pop(route, None)
        if not routes:
            self._leases.pop(place, None)

    @_answered
    def leased(self, place: Place) -> bool:
        """See ISessions."""
        now = self._clock.seconds()
        routes = self._leases.get(place, {})
        for route in [route for route, until in routes.items() if until <= now]:
            del routes[route]
        if not routes:
            self._leases.pop(place, None)
        return bool(routes)

    @_answered
    def users_at(self, server: str) -> Sequence[int]:
        """See ISessions."""
        return sorted(self._upstream.get(server, ()))
