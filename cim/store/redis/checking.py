"""Reads all that is in Redis and names what does not fit (docs/backup.md)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from cim.errors import BadFrame, InvalidField
from cim.model import Role
from cim.names import comparison_form
from cim.plain import quoted
from cim.store.counted import Counted
from cim.store.redis.accounts import name_key
from cim.store.redis.external_ids import external_key, read_externals, read_link
from cim.store.redis.keys import Key
from cim.store.redis.names import account_key, form_key, id_of_account, ids_of
from cim.store.redis.people import member_of
from cim.store.redis.reports import field_of, read_report
from cim.store.redis.restrictions import BANNED, MUTED, pairs
from cim.store.redis.schema import NEWEST, taken
from cim.store.redis.walking import walk
from cim.wire import conversations, native, positions
from cim.wire.positions import ZERO, Position

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

CHECK = "check"
#: How many entries, or members, are read at once.
STEP = 500
_LOG = re.compile(rb"(\S+) ([0-9]+) ([0-9]+) ([0-9]+)")
#: Looks at what is at a key, and returns what is wrong with it.
Look = Callable[[str], Awaitable[list[str]]]


class RedisCheck:
    """Reads all accounts, groups and conversations, while routes may write.

    What seems wrong is looked at again, for it may have been half changed. Something may be read, and counted, twice.

    :ivar counted: how much was read
    """

    def __init__(self, connection: RedisCalls) -> None:
        self._connection = connection
        self.counted = Counted()

    def start(self) -> None:
        """Connect, without the steps that a route would take, at which routes of earlier releases stop."""
        self._connection.start()

    async def stop(self) -> None:
        """Close the connection."""
        await self._connection.stop()

    async def is_current(self) -> bool:
        """Return whether the data has the schema of this release, not that of an earlier one.

        :raises StoreUnavailable: Redis does not answer, or a newer release has changed the data
        """
        ((held,),) = await self._ask(("MGET", Key.SCHEMA))
        return taken(held) == NEWEST

    async def wrong(self) -> AsyncIterator[str]:
        """Yield a sentence for each thing that does not fit.

        :raises StoreUnavailable: Redis does not answer
        """
        looks: tuple[tuple[str, str, Look], ...] = (
            (f"{Key.ACCOUNT}*", "string", self._account),
            (f"{Key.GROUP}*", "hash", self._group),
            (f"{Key.GROUPS_OF}*", "hash", self._memberships),
            (f"{Key.COUNTERS}*", "hash", self._conversation),
            (Key.MUTED, "hash", self._mutes),
            (Key.REPORTS, "hash", self._reports),
        )
        for pattern, kind, look in looks:
            after: str | None = ""
            while after is not None:
                keys = await walk(self._connection, CHECK, pattern, kind, _themselves, after=after, limit=100)
                for key in keys.items:
                    found = await look(key)
                    for complaint in await look(key) if found else ():
                        if complaint in found:
                            yield complaint
                after = keys.more or None

    async def _ask(self, *commands: tuple[str | int, ...]) -> list[Any]:
        return await self._connection.commands(CHECK, *commands)

    async def _ask_beside(self, conversation: str, *commands: tuple[str | int, ...]) -> list[Any]:
        """Ask for what lies beside a conversation."""
        return await self._ask(*commands)

    async def _account(self, key: str) -> list[str]:
        user = id_of_account(key.encode())
        if user is None:  # somebody else's
            return []
        self.counted.accounts += 1
        (value,) = await self._ask(("GET", key))
        if value is None:
            return []
        name = value.decode(errors="replace")
        form = comparison_form(name)
        ours, theirs, held, password, place, called = await self._ask(
            ("GET", name_key(name)),
            ("MGET", name),
            ("GET", form_key(form)),
            ("HEXISTS", Key.CREDENTIAL.of(user), "password"),
            ("ZSCORE", Key.PEOPLE, member_of(form, user)),
            ("HGETALL", Key.EXTERNALS.of(user)),
        )
        found = ours == str(user).encode() or (ours is None and theirs == [account_key(user).encode()])
        wrong = [] if found else [f"account {user} is called {quoted(name)} and is not found by that"]
        if form and user not in ids_of(held):
            wrong.append(f"account {user} is called {quoted(name)} and is not found by {quoted(form)}")
        if form and (place is not None) is not bool(password):
            why = "has a password and is not" if password else "has no password and is"
            wrong.append(f"account {user} {why} found by the beginning of its name")
        externals = read_externals(called)
        leading = await self._ask(*(("GET", external_key(one)) for one in externals)) if externals else []
        wrong += [
            f"account {user} is called {quoted(one.id)} by {quoted(one.issuer)} and is not found by that"
            for one, value in zip(externals, leading, strict=True)
            if read_link(value, 0).user != user
        ]
        return wrong

    async def _group(self, key: str) -> list[str]:
        name = tag_of(key, Key.GROUP)
        found = re.fullmatch(r"g:([0-9]+)", name)
        if found is None:
            return []
        self.counted.groups += 1
        group = found[1]
        owners_said, ids = await self._ask(("HGET", key, "owners"), ("ZRANGE", Key.MEMBER_IDS.of(name), 0, -1))
        wrong, owners, members = [], 0, 0
        async for users, records in self._members(name):
            members += len(users)
            owners += sum(record[:1] == str(int(Role.OWNER)).encode() for record in records)
            again = await self._ask(*(("HGET", Key.GROUPS_OF.of(user), group) for user in users))
            wrong += [
                f"user {user} is in group {group}, and not by the user's own groups"
                for user, record, said in zip(users, records, again, strict=True)
                if said != record
            ]
        wrong += await self._restrictions(key, group)
        if len(ids) != members:
            wrong.append(f"group {group} lists {len(ids)} members, but has {members}")
        if owners_said is None or int(owners_said) != owners or not owners:
            wrong.append(f"group {group} counts {int(owners_said or 0)} owners, but has {owners}")
        return wrong

    async def _restrictions(self, key: str, group: str) -> list[str]:
        """Return what is wrong with who is muted in a group, and banned from it."""
        (fields,) = await self._ask(("HGETALL", key))
        wrong = []
        for prefix, what in ((MUTED, "is muted in"), (BANNED, "is banned from")):
            held = pairs(fields, prefix)
            mine = await self._ask(*(("HGET", Key.RESTRICTED.of(user), f"{prefix}{group}") for user, _ in held))
            wrong += [
                f"user {user} {what} group {group}, and not by what the user's own groups hold"
                for (user, record), said in zip(held, mine, strict=True)
                if said != record
            ]
        return wrong

    async def _members(self, name: str) -> AsyncIterator[tuple[list[str], list[bytes]]]:
        cursor = b"0"
        while True:
            ((cursor, found),) = await self._ask(("HSCAN", Key.MEMBERS.of(name), cursor.decode(), "COUNT", STEP))
            if found:
                yield [user.decode() for user in found[::2]], list(found[1::2])
            if cursor == b"0":
                return

    async def _memberships(self, key: str) -> list[str]:
        user = tag_of(key, Key.GROUPS_OF)
        (groups,) = await self._ask(("HKEYS", key))
        names = [group.decode() for group in groups]
        there = await self._ask(*(("HEXISTS", Key.MEMBERS.of(f"g:{group}"), user) for group in names)) if names else []
        return [
            f"user {user} is in group {group} by its own groups, and not by the group's members"
            for group, exists in zip(names, there, strict=True)
            if not exists
        ]

    async def _mutes(self, key: str) -> list[str]:
        (users,) = await self._ask(("HKEYS", key))
        there = await self._ask(*(("EXISTS", account_key(int(user))) for user in users))
        return [
            f"user {int(user)} is muted, and does not exist"
            for user, exists in zip(users, there, strict=True)
            if not exists
        ]

    async def _reports(self, key: str) -> list[str]:
        (records,) = await self._ask(("HGETALL", key))
        wrong = []
        for id, record in zip(map(int, records[::2]), map(read_report, records[1::2]), strict=True):
            if record is None:
                wrong.append(f"report {id} cannot be read")
                continue
            among = Key.REPORTS_CLOSED if record.closed else Key.REPORTS_OPEN
            by, about = Key.REPORTS_BY.of(record.reporter), Key.REPORTS_ABOUT.of(record.sender)
            places = ("ZSCORE", among, id), ("HGET", by, field_of(record)), ("ZSCORE", about, id)
            if None in await self._ask(*places):
                wrong.append(f"report {id} is not found by its state, by who made it, or by what it is about")
        return wrong

    async def _conversation(self, key: str) -> list[str]:
        name = tag_of(key, Key.COUNTERS)
        try:
            conversations.parse(name)
        except InvalidField:
            return [f"{quoted(key)} is of {quoted(name)}, which is no name of a conversation"]
        self.counted.conversations += 1
        (said,) = await self._ask(("HGET", key, "log"))
        log = _LOG.fullmatch(said or b"")
        if log is None:
            return [] if said is None else [f"{name}: its counters cannot be read"]
        end, total = positions.parse(log[1].decode()), int(log[2])
        wrong = await self._entries(name, end, total)
        (fields,) = await self._ask(("HGETALL", key))
        for field, value in zip(fields[::2], fields[1::2], strict=True):
            kind, _, user = field.decode(errors="replace").partition(":")
            if kind in ("r", "v"):
                mark = value.partition(b" ")[0].decode()
                if positions.parse(mark) > end:
                    wrong.append(f"{name}: the mark of user {user} is at {mark}, beyond the end")
        return wrong + await self._followers(name, end)

    async def _followers(self, name: str, end: Position) -> list[str]:
        noted, changed, followers = await self._ask_beside(
            name,
            ("HEXISTS", Key.COUNTERS.of(name), "noted"),
            ("HEXISTS", Key.CHANGED, name),
            ("ZRANGE", Key.FOLLOWERS, 0, -1),
        )
        wrong = [] if noted <= changed else [f"{name}: that it has changed will be told to no webhook"]
        for follower in followers:
            (held,) = await self._ask_beside(name, ("HGET", Key.FOLLOWED.of(follower.decode()), name))
            place = (held or b"").rpartition(b" ")[2].decode()
            if positions.parse(place) > end:
                wrong.append(f"{name}: webhook {follower.decode()} is at {place}, beyond the end")
        return wrong

    async def _entries(self, name: str, end: Position, total: int) -> list[str]:
        wrong: list[str] = []
        last: Position = ZERO
        counted = 0
        start = "-"
        while True:
            (entries,) = await self._ask(("XRANGE", Key.STREAM.of(name), start, "+", "COUNT", STEP))
            for id, words in entries:
                at = id.decode()
                counted += 1
                named = dict(zip(words[::2], words[1::2], strict=True))
                position = positions.parse(at)
                before = positions.parse(named[b"p"].decode()) if b"p" in named else (position[0], position[1] - 1)
                if not last <= before < position and last != ZERO:
                    wrong.append(
                        f"{name}: {at} names {positions.text(before)} as the message before it, and that is "
                        f"{positions.text(last)}"
                    )
                if position > end:
                    wrong.append(f"{name}: {at} is beyond the end, {positions.text(end)}")
                if not _is_body(named.get(b"b")):
                    wrong.append(f"{name}: {at} cannot be decoded")
                last = position
            if len(entries) < STEP:
                break
            start = f"({entries[-1][0].decode()}"
        self.counted.messages += counted
        if counted > total:
            wrong.append(f"{name} has {counted} messages, and counts {total}")
        return wrong


async def _themselves(keys: Sequence[bytes]) -> Sequence[str]:
    return [key.decode(errors="replace") for key in keys]


def tag_of(key: str, prefix: Key) -> str:
    """Return the tag of a key of a kind."""
    return key.removeprefix(prefix).removeprefix("{").removesuffix("}")


def _is_body(body: bytes | None) -> bool:
    try:
        return body is not None and bool(native.parse_body(body))
    except BadFrame:
        return False
