"""Which conversations users mute, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IMutes
from cim.store.rules.mutes import check_muted

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite


def _muted(connection: sqlite3.Connection, user: int, now: int) -> dict[str, int]:
    query = "SELECT conversation, until FROM mute WHERE user = ? AND until > ? ORDER BY conversation"
    return dict(connection.execute(query, (user, now)))


@implementer(IMutes)
class SqliteMutes:
    """Mutes on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def mute(self, user: int, conversation: str, until: int) -> Deferred[None]:
        """See IMutes."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> None:
            check_muted(_muted(connection, user, now), conversation)
            connection.execute("DELETE FROM mute WHERE user = ? AND until <= ?", (user, now))
            connection.execute("INSERT OR REPLACE INTO mute VALUES (?, ?, ?)", (user, conversation, until))

        return self._sqlite.write("mute", work)

    def unmute(self, user: int, conversation: str) -> Deferred[bool]:
        """See IMutes."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            query = "DELETE FROM mute WHERE user = ? AND conversation = ? RETURNING until"
            row = connection.execute(query, (user, conversation)).fetchone()
            return row is not None and row[0] > now

        return self._sqlite.write("unmute", work)

    def muted(self, user: int) -> Deferred[Mapping[str, int]]:
        """See IMutes."""
        now = self._now()
        return self._sqlite.read("muted", lambda connection: _muted(connection, user, now))

    def who_mutes(self, conversation: str, users: Collection[int]) -> Deferred[frozenset[int]]:
        """See IMutes."""
        now, wanted = self._now(), frozenset(users)

        def work(connection: sqlite3.Connection) -> frozenset[int]:
            rows = connection.execute("SELECT user FROM mute WHERE conversation = ? AND until > ?", (conversation, now))
            return wanted.intersection(user for (user,) in rows)

        return self._sqlite.read("who_mutes", work)
