"""Conversations in Redis (docs/architecture.md, Conversations).

    cim:c:{<conversation>}      stream, whose ids are the positions: s sender, w sent_at, t how many messages up to this
                                one count as unread (negative if this one does not), b body, p the previous position
                                unless it is the previous number, f if its sender's quota does not pay for it
    cim:n:{<conversation>}      hash: log: the last position, the number of messages so far, how many of them count as
                                unread, and the activity in the indexes; s:<user>: how many of those are the user's, and
                                the position of the last; r:<user>: the read mark, and how many of others' are up to it;
                                v:<user>: what reached a device of a user without a read mark, in private conversations;
                                bytes, held, h:<user>: what is held there (history.lua); once: since when, and from
                                which message on, cim:o: remembers; noted, if it is in cim:changed
    cim:x:{<conversation>}      sorted set: positions of recalled messages, padded with zeros
    cim:e:{<conversation>}      sorted set: positions of edited messages, padded likewise, with those of the last edits,
                                and of what operators recalled, with those of the recalls
    cim:o:{<conversation>}      hash: <sender>:<client_id> -> where the message is, or why a policy refused it; and
                                cim:o:{...}:before, what was there before that; both expire (once.lua)
    cim:d:{<conversation>}:<sender>:<client_id>   the same of an earlier release, for 24 hours
    cim:q:{<user>}              hash: all: bytes that the user's quota pays for; <day>: those of one day since 1970,
                                about; expires with them
    cim:a:{<user>}              sorted set: private conversations -> time of the last activity, at most a second late
    cim:ga                      sorted set: conversations of groups -> the same
    cim:m:{<user>}:<device>     hash: conversation -> received mark; expires after a long absence of the device

No cost grows with the number of members, conversations or messages, except for the logarithm of the sorted sets. The
unread count is a difference of counters. The last position is read from the counters, or from the stream if someone
removed them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import chain, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import CIMError, StoreUnavailable
from cim.interfaces import IConversations
from cim.model import Append, Appended, Charge, ConversationHead, Entry, Fate, HeadsPage, Mark, Page, Retention
from cim.store.bounds import blocks
from cim.store.pages import (
    BEFORE_MS,
    EVERYONE_KEPT,
    MAX_LOOKED,
    PAGE_BYTES,
    Found,
    page_after,
    page_before,
    parse_cursor,
    readable,
    refused,
    without_edit,
)
from cim.store.redis.invitations import waiting
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script
from cim.store.redis.walking import walk
from cim.wire import conversations, positions

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

APPEND = script("append", "positions", "history", "once")
#: How many calls of `append` are under way at once; Redis runs them in order, so conversations keep their order.
CALLS = 2
READ = script("read", "positions")
ENTRY = script("entry", "positions")
STANDING = script("standing", "positions")
MARK = script("mark", "positions")
HEADS = script("heads", "positions")
REWRITE = script("rewrite")

#: What all messages of a run have in common, apart from what is charged to each.
_of_run = attrgetter(
    *("conversation", "sender", "sent_at"),
    *("fate", "counts", "refers", "recalls", "edits", "past_blocks", "by_operator"),
)


@implementer(IConversations)
class RedisConversations:
    """Conversations that all routes share.

    :param no_space: says whether nothing more is to be stored but recalls
    :param random: returns a number from 0 to 1
    """

    appends_at_once = CALLS

    def __init__(
        self,
        connection: RedisCalls,
        retention: Retention,
        *,
        no_space: Callable[[], bool],
        random: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._no_space = no_space
        self._random = random
        self._clock = connection.clock
        self._retention = retention
        self.skipped = 0
        self.followed = False
        connection.load(APPEND)

    def _oldest(self) -> int:
        return self._clock.now() - self._retention.ms

    def append(self, items: Sequence[Append]) -> Deferred[list[Appended | CIMError]]:
        """See IConversations."""
        if not self._clock.known:
            return Deferred.fromCoroutine(self._append_later(items))
        return self._append(items, [self._charge(item) for item in items], self._retention.user_bytes)

    def _append(
        self, items: Sequence[Append], charges: Sequence[str], quota: int
    ) -> Deferred[list[Appended | CIMError]]:
        keys: list[str] = []
        kept = self._retention
        args: list[str | bytes | int] = [self._clock.now(), kept.count, kept.ms, EVERYONE_KEPT, kept.bytes]
        args += (quota, int(self._no_space()), self._clock.lift())
        for start, end in pairwise((*_starts(items, charges), len(items))):
            first = items[start]
            sender = first.sender
            terms = f"{_role(first)}|{first.recalls or first.refers}|{first.past_blocks:d}|{charges[start]}"
            after = f"{sender}:{first.after}" if first.after else ""
            keys.append(Key.STREAM.of(first.conversation))
            args += (sender, first.sent_at, terms, end - start, after, f"{sender}:{first.client_id}")
            if end - start == 1:
                args += (first.digest, first.body)
                continue
            args += [f"{sender}:{item.client_id}" for item in items[start + 1 : end]]
            for item in items[start:end]:
                args += (item.digest, item.body)
        args.append(int(self.followed))
        return self._connection.run_in_epoch(APPEND, keys, args).addCallback(self._answers, items)

    async def _append_later(self, items: Sequence[Append]) -> list[Appended | CIMError]:
        await self._connection.ready()  # which knows the time
        return await self.append(items)

    def _charge(self, item: Append) -> str:
        if item.charge != Charge.USER:
            return item.charge
        if not self._retention.user_bytes:
            return "-"
        return quota_charge(len(item.body), self._random())

    def _answers(self, runs: Sequence[Sequence[Any]], items: Sequence[Append]) -> list[Appended | CIMError]:
        results: list[Appended | CIMError] = []
        for answer in chain.from_iterable(runs):
            item = items[len(results)]
            if isinstance(answer, list):
                results.append(_repeated(item, answer))
            elif answer.startswith(b"!"):
                self._connection.refused(APPEND.name, answer[1:].decode(errors="replace"))
                results.append(StoreUnavailable())
            elif answer.startswith(b"-"):
                results.append(refused(answer[1:].decode(errors="replace")))
            else:
                last, previous, its_version, count = answer.decode().split(" ")
                version = int(its_version)
                epoch, _, n = last.partition("-")
                if not previous:
                    self._saw(item.conversation, int(epoch))
                for number in range(int(n) - int(count) + 1, int(n)):
                    position = f"{epoch}-{number}"
                    results.append(Appended(position, previous, item.sent_at, item.body, False, version))
                    item, previous = items[len(results)], position
                results.append(Appended(last, previous, item.sent_at, item.body, False, version))
        return results

    def _saw(self, conversation: str, number: int) -> None:
        """Take note of the number with which a conversation begins, which no other one begins with."""
        self._connection.epoch.saw(number)

    def read(
        self, conversation: str, *, after: str = "", before: str = "", limit: int, floor: str = ""
    ) -> Deferred[Page]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._read(conversation, after, before, limit, floor))

    async def _read(self, conversation: str, after: str, before: str, limit: int, floor: str) -> Page:
        for position in (after, before, floor):
            positions.parse(position)
        keys = [key.of(conversation) for key in (Key.STREAM, Key.COUNTERS, Key.RECALLED, Key.EDITED)]
        last, upto, more, expired, strange, places, bodies, revised, first = await self._connection.run(
            READ, keys, (conversation, after, before, max(1, limit), floor, self._oldest(), PAGE_BYTES)
        )
        found = _found(places, bodies, revised, first, backwards=bool(before))
        if before:
            page, undecodable = page_before(bool(more), floor, found)
        else:
            page, undecodable = page_after(after, floor, last.decode(), upto.decode(), bool(more), bool(expired), found)
        self.skipped += strange + undecodable
        return page

    def entry(self, conversation: str, position: str, *, reader: int = 0) -> Deferred[Entry | None]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._entry(conversation, position, reader))

    async def _entry(self, conversation: str, position: str, reader: int) -> Entry | None:
        if positions.parse(position) == positions.ZERO:
            return None
        name = conversations.parse(conversation) if reader else None
        rights, partner = Key.MEMBERS.of(conversation), False
        if isinstance(name, conversations.PrivateConversation):
            rights, partner = Key.BLOCKED.of(name.other(reader)), True
        keys = (Key.STREAM.of(conversation), Key.RECALLED.of(conversation), rights)
        line = await self._connection.run(ENTRY, keys, (position, self._oldest(), reader, int(partner)))
        if not line:
            return None
        place, previous, body, recalled = line
        body = readable(body, bool(recalled))
        self.skipped += body is None
        return None if body is None else Entry(place.decode(), previous.decode(), body)

    def standing(self, conversation: str, texts: Sequence[str]) -> Deferred[Collection[str]]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._standing(conversation, texts))

    async def _standing(self, conversation: str, texts: Sequence[str]) -> Collection[str]:
        asked = [text for text in texts if positions.parse(text) != positions.ZERO]
        keys = (Key.STREAM.of(conversation), Key.RECALLED.of(conversation))
        found = await self._connection.run(STANDING, keys, (self._oldest(), *asked))
        return {text for text, stands in zip(asked, found, strict=True) if stands}

    def spoken(self, user: int, cursor: str = "") -> Deferred[tuple[Sequence[str], str]]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._spoken(user, cursor))

    async def _spoken(self, user: int, cursor: str) -> tuple[Sequence[str], str]:
        async def read(keys: Sequence[bytes]) -> list[str]:
            names = [key.decode(errors="replace")[len(Key.COUNTERS) + 1 : -1] for key in keys]
            said = await self._connection.commands("spoken", *(("HEXISTS", key, f"s:{user}") for key in keys))
            return [
                name
                for name, its in zip(names, said, strict=True)
                if its
                or conversations.involves(name, user)
                or (name == conversations.EVERYONE and await self._told_everyone(user))
            ]

        pattern = f"{Key.COUNTERS}*"
        found = await walk(self._connection, "spoken", pattern, "hash", read, after=cursor, limit=MAX_LOOKED)
        return found.items, found.more

    async def _told_everyone(self, user: int) -> bool:
        """Return whether a user has said something to everyone: few such messages are kept, and nobody counts them."""
        stream = Key.STREAM.of(conversations.EVERYONE)
        (entries,) = await self._connection.commands("spoken", ("XRANGE", stream, "-", "+"))
        senders = (dict(zip(fields[::2], fields[1::2], strict=True)).get(b"s") for _, fields in entries)
        return str(user).encode() in senders

    def rewrite(self, conversation: str, bodies: Mapping[str, bytes]) -> Deferred[None]:
        """See IConversations."""
        stream = Key.STREAM.of(conversation)
        keys = (stream, f"{stream}:rewritten", Key.COUNTERS.of(conversation))
        words = [word for position, body in bodies.items() for word in (position, body)]
        return self._connection.run(REWRITE, keys, words)

    def heads(
        self, user: int, device: str, *, after: str = "", since: int = 0, limit: int = 100
    ) -> Deferred[HeadsPage]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._heads(user, device, after, since, limit))

    async def _heads(self, user: int, device: str, after: str, since: int, limit: int) -> HeadsPage:
        active, name = parse_cursor(after) if after else ("", "")
        await self._connection.ready()
        now = self._clock.now()
        oldest = max(since - BEFORE_MS, self._oldest())
        keys = (Key.ACTIVITY.of(user), Key.GROUPS_OF.of(user), marks_key(user, device), Key.INVITED.of(user))
        args = (user, device, max(1, min(limit, MAX_LOOKED)), oldest, active, name, self._retention.device_ms)
        more, strange, lines, invitations = await self._connection.run(HEADS, keys, args)
        self.skipped += strange
        heads = [
            ConversationHead(name.decode(), latest.decode(), received.decode(), read.decode(), unread, int(active))
            for name, latest, received, read, unread, active in lines
        ]
        invited = waiting(user, invitations, now, since)
        return HeadsPage(tuple(heads), more.decode(), now, tuple(invited))

    def reached(self, conversation: str, devices: Mapping[int, Collection[str]]) -> Deferred[Mapping[int, str]]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._reached(conversation, devices))

    async def _reached(self, conversation: str, devices: Mapping[int, Collection[str]]) -> Mapping[int, str]:
        return await self._farthest(conversation, devices, lambda asked: self._connection.commands("reached", *asked))

    @staticmethod
    async def _farthest(
        conversation: str,
        devices: Mapping[int, Collection[str]],
        ask: Callable[[Sequence[tuple[str | int, ...]]], Awaitable[Sequence[bytes | None]]],
    ) -> Mapping[int, str]:
        asked: list[tuple[str | int, ...]] = []
        whose: list[int] = []
        for user, names in devices.items():
            asked.append(("HGET", Key.COUNTERS.of(conversation), f"r:{user}"))
            asked += [("HGET", marks_key(user, name), conversation) for name in names]
            whose += [user] * (1 + len(names))
        farthest: dict[int, str] = dict.fromkeys(devices, "")
        for user, held in zip(whose, await ask(asked) if asked else (), strict=True):
            position = (held or b"").partition(b" ")[0].decode()
            farthest[user] = max(farthest[user], position, key=positions.parse)
        return farthest

    def mark(self, marks: Sequence[Mark]) -> Deferred[list[str]]:
        """See IConversations."""
        return Deferred.fromCoroutine(self._mark(marks))

    async def _mark(self, marks: Sequence[Mark]) -> list[str]:
        return [position.decode() for position in await self._connection.run(MARK, *self._marking(marks))]

    def _marking(self, marks: Sequence[Mark]) -> tuple[list[str], list[str | int]]:
        """Return the keys and arguments that move marks."""
        keys: list[str] = []
        args: list[str | int] = [self._retention.device_ms]
        for mark in marks:
            for position in (mark.position, mark.floor):
                positions.parse(position)
            counters = Key.COUNTERS.of(mark.conversation)
            keys += (counters, counters if mark.device is None else marks_key(mark.user, mark.device))
            args += (mark.user, int(mark.device is not None), mark.conversation, mark.position, mark.floor)
        return keys, args


def marks_key(user: int, device: str) -> str:
    """Return the key of the marks of a device."""
    return f"{Key.MARKS.of(user)}:{device}"


def quota_charge(size: int, random: float) -> str:
    """Return the bytes that a quota pays for a message, and those if it is the first one of its conversation.

    :param size: bytes of its body
    :param random: a number from 0 to 1
    """
    first = blocks(size, True, random)
    return f"{blocks(size, False, random)} {first}" if first else "0 0"


def _starts(items: Sequence[Append], charges: Sequence[str]) -> list[int]:
    """Return where runs begin, as append.lua takes them."""
    starts = []
    before: Append | None = None
    for at, item in enumerate(items):
        if before is None or not (
            item.after == before.client_id and charges[at] == charges[at - 1] and _of_run(item) == _of_run(before)
        ):
            starts.append(at)
        before = item
    return starts


def _repeated(item: Append, answer: Sequence[Any]) -> Appended:
    """Return where a message is that was stored before."""
    position, previous, sent_at, version, body, recalled, unfit = answer
    # If it has been trimmed, use the repeated message instead.
    body = readable(body or item.body, recalled is not None) or item.body
    if unfit:
        body = without_edit(body)
    return Appended(position.decode(), previous.decode(), int(sent_at), body, True, int(version))


def _role(item: Append) -> str:
    if item.fate is not Fate.STORED:
        return item.fate
    if item.by_operator:
        return "removes"
    if item.counts or item.recalls:
        return "counts" if item.counts else "recalls"
    return "edits" if item.edits else "refers" if item.refers else ""


def _found(places: list[bytes], bodies: list[bytes], revised: list[Any], first: bytes, *, backwards: bool) -> Found:
    """Return what read.lua returned."""
    if backwards:
        places.reverse()
        bodies.reverse()
    its = iter(revised)
    changed = {
        len(bodies) - at if backwards else at - 1: (bool(recalled), edit)
        for at, recalled, edit in zip(its, its, its, strict=True)
    }
    return Found(first.decode(), [place.decode() for place in places], bodies, changed)
