"""Batched operations on one group: the facts that they depend on, and the commands that carry out decisions.

The keys of a change, by number: the six of the group, then the groups of each user that is named, then the keys that
are removed with the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from attrs import frozen

from cim.errors import CIMError
from cim.model import MAX_GROUPS, MAX_MEMBERS, Group, GroupChange, Happened, Happening, Invitation, Role
from cim.store.decided import GroupChanged
from cim.store.redis.changing import Decision, Facts, Words
from cim.store.redis.invitations import invitation
from cim.store.redis.keys import Key
from cim.store.rules import groups as rules
from cim.store.rules.groups import (
    Accept,
    Add,
    Depart,
    Effects,
    GroupFacts,
    Operation,
    Remove,
    Rename,
    RoleChange,
    SetRole,
)
from cim.wire import conversations

GROUP, MEMBERS, IDS, COUNTERS, LOG, HAPPENED, MINE = range(1, 8)


def group_keys(id: int) -> list[str]:
    """Return the six keys of every change of a group."""
    tag = conversations.group(id)
    of_group = (Key.GROUP, Key.MEMBERS, Key.MEMBER_IDS, Key.COUNTERS)
    return [*(key.of(tag) for key in of_group), Key.GROUP_LOG, Key.HAPPENED.of(tag)]


def noted(one: Happened) -> str:
    """Return the record of what happened, without its number."""
    return f"{one.what} {one.user} {one.by} {one.text}"


def happening(record: bytes) -> Happened:
    """Return what happened, by its record."""
    number, what, user, by, text = record.decode().split(" ", 4)
    return Happened(int(number), Happening(what), int(user), int(by), text)


def _waits(one: Invitation, now: int) -> bool:
    return not one.declined and one.valid(now)


@frozen
class Seen:
    """The state in which a route last saw a group.

    :param fields: open, history, owners
    :param roles: the roles of users who changed something
    """

    fields: list[bytes]
    roles: dict[int, bytes | None]


class GroupBatch:
    """A batch of operations on one group.

    :ivar seen: the state of the group to guess from after the batch; None if unknown
    """

    def __init__(self, id: int, operations: Sequence[Operation]) -> None:
        self.seen: Seen | None = None
        self._id = id
        self._operations = operations
        # Whom nobody is stands for none: an operator who renames.
        self._users = users = rules.users(operations) or [0]
        self._joining = joining = list(dict.fromkeys(one.user for one in operations if isinstance(one, Add | Accept)))
        self._accepting = accepting = list(dict.fromkeys(one.user for one in operations if isinstance(one, Accept)))
        self._mine = mine = {user: MINE + at for at, user in enumerate(users)}
        self.keys = group_keys(id)
        self.keys += [Key.GROUPS_OF.of(user) for user in users]
        self._invited = {user: MINE + len(users) + at for at, user in enumerate(joining)}
        self.keys += [Key.INVITED.of(user) for user in joining]
        words: list[str | int] = [5, "HMGET", GROUP, "open", "history", "owners", 2 + len(users), "@ROLES", MEMBERS]
        words += users
        for user in accepting:
            words += 4, "@INVITED", self._invited[user], id, MEMBERS
        words += 4, "HMGET", GROUP, "name", "version", 2, "HLEN", MEMBERS
        for user in joining:
            words += 2, "HLEN", mine[user]
        self.facts = Facts(2 + len(accepting), 2 + len(joining), words)
        self._guess: Sequence[Any] | None = None

    def guess(self, seen: Seen | None) -> Sequence[Any] | None:
        """Return the probable replies: there is room, users to add are not members, and others are plain members."""
        if seen is None:
            return None
        roles = dict(seen.roles)
        for operation in self._operations:
            if isinstance(operation, Add):
                roles[operation.user] = None
            elif isinstance(operation, Remove | SetRole):
                roles.setdefault(operation.user, b"0")
            elif isinstance(operation, Accept | Rename):  # depends on an invitation, or returns the group as it is
                return None
        joining = (0,) * len(self._joining)
        self._guess = [seen.fields, [roles.get(user) for user in self._users], [b"", 0], 2, *joining]
        return self._guess

    def decide(self, replies: Sequence[Any], now: int) -> Decision[list[GroupChanged | CIMError]]:
        """Decide about all operations; each has its own result."""
        (open, history, owners), digits, *rest = replies
        records, ((name, version), count, *groups) = rest[: len(self._accepting)], rest[len(self._accepting) :]
        facts = None
        if open is not None:
            roles = {user: Role(int(digit)) for user, digit in zip(self._users, digits, strict=True) if digit}
            invited = {}
            for user, (record, digit) in zip(self._accepting, records, strict=True):
                made = invitation(self._id, user, record) if record is not None else None
                if made is not None and _waits(made, now):
                    invited[user] = made.by
                    if digit is not None:
                        roles[made.by] = Role(int(digit))
            counts = dict(zip(self._joining, groups, strict=True))
            facts = GroupFacts(open == b"1", int(owners), count, roles, counts, invited)
        outcomes, left = rules.decide_all(facts, self._operations)
        effects: list[RoleChange] = []
        words: Words = []
        name = name.decode() if name else ""
        for operation, outcome in zip(self._operations, outcomes, strict=True):
            if isinstance(outcome, CIMError):
                if replies is self._guess:  # based on numbers that are not compared
                    raise outcome
            elif outcome:
                effects += outcome
            elif isinstance(operation, Rename):
                name = operation.name
                words += 4, "HSET", GROUP, "name", name
            elif isinstance(operation, Depart):
                # A user without a membership has no record of the group either.
                words += 3, "HDEL", self._mine[operation.user], self._id
        for effect in effects:
            self._write(words, effect, int(history == b"1"))
        if left is not None:
            for operation, outcome in zip(self._operations, outcomes, strict=True):
                if not isinstance(outcome, CIMError):
                    for one in rules.happened(facts, operation, outcome):
                        words += 4, "@NOTE", HAPPENED, GROUP, noted(one)
        if facts is not None and left is None:
            self._end(words)
        owners_change = any(effect.owners for effect in effects)
        if left is None or owners_change:
            self.seen = None
        else:
            known = dict(zip(self._users, digits, strict=True))
            actors = {one.actor: known.get(one.actor) for one in self._operations if not isinstance(one, Depart)}
            self.seen = Seen([open, history, owners], actors)
        group = Group(self._id, name, open == b"1", history == b"1", count, int(version or 0))

        def results(given: Sequence[Any]) -> list[GroupChanged | CIMError]:
            versions = iter(given)
            return [
                outcome if isinstance(outcome, CIMError) else GroupChanged(group, self._changes(outcome, versions))
                for outcome in outcomes
            ]

        return Decision(words, made=results, bounds=self._bounds(count, effects, left is None))

    def _changes(self, effects: Effects, versions: Iterator[Any]) -> list[GroupChange]:
        changes = []
        for effect in effects:
            if effect.members:
                version, group_version, floor, previous = next(versions)
                log = int(version), self._id, effect.user, effect.members > 0
                changes.append(GroupChange(*log, group_version, floor.decode(), int(previous)))
        return changes

    def _bounds(self, count: int, effects: Sequence[RoleChange], ended: bool) -> list[tuple[int, int, int]]:
        """Return the bounds, on members and on groups of users, within which the decision stays the same."""
        sizes = [0, *accumulate(effect.members for effect in effects)]
        lowest, highest = min(sizes), max(sizes)
        bounds = [(self._mine[effect.user], 0, MAX_GROUPS - 1) for effect in effects if effect.members > 0]
        if ended:
            bounds.append((MEMBERS, count, count))
        else:
            bounds.append((MEMBERS, 1 - lowest if lowest else 0, MAX_MEMBERS - highest))
        return bounds

    def _write(self, words: Words, effect: RoleChange, history: int) -> None:
        user, role, members = effect.user, effect.after, effect.members
        mine = self._mine[user]
        if role is None:
            words += 3, "HDEL", MEMBERS, user, 3, "ZREM", IDS, user, 3, "HDEL", COUNTERS, f"r:{user}"
            words += 3, "HDEL", mine, self._id
        elif members:
            words += 4, "ZADD", IDS, user, user, 8, "@JOIN", MEMBERS, user, int(role), mine, self._id, COUNTERS, history
            words += 3, "HDEL", self._invited[user], self._id
        else:
            words += 6, "@ROLE", MEMBERS, user, int(role), mine, self._id
        if effect.owners:
            words += 4, "HINCRBY", GROUP, "owners", effect.owners
        if members:
            words += 7, "@LOG", GROUP, LOG, MEMBERS, self._id, user, int(members > 0)

    def _end(self, words: Words) -> None:
        """Remove everything of the group."""
        tag = conversations.group(self._id)
        del self.keys[HAPPENED + len(self._users) + len(self._joining) :]
        self.keys += [Key.STREAM.of(tag), Key.RECALLED.of(tag), Key.EDITED.of(tag), Key.GROUP_ACTIVITY]
        activity = len(self.keys)
        for key in (GROUP, IDS, COUNTERS, HAPPENED, activity - 3, activity - 2, activity - 1):
            words += 2, "UNLINK", key
        words += 3, "ZREM", activity, tag
