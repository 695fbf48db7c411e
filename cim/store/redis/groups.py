"""Groups in Redis.

    cim:g:{g:<id>}      hash: name, open, history, version, owners (how many); since, the position up to which nobody
                        reads who joins later, with `history`; ended, if it is being dissolved; who is muted and banned
                        (cim/store/redis/restrictions.py)
    cim:gm:{g:<id>}     hash: user -> role and floor of a member
    cim:gi:{g:<id>}     sorted set: the members by id
    cim:gt:{g:<id>}     list: what happened and is not in the group's log yet; its numbers are `told` of cim:g:
    cim:ug:{<user>}     hash: group -> role and floor, the same again
    cim:groups          stream: who joined and left which group; its ids are the log's versions
    cim:last-group-id   the highest id given

The first three have the tag of the group's conversation, since appending reads them; joining sets the read mark there.

A version of the log is the time in ms, or one more than the last version. So if Redis lost its latest writes, lost
versions do not come again, and a reader that has seen one learns that changes are missing.

A route makes one change of a group at a time, and batches the operations that arrive meanwhile into the next. So
changes by several routes seldom conflict, however many there are: only if they concern the same member or an owner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.errors import CIMError, Conflict, StoreUnavailable
from cim.interfaces import IGroups
from cim.model import (
    MAX_GROUPS,
    Ban,
    Group,
    GroupChange,
    Happened,
    Listing,
    Member,
    Memberships,
    Restrictions,
    Role,
)
from cim.store.decided import DecidedGroups, GroupChanged
from cim.store.pages import CHANGES_KEPT
from cim.store.redis.changing import REPEATS, Changing, Decision, Facts, Words
from cim.store.redis.group_batch import GROUP, IDS, LOG, MEMBERS, MINE, GroupBatch, Seen, group_keys, happening
from cim.store.redis.keys import Key
from cim.store.redis.restrictions import BANNED, MUTE, MUTED, ban_of, pairs, restrictions, running, until_of
from cim.store.redis.scripts import script
from cim.store.redis.walking import walk
from cim.store.rules.group_values import Depart, Operation
from cim.store.rules.groups import check_groups
from cim.wire import conversations

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

PAGE = script("members")
#: The most operations in a batch, which takes Redis a few milliseconds.
TOGETHER = 100
#: How many groups have their last seen state cached.
KEPT_GROUPS = 10_000

_GROUP_KEY = re.compile(rb"%b\{g:([1-9][0-9]*)\}" % Key.GROUP.encode())
_LAST_CHANGE = (6, "XREVRANGE", 1, "+", "-", "COUNT", 1)
_FIELDS = ("name", "open", "history", "version", MUTE, "ended")
_WHOLE = Facts(0, 2, (2 + len(_FIELDS), "HMGET", 1, *_FIELDS, 2, "HLEN", 2))
_STREAM, _LAST = MINE + 1, MINE + 2


def _group(id: int, fields: Sequence[bytes | None], members: int) -> Group | None:
    """Return the group with these fields, None if it is gone."""
    name, open, history, version, muted, ended = fields
    if name is None or version is None:
        return None
    flags = open == b"1", history == b"1"
    return Group(id, name.decode(), *flags, members, int(version), until_of(muted), ended is not None)


def _member(group: int, user: int, held: bytes) -> Member:
    role, _, floor = held.decode().partition(" ")
    return Member(group, user, Role(int(role)), floor)


def _change(line: Any, previous: int) -> GroupChange:
    id, (_, group, _, user, _, added, _, group_version, *floor) = line
    floor = floor[1].decode() if floor else ""  # absent in what the first release logged
    return GroupChange(_version(id), int(group), int(user), added == b"1", int(group_version), floor, previous)


def _version(id: bytes) -> int:
    return int(id.partition(b"-")[0])


@implementer(IGroups)
class RedisGroups(DecidedGroups):
    """Groups that all routes share."""

    def __init__(self, connection: RedisCalls, changing: Changing) -> None:
        self._connection = connection
        self._changing = changing
        # Group -> the operations that wait for the change under way; groups without a change under way have no key.
        self._waiting: dict[int, list[tuple[Operation, Deferred[GroupChanged]]]] = {}
        self._seen: dict[int, Seen] = {}

    def change(self, name: str, id: int, operation: Operation) -> Deferred[GroupChanged]:
        """See DecidedGroups."""
        return self._changing.operation(name, self._change(id, operation))

    async def _change(self, id: int, operation: Operation) -> GroupChanged:
        waiting = self._waiting.get(id)
        if waiting is not None:
            changed: Deferred[GroupChanged] = Deferred()
            waiting.append((operation, changed))
            return await changed
        self._waiting[id] = []
        try:
            (result,) = await self._change_together(id, [operation])
        finally:
            if self._waiting[id]:
                Deferred.fromCoroutine(self._change_waiting(id))
            else:
                del self._waiting[id]
        if isinstance(result, CIMError):
            raise result
        return result

    async def _change_waiting(self, id: int) -> None:
        while waiting := self._waiting[id]:
            together, self._waiting[id] = waiting[:TOGETHER], waiting[TOGETHER:]
            try:
                results = await self._change_together(id, [operation for operation, _ in together])
            except Exception:
                for _, changed in together:
                    changed.errback()
                continue
            for (_, changed), result in zip(together, results, strict=True):
                changed.callback(Failure(result) if isinstance(result, CIMError) else result)
        del self._waiting[id]

    async def _change_together(self, id: int, operations: Sequence[Operation]) -> list[GroupChanged | CIMError]:
        batch = GroupBatch(id, operations)
        guess = batch.guess(self._seen.pop(id, None))
        results = await self._changing.change("group", batch.keys, batch.facts, batch.decide, guess)
        if batch.seen is not None:
            self._remember(id, batch.seen)
        return results

    def _remember(self, id: int, seen: Seen) -> None:
        self._seen[id] = seen
        if len(self._seen) > KEPT_GROUPS:
            del self._seen[next(iter(self._seen))]

    def create(self, owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """See IGroups."""
        return self._changing.operation("create_group", self._create(owner, name, open, history))

    async def _create(self, owner: int, name: str, open: bool, history: bool) -> Group:
        last = 0
        while True:
            id = await self._changing.new_id(last)
            record = f"{Role.OWNER:d} "
            fields = ("name", name, "open", int(open), "history", int(history), "version", 0, "owners", 1)
            words: Words = [3, "SET", _LAST, id, 2 + len(fields), "HSET", GROUP, *fields]
            words += 4, "HSET", MEMBERS, owner, record, 4, "ZADD", IDS, owner, owner, 4, "HSET", MINE, id, record
            words += 7, "@LOG", GROUP, LOG, MEMBERS, id, owner, 1

            def decide(replies: Sequence[Any], now: int, words: Words = words) -> Decision[int | None]:
                *used, past, count = replies
                if past or any(used):
                    return Decision([], int(past))
                check_groups(count)
                return Decision(words, None, bounds=[(MINE, 0, MAX_GROUPS - 1)])

            unused = Facts(3, 1, (2, "EXISTS", GROUP, 2, "EXISTS", _STREAM, 3, "@PAST", _LAST, id, 2, "HLEN", MINE))
            keys = [*group_keys(id), Key.GROUPS_OF.of(owner), Key.STREAM.of(conversations.group(id)), Key.LAST_GROUP]
            again = await self._changing.change("create_group", keys, unused, decide, (0, 0, 0, 0))
            if again is None:
                self._remember(id, Seen([b"%d" % open, b"%d" % history, b"1", None], {owner: b"2"}))
                return Group(id, name, open, history, 1, 1)
            last = again

    def group(self, id: int) -> Deferred[Group | None]:
        """See IGroups."""
        return self._changing.operation("group", self._group(id))

    async def _group(self, id: int) -> Group | None:
        (fields, members), _ = await self._changing.look("group", group_keys(id)[:MEMBERS], _WHOLE)
        return _group(id, fields, members)

    def listed(self, *, after: str = "", limit: int) -> Deferred[Listing[Group]]:
        """See IGroups."""

        async def read(keys: Sequence[bytes]) -> list[Group]:
            ids = [int(match[1]) for key in keys if (match := _GROUP_KEY.fullmatch(key))]
            words: list[tuple[str, ...]] = []
            for id in ids:
                of_group, of_members = group_keys(id)[:MEMBERS]
                words += ("HMGET", of_group, *_FIELDS), ("HLEN", of_members)
            replies = await self._connection.commands("list_groups", *words)
            found = map(_group, ids, replies[::2], replies[1::2])
            return [group for group in found if group is not None]

        pattern = f"{Key.GROUP}{{g:*"
        return self._changing.operation(
            "list_groups", walk(self._connection, "list_groups", pattern, "hash", read, after=after, limit=limit)
        )

    def member(self, id: int, user: int) -> Deferred[Member | None]:
        """See IGroups."""
        return self._connection.command("member", "HGET", Key.MEMBERS.of(conversations.group(id)), user).addCallback(
            lambda held: None if held is None else _member(id, user, held)
        )

    def members(self, id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """See IGroups."""
        return self._connection.run(PAGE, group_keys(id)[MEMBERS - 1 : IDS], (after, limit)).addCallback(
            lambda lines: [_member(id, int(user), held) for user, held in lines]
        )

    def memberships(self, user: int, version: int | None = None) -> Deferred[Memberships]:
        """See IGroups."""
        return self._changing.operation("memberships", self._memberships(user, version))

    async def _memberships(self, user: int, version: int | None) -> Memberships:
        # The version first: changes in between are then reported again.
        commands: list[tuple[str | int, ...]] = [("HGETALL", Key.GROUPS_OF.of(user))]
        if version is None:
            commands.insert(0, ("XREVRANGE", Key.GROUP_LOG, "+", "-", "COUNT", 1))
        *last, held = await self._connection.commands("memberships", *commands)
        if version is None:
            version = _version(last[0][0][0]) if last[0] else 0
        members = [_member(int(id), user, record) for id, record in zip(held[::2], held[1::2], strict=True)]
        members.sort(key=lambda member: member.group)
        return Memberships(version, tuple(members))

    async def _restricted(self, name: str, key: str, prefix: str = "") -> tuple[Sequence[bytes], int]:
        (flat,), now = await self._changing.look(name, (key,), Facts(0, 1, (3, "@FIELDS", 1, prefix)))
        return flat, now

    def mutes(self, id: int) -> Deferred[Mapping[int, int]]:
        """See IGroups."""

        async def read() -> Mapping[int, int]:
            return running(*await self._restricted("mutes", group_keys(id)[GROUP - 1], MUTED))

        return self._changing.operation("mutes", read())

    def bans(self, id: int) -> Deferred[Sequence[Ban]]:
        """See IGroups."""

        async def read() -> Sequence[Ban]:
            flat, _ = await self._restricted("bans", group_keys(id)[GROUP - 1], BANNED)
            found = [ban_of(id, user, record) for user, record in pairs(flat, BANNED)]
            return sorted(found, key=lambda one: (-one.at, one.user))

        return self._changing.operation("bans", read())

    def restrictions(self, user: int) -> Deferred[Restrictions]:
        """See IGroups."""

        async def read() -> Restrictions:
            return restrictions(user, *await self._restricted("restrictions", Key.RESTRICTED.of(user)))

        return self._changing.operation("restrictions", read())

    async def lift_all(self, user: int) -> None:
        """Forget all mutes and bans of a user whose account is being deleted."""
        held = await self.restrictions(user)
        groups = {*held.muted, *(ban.group for ban in held.bans)}
        commands = [("HDEL", group_keys(id)[GROUP - 1], f"{MUTED}{user}", f"{BANNED}{user}") for id in groups]
        await self._connection.commands("delete", *commands, ("DEL", Key.RESTRICTED.of(user)))

    def happened(self, id: int, limit: int = 1000) -> Deferred[list[Happened]]:
        """See IGroups."""
        key = Key.HAPPENED.of(conversations.group(id))
        return self._connection.command("happened", "LRANGE", key, 0, limit - 1).addCallback(
            lambda lines: [happening(line) for line in lines]
        )

    def told(self, id: int, number: int) -> Deferred[None]:
        """See IGroups."""
        return self._changing.operation("told", self._told(id, number))

    async def _told(self, id: int, number: int) -> None:
        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            (line,) = replies[0] or (None,)
            gone = number + 1 - happening(line).number if line is not None else 0
            return Decision([4, "LTRIM", 1, gone, -1] if gone > 0 else [])

        first = Facts(1, 0, (4, "LRANGE", 1, 0, 0))
        await self._changing.change("told", (Key.HAPPENED.of(conversations.group(id)),), first, decide)

    def changes(self, after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """See IGroups."""
        return self._changing.operation("group_changes", self._changes(after, limit))

    async def _changes(self, after: int, limit: int) -> tuple[list[GroupChange], int, bool]:
        position = f"{after}-0"
        # Whether all later changes are there: because this one is still there, or none was ever removed.
        known = (4, "XRANGE", 1, position, position) if after else (2, "XLEN", 1)
        facts = Facts(0, 3, (*_LAST_CHANGE, 6, "XRANGE", 1, f"({position}", "+", "COUNT", limit, *known))
        (last, lines, known_by), _ = await self._changing.look("group_changes", (Key.GROUP_LOG,), facts)
        complete = bool(known_by) if after else known_by < CHANGES_KEPT
        before = [after if complete else 0, *(_version(line[0]) for line in lines)]
        changes = [_change(line, previous) for line, previous in zip(lines, before, strict=False)]
        return changes, _version(last[0][0]) if last else 0, not complete

    async def leave_all(self, user: int) -> None:
        """End all memberships of a user whose account is being deleted."""
        for held in await self._connection.command("delete", "HKEYS", Key.GROUPS_OF.of(user)):
            id = int(held)
            for _ in range(REPEATS + 1):
                first = await self._connection.command("delete", "ZRANGE", group_keys(id)[IDS - 1], 0, 1)
                heir = next((int(member) for member in first if int(member) != user), None)
                try:
                    await self.change("delete", id, Depart(user, heir))
                    break
                except Conflict:  # its members have changed in the meantime
                    pass
            else:
                raise StoreUnavailable()
