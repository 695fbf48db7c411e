"""Which messages are remembered by their client_ids, in SQLite (`IConversations.append`).

A message's own row says so while it is kept; the table `once` has what is remembered without one: what was refused, and
what was trimmed early. No index leads to client_ids, for each new message would write a page of it. Instead a filter in
memory says of nearly every new client_id that nothing is remembered by it, and only for others are the tables searched,
the newest messages first, by marks that are in the index by positions. So for a repetition of what was said 10,000
messages ago as many entries of an index are looked at, and not as many messages.
"""

from __future__ import annotations

import sqlite3
from array import array
from random import Random
from zlib import crc32

from attrs import define, field, frozen

from cim.store.pages import ONCE_MESSAGES, ONCE_SECONDS
from cim.wire.positions import Position

#: How many client_ids a generation of the filter takes: the first one, and at most.
LEAST, MOST = 1 << 17, 1 << 23
#: A generation has a word of 64 bits for each, in which one sets those of two of these patterns, up to six. So one new
#: client_id in 10,000 looks like another.
_PATTERNS = tuple(sum(1 << bit for bit in bits) for bits in map(Random(1).sample, [range(64)] * 1024, [3] * 1024))
#: How many conversations a generation knows at most.
KNOWN = 100_000
#: By how much a store's clock can go back when its process dies, in ms, and more (cim/store/sqlite/clock.py).
BACK_MS = 600_000


@define
class _Generation:
    size: int
    began: int
    left: int = field(init=False)
    words: array[int] = field(init=False, repr=False)
    known: set[int] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        self.left = self.size
        self.words = array("Q", bytes(8 * self.size))


class Filter:
    """Says which client_ids may be remembered: all that are, and few others, such as those that were rolled back.

    It is to learn a conversation from the tables before it is asked about it, and forgets the oldest half of all as it
    fills, with the conversations that it learned then. The busier the store is, the larger it gets, up to a bound.
    """

    def __init__(self) -> None:
        self._new, self._old = _Generation(LEAST, 0), _Generation(LEAST, 0)

    def knows(self, id: int) -> bool:
        """Return whether a conversation was learned and is not forgotten yet."""
        return id in self._new.known or id in self._old.known

    def may_have(self, id: int, sender: int, client_id: str) -> bool:
        """Return False if nothing is remembered by a client_id in a conversation that is known."""
        mixed = hash((id, sender, client_id))
        pattern = _PATTERNS[mixed >> 40 & 1023] | _PATTERNS[mixed >> 50 & 1023]
        new, old = self._new, self._old
        return (
            new.words[mixed & new.size - 1] & pattern == pattern or old.words[mixed & old.size - 1] & pattern == pattern
        )

    def add(self, id: int, sender: int, client_id: str, now: int) -> None:
        """Note a client_id that is being remembered."""
        new = self._new
        if not new.left:
            self._turn(now)
            new = self._new
        new.left -= 1
        mixed = hash((id, sender, client_id))
        new.words[mixed & new.size - 1] |= _PATTERNS[mixed >> 40 & 1023] | _PATTERNS[mixed >> 50 & 1023]

    def _turn(self, now: int, least: int = 0) -> None:
        """Begin a generation, of at least so many."""
        size = self._new.size
        if now - self._old.began < ONCE_SECONDS * 1000:  # what is given up may still be remembered
            size = min(MOST, 2 * size)
        while size < least:
            size *= 2
        self._new, self._old = _Generation(size, now), self._new

    def begin(self, id: int) -> None:
        """Note a conversation of which all that is remembered was added; nothing, if it is new."""
        if len(self._new.known) >= KNOWN:
            self._new.known.clear()
        self._new.known.add(id)

    def learn(self, connection: sqlite3.Connection, id: int, now: int) -> None:
        """Read what is remembered in a conversation.

        :param now: ms since 1970
        """
        keys: list[tuple[int, str]] = []
        for sender, client_id, stored_at in connection.execute(
            "SELECT sender, client_id, stored_at FROM message WHERE conversation = ? ORDER BY epoch DESC, n DESC "
            "LIMIT ?",
            (id, ONCE_MESSAGES),
        ):
            if stored_at <= now - ONCE_SECONDS * 1000 - BACK_MS:
                break
            keys.append((sender, client_id))
        keys += connection.execute("SELECT sender, client_id FROM once WHERE conversation = ?", (id,))
        if len(keys) > self._new.left:
            self._turn(now, len(keys))
        for sender, client_id in keys:
            self.add(id, sender, client_id, now)
        self.begin(id)


@frozen
class Remembered:
    """What is remembered by a client_id.

    :param body: None if it was trimmed
    :param refused: why a policy refused it, None if it was stored
    """

    position: Position
    before: Position
    sent_at: int
    digest: bytes
    body: bytes | None
    refused: str | None = None


def mark_of(sender: int) -> int:
    """Return how the marks of a sender's messages begin."""
    return crc32(f"{sender} ".encode())


def marked(sender: int, client_id: str) -> int:
    """Return the mark of a message, 32 bits, by which most others are told apart from it.

    :param sender: how the marks of its sender's begin
    """
    return crc32(client_id.encode(), sender)


def find(
    connection: sqlite3.Connection, id: int, total: int, sender: int, client_id: str, now: int
) -> Remembered | None:
    """Search the tables for what is remembered by a client_id in a conversation.

    :param total: how many messages the conversation has had
    :param now: ms since 1970
    """
    since = (now - ONCE_SECONDS * 1000, total - ONCE_MESSAGES)
    row = connection.execute(
        "SELECT epoch, n, before_epoch, before_n, sent_at, digest, refused FROM once "
        "WHERE conversation = ? AND sender = ? AND client_id = ? AND stored_at > ? AND number > ?",
        (id, sender, client_id, *since),
    ).fetchone()
    if row is not None:
        *place, sent_at, digest, refused = row
        # An earlier release left it, and the message beside it, which it did not tell when it was stored.
        body = connection.execute(
            "SELECT body FROM message WHERE conversation = ? AND epoch = ? AND n = ?", (id, *place[:2])
        ).fetchone()
        return Remembered(
            (place[0], place[1]), (place[2], place[3]), sent_at, digest, None if body is None else body[0], refused
        )
    row = connection.execute(
        # What is asked for was mostly said just now, so this ends soon.
        "SELECT epoch, n, before_epoch, before_n, sent_at - lift, digest, body FROM "
        "(SELECT id AS its, mark AS its_mark FROM message WHERE conversation = ? ORDER BY epoch DESC, n DESC LIMIT ?) "
        "CROSS JOIN message ON id = its "
        "WHERE its_mark = ? AND sender = ? AND client_id = ? AND stored_at > ? AND number > ? LIMIT 1",
        (id, ONCE_MESSAGES, marked(mark_of(sender), client_id), sender, client_id, *since),
    ).fetchone()
    if row is None:
        return None
    return Remembered((row[0], row[1]), (row[2], row[3]), row[4], row[5], row[6])


def refuse(
    connection: sqlite3.Connection,
    id: int,
    sender: int,
    client_id: str,
    sent_at: int,
    number: int,
    digest: bytes,
    now: int,
    reason: str,
) -> None:
    """Remember a message that is not stored.

    :param number: that of the message that would have been it
    """
    connection.execute(
        "INSERT OR REPLACE INTO once VALUES (?, ?, ?, 0, 0, 0, 0, ?, ?, ?, ?, ?)",
        (id, sender, client_id, sent_at, number, digest, now, reason),
    )


def keep(connection: sqlite3.Connection, id: int, last: Position, now: int) -> None:
    """Go on to remember messages of a conversation up to a position, which are about to be removed."""
    connection.execute(
        "INSERT OR REPLACE INTO once SELECT conversation, sender, client_id, epoch, n, before_epoch, before_n, "
        "sent_at - lift, number, digest, stored_at, NULL FROM message WHERE conversation = ?1 "
        "AND (epoch, n) <= (?2, ?3) AND stored_at > ?4 "
        "AND number > (SELECT total FROM conversation WHERE id = ?1) - ?5",
        (id, *last, now - ONCE_SECONDS * 1000, ONCE_MESSAGES),
    )


def forget(connection: sqlite3.Connection, now: int, most: int) -> None:
    """Remove some of what is remembered no more."""
    connection.execute(
        "DELETE FROM once WHERE (conversation, sender, client_id) IN "
        "(SELECT conversation, sender, client_id FROM once WHERE stored_at < ? LIMIT ?)",
        (now - ONCE_SECONDS * 1000, most),
    )
