"""Invitation codes in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IInvitationCodes
from cim.invitation_codes import InvitationCode, check_new, check_usable

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite


def use_invitation(connection: sqlite3.Connection, id: str, now: int) -> None:
    """Use up one use of an invitation.

    :raises InvitationNeeded: it is not usable
    """
    check_usable(next(iter(_found(connection, now, "AND id = ?", id)), None), now)
    connection.execute("UPDATE invitation_code SET used = used + 1 WHERE id = ?", (id,))


def _found(connection: sqlite3.Connection, now: int, further: str, *values: str) -> list[InvitationCode]:
    query = f"SELECT id, uses, expires, made, note, used FROM invitation_code WHERE expires > ? {further}"
    return [InvitationCode(*row) for row in connection.execute(query, (now, *values))]


@implementer(IInvitationCodes)
class SqliteInvitationCodes:
    """Invitation codes on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def make(self, id: str, *, uses: int, seconds: float, note: str = "") -> Deferred[InvitationCode]:
        """See IInvitationCodes."""
        now = self._now()
        made = InvitationCode(id, uses, now + int(seconds * 1000), now, note)

        def work(connection: sqlite3.Connection) -> InvitationCode:
            connection.execute("DELETE FROM invitation_code WHERE expires <= ?", (now,))
            check_new(id, {row[0] for row in connection.execute("SELECT id FROM invitation_code")})
            values = (made.id, made.uses, made.expires, made.made, made.note)
            connection.execute("INSERT INTO invitation_code VALUES (?, ?, ?, ?, ?, 0)", values)
            return made

        return self._sqlite.write("make_invitation_code", work)

    def find(self, id: str) -> Deferred[InvitationCode | None]:
        """See IInvitationCodes."""
        now = self._now()
        return self._sqlite.read(
            "invitation_code", lambda connection: next(iter(_found(connection, now, "AND id = ?", id)), None)
        )

    def listed(self) -> Deferred[Sequence[InvitationCode]]:
        """See IInvitationCodes."""
        now = self._now()
        return self._sqlite.read("invitation_codes", lambda connection: _found(connection, now, "ORDER BY made, id"))

    def revoke(self, id: str) -> Deferred[bool]:
        """See IInvitationCodes."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            return (
                connection.execute("DELETE FROM invitation_code WHERE id = ? AND expires > ?", (id, now)).rowcount > 0
            )

        return self._sqlite.write("revoke_invitation_code", work)
