"""Steady time of a SQLite store: by the machine's clock, written now and then (docs/architecture.md, Clocks)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from cim.errors import StoreUnavailable
from cim.store.clock import LOOK_SECONDS, StoreClock
from cim.store.rules.clock import Steady, begun, looked
from cim.supervision import Loop

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

#: How often steady time is written, in seconds. So much of it is lost at most if the process dies, for which
#: cim.store.pages.BEFORE_MS allows.
WRITE_SECONDS = 120.0


def read(connection: sqlite3.Connection, clock: int) -> Steady:
    """Return the steady time that a store has kept, or begins with now."""
    found = connection.execute("SELECT time, clock, fresh, aged, since FROM clock").fetchone()
    if found is not None:
        return looked(Steady(*found), clock)
    (newest,) = connection.execute("SELECT max(active) FROM conversation").fetchone()
    return begun(clock, newest)


def write(connection: sqlite3.Connection, held: Steady) -> None:
    """Keep steady time."""
    values = (held.time, held.clock, held.fresh, held.aged, held.since)
    connection.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?, ?, ?)", values)


class SqliteClock(Service):
    """Looks at the machine's clock and keeps what it finds.

    :param what: whose clock it is, for logs and facts
    :param time_of_day: the time in seconds since 1970 by this machine
    """

    def __init__(self, what: str, sqlite: Sqlite, reactor: Any, time_of_day: Callable[[], float]) -> None:
        self.clock = StoreClock(what, reactor.seconds, time_of_day)
        self._sqlite = sqlite
        self._reactor = reactor
        self._time_of_day = time_of_day
        self._held = Steady(0, 0)
        self._written = 0.0
        self._loop = Loop(f"a look at the clock for {what}", self._look_on, reactor, every=LOOK_SECONDS)

    def begin(self, connection: sqlite3.Connection) -> None:
        """Read what is kept, before anything else uses the store."""
        held = read(connection, self._time())
        self._found(held)
        write(connection, held)
        self._written = self._reactor.seconds()

    def _time(self) -> int:
        return int(self._time_of_day() * 1000)

    def _found(self, held: Steady) -> None:
        self._held = held
        self.clock.looked(held, self._reactor.seconds())

    def startService(self) -> None:
        """Go on looking."""
        super().startService()
        self._loop.start(LOOK_SECONDS)

    def stopService(self) -> Deferred[None]:
        """Look and write once more."""
        super().stopService()
        self._loop.stop()
        return Deferred.fromCoroutine(self._write(self.look()))

    def look(self) -> Steady:
        """Look at the clock, and return what was found."""
        held = looked(self._held, self._time(), self.clock.expected())
        self._found(held)
        return held

    async def _look_on(self) -> None:
        held = self.look()
        if self._reactor.seconds() - self._written >= WRITE_SECONDS:
            self._written = self._reactor.seconds()
            await self._write(held)

    async def _write(self, held: Steady) -> None:
        try:
            await self._sqlite.write("clock", lambda connection: write(connection, held))
        except StoreUnavailable:
            pass  # it says so itself, and will be asked again
