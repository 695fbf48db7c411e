"""Credentials in SQLite. The time from which tokens are valid never moves back, whatever a route's clock says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import Conflict
from cim.interfaces import ICredentials
from cim.model import Account, Credential
from cim.names import TAKEN
from cim.store.sqlite.accounts import find_account, make_account
from cim.store.sqlite.groups import leave_some
from cim.store.sqlite.invitation_codes import use_invitation

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

#: How many groups one step of deleting an account leaves.
STEP = 100


def put_password(
    connection: sqlite3.Connection, user: int, password: str, now: int, seen: int | None = None
) -> int | None:
    """Replace the password of an account, and void its tokens and its reset code; see ICredentials.set_password."""
    put = connection.execute(
        "INSERT INTO credential SELECT id, ?1, ?2 FROM account WHERE id = ?3 "
        "ON CONFLICT (user) DO UPDATE SET password = excluded.password, "
        "valid_from = max(valid_from + 1, excluded.valid_from) WHERE ?4 IS NULL OR valid_from = ?4 "
        "RETURNING valid_from",
        (password, now, user, seen),
    ).fetchone()
    if put is None:
        return None
    connection.execute("DELETE FROM reset_code WHERE user = ?", (user,))
    valid_from: int = put[0]
    return valid_from


@implementer(ICredentials)
class SqliteCredentials:
    """Credentials on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def credential(self, user: int) -> Deferred[Credential | None]:
        """See ICredentials."""

        def work(connection: sqlite3.Connection) -> Credential | None:
            row = connection.execute(
                "SELECT password, valid_from, user IN suspended FROM credential WHERE user = ?", (user,)
            ).fetchone()
            return None if row is None else Credential(row[0], row[1], bool(row[2]))

        return self._sqlite.read("credential", work)

    def create(self, name: str, password: str, invitation: str = "") -> Deferred[Account]:
        """See ICredentials."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Account:
            if find_account(connection, name) is not None:
                raise Conflict(TAKEN)
            account = make_account(connection, name, now)
            if invitation:
                use_invitation(connection, invitation, now)
            connection.execute("INSERT INTO credential VALUES (?, ?, 0)", (account.id, password))
            return account

        return self._sqlite.write("create_account", work)

    def set_password(self, user: int, password: str, now: int, seen: int | None = None) -> Deferred[int | None]:
        """See ICredentials."""
        return self._sqlite.write(
            "set_password", lambda connection: put_password(connection, user, password, now, seen)
        )

    def rehash(self, user: int, before: str, password: str) -> Deferred[None]:
        """See ICredentials."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE credential SET password = ? WHERE user = ? AND password = ?", (password, user, before)
            )

        return self._sqlite.write("rehash", work)

    def revoke(self, user: int, now: int) -> Deferred[None]:
        """See ICredentials."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE credential SET valid_from = max(valid_from, ?) WHERE user = ?", (now, user))

        return self._sqlite.write("revoke", work)

    def suspend(self, user: int, now: int) -> Deferred[bool]:
        """See ICredentials."""

        def work(connection: sqlite3.Connection) -> bool:
            revoking = "UPDATE credential SET valid_from = max(valid_from + 1, ?) WHERE user = ?"
            if not connection.execute(revoking, (now, user)).rowcount:
                return False
            connection.execute("INSERT OR IGNORE INTO suspended VALUES (?)", (user,))
            connection.execute("DELETE FROM reset_code WHERE user = ?", (user,))
            return True

        return self._sqlite.write("suspend", work)

    def resume(self, user: int) -> Deferred[bool]:
        """See ICredentials."""

        def work(connection: sqlite3.Connection) -> bool:
            return connection.execute("DELETE FROM suspended WHERE user = ?", (user,)).rowcount > 0

        return self._sqlite.write("resume", work)

    def delete(self, user: int) -> Deferred[bool]:
        """See ICredentials."""
        return Deferred.fromCoroutine(self._delete(user))

    async def _delete(self, user: int) -> bool:
        # The account last, so that the next attempt finds what a failed one left behind.
        while await self._sqlite.write("delete", lambda connection: leave_some(connection, user, STEP)):
            pass

        def work(connection: sqlite3.Connection) -> bool:
            # What it came into meanwhile.
            while leave_some(connection, user, STEP):
                pass
            # Devices' marks are removed when they are old.
            connection.execute("UPDATE conversation SET low = 0 WHERE low = ?", (user,))
            connection.execute("UPDATE conversation SET high = 0 WHERE high = ?", (user,))
            connection.execute("DELETE FROM block WHERE user = ?", (user,))
            connection.execute("DELETE FROM invitation WHERE user = ?", (user,))
            connection.execute("DELETE FROM stored WHERE user = ?", (user,))
            return connection.execute("DELETE FROM account WHERE id = ?", (user,)).rowcount > 0

        return await self._sqlite.write("delete", work)
