"""Whom operators mute, in SQLite. What has ended is removed as others are muted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IMutedUsers
from cim.model import Sanction
from cim.store.rules.sanctions import sanction
from cim.store.sqlite.sanctions import held

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite


def mute_of(connection: sqlite3.Connection, user: int, now: int) -> Sanction | None:
    """Return the mute of a user that holds at a time, None for none."""
    row = connection.execute("SELECT until, reason, since FROM muted_user WHERE user = ?", (user,)).fetchone()
    return None if row is None else held(*row, now=now)


@implementer(IMutedUsers)
class SqliteMutedUsers:
    """Mutes on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def mute(self, user: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction]:
        """See IMutedUsers."""
        mute = sanction(self._now(), seconds, reason)

        def work(connection: sqlite3.Connection) -> Sanction:
            connection.execute("DELETE FROM muted_user WHERE until BETWEEN 1 AND ?", (mute.since,))
            row = (user, mute.until, mute.reason, mute.since)
            connection.execute("INSERT OR REPLACE INTO muted_user VALUES (?, ?, ?, ?)", row)
            return mute

        return self._sqlite.write("mute", work)

    def unmute(self, user: int) -> Deferred[bool]:
        """See IMutedUsers."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            mute = mute_of(connection, user, now)
            connection.execute("DELETE FROM muted_user WHERE user = ?", (user,))
            return mute is not None

        return self._sqlite.write("unmute", work)

    def mutes(self, users: Collection[int]) -> Deferred[Mapping[int, Sanction]]:
        """See IMutedUsers."""
        now, ids = self._now(), json.dumps(list(users))

        def work(connection: sqlite3.Connection) -> dict[int, Sanction]:
            rows = connection.execute("SELECT * FROM muted_user WHERE user IN (SELECT value FROM json_each(?))", (ids,))
            found = {user: held(*row, now=now) for user, *row in rows}
            return {user: mute for user, mute in found.items() if mute is not None}

        return self._sqlite.read("mutes", work)
