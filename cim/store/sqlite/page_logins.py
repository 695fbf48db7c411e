"""Logins by cookies in SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IPageLogins
from cim.store.rules.page_logins import MOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from cim.store.sqlite.threads import Sqlite

_THOSE_TO_GO = """DELETE FROM page_login WHERE user = ?1 AND device NOT IN (
    SELECT device FROM page_login WHERE user = ?1 ORDER BY device = ?2 DESC, ends DESC LIMIT ?3)"""


@implementer(IPageLogins)
class SqlitePageLogins:
    """Logins by cookies on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def begin(
        self, user: int, device: str, login: str, seconds: float, instead: tuple[str, str] | None = None
    ) -> Deferred[bool]:
        """See IPageLogins."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM page_login WHERE ends <= ?", (now,))
            if instead is not None:
                delete = "DELETE FROM page_login WHERE user = ? AND device = ? AND login = ?"
                if not connection.execute(delete, (user, *instead)).rowcount:
                    return False
            made = connection.execute(
                "INSERT OR REPLACE INTO page_login SELECT id, ?, ?, ? FROM account WHERE id = ?",
                (device, login, now + int(seconds * 1000), user),
            )
            connection.execute(_THOSE_TO_GO, (user, device, MOST))
            return made.rowcount > 0

        return self._sqlite.write("begin_page_login", work)

    def login(self, user: int, device: str) -> Deferred[str]:
        """See IPageLogins."""
        query = "SELECT login FROM page_login WHERE user = ? AND device = ? AND ends > ?"
        asked = user, device, self._now()

        def work(connection: sqlite3.Connection) -> str:
            row = connection.execute(query, asked).fetchone()
            return str(row[0]) if row is not None else ""

        return self._sqlite.read("page_login", work)

    def devices(self, user: int) -> Deferred[dict[str, int]]:
        """See IPageLogins."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> dict[str, int]:
            query = "SELECT device, ends FROM page_login WHERE user = ? AND ends > ?"
            return dict(connection.execute(query, (user, now)))

        return self._sqlite.read("page_devices", work)

    def end(self, user: int, device: str) -> Deferred[bool]:
        """See IPageLogins."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            query = "DELETE FROM page_login WHERE user = ? AND device = ? RETURNING ends"
            row = connection.execute(query, (user, device)).fetchone()
            return row is not None and row[0] > now

        return self._sqlite.write("end_page_login", work)
