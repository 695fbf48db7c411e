"""Copies of what the directory of a cluster holds, in the buckets of conversations, for appends to look at.

    cim:todo      in the directory, hash: what is to be copied -> when it was noted, and by whom; `#`: the last number
    cim:copied    in other buckets, hash: what copies are about -> the number of the last

What is copied, by the names of notes:

    g <group> <field>    a field of a group that an append looks at
    u <group> <user>     a member's record, among the members and among the user's groups, and its first read mark
    x <group>            that a group is gone, with all that was said in it
    b <user> <other>     that a user blocks another one
    m <user>             that an operator mutes a user; in all buckets

The step that changes something notes what is to be copied. Its route copies it before it answers, and takes the note
away; if it dies, others do when they find the note. What is copied is read under a number that only grows, and a copy
is never replaced by one with a lower number, so that it does not matter who copies when.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve

from cim.errors import StoreUnavailable
from cim.store.redis.buckets import DIRECTORY, OTHERS, bucket_of
from cim.store.redis.changing import Changing, Decision, Facts, Words
from cim.store.redis.cluster.connection import gathered
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script
from cim.supervision import Loop
from cim.wire import conversations

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from cim.model import Append
    from cim.store.redis.cluster.connection import ClusterConnection

HELD = script("held")
COPY = script("copy")
COPIED = script("copied")
#: How often one looks for what others have left, in seconds, and how old that is, in ms.
LOOK_SECONDS = 1.0
LEFT_MS = 1500
#: How many notes are seen to at a time.
TOGETHER = 100
#: How often something is read again because another route was faster.
REPEATS = 20
_OPERATION = "copy"
#: The fields of a group that appends look at, besides those of who is muted.
_FIELDS = frozenset({"version", "ended", "mute"})


def _tag(key: str, kind: Key) -> str | None:
    """Return the tag of a key of a kind, None if it is of another one."""
    return key[len(kind) + 1 : -1] if key.startswith(f"{kind}{{") else None


def noted(keys: Sequence[str], words: Sequence[Any]) -> list[str]:
    """Return the names of notes of what is to be copied after a change."""
    found: dict[str, None] = {}
    at = 0
    while at < len(words):
        name, number, *args = words[at + 1 : at + 1 + words[at]]
        at += 1 + words[at]
        key = keys[number - 1]
        if (tag := _tag(key, Key.GROUP)) is not None:
            group = tag.removeprefix("g:")
            if name == "UNLINK":
                found[f"x {group}"] = None
            fields: list[str] = []
            if name == "HSET":
                fields = [str(one) for one in args[::2]]
            elif name == "HDEL":
                fields = [str(one) for one in args]
            elif name == "@LOG":
                fields = ["version"]
            elif name == "@HELD":
                fields = [f"{args[1]}{args[2]}"]
            found |= dict.fromkeys(f"g {group} {one}" for one in fields if one in _FIELDS or one.startswith("m:"))
        elif (tag := _tag(key, Key.MEMBERS)) is not None:
            if name in ("HSET", "HDEL", "@JOIN", "@ROLE"):
                found[f"u {tag.removeprefix('g:')} {args[0]}"] = None
        elif (tag := _tag(key, Key.BLOCKED)) is not None:
            if name in ("HSET", "HDEL"):
                found[f"b {tag} {args[0]}"] = None
        elif key == Key.MUTED:
            if name == "HSET":
                found[f"m {args[0]}"] = None
            elif name == "HDEL":
                found |= dict.fromkeys(f"m {one}" for one in args)
    return list(found)


def _places(note: Sequence[str]) -> tuple[str, Sequence[int]]:
    """Return what a copy is about, and in which buckets it is."""
    kind, id, further = note
    if kind == "m":
        return "m", OTHERS
    name = conversations.private(int(id), int(further)) if kind == "b" else conversations.group(int(id))
    return name, (bucket_of(name),)


class Copies:
    """Copies what changes, and what other routes have left to copy.

    :param random: returns a number from 0 to 1
    """

    def __init__(self, connection: ClusterConnection, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._connection = connection
        self._route = f"{random():.15f}"[2:]
        self._numbers = itertools.count()
        self._loop = Loop("a look at what is to be copied in the Redis Cluster", self._look, clock)
        for one in (HELD, COPY, COPIED):
            connection.load(one)

    def start(self) -> None:
        """Begin to look for what others leave."""
        self._loop.start(LOOK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        self._loop.cancel()

    def mark(self) -> str:
        """Return the value of a note that is made now."""
        return f"{self._connection.clock.now()} {self._route} {next(self._numbers)}"

    async def carry(self, notes: Mapping[str, str]) -> None:
        """Copy what notes name, and take them away.

        :param notes: name -> value
        :raises StoreUnavailable: it may not be copied; whoever finds the notes does it
        """
        left = list(notes)
        for _ in range(REPEATS):
            left = await self._copy(left)
            if not left:
                break
        else:
            raise StoreUnavailable()
        taken = [word for note in notes.items() for word in note]
        await self._connection.evaluate_in(_OPERATION, DIRECTORY, COPIED, (Key.TODO,), taken)

    async def renewed(self, item: Append) -> bool:
        """Copy anew what says that somebody may append, if the directory does; return whether it does.

        A bucket that lost its last moments with a master lacks what was copied then.

        :raises StoreUnavailable: nobody knows
        """
        group = item.conversation.removeprefix("g:")
        if group == item.conversation or not item.sender:
            return False
        key = Key.MEMBERS.of(item.conversation)
        if await self._connection.command("member", "HGET", key, item.sender) is None:
            return False
        fields = (*_FIELDS, f"m:{item.sender}")
        notes = (*(f"g {group} {field}" for field in fields), f"u {group} {item.sender}")
        await self.carry(dict.fromkeys(notes, ""))
        return True

    async def _copy(self, notes: Sequence[str]) -> list[str]:
        """Copy something once; return what somebody else has copied later."""
        named = {note: (*note.split(" "), "")[:3] for note in notes}
        asked = [part for parts in named.values() for part in parts]
        number, values = await self._connection.evaluate_in(_OPERATION, DIRECTORY, HELD, (Key.TODO,), asked)
        writes: dict[tuple[int, str], tuple[list[str], list[str | bytes]]] = {}
        indexed = []
        for (note, parts), value in zip(named.items(), values, strict=True):
            about, buckets = _places(parts)
            found = [b"" if one is None else b"=" + one for one in (*value, None)[:2]]
            if parts[0] == "u" and found[0]:
                index = Key.BUCKETS.of(parts[2])
                indexed.append((bucket_of(parts[2]), ("ZADD", index, "+inf", buckets[0])))
            for bucket in buckets:
                of_notes, words = writes.setdefault((bucket, about), ([], []))
                of_notes.append(note)
                words += (*parts, *found)
        await self._connection.commands_in(_OPERATION, indexed)
        done = await gathered(
            self._connection.evaluate_in(_OPERATION, bucket, COPY, (Key.COPIED,), (about, number, *words))
            for (bucket, about), (_, words) in writes.items()
        )
        left = [
            note for (of_notes, _), well in zip(writes.values(), done, strict=True) if not well for note in of_notes
        ]
        return list(dict.fromkeys(left))

    async def _look(self) -> float:
        """Copy what was left; never fails."""
        try:
            (held,) = await self._connection.commands(_OPERATION, ("HRANDFIELD", Key.TODO, TOGETHER, "WITHVALUES"))
            words = [word.decode() for word in held]
            oldest = self._connection.clock.now() - LEFT_MS
            left = {
                note: mark
                for note, mark in zip(words[::2], words[1::2], strict=True)
                if note != "#" and int(mark.partition(" ")[0]) < oldest
            }
            if left:
                await self.carry(left)
        except StoreUnavailable:
            pass
        return LOOK_SECONDS


class ClusterChanging(Changing):
    """Makes changes in the directory, and in the buckets of users, with copies of what is copied."""

    def __init__(
        self,
        connection: ClusterConnection,
        clock: IReactorTime,
        random: Callable[[], float],
    ) -> None:
        super().__init__(connection, clock, random)
        self.copies = Copies(connection, clock, random)

    async def _call(
        self,
        name: str,
        keys: Sequence[str],
        facts: Facts,
        replies: Sequence[Any] = (),
        decision: Decision[Any] | None = None,
    ) -> tuple[int, Sequence[Any]]:
        notes = noted(keys, decision.words) if decision is not None else []
        if decision is None or not notes:
            return await super()._call(name, keys, facts, replies, decision)
        mark = self.copies.mark()
        words: Words = [2 + 2 * len(notes), "HSET", len(keys) + 1]
        for note in notes:
            words += note, mark
        decision = evolve(decision, words=[*decision.words, *words])
        wrote, found = await super()._call(name, [*keys, Key.TODO], facts, replies, decision)
        if wrote:
            await self.copies.carry(dict.fromkeys(notes, mark))
        return wrote, found
