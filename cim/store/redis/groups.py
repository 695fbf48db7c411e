"""Groups in Redis. Every method is one call.

    cim:g:{g:<id>}      hash: name, open, history, version, owners (how many)
    cim:gm:{g:<id>}     hash: user -> role and floor of a member
    cim:gi:{g:<id>}     sorted set: the members in the order of their ids
    cim:ug:{<user>}     hash: group -> role and floor, the same once more
    cim:groups          stream: who joined and left which group; its ids are the log's versions
    cim:last-group-id   the highest id given

The first three have the tag of the group's conversation, whose append looks at them; joining sets the read mark
there. The others lie in other slots: a Redis Cluster would need these writes apart.

A version of the log is the time in ms, or one more than the last: after Redis lost its tail, the versions that were
lost do not come again, and whoever has seen one is told that something was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.ecim import Conflict, Forbidden, NotFound, RateLimited
from cim.icim import IGroups
from cim.model import MAX_GROUPS, MAX_MEMBERS, Group, GroupChange, Member, Role
from cim.store.pages import LAST_OWNER, MOST_GROUPS, MOST_MEMBERS
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection

_REFUSALS: dict[bytes, tuple[type[Conflict | Forbidden | NotFound | RateLimited], str | None]] = {
    b"not-found": (NotFound, None),
    b"forbidden": (Forbidden, None),
    b"last-owner": (Conflict, LAST_OWNER),
    b"most-groups": (RateLimited, MOST_GROUPS),
    b"most-members": (RateLimited, MOST_MEMBERS),
}

CREATE = script("create_group", "group_writes")
GROUP = script("group", "group_writes")
RENAME = script("rename_group", "group_writes")
MEMBERS = script("members", "group_writes")
ADD = script("add_member", "group_writes")
REMOVE = script("remove_member", "group_writes")
SET_ROLE = script("set_role", "group_writes")
LEAVE_ALL = script("leave_all", "group_writes")
CHANGES = script("group_changes")


def _checked(answer: Any) -> Any:
    if isinstance(answer, bytes):
        error, reason = _REFUSALS[answer]
        raise error(reason)
    return answer


def _group(id: int, held: Sequence[Any]) -> Group:
    name, open, history, members, version = held
    return Group(id, name.decode(), open == b"1", history == b"1", members, int(version))


def _member(group: int, user: int, held: bytes) -> Member:
    role, _, floor = held.decode().partition(" ")
    return Member(group, user, Role(int(role)), floor)


def _change(group: int, user: int, added: bool, answer: Any) -> GroupChange | None:
    if _checked(answer) is None:
        return None
    version, group_version = answer
    return GroupChange(int(version), group, user, added, group_version)


@implementer(IGroups)
class RedisGroups:
    """Groups that all routes share."""

    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    def create(self, owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """See IGroups."""
        args = (owner, name, int(open), int(history), MAX_GROUPS)
        return self._connection.run(CREATE, (), args).addCallback(
            lambda answer: _group(int(_checked(answer)[0]), answer[1])
        )

    def group(self, id: int) -> Deferred[Group | None]:
        """See IGroups."""
        return self._connection.run(GROUP, (), (id,)).addCallback(
            lambda held: None if held is None else _group(id, held)
        )

    def rename(self, id: int, actor: int, name: str) -> Deferred[Group]:
        """See IGroups."""
        return self._connection.run(RENAME, (), (id, actor, name)).addCallback(
            lambda answer: _group(id, _checked(answer))
        )

    def member(self, id: int, user: int) -> Deferred[Member | None]:
        """See IGroups."""
        return self._connection.command("member", "HGET", Key.MEMBERS.of(f"g:{id}"), user).addCallback(
            lambda held: None if held is None else _member(id, user, held)
        )

    def members(self, id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """See IGroups."""
        return self._connection.run(MEMBERS, (), (id, after, limit)).addCallback(
            lambda lines: [_member(id, int(user), held) for user, held in lines]
        )

    def groups_of(self, user: int) -> Deferred[list[Member]]:
        """See IGroups."""
        return self._connection.command("groups_of", "HGETALL", Key.GROUPS_OF.of(user)).addCallback(
            lambda held: sorted(
                (_member(int(group), user, what) for group, what in zip(held[::2], held[1::2], strict=True)),
                key=lambda member: member.group,
            )
        )

    def add(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        args = (id, actor, user, MAX_MEMBERS, MAX_GROUPS)
        return self._connection.run(ADD, (), args).addCallback(lambda answer: _change(id, user, True, answer))

    def remove(self, id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """See IGroups."""
        return self._connection.run(REMOVE, (), (id, actor, user)).addCallback(
            lambda answer: _change(id, user, False, answer)
        )

    def set_role(self, id: int, actor: int, user: int, role: Role) -> Deferred[None]:
        """See IGroups."""
        return self._connection.run(SET_ROLE, (), (id, actor, user, int(role))).addCallback(
            lambda answer: _checked(answer) and None
        )

    def changes(self, after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """See IGroups."""

        def read(answer: Any) -> tuple[list[GroupChange], int, bool]:
            version, forgotten, lines = answer
            changes = [
                GroupChange(int(version), int(group), int(user), added == b"1", int(group_version))
                for version, group, user, added, group_version in lines
            ]
            return changes, int(version), bool(forgotten)

        return self._connection.run(CHANGES, (), (after, limit)).addCallback(read)
