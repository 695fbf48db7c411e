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
    MESSAGE_BYTES,
    NO_BOUND,
    NOBODY,
    NOTHING,
    PEOPLE,
    SLACK,
    Holding,
    Speakers,
    beyond,
    is_full,
    no_room,
    over_share,
)
from cim.store.sqlite.remembering import keep
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
    """What a user holds in a conversation.

    :param day: days since 1970 of its last entry there; 0 for never
    :param upto: a position: in a private conversation the mark of the other one when it was last asked for
    :param behind: how much of it is behind that position
    """

    held: Holding = NOTHING
    day: int = 0
    upto: Position = positions.ZERO
    behind: Holding = NOTHING

    def plus(self, size: int, day: int) -> Own:
        """Return the same with one more entry."""
        return evolve(self, held=self.held.plus(1, size), day=max(self.day, day), behind=self.behind.plus(1, size))


def log_of(connection: sqlite3.Connection, id: int) -> Log:
    """Return what a conversation holds in which everything is counted."""
    name, total, entries, bytes, day, today, before = connection.execute(
        "SELECT name, total, entries, bytes, day, today, before FROM conversation WHERE id = ?", (id,)
    ).fetchone()
    return Log(id, name, total, Holding(entries, bytes), Speakers(day, today, before))


def count_all(connection: sqlite3.Connection, id: int) -> Log:
    """Begin to count everything in a conversation, or count it anew."""
    connection.execute(
        "UPDATE reader SET entries = 0, bytes = 0, day = 0, upto_epoch = 0, upto_n = 0, behind_entries = 0, "
        "behind_bytes = 0 WHERE conversation = ?",
        (id,),
    )
    log = evolve(log_of(connection, id), held=NOTHING, speakers=NOBODY)
    for user, entries, bytes, sent_at in connection.execute(
        "SELECT sender, count(*), sum(length(body)), max(sent_at) AS latest FROM message "
        "WHERE conversation = ? AND charge < ? GROUP BY sender ORDER BY latest",
        (id, CHARGES[Charge.NONE]),
    ).fetchall():
        own = Own(Holding(entries, bytes), sent_at // DAY_MS, behind=Holding(entries, bytes))
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
        "SELECT entries, bytes, day, upto_epoch, upto_n, behind_entries, behind_bytes FROM reader "
        "WHERE conversation = ? AND user = ?",
        (id, user),
    ).fetchone()
    return Own() if row is None else Own(Holding(row[0], row[1]), row[2], (row[3], row[4]), Holding(row[5], row[6]))


def write_own(connection: sqlite3.Connection, id: int, user: int, own: Own) -> None:
    """Write what a user holds in a conversation."""
    connection.execute(
        "INSERT INTO reader "
        "(conversation, user, entries, bytes, day, upto_epoch, upto_n, behind_entries, behind_bytes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (conversation, user) DO UPDATE SET entries = excluded.entries, "
        "bytes = excluded.bytes, day = excluded.day, upto_epoch = excluded.upto_epoch, upto_n = excluded.upto_n, "
        "behind_entries = excluded.behind_entries, behind_bytes = excluded.behind_bytes",
        (id, user, own.held.entries, own.held.bytes, own.day, *own.upto, own.behind.entries, own.behind.bytes),
    )


def shrunk(connection: sqlite3.Connection, id: int, sender: int, position: Position, bytes: int) -> None:
    """Note that an entry has so many bytes less."""
    connection.execute("UPDATE conversation SET bytes = max(0, bytes - ?) WHERE id = ?", (bytes, id))
    connection.execute(
        "UPDATE reader SET bytes = max(0, bytes - ?1), behind_bytes = max(0, behind_bytes - "
        "iif((?2, ?3) > (upto_epoch, upto_n), ?1, 0)) WHERE conversation = ?4 AND user = ?5",
        (bytes, *position, id, sender),
    )


def trim_expired(connection: sqlite3.Connection, id: int, oldest: int, now: int, number: int = 0) -> None:
    """Remove messages of a conversation that is not counted.

    :param oldest: those that were sent before, ms since 1970
    :param now: ms since 1970
    :param number: those up to a number
    """
    rows = connection.execute(
        "SELECT epoch, n, number, sent_at, length(body) FROM message WHERE conversation = ? ORDER BY epoch, n LIMIT ?",
        (id, EXPIRED),
    ).fetchall()
    old = [row for row in rows if row[2] <= number or row[3] < oldest]
    if old:
        _remove(connection, id, old[-1][:2], now)
        bytes = sum(row[4] for row in old)
        connection.execute("UPDATE conversation SET bytes = max(0, bytes - ?) WHERE id = ?", (bytes, id))


def _remove(connection: sqlite3.Connection, id: int, last: Position, now: int) -> None:
    """Remove the entries of a conversation up to a position."""
    keep(connection, id, last, now)
    for table in "message", "edit":
        connection.execute(f"DELETE FROM {table} WHERE conversation = ? AND (epoch, n) <= (?, ?)", (id, *last))


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
            trim_expired(connection, id, oldest, now)
        if self.is_half_full(total - number + 1, bytes):
            count_all(connection, id)

    def is_half_full(self, entries: int, bytes: int) -> bool:
        """Return whether so much is so near to the bounds that everything is to be counted."""
        return entries * 2 >= self._bound.entries or bytes * 2 >= self._bound.bytes

    def has_room(self, log: Log, size: int) -> bool:
        """Return whether a message fits into a conversation as it is."""
        return not any(beyond(log.held, size, self._bound))

    def make(self, connection: sqlite3.Connection, log: Log, sender: int, size: int, now: int) -> Log:
        """Return a conversation that has no room with room for a message, or refuse it.

        :raises NoRoom: its sender has to wait
        """
        own = own_of(connection, log.id, sender)
        people = conversations.parse(log.name)
        private = isinstance(people, conversations.PrivateConversation)
        senders, kept_for = log.speakers.on(now // DAY_MS).count(own.day), 0
        if isinstance(people, conversations.PrivateConversation):
            senders = PEOPLE
            behind = _unread(connection, log, people.other(sender), sender, own)
            if over_share(log.held, behind, size, self._bound, senders):
                kept_for = people.other(sender)
        log, stuck = self.trim(connection, log, now, size, kept_for)
        if stuck is None or self.has_room(log, size):
            return log
        seconds = 0 if private else max(1, -(-(stuck + DAY_MS - now) // 1000))
        own = own_of(connection, log.id, sender)
        if over_share(log.held, own.held, size, self._bound, senders):
            raise no_room("share", seconds)
        if is_full(log.held, size, self._bound):
            raise no_room("full", seconds)
        return log

    def trim(
        self, connection: sqlite3.Connection, log: Log, now: int, size: int | None = None, kept_for: int = 0
    ) -> tuple[Log, int | None]:
        """Remove the oldest that has expired, and what nothing protects to make room: some of both.

        :param size: bytes that are to be added; None to make no room
        :param kept_for: whose entries are to stay, whoever has read them; 0 for nobody
        :returns: the conversation, and when the protected entry was sent at which it stopped
        """
        oldest = now - self._retention.ms
        bound = self._bound
        if size is None:
            bound, size = NO_BOUND, 0
        elif log.held.bytes + size > bound.bytes:
            bound = evolve(bound, bytes=bound.bytes - bound.bytes // BYTES_SLACK)
        held = log.held
        is_protected: Callable[[int, Position, int], bool] | None = None
        stuck: int | None = None
        last: Position | None = None
        gone: dict[int, Own] = {}
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
                if sender == kept_for or is_protected(sender, (epoch, n), sent_at):
                    stuck = sent_at
                    break
                if charge == CHARGES[Charge.USER]:
                    self._give_back(connection, sender, sent_at // DAY_MS, length + MESSAGE_BYTES)
            last = epoch, n
            if charge != CHARGES[Charge.NONE]:
                held = held.plus(-1, -length)
                own = gone.get(sender) or own_of(connection, log.id, sender)
                behind = own.behind.plus(-1, -length) if last > own.upto else own.behind
                gone[sender] = evolve(own, held=own.held.plus(-1, -length), behind=behind)
        if last is None:
            return log, stuck
        _remove(connection, log.id, last, now)
        for user, own in gone.items():
            write_own(connection, log.id, user, own)
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


def _unread(connection: sqlite3.Connection, log: Log, other: int, sender: int, own: Own) -> Holding:
    """Return what a sender holds in a private conversation that the other one has not read, of all kinds."""
    mark = _read_mark(connection, log.id, other)
    if mark == own.upto:
        return own.behind
    if mark < own.upto:  # the first read mark takes the place of what reached a device
        own = evolve(own, upto=positions.ZERO, behind=own.held)
    entries, bytes = connection.execute(
        "SELECT count(*), coalesce(sum(length(body)), 0) FROM message WHERE conversation = ? AND sender = ? "
        "AND charge < ? AND (epoch, n) > (?, ?) AND (epoch, n) <= (?, ?)",
        (log.id, sender, CHARGES[Charge.NONE], *own.upto, *mark),
    ).fetchone()
    own = evolve(own, upto=mark, behind=own.behind.plus(-entries, -bytes))
    write_own(connection, log.id, sender, own)
    return own.behind
