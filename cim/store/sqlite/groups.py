"""Groups in SQLite, where a group is a `talk`: GROUP is a word of SQL."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import Conflict, Forbidden, NotFound, RateLimited
from cim.icim import IGroups
from cim.model import MAX_GROUPS, MAX_MEMBERS, Group, GroupChange, Member, Role
from cim.store.pages import CHANGES_KEPT, LAST_OWNER, MOST_GROUPS, MOST_MEMBERS
from cim.store.sqlite.accounts import next_id
from cim.store.sqlite.conversations import set_read
from cim.wire import positions
from cim.wire.conversations import group as name_of_group

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.sqlite.threads import Sqlite

#: SQLite's integers end here; so does what a caller may give.
_LAST = (1 << 63) - 1


@implementer(IGroups)
class SqliteGroups:
    """Groups on disk."""

    def __init__(self, sqlite: Sqlite, clock: IReactorTime) -> None:
        self._sqlite = sqlite
        self._clock = clock

    def create(self, owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """See IGroups."""
        now = int(self._clock.seconds() * 1000)

        def work(connection: sqlite3.Connection) -> Group:
            _check_groups(connection, owner)
            id = next_id(connection, "group", "talk", now)
            connection.execute("INSERT INTO talk VALUES (?, ?, ?, ?, 0, 0, 0)", (id, name, open, history))
            _join(connection, id, owner, Role.OWNER)
            return _group(connection, id)

        return self._sqlite.write("create_group", work)

    def group(self, id: int) -> Deferred[Group | None]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> Group | None:
            try:
                return _group(connection, id)
            except NotFound:
                return None

        return self._sqlite.read("group", work)

    def rename(self, id: int, actor: int, name: str) -> Deferred[Group]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> Group:
            _group(connection, id)
            _check_admin(connection, id, actor)
            connection.execute("UPDATE talk SET name = ? WHERE id = ?", (name, id))
            return _group(connection, id)

        return self._sqlite.write("rename_group", work)

    def member(self, id: int, user: int) -> Deferred[Member | None]:
        """See IGroups."""
        return self._sqlite.read("member", lambda connection: _member(connection, id, user))

    def members(self, id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """See IGroups."""
        return self._members("members", "talk = ? AND user > ? ORDER BY user LIMIT ?", id, after, limit)

    def groups_of(self, user: int) -> Deferred[list[Member]]:
        """See IGroups."""
        return self._members("groups_of", "user = ? ORDER BY talk", user)

    def _members(self, name: str, condition: str, *values: int) -> Deferred[list[Member]]:
        def work(connection: sqlite3.Connection) -> list[Member]:
            return [_read(row) for row in connection.execute(f"{_MEMBER} {condition}", values)]

        return self._sqlite.read(name, work)

    def add(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> GroupChange | None:
            group = _group(connection, id)
            there = _member(connection, id, user) is not None
            if actor != user:
                _check_admin(connection, id, actor)
            elif not there and not group.open:
                raise Forbidden()
            if there:
                return None
            if group.members >= MAX_MEMBERS:
                raise RateLimited(MOST_MEMBERS)
            _check_groups(connection, user)
            return _join(connection, id, user, Role.MEMBER)

        return self._sqlite.write("add_member", work)

    def remove(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> GroupChange | None:
            group = _group(connection, id)
            member = _member(connection, id, user)
            if actor != user:
                above = _check_admin(connection, id, actor)
                if member is not None and above.role <= member.role:
                    raise Forbidden()
            if member is None:
                return None
            if group.members > 1 and _is_last_owner(connection, member):
                raise Conflict(LAST_OWNER)
            return _leave(connection, member)

        return self._sqlite.write("remove_member", work)

    def set_role(self, id: int, actor: int, user: int, role: Role) -> Deferred[None]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> None:
            _group(connection, id)
            by = _member(connection, id, actor)
            if by is None or by.role < Role.OWNER:
                raise Forbidden()
            member = _member(connection, id, user)
            if member is None:
                raise NotFound()
            if role < Role.OWNER and _is_last_owner(connection, member):
                raise Conflict(LAST_OWNER)
            _set_role(connection, member, role)

        return self._sqlite.write("set_role", work)

    def changes(self, after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> tuple[list[GroupChange], int, bool]:
            rows = connection.execute("SELECT * FROM change WHERE version > ? ORDER BY version LIMIT ?", (after, limit))
            changes = [
                GroupChange(version, group, user, bool(added), group_version)
                for version, group, user, added, group_version in rows
            ]
            first, last = connection.execute("SELECT min(version), max(version) FROM change").fetchone()
            version = last or 0
            # Versions are without gaps.
            return changes, version, after > version or (first is not None and after < first - 1)

        return self._sqlite.read("group_changes", work)


_MEMBER = "SELECT talk, user, role, epoch, n FROM member WHERE"


def _read(row: Any) -> Member:
    group, user, role, epoch, n = row
    return Member(group, user, Role(role), positions.text((epoch, n)))


def _member(connection: sqlite3.Connection, id: int, user: int) -> Member | None:
    row = connection.execute(f"{_MEMBER} talk = ? AND user = ?", (id, user)).fetchone()
    return None if row is None else _read(row)


def _group(connection: sqlite3.Connection, id: int) -> Group:
    row = connection.execute(
        "SELECT id, name, open, history, members, version FROM talk WHERE id = ?", (min(id, _LAST),)
    ).fetchone()
    if row is None:
        raise NotFound()
    _, name, open, history, members, version = row
    return Group(id, name, bool(open), bool(history), members, version)


def _check_admin(connection: sqlite3.Connection, id: int, actor: int) -> Member:
    member = _member(connection, id, actor)
    if member is None or member.role < Role.ADMIN:
        raise Forbidden()
    return member


def _check_groups(connection: sqlite3.Connection, user: int) -> None:
    count = connection.execute("SELECT count(*) FROM member WHERE user = ?", (user,)).fetchone()[0]
    if count >= MAX_GROUPS:
        raise RateLimited(MOST_GROUPS)


def _is_last_owner(connection: sqlite3.Connection, member: Member) -> bool:
    if member.role < Role.OWNER:
        return False
    owners: int = connection.execute("SELECT owners FROM talk WHERE id = ?", (member.group,)).fetchone()[0]
    return owners == 1


def _set_role(connection: sqlite3.Connection, member: Member, role: Role) -> None:
    connection.execute("UPDATE member SET role = ? WHERE talk = ? AND user = ?", (int(role), member.group, member.user))
    more = (role == Role.OWNER) - (member.role == Role.OWNER)
    connection.execute("UPDATE talk SET owners = owners + ? WHERE id = ?", (more, member.group))


def _log(connection: sqlite3.Connection, id: int, user: int, added: bool) -> GroupChange:
    version = connection.execute("SELECT version FROM talk WHERE id = ?", (id,)).fetchone()[0]
    last = connection.execute(
        "INSERT INTO change (talk, user, added, talk_version) VALUES (?, ?, ?, ?) RETURNING version",
        (id, user, added, version),
    ).fetchone()[0]
    connection.execute("DELETE FROM change WHERE version <= ?", (last - CHANGES_KEPT,))
    return GroupChange(last, id, user, added, version)


def _join(connection: sqlite3.Connection, id: int, user: int, role: Role) -> GroupChange:
    """Make a member of whoever is none, and has read what was said before."""
    found = connection.execute("SELECT id, epoch, n FROM conversation WHERE name = ?", (name_of_group(id),)).fetchone()
    last = positions.ZERO if found is None else (found[1], found[2])
    if found is not None:
        sent = connection.execute(
            "SELECT coalesce(max(sent), 0) FROM reader WHERE conversation = ? AND user = ?", (found[0], user)
        ).fetchone()[0]
        set_read(connection, found[0], user, last, sent)
    history = connection.execute("SELECT history FROM talk WHERE id = ?", (id,)).fetchone()[0]
    floor = positions.ZERO if history else last
    connection.execute("INSERT INTO member VALUES (?, ?, ?, ?, ?)", (id, user, int(role), *floor))
    connection.execute(
        "UPDATE talk SET version = version + 1, members = members + 1, owners = owners + ? WHERE id = ?",
        (role == Role.OWNER, id),
    )
    return _log(connection, id, user, True)


def _leave(connection: sqlite3.Connection, member: Member) -> GroupChange:
    """End a membership; a group without members ceases to be."""
    id = member.group
    connection.execute("DELETE FROM member WHERE talk = ? AND user = ?", (id, member.user))
    connection.execute(
        "UPDATE talk SET version = version + 1, members = members - 1, owners = owners - ? WHERE id = ?",
        (member.role == Role.OWNER, id),
    )
    change = _log(connection, id, member.user, False)
    if connection.execute("DELETE FROM talk WHERE id = ? AND members = 0", (id,)).rowcount:
        found = connection.execute("SELECT id FROM conversation WHERE name = ?", (name_of_group(id),)).fetchone()
        if found is not None:
            for table in ("message", "once", "reader"):
                connection.execute(f"DELETE FROM {table} WHERE conversation = ?", found)
            connection.execute("DELETE FROM conversation WHERE id = ?", found)
    return change


def leave_some(connection: sqlite3.Connection, user: int, limit: int) -> bool:
    """End memberships of a user; return whether any is left.

    Of a group whose last owner goes, the member with the lowest id becomes the owner.
    """
    rows = connection.execute(f"{_MEMBER} user = ? LIMIT ?", (user, limit + 1)).fetchall()
    for member in map(_read, rows[:limit]):
        if _is_last_owner(connection, member):
            heir = connection.execute(
                f"{_MEMBER} talk = ? AND user <> ? ORDER BY user LIMIT 1", (member.group, user)
            ).fetchone()
            if heir is not None:
                _set_role(connection, _read(heir), Role.OWNER)
        _leave(connection, member)
    return len(rows) > limit
