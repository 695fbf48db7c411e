"""Groups in SQLite, where the table is called `talk` because GROUP is a keyword of SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim import model
from cim.interfaces import IGroups
from cim.model import Group, GroupChange, Happened, Happening, Listing, Member, Memberships, Restrictions, Role
from cim.store.decided import DecidedGroups, GroupChanged
from cim.store.pages import CHANGES_KEPT, cursor_of
from cim.store.rules import groups as rules
from cim.store.rules.group_values import (
    Accept,
    Add,
    Ban,
    Banning,
    Depart,
    Editing,
    Effect,
    Ending,
    GroupFacts,
    Mute,
    Muting,
    Operation,
    RoleChange,
    Unban,
)
from cim.store.sqlite.accounts import next_id
from cim.store.sqlite.invitations import forget, held
from cim.store.sqlite.marks import set_read
from cim.store.sqlite.restrictions import ban, banned, bans_in, lift_all, mute, mutes_in, restrictions_of
from cim.wire import positions
from cim.wire.conversations import group as name_of_group

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

#: The highest integer of SQLite, and so the highest that is looked up.
_LAST = (1 << 63) - 1


@implementer(IGroups)
class SqliteGroups(DecidedGroups):
    """Groups on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def create(self, owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """See IGroups."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Group:
            rules.check_groups(_count_groups(connection, owner))
            id = next_id(connection, "group", "talk", now)
            connection.execute(
                "INSERT INTO talk (id, name, open, history, version, members, owners) VALUES (?, ?, ?, ?, 0, 0, 0)",
                (id, name, open, history),
            )
            _change_role(connection, id, RoleChange(owner, None, Role.OWNER))
            return Group(id, name, open, history, 1, 1)

        return self._sqlite.write("create_group", work)

    def group(self, id: int) -> Deferred[Group | None]:
        """See IGroups."""
        return self._sqlite.read("group", lambda connection: _group(connection, id))

    def listed(self, *, after: str = "", limit: int) -> Deferred[Listing[Group]]:
        """See IGroups; sorted by their ids."""
        last = cursor_of(after)

        def work(connection: sqlite3.Connection) -> Listing[Group]:
            rows = connection.execute(f"{_GROUP} id > ? ORDER BY id LIMIT ?", (last, limit + 1)).fetchall()
            items = [_read_group(row) for row in rows[:limit]]
            return Listing(items, str(items[-1].id) if len(rows) > limit else "")

        return self._sqlite.read("list_groups", work)

    def change(self, name: str, id: int, operation: Operation) -> Deferred[GroupChanged]:
        """See DecidedGroups."""
        now = self._now()
        return self._sqlite.write(name, lambda connection: change(connection, id, operation, now))

    def member(self, id: int, user: int) -> Deferred[Member | None]:
        """See IGroups."""
        return self._sqlite.read("member", lambda connection: _member(connection, id, user))

    def members(self, id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> list[Member]:
            rows = connection.execute(f"{_MEMBER} talk = ? AND user > ? ORDER BY user LIMIT ?", (id, after, limit))
            return list(map(_read, rows))

        return self._sqlite.read("members", work)

    def memberships(self, user: int, version: int | None = None) -> Deferred[Memberships]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> Memberships:
            last = version
            if last is None:
                last = connection.execute("SELECT coalesce(max(version), 0) FROM change").fetchone()[0]
            rows = connection.execute(f"{_MEMBER} user = ? ORDER BY talk", (user,))
            return Memberships(last, tuple(map(_read, rows)))

        return self._sqlite.read("memberships", work)

    def mutes(self, id: int) -> Deferred[Mapping[int, int]]:
        """See IGroups."""
        now = self._now()
        return self._sqlite.read("mutes", lambda connection: mutes_in(connection, id, now))

    def bans(self, id: int) -> Deferred[Sequence[model.Ban]]:
        """See IGroups."""
        return self._sqlite.read("bans", lambda connection: bans_in(connection, id))

    def restrictions(self, user: int) -> Deferred[Restrictions]:
        """See IGroups."""
        now = self._now()
        return self._sqlite.read("restrictions", lambda connection: restrictions_of(connection, user, now))

    def happened(self, id: int, limit: int = 1000) -> Deferred[list[Happened]]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> list[Happened]:
            rows = connection.execute(
                "SELECT number, what, user, actor, text FROM happening WHERE talk = ? ORDER BY number LIMIT ?",
                (id, limit),
            )
            return [Happened(number, Happening(what), user, by, text) for number, what, user, by, text in rows]

        return self._sqlite.read("happened", work)

    def told(self, id: int, number: int) -> Deferred[None]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM happening WHERE talk = ? AND number <= ?", (id, number))

        return self._sqlite.write("told", work)

    def changes(self, after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """See IGroups."""

        def work(connection: sqlite3.Connection) -> tuple[list[GroupChange], int, bool]:
            # The floor of a member who has left since does not matter any more.
            rows = connection.execute(
                "SELECT change.*, coalesce(epoch, 0), coalesce(n, 0) FROM change LEFT JOIN member USING (talk, user) "
                "WHERE version > ? ORDER BY version LIMIT ?",
                (after, limit),
            )
            changes = [
                GroupChange(
                    version, group, user, bool(added), group_version, positions.text((epoch, n)) if added else ""
                )
                for version, group, user, added, group_version, epoch, n in rows
            ]
            first, last = connection.execute("SELECT min(version), max(version) FROM change").fetchone()
            version = last or 0
            # Versions have no gaps.
            return changes, version, after > version or (first is not None and after < first - 1)

        return self._sqlite.read("group_changes", work)


_GROUP = "SELECT id, name, open, history, members, version, muted, ended FROM talk WHERE"
_MEMBER = "SELECT talk, user, role, epoch, n FROM member WHERE"


def _read(row: Any) -> Member:
    group, user, role, epoch, n = row
    return Member(group, user, Role(role), positions.text((epoch, n)))


def _member(connection: sqlite3.Connection, id: int, user: int) -> Member | None:
    row = connection.execute(f"{_MEMBER} talk = ? AND user = ?", (id, user)).fetchone()
    return None if row is None else _read(row)


def _group(connection: sqlite3.Connection, id: int) -> Group | None:
    row = connection.execute(f"{_GROUP} id = ?", (min(id, _LAST),)).fetchone()
    return None if row is None else _read_group(row)


def _read_group(row: Any) -> Group:
    id, name, open, history, members, version, muted, ended = row
    return Group(id, name, bool(open), bool(history), members, version, muted, bool(ended))


def _count_groups(connection: sqlite3.Connection, user: int) -> int:
    count: int = connection.execute("SELECT count(*) FROM member WHERE user = ?", (user,)).fetchone()[0]
    return count


def change(connection: sqlite3.Connection, id: int, operation: Operation, now: int) -> GroupChanged:
    """Carry out what the rules decide about an operation on a group; raises the errors of `rules.decide`.

    :param now: ms since 1970, by which invitations expire and mutes end
    """
    facts = _facts(connection, id, operation, now)
    effects = rules.decide(facts, operation)
    made = [_carry_out(connection, id, effect, now) for effect in effects]
    left = _group(connection, id)
    if left is not None:
        for one in rules.happened(facts, operation, effects):
            (number,) = connection.execute(
                "UPDATE talk SET told = told + 1 WHERE id = ? RETURNING told", (id,)
            ).fetchone()
            connection.execute(
                "INSERT INTO happening VALUES (?, ?, ?, ?, ?, ?)", (id, number, one.what, one.user, one.by, one.text)
            )
    return GroupChanged(left, [one for one in made if one is not None], bool(effects))


def _facts(connection: sqlite3.Connection, id: int, operation: Operation, now: int) -> GroupFacts | None:
    row = connection.execute(
        "SELECT open, owners, members, history, ended FROM talk WHERE id = ?", (min(id, _LAST),)
    ).fetchone()
    if row is None:
        return None
    open, owners, count, history, ended = row
    members = (_member(connection, id, user) for user in rules.users([operation]))
    roles = {member.user: member.role for member in members if member is not None}
    groups: dict[int, int] = {}
    invited: dict[int, int] = {}
    bans: dict[int, int] = {}
    muted: dict[int, int] = {}
    match operation:
        case Add(_, user) | Accept(user):
            groups = {user: _count_groups(connection, user)}
            bans = banned(connection, id, user)
        case Ban() | Unban():
            bans = {one.user: one.by for one in bans_in(connection, id)}
        case Mute():
            muted = mutes_in(connection, id, now)
    if isinstance(operation, Accept):
        waiting = [one for one in held(connection, operation.user, now) if one.group == id and not one.declined]
        invited = {one.user: one.by for one in waiting}
        inviting = (_member(connection, id, one.by) for one in waiting)
        roles |= {member.user: member.role for member in inviting if member is not None}
    return GroupFacts(bool(open), owners, count, roles, groups, invited, bool(history), bool(ended), bans, muted)


def _carry_out(connection: sqlite3.Connection, id: int, effect: Effect, now: int) -> GroupChange | None:
    match effect:
        case RoleChange():
            return _change_role(connection, id, effect)
        case Muting():
            mute(connection, id, effect, now)
        case Banning(user):
            forget(connection, id, user)
            ban(connection, id, effect, now)
        case Editing(name, open, history):
            connection.execute(
                "UPDATE talk SET name = coalesce(?, name), open = coalesce(?, open), history = coalesce(?, history) "
                "WHERE id = ?",
                (name, open, history, id),
            )
            if history:
                connection.execute(
                    "UPDATE talk SET since_epoch = ?, since_n = ? WHERE id = ?", (*_end_of(connection, id), id)
                )
        case Ending():
            connection.execute("UPDATE talk SET ended = 1 WHERE id = ?", (id,))
    return None


def _change_role(connection: sqlite3.Connection, id: int, effect: RoleChange) -> GroupChange | None:
    user, role = effect.user, effect.after
    floor = positions.ZERO
    if role is None:
        connection.execute("DELETE FROM member WHERE talk = ? AND user = ?", (id, user))
    elif effect.members:
        forget(connection, id, user)
        floor = _enter(connection, id, user)
        connection.execute("INSERT INTO member VALUES (?, ?, ?, ?, ?)", (id, user, int(role), *floor))
    else:
        connection.execute("UPDATE member SET role = ? WHERE talk = ? AND user = ?", (int(role), id, user))
    version, members = connection.execute(
        "UPDATE talk SET version = version + ?, members = members + ?, owners = owners + ? WHERE id = ? "
        "RETURNING version, members",
        (abs(effect.members), effect.members, effect.owners, id),
    ).fetchone()
    if not effect.members:
        return None
    last = _log(connection, id, user, role is not None, version)
    if not members:
        _end(connection, id)
    return GroupChange(last, id, user, role is not None, version, positions.text(floor))


def _log(connection: sqlite3.Connection, id: int, user: int, added: bool, version: int) -> int:
    """Log a change of members; return its version."""
    last: int = connection.execute(
        "INSERT INTO change (talk, user, added, talk_version) VALUES (?, ?, ?, ?) RETURNING version",
        (id, user, added, version),
    ).fetchone()[0]
    connection.execute("DELETE FROM change WHERE version <= ?", (last - CHANGES_KEPT,))
    return last


def _enter(connection: sqlite3.Connection, id: int, user: int) -> positions.Position:
    """Mark a group as read for a new member; return the position after which the member may read."""
    found = connection.execute("SELECT id FROM conversation WHERE name = ?", (name_of_group(id),)).fetchone()
    last = _end_of(connection, id)
    if found is not None:
        sent = connection.execute(
            "SELECT coalesce(max(sent), 0) FROM reader WHERE conversation = ? AND user = ?", (found[0], user)
        ).fetchone()[0]
        set_read(connection, found[0], user, last, sent)
    history, *since = connection.execute(
        "SELECT history, since_epoch, since_n FROM talk WHERE id = ?", (id,)
    ).fetchone()
    return (since[0], since[1]) if history else last


def _end_of(connection: sqlite3.Connection, id: int) -> positions.Position:
    """Return the last position of a group's log."""
    found = connection.execute("SELECT epoch, n FROM conversation WHERE name = ?", (name_of_group(id),)).fetchone()
    return positions.ZERO if found is None else (found[0], found[1])


def _end(connection: sqlite3.Connection, id: int) -> None:
    """Remove a group without members, and its messages."""
    connection.execute("DELETE FROM talk WHERE id = ?", (id,))
    connection.execute("DELETE FROM happening WHERE talk = ?", (id,))
    lift_all(connection, "talk", id)
    found = connection.execute("SELECT id FROM conversation WHERE name = ?", (name_of_group(id),)).fetchone()
    if found is not None:
        for table in ("message", "edit", "once", "reader"):
            connection.execute(f"DELETE FROM {table} WHERE conversation = ?", found)
        connection.execute("DELETE FROM conversation WHERE id = ?", found)


def leave_some(connection: sqlite3.Connection, user: int, limit: int) -> bool:
    """End up to `limit` memberships of a user whose account is being deleted; return whether any is left."""
    groups = connection.execute("SELECT talk FROM member WHERE user = ? LIMIT ?", (user, limit + 1)).fetchall()
    for (id,) in groups[:limit]:
        heir = connection.execute(
            "SELECT user FROM member WHERE talk = ? AND user <> ? ORDER BY user LIMIT 1", (id, user)
        ).fetchone()
        change(connection, id, Depart(user, heir[0] if heir is not None else None), 0)
    return len(groups) > limit
