"""Credentials in SQLite. The time from which tokens are valid never moves back, whatever a route's clock says.

No other process writes to the file, so credentials that were read are answered from memory until one changes.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cim.cache import Cache
from cim.errors import Conflict
from cim.interfaces import ICredentials
from cim.model import Account, Credential, Sanction
from cim.names import TAKEN
from cim.store.rules.sanctions import sanction
from cim.store.sqlite.accounts import find_account, make_account
from cim.store.sqlite.external_ids import leave_externals, put_external
from cim.store.sqlite.groups import leave_some
from cim.store.sqlite.invitation_codes import use_invitation
from cim.store.sqlite.reports import forget_reports
from cim.store.sqlite.restrictions import lift_all
from cim.store.sqlite.sanctions import held

if TYPE_CHECKING:
    from cim.daemon.sqlite import Work
    from cim.external_ids import ExternalId
    from cim.store.sqlite.threads import Sqlite

T = TypeVar("T")

#: How many groups one step of deleting an account leaves.
STEP = 100
#: How many credentials are kept in memory, those that were read last.
MAX_KEPT = 20_000


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
        # User -> its row, (None,) if there is none.
        self._kept: Cache[int, tuple[Any, ...]] = Cache(now, math.inf, MAX_KEPT)

    def credential(self, user: int) -> Deferred[Credential | None]:
        """See ICredentials."""
        kept = self._kept.get(user)
        if kept is None:
            return Deferred.fromCoroutine(self._kept.look_up(user, self._row)).addCallback(self._of)
        return succeed(self._of(kept))

    def _row(self, user: int) -> Deferred[tuple[Any, ...]]:
        def work(connection: sqlite3.Connection) -> tuple[Any, ...]:
            row: tuple[Any, ...] | None = connection.execute(
                "SELECT password, valid_from, until, reason, since FROM credential LEFT JOIN suspended USING (user) "
                "WHERE user = ?",
                (user,),
            ).fetchone()
            return row or (None,)

        return self._sqlite.read("credential", work)

    def _of(self, row: tuple[Any, ...]) -> Credential | None:
        if row == (None,):
            return None
        password, valid_from, *ban = row
        return Credential(password, valid_from, held(*ban, now=self._now()))

    def change(self, name: str, user: int, work: Work[T]) -> Deferred[T]:
        """Run `work`, which changes a user's credential or ban, counted under `name`; see Sqlite.write.

        Nothing of what was kept before stays, nor what is read until the change is on disk.
        """

        def changed(result: T) -> T:
            self._kept.forget(user)
            return result

        self._kept.forget(user)
        return self._sqlite.write(name, work).addBoth(changed)

    def create(
        self, name: str, password: str, invitation: str = "", external: ExternalId | None = None
    ) -> Deferred[Account]:
        """See ICredentials."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Account:
            if find_account(connection, name) is not None:
                raise Conflict(TAKEN)
            account = make_account(connection, name, now)
            if invitation:
                use_invitation(connection, invitation, now)
            connection.execute("INSERT INTO credential VALUES (?, ?, 0)", (account.id, password))
            if external is not None:
                put_external(connection, account.id, external, now)
            return account

        def created(account: Account) -> Account:
            # Somebody may have asked for this id when it was nobody's.
            self._kept.forget(account.id)
            return account

        return self._sqlite.write("create_account", work).addCallback(created)

    def set_password(self, user: int, password: str, now: int, seen: int | None = None) -> Deferred[int | None]:
        """See ICredentials."""
        return self.change("set_password", user, lambda connection: put_password(connection, user, password, now, seen))

    def rehash(self, user: int, before: str, password: str) -> Deferred[None]:
        """See ICredentials."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE credential SET password = ? WHERE user = ? AND password = ?", (password, user, before)
            )

        return self.change("rehash", user, work)

    def revoke(self, user: int, now: int) -> Deferred[None]:
        """See ICredentials."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE credential SET valid_from = max(valid_from, ?) WHERE user = ?", (now, user))

        return self.change("revoke", user, work)

    def ban(self, user: int, now: int, *, seconds: float = 0, reason: str = "") -> Deferred[Sanction | None]:
        """See ICredentials."""
        ban = sanction(self._now(), seconds, reason)

        def work(connection: sqlite3.Connection) -> Sanction | None:
            revoking = "UPDATE credential SET valid_from = max(valid_from + 1, ?) WHERE user = ?"
            if not connection.execute(revoking, (now, user)).rowcount:
                return None
            row = (user, ban.until, ban.reason, ban.since)
            connection.execute("INSERT OR REPLACE INTO suspended VALUES (?, ?, ?, ?)", row)
            connection.execute("DELETE FROM reset_code WHERE user = ?", (user,))
            return ban

        return self.change("ban", user, work)

    def unban(self, user: int) -> Deferred[bool]:
        """See ICredentials."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            gone = connection.execute("DELETE FROM suspended WHERE user = ? RETURNING until, reason, since", (user,))
            return any(held(*row, now=now) for row in gone.fetchall())

        return self.change("unban", user, work)

    def delete(self, user: int) -> Deferred[bool]:
        """See ICredentials."""
        return Deferred.fromCoroutine(self._delete(user))

    async def _delete(self, user: int) -> bool:
        now = self._now()
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
            connection.execute("DELETE FROM mute WHERE user = ?", (user,))
            connection.execute("DELETE FROM invitation WHERE user = ?", (user,))
            connection.execute("DELETE FROM stored WHERE user = ?", (user,))
            lift_all(connection, "user", user)
            leave_externals(connection, user, now)
            connection.execute("DELETE FROM muted_user WHERE user = ?", (user,))
            forget_reports(connection, user)
            return connection.execute("DELETE FROM account WHERE id = ?", (user,)).rowcount > 0

        return await self.change("delete", user, work)
