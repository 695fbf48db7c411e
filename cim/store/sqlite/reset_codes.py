"""Reset codes in SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IResetCodes
from cim.reset_codes import ResetCode
from cim.store.sqlite.credentials import SqliteCredentials, put_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from cim.store.sqlite.threads import Sqlite


def _valid(connection: sqlite3.Connection, code: ResetCode, now: int) -> bool:
    query = "SELECT 1 FROM reset_code WHERE user = ? AND digest = ? AND expires > ?"
    return connection.execute(query, (code.user, code.digest, now)).fetchone() is not None


@implementer(IResetCodes)
class SqliteResetCodes:
    """Reset codes on disk.

    :param credentials: in the same file
    """

    def __init__(self, sqlite: Sqlite, now: Callable[[], int], credentials: SqliteCredentials) -> None:
        self._sqlite = sqlite
        self._now = now
        self._credentials = credentials

    def make(self, code: ResetCode, seconds: float) -> Deferred[int | None]:
        """See IResetCodes."""
        now = self._now()
        expires = now + int(seconds * 1000)

        def work(connection: sqlite3.Connection) -> int | None:
            connection.execute("DELETE FROM reset_code WHERE expires <= ?", (now,))
            made = connection.execute(
                "INSERT OR REPLACE INTO reset_code SELECT id, ?, ? FROM account WHERE id = ?",
                (code.digest, expires, code.user),
            )
            return expires if made.rowcount > 0 else None

        return self._sqlite.write("make_reset_code", work)

    def valid(self, code: ResetCode) -> Deferred[bool]:
        """See IResetCodes."""
        now = self._now()
        return self._sqlite.read("reset_code", lambda connection: _valid(connection, code, now))

    def use(self, code: ResetCode, password: str, now: int) -> Deferred[int | None]:
        """See IResetCodes."""
        at = self._now()

        def work(connection: sqlite3.Connection) -> int | None:
            if not _valid(connection, code, at):
                return None
            return put_password(connection, code.user, password, now)

        return self._credentials.change("use_reset_code", code.user, work)
