"""What conversations and senders hold, what is trimmed, and who is refused, in SQLite (docs/limits.md, History).

From half of a bound on, everything in a conversation is counted: `accounted` is then the number of its last message.
Below that only bytes are counted, as most conversations never get there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from attrs import evolve, frozen

from cim.model import Charge, Retention
from cim.store.bounds import (
    BYTES_SLACK,
    DAY_MS,
    NO_BOUND,
    NOBODY,
    NOTHING,
    SLACK,
    Holding,
    Speakers,
    beyond,
    is_full,
    no_room,
    over_share,
)
from cim.wire import conversations, positions
from cim.wire.positions import Position

#: How many rows a trim removes at most for their age, and for the bounds: enough to keep up.
EXPIRED, TRIMMED = 64, SLACK + 1
#: The values of message.charge.
CHARGES = {Charge.USER: 0, Charge.LOG: 1, Charge.NONE: 2}


@frozen
class Log:
    """A conversation in which everything is counted.

    :param total: the number of the last message
    """

    id: int
    name: str
    total: int
    held: Holding = NOTHING
    speakers: Speakers = NOBODY


@frozen
class Own:
    """What a user holds in a conversation, and the day of its last entry there, in days since 1970; 0 for never."""

    held: Holding = NOTHING
    day: int = 0


def log_of(connection: sqlite3.Connection, id: int) -> Log:
    """Return what a conversation holds in which everything is counted."""
    name, total, entries, bytes, day, today, before = connection.execute(
        "SELECT name, total, entries, bytes, day, today, before FROM conversation WHERE id = ?", (id,)
    ).fetchone()
    return Log(id, name, total, Holding(entries, bytes), Speakers(day, today, before))


def count_all(connection: sqlite3.Connection, id: int) -> Log:
    """Begin to count everything in a conversation, or count it anew."""
    connection.execute("UPDATE reader SET entries = 0, bytes = 0, day = 0 WHERE conversation = ?", (id,))
    log = evolve(log_of(connection, id), held=NOTHING, speakers=NOBODY)
    for user, entries, bytes, sent_at in connection.execute(
        "SELECT sender, count(*), sum(length(body)), max(sent_at) AS latest FROM message "
        "WHERE conversation = ? AND charge < ? GROUP BY sender ORDER BY latest",
        (id, CHARGES[Charge.NONE]),
    ).fetchall():
        own = Own(Holding(entries, bytes), sent_at // DAY_MS)
        write_own(connection, id, user, own)
        speakers = log.speakers.on(own.day).joined(0)
        log = evolve(log, held=log.held.plus(entries, bytes), speakers=speakers)
    write_log(connection, log)
    return log


def write_log(connection: sqlite3.Connection, log: Log) -> None:
    """Write what a conversation holds."""
    held, speakers = log.held, log.speakers
    connection.execute(
        "UPDATE conversation SET accounted = ?, entries = ?, bytes = ?, day = ?, today = ?, before = ? WHERE id = ?",
        (log.total, held.entries, held.bytes, speakers.day, speakers.today, speakers.before, log.id),
    )


def own_of(connection: sqlite3.Connection, id: int, user: int) -> Own:
    """Return what a user holds in a conversation."""
    row = connection.execute(
        "SELECT entries, bytes, day FROM reader WHERE conversation = ? AND user = ?", (id, user)
    ).fetchone()
    return Own() if row is None else Own(Holding(row[0], row[1]), row[2])


def write_own(connection: sqlite3.Connection, id: int, user: int, own: Own) -> None:
    """Write what a user holds in a conversation."""
    connection.execute(
        "INSERT INTO reader (conversation, user, entries, bytes, day) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (conversation, user) DO UPDATE SET entries = excluded.entries, bytes = excluded.bytes, "
        "day = excluded.day",
        (id, user, own.held.entries, own.held.bytes, own.day),
    )


def hold(connection: sqlite3.Connection, log: Log, sender: int, size: int, now: int) -> Log:
    """Count an entry that was appended."""
    own = own_of(connection, log.id, sender)
    speakers = log.speakers.on(now // DAY_MS)
    write_own(connection, log.id, sender, Own(own.held.plus(1, size), max(own.day, speakers.day)))
    log = evolve(log, total=log.total + 1, held=log.held.plus(1, size), speakers=speakers.joined(own.day))
    write_log(connection, log)
    return log


def shrunk(connection: sqlite3.Connection, id: int, sender: int, bytes: int) -> None:
    """Note that an entry has so many bytes less."""
    connection.execute("UPDATE conversation SET bytes = max(0, bytes - ?) WHERE id = ?", (bytes, id))
    connection.execute(
        "UPDATE reader SET bytes = max(0, bytes - ?) WHERE conversation = ? AND user = ?", (bytes, id, sender)
    )


def trim_expired(connection: sqlite3.Connection, id: int, oldest: int, number: int = 0) -> None:
    """Remove messages of a conversation that is not counted.

    :param oldest: those that were sent before, ms since 1970
    :param number: those up to a number
    """
    rows = connection.execute(
        "SELECT epoch, n, number, sent_at, length(body) FROM message WHERE conversation = ? ORDER BY epoch, n LIMIT ?",
        (id, EXPIRED),
    ).fetchall()
    old = [row for row in rows if row[2] <= number or row[3] < oldest]
    if old:
        connection.execute("DELETE FROM message WHERE conversation = ? AND (epoch, n) <= (?, ?)", (id, *old[-1][:2]))
        bytes = sum(row[4] for row in old)
        connection.execute("UPDATE conversation SET bytes = max(0, bytes - ?) WHERE id = ?", (bytes, id))


class Rooms:
    """Makes room in conversations, in the writer's thread."""

    def __init__(self, retention: Retention, give_back: Callable[[sqlite3.Connection, int, int, int], None]) -> None:
        """
        :param give_back: gives a user's quota back what was stored on a day
        """
        self._retention = retention
        self._bound = Holding(retention.count, retention.bytes)
        self._give_back = give_back

    def look(self, connection: sqlite3.Connection, id: int, total: int, bytes: int, now: int) -> None:
        """Look at a conversation that is not counted, now and then.

        :param total: the number of the last message
        :param bytes: how much there is
        """
        oldest = now - self._retention.ms
        number, sent_at = connection.execute(
            "SELECT number, sent_at FROM message WHERE conversation = ? ORDER BY epoch, n LIMIT 1", (id,)
        ).fetchone()
        if sent_at < oldest:
            trim_expired(connection, id, oldest)
        if (total - number + 1) * 2 >= self._bound.entries or bytes * 2 >= self._bound.bytes:
            count_all(connection, id)

    def make(self, connection: sqlite3.Connection, log: Log, sender: int, size: int, now: int) -> Log:
        """Return the conversation with room for a message, or refuse it.

        :raises NoRoom: its sender has to wait
        """
        if not any(beyond(log.held, size, self._bound)):
            return log
        own = own_of(connection, log.id, sender)
        senders = log.speakers.on(now // DAY_MS).count(own.day)
        people = conversations.parse(log.name)
        private = isinstance(people, conversations.PrivateConversation)
        if isinstance(people, conversations.PrivateConversation):
            part = _unread_part(connection, log, people.other(sender), own)
            if over_share(log.held, own.held, size, self._bound, senders, part):
                raise no_room("share")
        log, stuck = self.trim(connection, log, now, size)
        if stuck is None or not any(beyond(log.held, size, self._bound)):
            return log
        seconds = 0 if private else max(1, -(-(stuck + DAY_MS - now) // 1000))
        own = own_of(connection, log.id, sender)
        if over_share(log.held, own.held, size, self._bound, senders):
            raise no_room("share", seconds)
        if is_full(log.held, size, self._bound):
            raise no_room("full", seconds)
        return log

    def trim(self, connection: sqlite3.Connection, log: Log, now: int, size: int = 0) -> tuple[Log, int | None]:
        """Remove the oldest that has expired, and beyond the bounds what nothing protects: some of both.

        :param size: bytes that are to be added
        :returns: the conversation, and when the protected entry was sent at which it stopped
        """
        oldest = now - self._retention.ms
        bound = self._bound
        if not any(beyond(log.held, size, bound)):
            bound = NO_BOUND
        elif log.held.bytes + size > bound.bytes:
            bound = evolve(bound, bytes=bound.bytes - bound.bytes // BYTES_SLACK)
        held = log.held
        is_protected: Callable[[int, Position, int], bool] | None = None
        stuck: int | None = None
        last: Position | None = None
        gone: dict[int, Holding] = {}
        rows = connection.execute(
            "SELECT epoch, n, sender, sent_at, charge, length(body) FROM message WHERE conversation = ? "
            "ORDER BY epoch, n LIMIT ?",
            (log.id, EXPIRED),
        ).fetchall()
        for number, (epoch, n, sender, sent_at, charge, length) in enumerate(rows):
            if sent_at >= oldest:
                if number >= TRIMMED or (held.entries <= bound.entries and held.bytes + size <= bound.bytes):
                    break
                is_protected = is_protected or _protection(connection, log, now)
                if is_protected(sender, (epoch, n), sent_at):
                    stuck = sent_at
                    break
                if charge == CHARGES[Charge.USER]:
                    self._give_back(connection, sender, sent_at // DAY_MS, length)
            last = epoch, n
            if charge != CHARGES[Charge.NONE]:
                held = held.plus(-1, -length)
                gone[sender] = gone.get(sender, NOTHING).plus(1, length)
        if last is None:
            return log, stuck
        connection.execute("DELETE FROM message WHERE conversation = ? AND (epoch, n) <= (?, ?)", (log.id, *last))
        for user, its in gone.items():
            own = own_of(connection, log.id, user)
            write_own(connection, log.id, user, Own(own.held.plus(-its.entries, -its.bytes), own.day))
        log = evolve(log, held=held)
        write_log(connection, log)
        return log, stuck


def _protection(connection: sqlite3.Connection, log: Log, now: int) -> Callable[[int, Position, int], bool]:
    """Return what says whether an entry, by its sender, position and time, must not be trimmed for others."""
    people = conversations.parse(log.name)
    if isinstance(people, conversations.PrivateConversation):
        read = {
            people.low: _read_mark(connection, log.id, people.high),
            people.high: _read_mark(connection, log.id, people.low),
        }
        return lambda sender, position, sent_at: position > read.get(sender, position)
    return lambda sender, position, sent_at: now - sent_at < DAY_MS


def _read_mark(connection: sqlite3.Connection, id: int, user: int) -> Position:
    """Return up to where a user has read a private conversation.

    Who never marks anything as read there, as guests and many bots do, has read what reached a device.
    """
    row = connection.execute(
        "SELECT epoch, n FROM reader WHERE conversation = ? AND user = ? AND epoch > 0", (id, user)
    ).fetchone()
    if row is None:
        row = connection.execute(
            "SELECT received.epoch, received.n FROM device JOIN received ON received.device = device.id "
            "WHERE device.user = ? AND received.conversation = ? ORDER BY received.epoch DESC, received.n DESC LIMIT 1",
            (user, id),
        ).fetchone()
    return positions.ZERO if row is None else (row[0], row[1])


def _unread_part(connection: sqlite3.Connection, log: Log, other: int, own: Own) -> float:
    """Return the part of what a sender holds that the other one has not read; 0 if that one marks nothing as read."""
    row = connection.execute(
        "SELECT counted - sent - others FROM reader JOIN conversation ON conversation.id = reader.conversation "
        "WHERE conversation = ? AND user = ? AND reader.epoch > 0",
        (log.id, other),
    ).fetchone()
    if row is None:
        return 0.0
    unread: int = row[0]
    return max(0.0, min(1.0, unread / max(1, own.held.entries)))
