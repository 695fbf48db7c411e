"""Reports of messages, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import astuple, evolve, fields

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IReports
from cim.model import Listing, Report, Reported
from cim.store.pages import cursor_of
from cim.store.rules import reports as rules
from cim.store.sqlite.accounts import next_id

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

_COLUMNS = ", ".join(f'"{one.name}"' for one in fields(Report))
_READ = f"SELECT {_COLUMNS} FROM report"
_MAKE = f"INSERT INTO report ({_COLUMNS}) VALUES ({', '.join('?' * len(fields(Report)))})"


def forget_reports(connection: sqlite3.Connection, user: int) -> None:
    """Remove the reports that a user made."""
    connection.execute("DELETE FROM report WHERE reporter = ?", (user,))


@implementer(IReports)
class SqliteReports:
    """Reports on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def make(self, report: Report) -> Deferred[Reported]:
        """See IReports."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Reported:
            connection.execute("DELETE FROM report WHERE closed > 0 AND at <= ?", (now - rules.KEPT_MS,))
            which = (report.reporter, report.conversation, report.position)
            earlier = _some(connection, "WHERE reporter = ? AND conversation = ? AND position = ?", which)
            if earlier:
                return Reported(earlier[0], True)
            waiting, by = connection.execute(
                "SELECT count(*) FILTER (WHERE closed = 0), count(*) FROM report WHERE reporter = ?", which[:1]
            ).fetchone()
            rules.check_open(waiting)
            oldest = "DELETE FROM report WHERE id = (SELECT min(id) FROM report WHERE closed > 0{})"
            if by >= rules.MAX_KEPT_BY:
                connection.execute(oldest.format(" AND reporter = ?"), which[:1])
            (kept,) = connection.execute("SELECT count(*) FROM report").fetchone()
            if kept >= rules.MAX_KEPT and not connection.execute(oldest.format("")).rowcount:
                raise rules.full()
            made = evolve(report, id=next_id(connection, "report", "report", now), at=now)
            connection.execute(_MAKE, astuple(made))
            return Reported(made, False)

        return self._sqlite.write("report", work)

    def report(self, id: int) -> Deferred[Report | None]:
        """See IReports."""
        return self._sqlite.read("read_report", lambda connection: _one(connection, id))

    def listed(self, *, open: bool, after: str = "", limit: int) -> Deferred[Listing[Report]]:
        """See IReports."""

        def work(connection: sqlite3.Connection) -> Listing[Report]:
            start = cursor_of(after)
            where = "closed = 0 AND id > ? ORDER BY id" if open else "closed > 0 AND id < ? ORDER BY id DESC"
            first = start if open or start else 1 << 62
            found = _some(connection, f"WHERE {where} LIMIT ?", (first, limit + 1))
            return Listing(found[:limit], str(found[limit - 1].id) if len(found) > limit else "")

        return self._sqlite.read("reports", work)

    def made(self, user: int) -> Deferred[Sequence[Report]]:
        """See IReports."""
        return self._sqlite.read(
            "reports", lambda connection: _some(connection, "WHERE reporter = ? ORDER BY id", (user,))
        )

    def close(self, id: int, by: str, note: str) -> Deferred[Report | None]:
        """See IReports."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Report | None:
            said = (now, by, note, id)
            connection.execute('UPDATE report SET closed = ?, "by" = ?, note = ? WHERE id = ? AND closed = 0', said)
            return _one(connection, id)

        return self._sqlite.write("close_report", work)

    def forget(self, user: int) -> Deferred[None]:
        """See IReports."""
        return self._sqlite.write("forget_reports", lambda connection: forget_reports(connection, user))

    def forget_said(self, user: int) -> Deferred[None]:
        """See IReports."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM report WHERE sender = ?", (user,))

        return self._sqlite.write("forget_reports", work)


def _some(connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[Report]:
    return [Report(*row) for row in connection.execute(f"{_READ} {where}", values)]


def _one(connection: sqlite3.Connection, id: int) -> Report | None:
    return next(iter(_some(connection, "WHERE id = ?", (id,))), None)
