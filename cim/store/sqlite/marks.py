"""What devices have received and users have read, and in which conversations something is new by that, in SQLite."""

from __future__ import annotations

import sqlite3

from cim.model import ConversationHead, Mark
from cim.store.pages import MAX_LOOKED, MAX_UNREAD
from cim.store.sqlite.tables import RECALLED
from cim.wire import positions


def end_of(connection: sqlite3.Connection, name: str) -> tuple[int, positions.Position]:
    """Return the id of a conversation and the position of its last message; zeros if there is none."""
    found = connection.execute("SELECT id, epoch, n FROM conversation WHERE name = ?", (name,)).fetchone()
    return (0, positions.ZERO) if found is None else (found[0], (found[1], found[2]))


def device_of(connection: sqlite3.Connection, user: int, device: str, void: int) -> tuple[int, int]:
    """Return a device's id and when it was last seen; zeros if it is no longer known."""
    found = connection.execute(
        "SELECT id, seen FROM device WHERE user = ? AND name = ? AND seen >= ?", (user, device, void)
    ).fetchone()
    return (0, 0) if found is None else (found[0], found[1])


def received_by(connection: sqlite3.Connection, device: int, conversation: int) -> positions.Position:
    """Return up to where a device has received a conversation."""
    found = connection.execute(
        "SELECT epoch, n FROM received WHERE device = ? AND conversation = ?", (device, conversation)
    ).fetchone()
    return positions.ZERO if found is None else (found[0], found[1])


def reader_of(connection: sqlite3.Connection, conversation: int, user: int) -> tuple[int, positions.Position, int]:
    """Return how many messages the user sent, the read mark, and how many messages of others are up to it."""
    found = connection.execute(
        "SELECT sent, epoch, n, others FROM reader WHERE conversation = ? AND user = ?", (conversation, user)
    ).fetchone()
    return (0, positions.ZERO, 0) if found is None else (found[0], (found[1], found[2]), found[3])


def forget_device(connection: sqlite3.Connection, void: int) -> None:
    """Forget a device that was last seen before a time, if there is one."""
    for (id,) in connection.execute("SELECT id FROM device WHERE seen < ? LIMIT 1", (void,)).fetchall():
        connection.execute("DELETE FROM received WHERE device = ?", (id,))
        connection.execute("DELETE FROM device WHERE id = ?", (id,))


def set_mark(connection: sqlite3.Connection, mark: Mark, now: int, void: int) -> positions.Position:
    """Move a mark forward; return where it is now.

    :param now: ms since 1970
    :param void: devices are forgotten that were last seen before this time
    """
    id, last = end_of(connection, mark.conversation)
    position = min(max(positions.parse(mark.position), positions.parse(mark.floor)), last)
    if mark.device is None:
        sent, read, _ = reader_of(connection, id, mark.user)
        if position <= read:
            return read
        set_read(connection, id, mark.user, position, sent)
        return position
    device, _ = device_of(connection, mark.user, mark.device, void)
    received = received_by(connection, device, id)
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


_CANDIDATES = "SELECT active, name, conversation.id, conversation.epoch, conversation.n, counted"


def heads_of(
    connection: sqlite3.Connection,
    user: int,
    device: int,
    cursor: tuple[int, str] | None,
    oldest: int,
    limit: int,
    guest: bool,
) -> tuple[list[ConversationHead], str]:
    """Return the heads of a user's conversations, and the cursor of the next page or "".

    :param device: its id
    :param cursor: of this page
    :param oldest: conversations are left out in which nothing was said since, ms since 1970
    :param limit: how many heads at most
    :param guest: whether it is the guests' device
    """
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
        received = received_by(connection, device, id)
        sent, read, others = reader_of(connection, id, user)
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
