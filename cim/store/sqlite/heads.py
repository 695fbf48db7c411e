"""Conversations as one call of `append` sees them: what it changes is written once for each, and before it is read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import Any

from attrs import Factory, define, evolve

from cim.store.sqlite.holdings import Log, Own, count_all, log_of, own_of, write_log, write_own
from cim.wire.positions import Position

_COLUMNS = "name, id, epoch, n, total, counted, active, bytes, accounted, noted_n IS NOT NULL"
_INSERT = (
    "INSERT INTO message (conversation, epoch, n, before_epoch, before_n, number, sender, sent_at, lift, stored_at, "
    "counts, charge, mark, client_id, digest, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@define
class Head:
    """The end of a conversation, and what is counted in it (cim/store/sqlite/tables.py); id 0 while it has no row.

    :param log: what it holds, where everything is counted
    :param owns: what users hold there, of those who said something
    :param said: how many messages that count as unread users said
    :param note: the position that is to be noted for followers
    """

    name: str
    id: int = 0
    epoch: int = 0
    n: int = 0
    total: int = 0
    counted: int = 0
    active: int = 0
    bytes: int = 0
    accounted: int | None = None
    noted: bool = False
    log: Log | None = None
    owns: dict[int, Own] = Factory(dict)
    said: dict[int, int] = Factory(dict)
    note: Position | None = None
    changed: bool = False
    moved: bool = False

    def begin(self, connection: sqlite3.Connection, low: int, high: int) -> None:
        """Make a conversation in which nothing was said.

        :param low: one of its two users, 0 in a group
        :param high: the other one
        """
        (self.id,) = connection.execute(
            "INSERT INTO conversation (name, low, high, active) VALUES (?, ?, ?, 0) RETURNING id",
            (self.name, low, high),
        ).fetchone()

    def count(self, size: int, sender: int, day: int, own: Own) -> None:
        """Count an entry where everything is counted."""
        assert self.log is not None
        speakers = self.log.speakers.on(day)
        self.owns[sender] = own.plus(size, speakers.day)
        self.log = evolve(self.log, held=self.log.held.plus(1, size), speakers=speakers.joined(own.day))


class Heads:
    """The conversations of a call, and the messages that are still to be written.

    :param names: all that will be asked about
    """

    def __init__(self, connection: sqlite3.Connection, names: Collection[str]) -> None:
        self._connection = connection
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM conversation WHERE name IN (SELECT value FROM json_each(?))",
            (json.dumps(list(names)),),
        )
        self._heads = {row[0]: Head(*row) for row in rows}
        self._messages: list[Any] = []
        self._changed: list[Head] = []

    def get(self, name: str) -> Head:
        """Return a conversation; if there is none, one that has no row yet."""
        head = self._heads.get(name)
        if head is None:
            row = self._connection.execute(f"SELECT {_COLUMNS} FROM conversation WHERE name = ?", (name,)).fetchone()
            head = self._heads[name] = Head(name) if row is None else Head(*row)
        return head

    def log(self, head: Head) -> Log:
        """Return what a conversation holds in which everything is to be counted."""
        if head.log is None:
            self.write()
            counted = head.accounted == head.total
            head.log = log_of(self._connection, head.id) if counted else count_all(self._connection, head.id)
            head.accounted = head.total
        return head.log

    def own(self, head: Head, user: int) -> Own:
        """Return what a user holds in a conversation in which everything is counted."""
        return head.owns.get(user) or own_of(self._connection, head.id, user)

    def put(self, head: Head, message: Any) -> None:
        """Add a message to a conversation that has changed: the values of `_INSERT`."""
        self._messages.append(message)
        if not head.changed:
            head.changed = True
            self._changed.append(head)

    def write(self) -> None:
        """Write what has changed, so that the tables can be read."""
        if not self._messages:
            return
        connection = self._connection
        changed, self._changed = self._changed, []
        connection.executemany(_INSERT, self._messages)
        self._messages.clear()
        connection.executemany(
            "UPDATE conversation SET epoch = ?, n = ?, total = ?, counted = ?, bytes = ?, accounted = ? WHERE id = ?",
            [(head.epoch, head.n, head.total, head.counted, head.bytes, head.accounted, head.id) for head in changed],
        )
        connection.executemany(
            "INSERT INTO reader (conversation, user, sent) VALUES (?, ?, ?) "
            "ON CONFLICT (conversation, user) DO UPDATE SET sent = sent + excluded.sent",
            [(head.id, user, sent) for head in changed for user, sent in head.said.items()],
        )
        for head in changed:
            head.changed = False
            head.said.clear()
            # These are in indexes, and rarely change.
            if head.moved:
                connection.execute("UPDATE conversation SET active = ? WHERE id = ?", (head.active, head.id))
                head.moved = False
            if head.note is not None:
                note = (*head.note, head.id)
                connection.execute("UPDATE conversation SET noted_epoch = ?, noted_n = ? WHERE id = ?", note)
                head.note = None
            if head.log is not None:
                head.log = evolve(head.log, total=head.total)
                write_log(connection, head.log)
                for user, own in head.owns.items():
                    write_own(connection, head.id, user, own)

    def forget(self, head: Head) -> None:
        """Read a conversation anew when it is next asked for, as its tables were changed."""
        self._heads.pop(head.name, None)
