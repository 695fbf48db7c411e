"""Where users are notified of messages, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IPushes
from cim.model import Registration
from cim.store.rules.pushes import LASTS_MS, MOST_NOTIFIED, live, those_to_go, wait_of

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite


def _held(connection: sqlite3.Connection, user: int) -> list[Registration]:
    query = "SELECT user, kind, address, device, keys, at, ends, token FROM push WHERE user = ?"
    rows = connection.execute(query, (user,))
    return [Registration(*row) for row in rows]


@implementer(IPushes)
class SqlitePushes:
    """Registrations on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def register(self, registration: Registration) -> Deferred[int | None]:
        """See IPushes."""
        new = evolve(registration, at=self._now())

        def work(connection: sqlite3.Connection) -> int | None:
            if connection.execute("SELECT 1 FROM account WHERE id = ?", (new.user,)).fetchone() is None:
                return None
            gone = those_to_go(_held(connection, new.user), new, new.at)
            connection.executemany("DELETE FROM push WHERE id = ?", [(one.id,) for one in gone])
            values = new.id, new.user, new.kind, new.address, new.device, new.keys, new.at, new.ends, new.token
            connection.execute("INSERT OR REPLACE INTO push VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            return new.at

        return self._sqlite.write("register_push", work)

    def unregister(self, user: int, id: str) -> Deferred[bool]:
        """See IPushes."""

        def work(connection: sqlite3.Connection) -> bool:
            return connection.execute("DELETE FROM push WHERE id = ? AND user = ?", (id, user)).rowcount > 0

        return self._sqlite.write("unregister_push", work)

    def unregister_device(self, user: int, device: str | None, kept: str = "") -> Deferred[int]:
        """See IPushes."""

        def work(connection: sqlite3.Connection) -> int:
            delete = "DELETE FROM push WHERE user = ? AND device = coalesce(?, device) AND device <> ?"
            done = connection.execute(delete, (user, device, kept))
            return done.rowcount

        return self._sqlite.write("unregister_push", work)

    def unregister_token(self, user: int, token: str) -> Deferred[int]:
        """See IPushes."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute("DELETE FROM push WHERE user = ? AND token = ?", (user, token)).rowcount

        return self._sqlite.write("unregister_push", work)

    def registrations(self, users: Collection[int]) -> Deferred[Mapping[int, Sequence[Registration]]]:
        """See IPushes."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> dict[int, Sequence[Registration]]:
            found = {user: live(_held(connection, user), now) for user in users}
            return {user: held for user, held in found.items() if held}

        return self._sqlite.read("registrations", work)

    def claim(self, user: int, conversation: str, pause: int) -> Deferred[int]:
        """See IPushes."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> int:
            query = "SELECT at FROM notified WHERE user = ? AND conversation = ?"
            found = connection.execute(query, (user, conversation)).fetchone()
            if wait := wait_of(found[0] if found is not None else 0, now, pause):
                return wait
            count = connection.execute("SELECT count(*) FROM notified WHERE user = ?", (user,)).fetchone()[0]
            if count >= MOST_NOTIFIED:
                connection.execute("DELETE FROM notified WHERE user = ?", (user,))
            connection.execute("DELETE FROM notified WHERE user = ? AND at <= ?", (user, now - LASTS_MS))
            connection.execute(
                "INSERT OR REPLACE INTO notified SELECT id, ?, ? FROM account WHERE id = ?", (conversation, now, user)
            )
            return 0

        return self._sqlite.write("claim_push", work)

    def close(self, user: int, conversation: str) -> Deferred[bool]:
        """See IPushes."""

        def work(connection: sqlite3.Connection) -> bool:
            done = connection.execute("DELETE FROM notified WHERE user = ? AND conversation = ?", (user, conversation))
            return done.rowcount > 0

        return self._sqlite.write("close_push", work)
