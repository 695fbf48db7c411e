"""Whom users block, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IBlocks
from cim.store.rules.blocks import check_blocked

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite


def blocks(connection: sqlite3.Connection, user: int, other: int) -> bool:
    """Return whether a user blocks another one."""
    found = connection.execute("SELECT 1 FROM block WHERE user = ? AND other = ?", (user, other))
    return found.fetchone() is not None


@implementer(IBlocks)
class SqliteBlocks:
    """Blocks on disk."""

    def __init__(self, sqlite: Sqlite) -> None:
        self._sqlite = sqlite

    def block(self, user: int, other: int) -> Deferred[None]:
        """See IBlocks."""

        def work(connection: sqlite3.Connection) -> None:
            if not blocks(connection, user, other):
                check_blocked(connection.execute("SELECT count(*) FROM block WHERE user = ?", (user,)).fetchone()[0])
                connection.execute("INSERT INTO block VALUES (?, ?)", (user, other))

        return self._sqlite.write("block", work)

    def unblock(self, user: int, other: int) -> Deferred[bool]:
        """See IBlocks."""

        def work(connection: sqlite3.Connection) -> bool:
            done = connection.execute("DELETE FROM block WHERE user = ? AND other = ?", (user, other))
            return done.rowcount > 0

        return self._sqlite.write("unblock", work)

    def blocked(self, user: int) -> Deferred[Sequence[int]]:
        """See IBlocks."""

        def work(connection: sqlite3.Connection) -> list[int]:
            rows = connection.execute("SELECT other FROM block WHERE user = ? ORDER BY other", (user,))
            return [other for (other,) in rows]

        return self._sqlite.read("blocked", work)

    def blockers(self, other: int) -> Deferred[frozenset[int]]:
        """See IBlocks."""

        def work(connection: sqlite3.Connection) -> frozenset[int]:
            rows = connection.execute("SELECT user FROM block WHERE other = ?", (other,))
            return frozenset(user for (user,) in rows)

        return self._sqlite.read("blockers", work)
