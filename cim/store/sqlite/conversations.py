"""Conversations in SQLite; cim.store.sqlite.tables has the tables."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import CIMError, InvalidField
from cim.interfaces import IConversations
from cim.model import GUEST, Append, Appended, ConversationHead, Entry, HeadsPage, Mark, Page, Retention
from cim.store.pages import (
    BEFORE_MS,
    MAX_LOOKED,
    MAX_UNREAD,
    PAGE_BYTES,
    Found,
    page_after,
    page_before,
    parse_cursor,
    readable,
)
from cim.store.sqlite.appending import TRIM_EVERY, Appending, floor_of
from cim.store.sqlite.blocks import blocks
from cim.store.sqlite.gathering import CALLS, Appends, Gathering
from cim.store.sqlite.holdings import shrunk
from cim.store.sqlite.invitations import waiting
from cim.store.sqlite.tables import RECALLED
from cim.wire import conversations, native, positions

if TYPE_CHECKING:
    from cim.store.clock import StoreClock
    from cim.store.sqlite.threads import Sqlite

#: How outdated the time may be when a device was last seen, in ms, so that not every login writes.
SEEN_WITHIN = 86_400_000
_MESSAGES = "SELECT epoch, n, body, NULL FROM message WHERE conversation = ?"
#: Epoch, n, body, and the body of the last edit or None.
_Row = tuple[int, int, bytes, bytes | None]
#: The same as they stand: with the body of the last edit.
_STANDING = (
    "SELECT epoch, n, body, (SELECT said.body FROM edit JOIN message AS said ON "
    "(said.conversation, said.epoch, said.n) = (edit.conversation, by_epoch, by_n) WHERE "
    "(edit.conversation, edit.epoch, edit.n) = (message.conversation, message.epoch, message.n)) "
    "FROM message WHERE conversation = ?"
)


def epoch_of(connection: sqlite3.Connection) -> int:
    """Return the number of the last epoch that a file has had; 0 if it is not known."""
    found = connection.execute("SELECT id FROM given WHERE kind = 'epoch'").fetchone()
    return 0 if found is None else int(found[0])


def raise_epoch(connection: sqlite3.Connection, number: int) -> None:
    """Have the next epoch of a file be later than a number."""
    connection.execute(
        "INSERT INTO given VALUES ('epoch', ?) ON CONFLICT (kind) DO UPDATE SET id = max(id, excluded.id)", (number,)
    )


@implementer(IConversations)
class SqliteConversations:
    """Conversations on disk.

    :param no_space: says whether nothing more is to be stored but recalls
    :param random: returns a number from 0 to 1
    """

    appends_at_once = CALLS

    def __init__(
        self,
        sqlite: Sqlite,
        clock: StoreClock,
        retention: Retention,
        *,
        no_space: Callable[[], bool],
        random: Callable[[], float],
    ) -> None:
        self._sqlite = sqlite
        self._no_space = no_space
        self._clock = clock
        self._retention = retention
        self._appending = Appending(clock.shown(), retention, random)
        self._gathering = Gathering(sqlite, self._append)
        self._calls = 0
        self.skipped = 0

    @property
    def epoch(self) -> int:
        """The number of the epoch."""
        return self._appending.epoch

    def begin(self, connection: sqlite3.Connection, number: int = 0) -> None:
        """Begin a new epoch, whose number is the time, or higher: than `number`, and than any that the file has had."""
        number = max(self._clock.shown(), number, epoch_of(connection) + 1)
        raise_epoch(connection, number)
        self._appending.epoch = number

    @property
    def followed(self) -> bool:
        """See IConversations."""
        return self._appending.followed

    @followed.setter
    def followed(self, followed: bool) -> None:
        self._appending.followed = followed

    def append(self, items: Sequence[Append]) -> Deferred[list[Appended | CIMError]]:
        """See IConversations."""
        return self._gathering.append(items)

    def _append(self) -> Appends:
        return partial(
            self._appending.append, now=self._clock.now(), lift=self._clock.lift(), no_space=self._no_space()
        )

    def read(
        self, conversation: str, *, after: str = "", before: str = "", limit: int, floor: str = ""
    ) -> Deferred[Page]:
        """See IConversations."""
        oldest = self._clock.now() - self._retention.ms
        limit = max(1, limit)

        def work(connection: sqlite3.Connection) -> tuple[Page, int]:
            for position in (after, before, floor):
                positions.parse(position)
            if before:
                return _read_before(connection, conversation, before, floor, limit, oldest)
            return _read_after(connection, conversation, after, floor, limit, oldest)

        return self._sqlite.read("read", work).addCallback(self._counted)

    def _counted(self, result: tuple[Page, int]) -> Page:
        page, undecodable = result
        self.skipped += undecodable
        return page

    def entry(self, conversation: str, position: str, *, reader: int = 0) -> Deferred[Entry | None]:
        """See IConversations."""
        oldest = self._clock.now() - self._retention.ms

        def work(connection: sqlite3.Connection) -> Found:
            where = positions.parse(position)
            if reader and not _may_read(connection, conversation, reader, where):
                return Found("", [], [])
            id, _ = _conversation(connection, conversation)
            rows = connection.execute(f"{_MESSAGES} AND epoch = ? AND n = ? AND sent_at >= ?", (id, *where, oldest))
            return _found(connection, id, rows.fetchall())

        def read(found: Found) -> Entry | None:
            if not found.bodies:
                return None
            body = readable(found.bodies[0])
            self.skipped += body is None
            return None if body is None else Entry(position, found.before, body)

        return self._sqlite.read("entry", work).addCallback(read)

    def standing(self, conversation: str, texts: Sequence[str]) -> Deferred[Collection[str]]:
        """See IConversations."""
        oldest = self._clock.now() - self._retention.ms

        def work(connection: sqlite3.Connection) -> set[str]:
            id, _ = _conversation(connection, conversation)
            standing = set()
            for text in texts:
                where = positions.parse(text)
                rows = connection.execute(f"{_MESSAGES} AND epoch = ? AND n = ? AND sent_at >= ?", (id, *where, oldest))
                if any(not native.is_blank(row[2]) for row in rows):
                    standing.add(text)
            return standing

        return self._sqlite.read("standing", work)

    def spoken(self, user: int, cursor: str = "") -> Deferred[tuple[Sequence[str], str]]:
        """See IConversations; a cursor is the last id of a conversation that was looked at."""
        if not re.fullmatch("|[1-9][0-9]{0,17}", cursor):
            raise InvalidField("after", "must be the `more` of the previous page")
        after = int(cursor or 0)

        def work(connection: sqlite3.Connection) -> tuple[list[str], str]:
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM conversation").fetchone()
            upto = after + MAX_LOOKED
            rows = connection.execute(
                "SELECT name, EXISTS (SELECT 1 FROM message WHERE conversation = conversation.id AND sender = ?) "
                "FROM conversation WHERE id > ? AND id <= ? ORDER BY id",
                (user, after, upto),
            )
            names = [name for name, said in rows if said or conversations.involves(name, user)]
            return names, str(upto) if upto < last else ""

        return self._sqlite.read("spoken", work)

    def rewrite(self, conversation: str, bodies: Mapping[str, bytes]) -> Deferred[None]:
        """See IConversations."""
        return self._sqlite.write("rewrite", lambda connection: _rewrite(connection, conversation, bodies))

    def heads(
        self, user: int, device: str, *, after: str = "", since: int = 0, limit: int = 100
    ) -> Deferred[HeadsPage]:
        """See IConversations."""
        now = self._clock.now()
        oldest = max(since - BEFORE_MS, now - self._retention.ms)
        void = now - self._retention.device_ms

        def work(connection: sqlite3.Connection) -> tuple[HeadsPage, bool]:
            cursor = parse_cursor(after) if after else None
            id, seen = _device(connection, user, device, void)
            heads, more = _heads(connection, user, id, cursor, oldest, min(max(1, limit), MAX_LOOKED), device == GUEST)
            invited = () if after else tuple(waiting(connection, user, now, since))
            return HeadsPage(tuple(heads), more, now, invited), 0 < seen < now - SEEN_WITHIN

        def read(result: tuple[HeadsPage, bool]) -> HeadsPage | Deferred[HeadsPage]:
            page, long_ago = result
            if not long_ago:
                return page
            written = self._sqlite.write(
                "seen",
                lambda connection: connection.execute(
                    "UPDATE device SET seen = ? WHERE user = ? AND name = ?", (now, user, device)
                ),
            )
            return written.addCallback(lambda _: page)

        return self._sqlite.read("heads", work).addCallback(read)

    def reached(self, conversation: str, devices: Mapping[int, Collection[str]]) -> Deferred[Mapping[int, str]]:
        """See IConversations."""
        void = self._clock.now() - self._retention.device_ms

        def work(connection: sqlite3.Connection) -> dict[int, str]:
            id, _ = _conversation(connection, conversation)
            farthest: dict[int, str] = {}
            for user, names in devices.items():
                held = [_received(connection, _device(connection, user, name, void)[0], id) for name in names]
                farthest[user] = positions.text(max([*held, _reader(connection, id, user)[1]]))
            return farthest

        return self._sqlite.read("reached", work)

    def mark(self, marks: Sequence[Mark]) -> Deferred[list[str]]:
        """See IConversations."""
        now = self._clock.now()
        void = now - self._retention.device_ms

        def work(connection: sqlite3.Connection) -> list[str]:
            self._calls += 1
            if self._calls % TRIM_EVERY == 0:
                _forget_device(connection, void)
            return [positions.text(_mark(connection, mark, now, void)) for mark in marks]

        return self._sqlite.write("mark", work)


def _conversation(connection: sqlite3.Connection, name: str) -> tuple[int, positions.Position]:
    found = connection.execute("SELECT id, epoch, n FROM conversation WHERE name = ?", (name,)).fetchone()
    return (0, positions.ZERO) if found is None else (found[0], (found[1], found[2]))


def _may_read(connection: sqlite3.Connection, conversation: str, user: int, position: positions.Position) -> bool:
    """Return whether a user may read a position of a group, or is not blocked by the other one of two."""
    name = conversations.parse(conversation)
    if not isinstance(name, conversations.GroupConversation):
        return not blocks(connection, name.other(user), user)
    floor = floor_of(connection, name.id, user)
    return floor is not None and floor < position


def _rewrite(connection: sqlite3.Connection, conversation: str, bodies: Mapping[str, bytes]) -> None:
    id, _ = _conversation(connection, conversation)
    where = "WHERE conversation = ? AND epoch = ? AND n = ?"
    for text, body in bodies.items():
        position = positions.parse(text)
        found = connection.execute(f"SELECT sender, length(body) FROM message {where}", (id, *position)).fetchone()
        if found is not None:
            connection.execute(f"UPDATE message SET body = ? {where}", (body, id, *position))
            shrunk(connection, id, found[0], position, found[1] - len(body))


def _standing(connection: sqlite3.Connection, id: int) -> str:
    """Return the query for messages as they stand; where nothing was edited, the faster one."""
    edited = connection.execute("SELECT 1 FROM edit WHERE conversation = ? LIMIT 1", (id,)).fetchone()
    return _MESSAGES if edited is None else _STANDING


def _read_after(
    connection: sqlite3.Connection, conversation: str, after: str, floor: str, limit: int, oldest: int
) -> tuple[Page, int]:
    id, last = _conversation(connection, conversation)
    start = max(positions.parse(after), positions.parse(floor))
    first = connection.execute(
        "SELECT sent_at FROM message WHERE conversation = ? AND (epoch, n) > (?, ?) ORDER BY epoch, n LIMIT 1",
        (id, *start),
    ).fetchone()
    expired = first is not None and first[0] < oldest
    rows, more = _bounded(
        connection.execute(
            f"{_standing(connection, id)} AND (epoch, n) > (?, ?) AND sent_at >= ? ORDER BY epoch, n",
            (id, *start, oldest),
        ),
        limit,
    )
    found = _found(connection, id, rows)
    upto = found.positions[-1] if more else positions.text(last)
    return page_after(after, floor, positions.text(last), upto, more, expired, found)


def _read_before(
    connection: sqlite3.Connection,
    conversation: str,
    before: str,
    floor: str,
    limit: int,
    oldest: int,
) -> tuple[Page, int]:
    id, _ = _conversation(connection, conversation)
    rows, more = _bounded(
        connection.execute(
            f"{_standing(connection, id)} AND (epoch, n) < (?, ?) AND (epoch, n) > (?, ?) AND sent_at >= ? "
            "ORDER BY epoch DESC, n DESC",
            (id, *positions.parse(before), *positions.parse(floor), oldest),
        ),
        limit,
    )
    rows.reverse()
    return page_before(more, floor, _found(connection, id, rows))


def _bounded(messages: sqlite3.Cursor, limit: int) -> tuple[list[_Row], bool]:
    """Return the messages that fit into a page, and whether there are more."""
    rows: list[_Row] = []
    size = 0
    for row in messages:
        size += len(row[2])
        if row[3]:
            size += len(row[3])
        if rows and (len(rows) >= limit or size > PAGE_BYTES):
            return rows, True
        rows.append(row)
    return rows, False


def _found(connection: sqlite3.Connection, id: int, rows: Sequence[_Row]) -> Found:
    if not rows:
        return Found("", [], [])
    first = connection.execute(
        "SELECT before_epoch, before_n FROM message WHERE conversation = ? AND epoch = ? AND n = ?", (id, *rows[0][:2])
    ).fetchone()
    return Found(
        positions.text(first),
        [f"{row[0]}-{row[1]}" for row in rows],
        [row[2] for row in rows],
        {at: (False, row[3]) for at, row in enumerate(rows) if row[3]},
    )


# Marks


def _device(connection: sqlite3.Connection, user: int, device: str, void: int) -> tuple[int, int]:
    """Return a device's id and when it was last seen; zeros if it is no longer known."""
    found = connection.execute(
        "SELECT id, seen FROM device WHERE user = ? AND name = ? AND seen >= ?", (user, device, void)
    ).fetchone()
    return (0, 0) if found is None else (found[0], found[1])


def _received(connection: sqlite3.Connection, device: int, conversation: int) -> positions.Position:
    found = connection.execute(
        "SELECT epoch, n FROM received WHERE device = ? AND conversation = ?", (device, conversation)
    ).fetchone()
    return positions.ZERO if found is None else (found[0], found[1])


def _reader(connection: sqlite3.Connection, conversation: int, user: int) -> tuple[int, positions.Position, int]:
    """Return how many messages the user sent, the read mark, and how many messages of others are up to it."""
    found = connection.execute(
        "SELECT sent, epoch, n, others FROM reader WHERE conversation = ? AND user = ?", (conversation, user)
    ).fetchone()
    return (0, positions.ZERO, 0) if found is None else (found[0], (found[1], found[2]), found[3])


def _forget_device(connection: sqlite3.Connection, void: int) -> None:
    for (id,) in connection.execute("SELECT id FROM device WHERE seen < ? LIMIT 1", (void,)).fetchall():
        connection.execute("DELETE FROM received WHERE device = ?", (id,))
        connection.execute("DELETE FROM device WHERE id = ?", (id,))


def _mark(connection: sqlite3.Connection, mark: Mark, now: int, void: int) -> positions.Position:
    id, last = _conversation(connection, mark.conversation)
    position = min(max(positions.parse(mark.position), positions.parse(mark.floor)), last)
    if mark.device is None:
        sent, read, _ = _reader(connection, id, mark.user)
        if position <= read:
            return read
        set_read(connection, id, mark.user, position, sent)
        return position
    device, _ = _device(connection, mark.user, mark.device, void)
    received = _received(connection, device, id)
    if position <= received:
        return received
    if not device:
        connection.execute(
            "DELETE FROM received WHERE device = (SELECT id FROM device WHERE user = ? AND name = ?)",
            (mark.user, mark.device),
        )
    device = connection.execute(
        "INSERT INTO device (user, name, seen) VALUES (?, ?, ?) "
        "ON CONFLICT (user, name) DO UPDATE SET seen = excluded.seen RETURNING id",
        (mark.user, mark.device, now),
    ).fetchone()[0]
    connection.execute("INSERT OR REPLACE INTO received VALUES (?, ?, ?, ?)", (device, id, *position))
    return position


def set_read(
    connection: sqlite3.Connection, conversation: int, user: int, position: positions.Position, sent: int
) -> None:
    """Set a read mark.

    :param sent: how many messages of the conversation the user sent
    """
    counted = connection.execute("SELECT counted FROM conversation WHERE id = ?", (conversation,)).fetchone()[0]
    others = counted - sent - _others_after(connection, conversation, user, position)
    connection.execute(
        "INSERT INTO reader (conversation, user, epoch, n, others) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (conversation, user) "
        "DO UPDATE SET epoch = excluded.epoch, n = excluded.n, others = excluded.others",
        (conversation, user, *position, others),
    )


def _others_after(
    connection: sqlite3.Connection, id: int, user: int, position: positions.Position, *, recalled: bool = False
) -> int:
    """Count others' messages after a position, up to MAX_UNREAD: all, or those that were recalled."""
    messages, counts = ("message INDEXED BY message_recalled", f"= {RECALLED}") if recalled else ("message", "> 0")
    count: int = connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {messages} WHERE conversation = ? AND (epoch, n) > (?, ?) "
        f"AND sender <> ? AND counts {counts} LIMIT ?)",
        (id, *position, user, MAX_UNREAD),
    ).fetchone()[0]
    return count


# Heads

_CANDIDATES = "SELECT active, name, conversation.id, conversation.epoch, conversation.n, counted"


def _heads(
    connection: sqlite3.Connection,
    user: int,
    device: int,
    cursor: tuple[int, str] | None,
    oldest: int,
    limit: int,
    guest: bool,
) -> tuple[list[ConversationHead], str]:
    """Return heads, and the cursor of the next page or ""."""
    until = cursor if cursor is not None else (1 << 62, "")
    candidates = connection.execute(
        f"{_CANDIDATES}, member.epoch, member.n FROM member JOIN conversation ON name = 'g:' || talk "
        "WHERE user = ? AND (active, name) < (?, ?) AND active >= ?",
        (user, *until, oldest),
    ).fetchall()
    for side in ("low", "high"):
        candidates += connection.execute(
            f"{_CANDIDATES}, 0, 0 FROM conversation WHERE {side} = ? AND {side} > 0 AND (active, name) < (?, ?) "
            "AND active >= ? ORDER BY active DESC, name DESC LIMIT ?",
            (user, *until, oldest, MAX_LOOKED + 1),
        )
    candidates.sort(reverse=True)
    heads: list[ConversationHead] = []
    for at, (active, name, id, epoch, n, counted, *floor) in enumerate(candidates):
        if at == MAX_LOOKED or len(heads) == limit:
            return heads, f"{candidates[at - 1][0]} {candidates[at - 1][1]}"
        received = _received(connection, device, id)
        sent, read, others = _reader(connection, id, user)
        new = (epoch, n) > max(received, tuple(floor))
        # Guests are shown the messages of others, and mark nothing as read.
        if guest and (counted <= sent or not new):
            continue
        unread = min(MAX_UNREAD, max(0, counted - sent - others))
        if unread and _trimmed(connection, id, read):
            unread = min(unread, _others_after(connection, id, user, read))
        if unread:
            unread = max(0, unread - _others_after(connection, id, user, read, recalled=True))
        if unread or new:
            latest, received_text, read_text = map(positions.text, ((epoch, n), received, read))
            heads.append(ConversationHead(name, latest, received_text, read_text, unread, active))
    return heads, ""


def _trimmed(connection: sqlite3.Connection, id: int, read: positions.Position) -> bool:
    """Return whether messages after a position were removed."""
    first = connection.execute(
        "SELECT before_epoch, before_n FROM message WHERE conversation = ? ORDER BY epoch, n LIMIT 1", (id,)
    ).fetchone()
    return first is None or first > read
