"""Groups in Redis.

    cim:g:{g:<id>}      hash: name, open, history, version, owners (how many)
    cim:gm:{g:<id>}     hash: user -> role and floor of a member
    cim:gi:{g:<id>}     sorted set: the members in the order of their ids
    cim:ug:{<user>}     hash: group -> role and floor, the same once more
    cim:groups          stream: who joined and left which group; its ids are the log's versions
    cim:last-group-id   the highest id given

The first three have the tag of the group's conversation, whose append looks at them; joining sets the read mark there.

A version of the log is the time in ms, or one more than the last: after Redis lost its tail, the versions that were
lost do not come again, and whoever has seen one is told that something was forgotten.

Of one group a route makes one change at a time; what is asked for meanwhile goes together in the next. So changes by
several routes seldom meet, however many there are: they only do if they are about the same member or an owner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.ecim import CIMError, Conflict, StoreUnavailable
from cim.icim import IGroups
from cim.model import MAX_GROUPS, MAX_MEMBERS, Group, GroupChange, Member, Memberships, Role
from cim.store import rules
from cim.store.decided import DecidedGroups, GroupChanged
from cim.store.pages import CHANGES_KEPT
from cim.store.redis.changing import REPEATS, Changing, Command, Decision, Facts, Seen
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script
from cim.store.rules import Add, Depart, Effects, GroupFacts, Operation, Rename, RoleChange
from cim.wire import conversations

if TYPE_CHECKING:
    from cim.store.redis.connection import RedisConnection

MEMBERS = script("members")
#: Operations that go together at most: it takes Redis some milliseconds.
TOGETHER = 100


def _member(group: int, user: int, held: bytes) -> Member:
    role, _, floor = held.decode().partition(" ")
    return Member(group, user, Role(int(role)), floor)


def _change(line: Any) -> GroupChange:
    id, (_, group, _, user, _, added, _, group_version) = line
    return GroupChange(_version(id), int(group), int(user), added == b"1", int(group_version))


def _version(id: bytes) -> int:
    return int(id.partition(b"-")[0])


@frozen
class _Keys:
    """The keys of one group."""

    group: str
    members: str
    ids: str
    counters: str
    stream: str
    recalled: str

    @classmethod
    def of(cls, id: int) -> _Keys:
        tag = conversations.group(id)
        names = (Key.GROUP, Key.MEMBERS, Key.MEMBER_IDS, Key.COUNTERS, Key.STREAM, Key.RECALLED)
        return cls(*(name.of(tag) for name in names))


class _Batch:
    """Operations on one group that go together: what they depend on, and what is written of what was decided."""

    def __init__(self, id: int, operations: Sequence[Operation]) -> None:
        self._id = id
        self._keys = keys = _Keys.of(id)
        self._operations = operations
        self._users = rules.users(operations)
        self._joining = list(dict.fromkeys(one.user for one in operations if isinstance(one, Add)))
        self._history = False
        self._records: dict[int, str] = {}
        self._counters: Sequence[bytes | None] = ()
        compared: list[Command] = [("HMGET", keys.group, "open", "history", "owners")]
        compared.append(("HMGET", keys.members, *self._users))
        told: list[Command] = [("HMGET", keys.group, "name", "version"), ("HLEN", keys.members)]
        told.append(("HMGET", keys.counters, "log", *(f"s:{user}" for user in self._joining)))
        told += [("HLEN", Key.GROUPS_OF.of(user)) for user in self._joining]
        self.facts = Facts(compared, told)

    def decide(self, seen: Seen) -> Decision[list[GroupChanged | CIMError]]:
        """Decide about all of them; each has its own result."""
        (open, history, owners), records, (name, version), count, self._counters, *groups = seen.replies
        self._history = history == b"1"
        self._records = {user: held.decode() for user, held in zip(self._users, records, strict=True) if held}
        facts = None
        if open is not None:
            roles = {user: Role(int(record[0])) for user, record in self._records.items() if record[0] in "012"}
            facts = GroupFacts(open == b"1", int(owners), count, roles, dict(zip(self._joining, groups, strict=True)))
        outcomes, left = rules.decide_all(facts, self._operations)
        decided = list(zip(self._operations, outcomes, strict=True))
        effects = [effect for outcome in outcomes if not isinstance(outcome, CIMError) for effect in outcome]
        commands = [command for effect in effects for command in self._commands(effect)]
        keys, name = self._keys, (name or b"").decode()
        for operation, outcome in decided:
            if isinstance(operation, Rename) and outcome == ():
                name = operation.name
                commands.append(("HSET", keys.group, "name", name))
            elif isinstance(operation, Depart) and outcome == ():
                # Whoever is not in the group does not think so either.
                commands.append(("HDEL", Key.GROUPS_OF.of(operation.user), self._id))
        if facts is not None and left is None:
            commands += [("UNLINK", key) for key in (keys.group, keys.ids, keys.stream, keys.counters, keys.recalled)]
            commands.append(("ZREM", Key.GROUP_ACTIVITY, conversations.group(self._id)))
        group = Group(self._id, name, open == b"1", self._history, count, int(version or 0))

        def result(given: Sequence[Any]) -> list[GroupChanged | CIMError]:
            versions = iter(given)
            return [
                outcome if isinstance(outcome, CIMError) else GroupChanged(group, self._changes(outcome, versions))
                for outcome in outcomes
            ]

        return Decision(result, commands, self._bounds(count, effects, left is None))

    def _changes(self, effects: Effects, versions: Iterator[Any]) -> list[GroupChange]:
        changes = []
        for effect in effects:
            if effect.members:
                version, group_version = next(versions)
                changes.append(GroupChange(int(version), self._id, effect.user, effect.members > 0, group_version))
        return changes

    def _bounds(self, count: int, effects: Sequence[RoleChange], ended: bool) -> list[tuple[str, int, int]]:
        """Return within what numbers of members, and of groups of theirs, the same would have been decided."""
        sizes = list(accumulate((effect.members for effect in effects), initial=0))
        lowest, highest = min(sizes), max(sizes)
        members = (count, count) if ended else (1 - lowest if lowest else 0, MAX_MEMBERS - highest)
        joined = [Key.GROUPS_OF.of(effect.user) for effect in effects if effect.members > 0]
        return [(self._keys.members, *members), *((groups, 0, MAX_GROUPS - 1) for groups in joined)]

    def _commands(self, effect: RoleChange) -> list[Command]:
        keys, user, mine = self._keys, effect.user, Key.GROUPS_OF.of(effect.user)
        commands: list[Command] = []
        if effect.after is None:
            commands += [("HDEL", keys.members, user), ("ZREM", keys.ids, user), ("HDEL", keys.counters, f"r:{user}")]
            commands.append(("HDEL", mine, self._id))
        else:
            if effect.before is None:
                # Whoever joins has read what was said before.
                last, others = self._position(user)
                floor = "" if self._history else last
                commands.append(("ZADD", keys.ids, user, user))
                if last:
                    commands.append(("HSET", keys.counters, f"r:{user}", f"{last} {others}"))
            else:
                _, _, floor = self._records[user].partition(" ")
            record = self._records[user] = f"{effect.after:d} {floor}"
            commands += [("HSET", keys.members, user, record), ("HSET", mine, self._id, record)]
        if effect.owners:
            commands.append(("HINCRBY", keys.group, "owners", effect.owners))
        if effect.members:
            commands.append(("LOG", keys.group, self._id, user, int(effect.members > 0)))
        return commands

    def _position(self, user: int) -> tuple[str, int]:
        """Return the last position of the group's conversation, and how many counted messages are of others."""
        log, *sent = self._counters
        last, _, counted, _ = (log or b" 0 0 0").decode().split(" ")
        own = sent[self._joining.index(user)] if user in self._joining else None
        return last, int(counted) - int((own or b"0").partition(b" ")[0])


@implementer(IGroups)
class RedisGroups(DecidedGroups):
    """Groups that all routes share."""

    def __init__(self, connection: RedisConnection, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing
        # Group -> what waits for the change under way; a key for each group of which there is one.
        self._waiting: dict[int, list[tuple[Operation, Deferred[GroupChanged]]]] = {}

    def change(self, name: str, id: int, operation: Operation) -> Deferred[GroupChanged]:
        """See DecidedGroups."""
        changed: Deferred[GroupChanged] = Deferred()
        waiting = self._waiting.get(id)
        if waiting is None:
            self._waiting[id] = [(operation, changed)]
            Deferred.fromCoroutine(self._change(id))
        else:
            waiting.append((operation, changed))
        return self._changing.operation(name, changed)

    async def _change(self, id: int) -> None:
        while waiting := self._waiting[id]:
            together, self._waiting[id] = waiting[:TOGETHER], waiting[TOGETHER:]
            batch = _Batch(id, [operation for operation, _ in together])
            try:
                results = await self._changing.change("group", Key.GROUP.of(id), batch.facts, batch.decide)
            except Exception:
                for _, changed in together:
                    changed.errback()
                continue
            for (_, changed), result in zip(together, results, strict=True):
                changed.callback(Failure(result) if isinstance(result, CIMError) else result)
        del self._waiting[id]

    def create(self, owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """See IGroups."""
        return self._changing.operation("create_group", self._create(owner, name, open, history))

    async def _create(self, owner: int, name: str, open: bool, history: bool) -> Group:
        mine = Key.GROUPS_OF.of(owner)
        room = (mine, 0, MAX_GROUPS - 1)

        def allot(seen: Seen) -> Decision[int]:
            rules.check_groups(seen.replies[0])
            return Decision(lambda given: int(given[0]), [("ID", Key.LAST_GROUP)], [room])

        while True:
            id = await self._changing.change("create_group", mine, Facts((), [("HLEN", mine)]), allot, (0,))
            keys = _Keys.of(id)
            record = f"{Role.OWNER:d} "
            fields = ("name", name, "open", int(open), "history", int(history), "version", 0, "owners", 1)
            commands: list[Command] = [
                ("HSET", keys.group, *fields),
                ("HSET", keys.members, owner, record),
                ("ZADD", keys.ids, owner, owner),
                ("HSET", mine, id, record),
                ("LOG", keys.group, id, owner, 1),
            ]

            def make(seen: Seen, id: int = id, commands: Sequence[Command] = commands) -> Decision[bool]:
                if any(seen.replies[:2]):  # that id was given before Redis lost it
                    return Decision(lambda _: False)
                rules.check_groups(seen.replies[2])
                return Decision(lambda _: True, commands, [room])

            facts = Facts([("EXISTS", keys.group), ("EXISTS", keys.stream)], [("HLEN", mine)])
            if await self._changing.change("create_group", mine, facts, make, (0, 0, 0)):
                return Group(id, name, open, history, 1, 1)

    def group(self, id: int) -> Deferred[Group | None]:
        """See IGroups."""
        return self._changing.operation("group", self._group(id))

    async def _group(self, id: int) -> Group | None:
        keys = _Keys.of(id)
        wanted = ("HMGET", keys.group, "name", "open", "history", "version")
        (name, open, history, version), members = (
            await self._changing.look("group", wanted, ("HLEN", keys.members))
        ).replies
        if version is None:
            return None
        return Group(id, name.decode(), open == b"1", history == b"1", members, int(version))

    def member(self, id: int, user: int) -> Deferred[Member | None]:
        """See IGroups."""
        return self._connection.command("member", "HGET", _Keys.of(id).members, user).addCallback(
            lambda held: None if held is None else _member(id, user, held)
        )

    def members(self, id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """See IGroups."""
        keys = _Keys.of(id)
        return self._connection.run(MEMBERS, (keys.members, keys.ids), (after, limit)).addCallback(
            lambda lines: [_member(id, int(user), held) for user, held in lines]
        )

    def memberships(self, user: int) -> Deferred[Memberships]:
        """See IGroups."""
        return self._changing.operation("memberships", self._memberships(user))

    async def _memberships(self, user: int) -> Memberships:
        last = ("XREVRANGE", Key.GROUP_LOG, "+", "-", "COUNT", 1)
        lines, held = (await self._changing.look("memberships", last, ("HGETALL", Key.GROUPS_OF.of(user)))).replies
        members = [_member(int(id), user, record) for id, record in zip(held[::2], held[1::2], strict=True)]
        members.sort(key=lambda member: member.group)
        return Memberships(_version(lines[0][0]) if lines else 0, tuple(members))

    def changes(self, after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """See IGroups."""
        return self._changing.operation("group_changes", self._changes(after, limit))

    async def _changes(self, after: int, limit: int) -> tuple[list[GroupChange], int, bool]:
        log, position = Key.GROUP_LOG, f"{after}-0"
        # Whether all that came after it is there: because it is there itself, or nothing was ever removed.
        known = ("XRANGE", log, position, position) if after else ("XLEN", log)
        last, lines, known_by = (
            await self._changing.look(
                "group_changes",
                ("XREVRANGE", log, "+", "-", "COUNT", 1),
                ("XRANGE", log, f"({position}", "+", "COUNT", limit),
                known,
            )
        ).replies
        complete = bool(known_by) if after else known_by < CHANGES_KEPT
        return [_change(line) for line in lines], _version(last[0][0]) if last else 0, not complete

    async def leave_all(self, user: int) -> None:
        """End all memberships of a user, whose account is deleted."""
        for held in await self._connection.command("delete", "HKEYS", Key.GROUPS_OF.of(user)):
            id = int(held)
            for _ in range(REPEATS + 1):
                first = await self._connection.command("delete", "ZRANGE", _Keys.of(id).ids, 0, 1)
                heir = next((int(member) for member in first if int(member) != user), None)
                try:
                    await self.change("delete", id, Depart(user, heir))
                    break
                except Conflict:  # its members have changed meanwhile
                    pass
            else:
                raise StoreUnavailable()
