"""Sessions in the memory of one process.

They go with the stores of a single route: there a session never outlives the process, so writing it down would buy
nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from attrs import frozen

from twisted.internet.defer import Deferred, execute
from zope.interface import implementer

from cim.ecim import RateLimited, RepeatedEnd
from cim.icim import ISessions
from cim.model import GUEST, MAX_DEVICES, LoginPolicy, Place, Reserved, SessionRecord

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

P = ParamSpec("P")
T = TypeVar("T")

#: As for Redis: see cim.store.redis.sessions.
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


@frozen
class _Held:
    """A record; `alone`: its login lets no other device be live beside it; `expires`: 0 when it is live."""

    record: SessionRecord
    alone: bool
    expires: float


@implementer(ISessions)
class LocalSessions:
    """Sessions of one route, gone with it.

    :param guard: called with the operation's name before each; what it raises is the answer
    """

    def __init__(self, clock: IReactorTime, guard: Callable[[str], None] = lambda operation: None) -> None:
        self._clock = clock
        self._guard = guard
        self._records: dict[int, dict[str, _Held]] = {}  # user -> device -> record, the newest last
        self._expiries: list[tuple[float, int, str, str]] = []  # heap: when, user, device, owner; some were replaced
        self._ended: dict[int, float] = {}  # user -> when the last end was handled
        self._ends: deque[tuple[float, int]] = deque()  # the same in order of time
        self._leases: dict[Place, dict[str, float]] = {}
        self._upstream: dict[str, set[int]] = {}

    def _now_ms(self) -> int:
        return int(self._clock.seconds() * 1000)

    def _held(self, user: int) -> dict[str, _Held]:
        """Return the user's records by device: its own dict, empty for whoever has none."""
        now = self._clock.seconds()
        while self._expiries and self._expiries[0][0] <= now:
            when, whose, device, owner = heappop(self._expiries)
            held = self._records.get(whose, {}).get(device)
            if held is not None and held.record.owner == owner and held.expires == when:
                self._forget(held.record)
        while self._ends and self._ends[0][0] + REPEATED_WITHIN <= now:
            when, whose = self._ends.popleft()
            if self._ended.get(whose) == when:
                del self._ended[whose]
        return self._records.get(user, {})

    def _forget(self, record: SessionRecord) -> None:
        records = self._records[record.user]
        del records[record.device]
        if not records:
            del self._records[record.user]
        users = self._upstream.get(record.place.server)
        if users is not None:
            users.discard(record.user)
            if not users:
                del self._upstream[record.place.server]

    def _remember(self, record: SessionRecord, alone: bool, seconds: float = 0.0) -> None:
        records = self._records.setdefault(record.user, {})
        records.pop(record.device, None)  # so that the newest is the last
        expires = 0.0 if record.live else self._clock.seconds() + seconds
        records[record.device] = _Held(record, alone, expires)
        if expires:
            heappush(self._expiries, (expires, record.user, record.device, record.owner))

    def _remember_end(self, user: int) -> None:
        now = self._clock.seconds()
        self._ended[user] = now
        self._ends.append((now, user))

    @_answered
    def reserve(
        self,
        user: int,
        place: Place,
        owner: str,
        *,
        device: str = GUEST,
        policy: LoginPolicy = LoginPolicy.REJECT,
        expected: Collection[str] = (),
        seconds: float,
        live: bool = False,
    ) -> Reserved:
        """See ISessions."""
        removed, replaced, in_the_way, others = [], [], [], []
        for record in [held.record for held in self._held(user).values()]:
            if record.live and record.owner in expected:
                removed.append(record)
            elif (record.device == device != GUEST or policy == LoginPolicy.REPLACE) or (
                not record.live and (record.device == device or policy == LoginPolicy.REJECT)
            ):
                removed.append(record)
                if record.live:
                    replaced.append(record)
            else:
                others.append(record)
                if record.live and (record.device == device or policy == LoginPolicy.REJECT):
                    in_the_way.append(record)
        if not in_the_way and len(others) >= MAX_DEVICES:
            in_the_way = [record for record in others if record.live]
            if not in_the_way:
                raise RateLimited()
        if in_the_way:
            return Reserved(tuple(in_the_way))
        for record in removed:
            self._forget(record)
        made = SessionRecord(user, place, owner, live, self._now_ms(), device)
        self._remember(made, policy != LoginPolicy.MANY, seconds)
        if live:
            self._upstream.setdefault(place.server, set()).add(user)
        return Reserved(replaced=tuple(replaced))

    @_answered
    def claim(self, user: int, device: str, place: Place, owner: str) -> bool:
        """See ISessions."""
        records = self._held(user)
        held = records.get(device)
        if held is None:
            if any(other.alone for other in records.values()):
                return False
        elif held.record.owner != owner:
            return False
        if held is None or not held.record.live:
            made = SessionRecord(user, place, owner, True, self._now_ms(), device)
            self._remember(made, held is not None and held.alone)
        return True

    @_answered
    def release(self, user: int, owner: str) -> bool:
        """See ISessions."""
        for held in self._held(user).values():
            if held.record.owner == owner:
                self._forget(held.record)
                self._remember_end(user)
                return True
        return False

    @_answered
    def end(self, user: int) -> Sequence[SessionRecord]:
        """See ISessions."""
        records = [held.record for held in self._held(user).values()]
        if records and self._now_ms() - records[-1].since < YOUNG * 1000 and user in self._ended:
            raise RepeatedEnd()
        self._remember_end(user)
        for record in records:
            self._forget(record)
        return records

    @_answered
    def sessions(self, user: int) -> Sequence[SessionRecord]:
        """See ISessions."""
        return [held.record for held in self._held(user).values()]

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
