"""External ids in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import Conflict
from cim.external_ids import GONE_SECONDS, ExternalId, Linked
from cim.interfaces import IExternalIds
from cim.store.rules.external_ids import LEADS_ELSEWHERE, may_link

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite


def find_external(connection: sqlite3.Connection, external: ExternalId, now: int) -> Linked:
    """Return where an id leads."""
    query = "SELECT coalesce(user, 0), gone FROM external_id WHERE digest = ?"
    user, gone = connection.execute(query, (external.digest,)).fetchone() or (0, 0)
    return Linked(user, gone if gone > now - GONE_SECONDS * 1000 else 0)


def put_external(connection: sqlite3.Connection, user: int, external: ExternalId, now: int) -> None:
    """Have an id lead to an account; Conflict if it leads to another one."""
    _forget_old(connection, now)
    if find_external(connection, external, now).user:
        raise Conflict(LEADS_ELSEWHERE)
    connection.execute(
        "INSERT INTO external_id VALUES (?1, ?2, ?3, ?4, 0) ON CONFLICT (digest) DO UPDATE SET "
        "user = excluded.user, issuer = excluded.issuer, id = excluded.id",
        (external.digest, user, external.issuer, external.id),
    )


def leave_externals(connection: sqlite3.Connection, user: int, now: int, issuer: str | None = None) -> bool:
    """Have the ids of an account no longer lead to it, and remember that; return whether there were any.

    :param issuer: whose; None for all of them
    """
    theirs = "user = ?2 AND (?3 IS NULL OR issuer = ?3)"
    gone = f"UPDATE external_id SET user = NULL, issuer = '', id = '', gone = ?1 WHERE {theirs} AND issuer <> ''"
    ours = f"DELETE FROM external_id WHERE {theirs} AND ?1 IS NOT NULL"
    left = [connection.execute(change, (now, user, issuer)).rowcount for change in (gone, ours)]
    _forget_old(connection, now)
    return any(left)


def _forget_old(connection: sqlite3.Connection, now: int) -> None:
    connection.execute("DELETE FROM external_id WHERE user IS NULL AND gone <= ?", (now - GONE_SECONDS * 1000,))


@implementer(IExternalIds)
class SqliteExternalIds:
    """External ids on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def find(self, external: ExternalId) -> Deferred[Linked]:
        """See IExternalIds."""
        now = self._now()
        return self._sqlite.read("external_id", lambda connection: find_external(connection, external, now))

    def link(self, user: int, external: ExternalId) -> Deferred[None]:
        """See IExternalIds."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> None:
            there = connection.execute("SELECT 1 FROM credential WHERE user = ?", (user,)).fetchone()
            has = connection.execute(
                "SELECT id FROM external_id WHERE user = ? AND issuer = ?", (user, external.issuer)
            ).fetchone()
            leads_to = find_external(connection, external, now).user
            if may_link(user, there is not None, leads_to, has[0] if has is not None else None, external):
                put_external(connection, user, external, now)

        return self._sqlite.write("link_external_id", work)

    def unlink(self, user: int, issuer: str) -> Deferred[bool]:
        """See IExternalIds."""
        now = self._now()
        return self._sqlite.write(
            "unlink_external_id", lambda connection: leave_externals(connection, user, now, issuer)
        )

    def linked(self, user: int) -> Deferred[Sequence[ExternalId]]:
        """See IExternalIds."""
        query = "SELECT issuer, id FROM external_id WHERE user = ? ORDER BY issuer"

        def work(connection: sqlite3.Connection) -> list[ExternalId]:
            return [ExternalId(issuer, id) for issuer, id in connection.execute(query, (user,))]

        return self._sqlite.read("external_ids", work)
