"""The tables of a local history and their queries: plain work on a SQLite connection.

Messages without a position, those of upstream's servers, are kept in order of arrival, before those with one. Searches
find substrings in any script: with a trigram index, or by a scan for one or two characters.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from cim.client.values import Kind, Message, User, Waiting
from cim.daemon.schema import Schema, statements
from cim.wire import positions

#: The shortest text, in characters, that the index can find.
INDEXED = 3

_FIRST = (
    # place: the last position that the application received; NULL if none was stored.
    "CREATE TABLE conversation (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, place TEXT) STRICT",
    """CREATE TABLE message (
        id INTEGER PRIMARY KEY, conversation INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL,
        sender INTEGER NOT NULL, name TEXT NOT NULL, sent_at INTEGER NOT NULL, kind TEXT NOT NULL,
        ref_epoch INTEGER NOT NULL, ref_n INTEGER NOT NULL, client_id TEXT NOT NULL, talk INTEGER NOT NULL,
        mine INTEGER NOT NULL, text TEXT NOT NULL, content_type TEXT NOT NULL, data BLOB NOT NULL) STRICT""",
    "CREATE INDEX message_by_place ON message (conversation, epoch, n, id)",
    "CREATE UNIQUE INDEX message_once ON message (conversation, epoch, n) WHERE epoch > 0 OR n > 0",
    """CREATE INDEX message_revised ON message (conversation, ref_epoch, ref_n) WHERE kind IN ('edit', 'recall')""",
    "CREATE VIRTUAL TABLE words USING fts5 (text, content = '', tokenize = 'trigram')",
    """CREATE TABLE waiting (
        id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL UNIQUE, user INTEGER NOT NULL,
        talk INTEGER NOT NULL, text TEXT NOT NULL, data BLOB NOT NULL, content_type TEXT NOT NULL, kind TEXT NOT NULL,
        ref TEXT NOT NULL) STRICT""",
    "CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)
SCHEMA = Schema(0x43494D48, (statements(*_FIRST),))  # CIMH

_MESSAGE = """SELECT c.name, m.epoch, m.n, m.sender, m.name, m.sent_at, m.text, m.data, m.content_type, m.kind,
    m.ref_epoch, m.ref_n, m.client_id, m.talk, m.mine, m.kind = 'text' AND (m.text <> '' OR m.data <> x'')
    AND EXISTS (SELECT 1 FROM message e WHERE e.kind IN ('edit', 'recall') AND e.conversation = m.conversation
    AND e.ref_epoch = m.epoch AND e.ref_n = m.n)
    FROM message m JOIN conversation c ON c.id = m.conversation"""


def places(connection: sqlite3.Connection) -> dict[str, str]:
    """See IHistory."""
    return dict(connection.execute("SELECT name, place FROM conversation WHERE place IS NOT NULL"))


def add(connection: sqlite3.Connection, messages: Iterable[Message], moved: dict[str, str]) -> None:
    """See IHistory."""
    for message in messages:
        _add(connection, message)
    for name, place in moved.items():
        connection.execute("UPDATE conversation SET place = ? WHERE id = ?", (place, _conversation(connection, name)))


def _conversation(connection: sqlite3.Connection, name: str) -> int:
    found = connection.execute("SELECT id FROM conversation WHERE name = ?", (name,)).fetchone()
    if found is None:
        found = (connection.execute("INSERT INTO conversation (name) VALUES (?)", (name,)).lastrowid,)
    id: int = found[0]
    return id


def _add(connection: sqlite3.Connection, message: Message) -> None:
    conversation = _conversation(connection, message.conversation)
    place, ref = positions.parse(message.position), positions.parse(message.ref, "ref")
    text = _clean(message.text)
    cursor = connection.execute(
        """INSERT OR IGNORE INTO message (conversation, epoch, n, sender, name, sent_at, kind, ref_epoch, ref_n,
        client_id, talk, mine, text, content_type, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(conversation, *place, message.sender.id, _clean(message.sender.name), message.sent_at),
            *(message.kind.value, *ref, message.client_id, message.group, message.mine),
            *(text, message.content_type, message.data),
        ),
    )
    if not cursor.rowcount:
        return
    if message.kind is Kind.TEXT:
        connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (cursor.lastrowid, text))
        if place != positions.ZERO:
            _revise(connection, conversation, place)
    elif message.kind in (Kind.RECALL, Kind.EDIT) and ref != positions.ZERO:
        _revise(connection, conversation, ref)


def _revise(connection: sqlite3.Connection, conversation: int, place: positions.Position) -> None:
    """Set a message's content to that of its last edit, or blank it if recalled, in whatever order they were stored."""
    where = (conversation, *place)
    last = connection.execute(
        """SELECT kind, text, content_type, data FROM message WHERE conversation = ? AND ref_epoch = ? AND ref_n = ?
        AND kind IN ('edit', 'recall') ORDER BY kind = 'recall' DESC, epoch DESC, n DESC LIMIT 1""",
        where,
    ).fetchone()
    if last is None:
        return
    said = connection.execute(
        "SELECT id, text FROM message WHERE conversation = ? AND epoch = ? AND n = ? AND kind = 'text'", where
    ).fetchone()
    if said is not None:
        id, old = said
        new, content_type, data = ("", "", b"") if last[0] == "recall" else last[1:]
        connection.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (id, old))
        connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (id, new))
        connection.execute(
            "UPDATE message SET text = ?, content_type = ?, data = ? WHERE id = ?", (new, content_type, data, id)
        )
    if last[0] == "recall":
        connection.execute(
            """UPDATE message SET text = '', content_type = '', data = x'' WHERE conversation = ?1 AND (
            epoch = ?2 AND n = ?3 AND kind = 'text' OR ref_epoch = ?2 AND ref_n = ?3 AND kind = 'edit')""",
            where,
        )


def page(connection: sqlite3.Connection, conversation: str, before: str, limit: int) -> Sequence[Message]:
    """See IHistory."""
    place = positions.parse(before, "before") if before else (positions.LIMIT - 1, positions.LIMIT - 1)
    found = connection.execute(
        f"{_MESSAGE} WHERE c.name = ? AND (m.epoch, m.n) < (?, ?) ORDER BY m.epoch DESC, m.n DESC, m.id DESC LIMIT ?",
        (conversation, *place, max(0, limit)),
    )
    return [_message(row) for row in found][::-1]


def search(connection: sqlite3.Connection, text: str, limit: int) -> Sequence[Message]:
    """See IHistory; ignores case."""
    if not text or text != _clean(text):
        return ()
    condition, values = _containing(text)
    found = connection.execute(
        f"{_MESSAGE} WHERE m.kind = 'text' AND {condition} ORDER BY m.sent_at DESC, m.epoch DESC, m.n DESC, m.id DESC "
        "LIMIT ?",
        (*values, max(0, limit)),
    )
    return [_message(row) for row in found]


def _containing(text: str) -> tuple[str, Sequence[str]]:
    """Return the SQL condition that a message contains a text, and its parameters."""
    if "\0" in text:
        # Neither full-text queries nor LIKE patterns see beyond a NUL.
        return "instr(m.text, ?)", (text,)
    if len(text) >= INDEXED:
        quoted = text.replace('"', '""')
        return "m.id IN (SELECT rowid FROM words WHERE words MATCH ?)", (f'"{quoted}"',)
    # LIKE ignores case only for ASCII.
    cases = sorted({"".join(case) for case in itertools.product(*({c.lower(), c.upper(), c} for c in text))})
    escaped = [f"%{case.translate(_ESCAPES)}%" for case in cases]
    return f"({' OR '.join([_LIKE] * len(escaped))})", escaped


_LIKE = "m.text LIKE ? ESCAPE '\\'"
_ESCAPES = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def waiting(connection: sqlite3.Connection) -> Sequence[Waiting]:
    """See IHistory."""
    found = connection.execute(
        "SELECT client_id, user, talk, text, data, content_type, kind, ref FROM waiting ORDER BY id"
    )
    return [
        Waiting(id, user, talk, text, data, type, Kind(kind), ref)
        for id, user, talk, text, data, type, kind, ref in found
    ]


def put_waiting(connection: sqlite3.Connection, message: Waiting) -> None:
    """See IHistory; a message that is already there stays in place."""
    connection.execute(
        """INSERT OR IGNORE INTO waiting (client_id, user, talk, text, data, content_type, kind, ref)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            *(message.client_id, message.user, message.group, message.text, message.data, message.content_type),
            *(message.kind.value, message.ref),
        ),
    )


def drop_waiting(connection: sqlite3.Connection, client_id: str) -> None:
    """See IHistory."""
    connection.execute("DELETE FROM waiting WHERE client_id = ?", (client_id,))


def facts(connection: sqlite3.Connection) -> dict[str, str]:
    """See IHistory."""
    return dict(connection.execute("SELECT name, value FROM fact"))


def set_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    """See IHistory."""
    connection.execute("INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", (name, value))


def forget(connection: sqlite3.Connection, kept: int) -> None:
    """Remove all but the `kept` messages that were added last."""
    old = connection.execute(
        "SELECT id, kind, text FROM message ORDER BY id DESC LIMIT -1 OFFSET ?", (kept,)
    ).fetchall()
    for id, kind, text in old:
        if kind == Kind.TEXT.value:
            connection.execute("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)", (id, text))
        connection.execute("DELETE FROM message WHERE id = ?", (id,))


def _clean(text: str) -> str:
    """Return a text that can be stored: lone surrogates cannot be encoded in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _message(row: tuple[Any, ...]) -> Message:
    name, epoch, n, sender, sender_name, sent_at, text, data, content_type, kind, *rest = row
    ref_epoch, ref_n, client_id, talk, mine, edited = rest
    return Message(
        conversation=name,
        position=positions.text((epoch, n)),
        sender=User(sender, sender_name),
        sent_at=sent_at,
        text=text,
        data=data,
        content_type=content_type,
        kind=Kind(kind),
        ref=positions.text((ref_epoch, ref_n)),
        client_id=client_id,
        group=talk,
        mine=bool(mine),
        edited=bool(edited),
    )
