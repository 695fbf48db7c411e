"""Invitations to groups in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IInvitations
from cim.model import Invitation, Role
from cim.store.pages import BEFORE_MS
from cim.store.rules.invitations import InvitingFacts, gives_way, invite
from cim.store.sqlite.blocks import blocks
from cim.store.sqlite.restrictions import banned

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite


def held(connection: sqlite3.Connection, user: int, now: int) -> list[Invitation]:
    """Return a user's invitations that count at a time, the oldest first."""
    rows = connection.execute("SELECT talk, inviter, at, declined FROM invitation WHERE user = ? ORDER BY at", (user,))
    found = [Invitation(group, user, by, at, bool(declined)) for group, by, at, declined in rows]
    return [one for one in found if one.valid(now)]


def waiting(connection: sqlite3.Connection, user: int, now: int, since: int = 0) -> list[Invitation]:
    """Return the invitations that wait for a user, the oldest first.

    :param since: only those that were made since then, or up to BEFORE_MS before it, ms since 1970
    """
    return [one for one in held(connection, user, now) if not one.declined and one.at >= since - BEFORE_MS]


def forget(connection: sqlite3.Connection, group: int, user: int) -> None:
    """Remove an invitation, if there is one."""
    connection.execute("DELETE FROM invitation WHERE user = ? AND talk = ?", (user, group))


@implementer(IInvitations)
class SqliteInvitations:
    """Invitations on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def invite(self, group: int, by: int, user: int) -> Deferred[Invitation | None]:
        """See IInvitations."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Invitation | None:
            exists = (
                connection.execute("SELECT 1 FROM talk WHERE id = ? AND NOT ended", (group,)).fetchone() is not None
            )
            there = held(connection, user, now)
            before = next((one.by for one in there if one.group == group), by)
            rows = connection.execute(
                "SELECT user, role FROM member WHERE talk = ? AND user IN (?, ?, ?)", (group, by, user, before)
            )
            roles = {member: Role(role) for member, role in rows}
            is_banned = bool(banned(connection, group, user))
            facts = InvitingFacts(exists, roles, blocks(connection, user, by), there, is_banned)
            made = invite(facts, Invitation(group, user, by, now))
            if made is not None and made not in there:
                connection.execute("DELETE FROM invitation WHERE user = ?", (user,))
                loser = gives_way(there, made)
                for one in (*(one for one in there if one.group != group and one != loser), made):
                    connection.execute(
                        "INSERT INTO invitation VALUES (?, ?, ?, ?, ?)", (user, one.group, one.by, one.at, one.declined)
                    )
            return made

        return self._sqlite.write("invite", work)

    def end(self, group: int, user: int, *, declined: bool) -> Deferred[bool]:
        """See IInvitations."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            if not any(one.group == group and not one.declined for one in held(connection, user, now)):
                return False
            if declined:
                connection.execute(
                    "UPDATE invitation SET declined = 1, at = ? WHERE user = ? AND talk = ?", (now, user, group)
                )
            else:
                forget(connection, group, user)
            return True

        return self._sqlite.write("end_invitation", work)

    def waiting(self, user: int) -> Deferred[Sequence[Invitation]]:
        """See IInvitations."""
        now = self._now()
        return self._sqlite.read("invitations", lambda connection: waiting(connection, user, now))
