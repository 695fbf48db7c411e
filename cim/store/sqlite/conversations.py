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
from cim.model import GUEST, Append, Appended, Entry, HeadsPage, Mark, Page, Retention
from cim.store.pages import (
    BEFORE_MS,
    MAX_LOOKED,
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
from cim.store.sqlite.marks import device_of, end_of, forget_device, heads_of, reader_of, received_by, set_mark
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
            id, _ = end_of(connection, conversation)
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
            id, _ = end_of(connection, conversation)
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
            id, seen = device_of(connection, user, device, void)
            heads, more = heads_of(
                connection, user, id, cursor, oldest, min(max(1, limit), MAX_LOOKED), device == GUEST
            )
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
            id, _ = end_of(connection, conversation)
            farthest: dict[int, str] = {}
            for user, names in devices.items():
                held = [received_by(connection, device_of(connection, user, name, void)[0], id) for name in names]
                farthest[user] = positions.text(max([*held, reader_of(connection, id, user)[1]]))
            return farthest

        return self._sqlite.read("reached", work)

    def mark(self, marks: Sequence[Mark]) -> Deferred[list[str]]:
        """See IConversations."""
        now = self._clock.now()
        void = now - self._retention.device_ms

        def work(connection: sqlite3.Connection) -> list[str]:
            self._calls += 1
            if self._calls % TRIM_EVERY == 0:
                forget_device(connection, void)
            return [positions.text(set_mark(connection, mark, now, void)) for mark in marks]

        return self._sqlite.write("mark", work)


def _may_read(connection: sqlite3.Connection, conversation: str, user: int, position: positions.Position) -> bool:
    """Return whether a user may read a position of a group, or is not blocked by the other one of two."""
    name = conversations.parse(conversation)
    if not isinstance(name, conversations.GroupConversation):
        return not blocks(connection, name.other(user), user)
    floor = floor_of(connection, name.id, user)
    return floor is not None and floor < position


def _rewrite(connection: sqlite3.Connection, conversation: str, bodies: Mapping[str, bytes]) -> None:
    id, _ = end_of(connection, conversation)
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
    id, last = end_of(connection, conversation)
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
    id, _ = end_of(connection, conversation)
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
