"""Batched operations on one group: the facts that they depend on, and the commands that carry out decisions.

The keys of a change, by number: the six of the group, then the groups of each user that is named, then the keys that
are removed with the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from attrs import evolve, frozen

from cim.errors import CIMError
from cim.model import MAX_GROUPS, MAX_MEMBERS, Group, GroupChange, Happened, Happening, Invitation, Role
from cim.store.decided import GroupChanged
from cim.store.redis.changing import Decision, Facts, Words
from cim.store.redis.invitations import invitation
from cim.store.redis.keys import Key
from cim.store.redis.restrictions import BANNED, MUTE, MUTED, banned, by_of, held, muted, pairs, running, until_of
from cim.store.rules import groups as rules
from cim.store.rules.group_values import (
    Accept,
    Add,
    Ban,
    Banning,
    Depart,
    Editing,
    Effect,
    Effects,
    Ending,
    GroupFacts,
    Mute,
    Muting,
    Operation,
    Remove,
    RoleChange,
    SetRole,
    Unban,
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


def _of(operations: Sequence[Operation], kind: Any) -> list[int]:
    """Return the users of the operations of a kind, each once."""
    return list(dict.fromkeys(one.user for one in operations if isinstance(one, kind)))


def _of_owners(effect: Effect) -> bool:
    return isinstance(effect, RoleChange) and bool(effect.owners)


def _waits(one: Invitation, now: int) -> bool:
    return not one.declined and one.valid(now)


@frozen
class Seen:
    """The state in which a route last saw a group.

    :param fields: open, history, owners, ended
    :param roles: the roles of users who changed something
    """

    fields: list[bytes | None]
    roles: dict[int, bytes | None]


class GroupBatch:
    """A batch of operations on one group.

    :ivar seen: the state of the group to guess from after the batch; None if unknown
    """

    def __init__(self, id: int, operations: Sequence[Operation]) -> None:
        self.seen: Seen | None = None
        self._id = id
        self._operations = operations
        # Whom nobody is stands for none: an operator who changes the group itself.
        self._users = users = rules.users(operations) or [0]
        self._joining = joining = _of(operations, Add | Accept)
        self._accepting = accepting = _of(operations, Accept)
        self._lists = [
            prefix
            for prefix, kind in ((BANNED, Ban | Unban), (MUTED, Mute))
            if any(isinstance(one, kind) for one in operations)
        ]
        self._mine = mine = {user: MINE + at for at, user in enumerate(users)}
        self.keys = group_keys(id)
        self.keys += [Key.GROUPS_OF.of(user) for user in users]
        # A ban ends what waits for a user.
        asked = list(dict.fromkeys((*joining, *_of(operations, Ban | Unban))))
        self._invited = {user: MINE + len(users) + at for at, user in enumerate(asked)}
        self.keys += [Key.INVITED.of(user) for user in asked]
        self._named = len(self.keys)
        words: list[str | int] = [6, "HMGET", GROUP, "open", "history", "owners", "ended"]
        words += 2 + len(users), "@ROLES", MEMBERS, *users
        if joining:
            words += 2 + len(joining), "HMGET", GROUP, *(f"{BANNED}{user}" for user in joining)
        for user in accepting:
            words += 4, "@INVITED", self._invited[user], id, MEMBERS
        for prefix in self._lists:
            words += 3, "@FIELDS", GROUP, prefix
        words += 5, "HMGET", GROUP, "name", "version", MUTE, 2, "HLEN", MEMBERS
        for user in joining:
            words += 2, "HLEN", mine[user]
        compared = 2 + bool(joining) + len(accepting) + len(self._lists)
        self.facts = Facts(compared, 2 + len(joining), words)
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
            elif not isinstance(operation, Depart):  # depends on more, or returns the group as it is
                return None
        joining = len(self._joining)
        bans = [[None] * joining] if joining else []
        roles_of = [roles.get(user) for user in self._users]
        self._guess = [seen.fields, roles_of, *bans, [b"", 0, None], 2, *([0] * joining)]
        return self._guess

    def decide(self, replies: Sequence[Any], now: int) -> Decision[list[GroupChanged | CIMError]]:
        """Decide about all operations; each has its own result."""
        (open, history, owners, ended), digits, *_ = replies
        facts, (name, version, muted_until), count = self._read(replies, now)
        outcomes, left = rules.decide_all(facts, self._operations)
        effects: list[Effect] = []
        words: Words = []
        if MUTED in self._lists:
            words += self._outdated(replies, facts)
        for operation, outcome in zip(self._operations, outcomes, strict=True):
            if isinstance(outcome, CIMError):
                if replies is self._guess:  # based on numbers that are not compared
                    raise outcome
            elif outcome:
                effects += outcome
            elif isinstance(operation, Depart):
                # A user without a membership has no record of the group either.
                words += 3, "HDEL", self._mine[operation.user], self._id
        group = Group(
            self._id,
            name.decode() if name else "",
            open == b"1",
            history == b"1",
            count,
            int(version or 0),
            until_of(muted_until),
            ended is not None,
        )
        for effect in effects:
            group = self._carry_out(words, effect, group, now)
        if left is not None:
            for operation, outcome in zip(self._operations, outcomes, strict=True):
                if not isinstance(outcome, CIMError):
                    for one in rules.happened(facts, operation, outcome):
                        words += 4, "@NOTE", HAPPENED, GROUP, noted(one)
        if facts is not None and left is None:
            self._end(words)
        if left is None or any(isinstance(one, Editing | Ending) or _of_owners(one) for one in effects):
            self.seen = None
        else:
            known = dict(zip(self._users, digits, strict=True))
            actors = {one.actor: known.get(one.actor) for one in self._operations if not isinstance(one, Depart)}
            self.seen = Seen([open, history, owners, ended], actors)

        def results(given: Sequence[Any]) -> list[GroupChanged | CIMError]:
            versions = iter(given)
            return [
                outcome
                if isinstance(outcome, CIMError)
                else GroupChanged(group, self._changes(outcome, versions), bool(outcome))
                for outcome in outcomes
            ]

        changes = [effect for effect in effects if isinstance(effect, RoleChange)]
        return Decision(words, made=results, bounds=self._bounds(count, changes, left is None))

    def _read(self, replies: Sequence[Any], now: int) -> tuple[GroupFacts | None, Sequence[Any], int]:
        """Return the facts, the name, the version and the mute of the group, and how many members it has."""
        of_group, digits, *rest = replies
        left = iter(rest)
        open, history, owners, ended = of_group
        records = next(left) if self._joining else ()
        bans = {user: by_of(record) for user, record in zip(self._joining, records, strict=True) if record is not None}
        waiting = [next(left) for _ in self._accepting]
        lists = {prefix: next(left) for prefix in self._lists}
        told, count, *groups = left
        if open is None:
            return None, told, count
        roles = {user: Role(int(digit)) for user, digit in zip(self._users, digits, strict=True) if digit}
        invited = {}
        for user, (record, digit) in zip(self._accepting, waiting, strict=True):
            made = invitation(self._id, user, record) if record is not None else None
            if made is not None and _waits(made, now):
                invited[user] = made.by
                if digit is not None:
                    roles[made.by] = Role(int(digit))
        if BANNED in lists:
            bans = {user: by_of(record) for user, record in pairs(lists[BANNED], BANNED)}
        muted_now = running(lists.get(MUTED, ()), now)
        counts = dict(zip(self._joining, groups, strict=True))
        facts = GroupFacts(
            open == b"1",
            int(owners),
            count,
            roles,
            counts,
            invited,
            history == b"1",
            ended is not None,
            bans,
            muted_now,
        )
        return facts, told, count

    def _outdated(self, replies: Sequence[Any], facts: GroupFacts | None) -> Words:
        """Return the commands that forget the mutes that have ended."""
        at = 2 + bool(self._joining) + len(self._accepting) + self._lists.index(MUTED)
        words: Words = []
        for user, _ in pairs(replies[at], MUTED):
            if facts is None or user not in facts.muted:
                words += held(GROUP, self._id, MUTED, user, None)
        return words

    def _changes(self, effects: Effects, versions: Iterator[Any]) -> list[GroupChange]:
        changes = []
        for effect in effects:
            if isinstance(effect, RoleChange) and effect.members:
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

    def _carry_out(self, words: Words, effect: Effect, group: Group, now: int) -> Group:
        """Add the commands that carry out an effect; return the group as it is then, but for its members."""
        match effect:
            case RoleChange():
                self._write(words, effect, int(group.history))
            case Muting(user, until):
                words += muted(GROUP, self._id, effect)
                return group if user else evolve(group, muted=until)
            case Banning(user):
                words += banned(GROUP, self._id, effect, now)
                words += 3, "HDEL", self._invited[user], self._id
            case Editing(name, open, history):
                fields = {"name": name, "open": open, "history": history}
                given = {field: value for field, value in fields.items() if value is not None}
                stored = [word if isinstance(word, str) else int(word) for pair in given.items() for word in pair]
                words += 2 + len(stored), "HSET", GROUP, *stored
                if history:
                    words += 3, "@SINCE", GROUP, COUNTERS
                return evolve(
                    group,
                    name=group.name if name is None else name,
                    open=group.open if open is None else open,
                    history=group.history if history is None else history,
                )
            case Ending():
                words += 4, "HSET", GROUP, "ended", 1
                return evolve(group, ended=True)
        return group

    def _write(self, words: Words, effect: RoleChange, history: int) -> None:
        user, role, members = effect.user, effect.after, effect.members
        mine = self._mine[user]
        if role is None:
            words += 3, "HDEL", MEMBERS, user, 3, "ZREM", IDS, user, 3, "HDEL", COUNTERS, f"r:{user}"
            words += 3, "HDEL", mine, self._id
        elif members:
            words += 4, "ZADD", IDS, user, user
            words += 9, "@JOIN", MEMBERS, user, int(role), mine, self._id, COUNTERS, history, GROUP
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
        del self.keys[self._named :]
        self.keys += [Key.STREAM.of(tag), Key.RECALLED.of(tag), Key.EDITED.of(tag), Key.GROUP_ACTIVITY]
        activity = len(self.keys)
        words += 3, "@LIFT", GROUP, self._id
        for key in (GROUP, IDS, COUNTERS, HAPPENED, activity - 3, activity - 2, activity - 1):
            words += 2, "UNLINK", key
        words += 3, "ZREM", activity, tag
