"""Reads a whole database and names what does not fit (docs/backup.md)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from cim.errors import BadFrame, InvalidField
from cim.model import Charge, Role
from cim.names import comparison_form
from cim.plain import quoted
from cim.store.counted import Counted
from cim.store.sqlite.holdings import CHARGES
from cim.store.sqlite.tables import STORE
from cim.wire import conversations, native, positions
from cim.wire.positions import Position

#: How many faults SQLite itself names at most.
NAMED = 20


def count(connection: sqlite3.Connection) -> Counted:
    """Return how much there is in a database."""
    tables = ("account", "talk", "conversation", "message")
    return Counted(*(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables))


def is_current(connection: sqlite3.Connection) -> bool:
    """Return whether a database has the schema of this release, not that of an earlier one.

    :raises Foreign: it is no store, or a newer release has changed it
    """
    return STORE.check(connection) == len(STORE.steps)


def check(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield a sentence for each thing in a database that does not fit; nothing for one that is well.

    All of it is of one moment if the caller began a transaction. Of a database that an earlier release left, only
    whether it is damaged can be said.

    :raises Foreign: it is no store, or a newer release has changed it
    """
    damaged = [row[0] for row in connection.execute(f"PRAGMA integrity_check({NAMED})") if row[0] != "ok"]
    if damaged:  # whatever else was found would only follow from it
        yield from (f"the file is damaged: {line}" for line in damaged)
        return
    if not is_current(connection):
        return
    yield from _accounts(connection)
    yield from _groups(connection)
    yield from _conversations(connection)
    yield from _marks(connection)


def _accounts(connection: sqlite3.Connection) -> Iterator[str]:
    for table, row, *_ in connection.execute("PRAGMA foreign_key_check"):
        which = "" if row is None else f" {row}"
        yield f"{table}{which} is of an account that does not exist"
    for user, name, form in connection.execute(
        "SELECT id, name, coalesce(form, '') FROM account LEFT JOIN name_form ON user = id"
    ):
        right = comparison_form(name)
        if form != right:
            yield f"account {user} is called {quoted(name)} and is found by {quoted(form)}, not by {quoted(right)}"
    for user, name, form in connection.execute(
        "SELECT id, name, coalesce(form, '') FROM credential JOIN account ON id = user LEFT JOIN person USING (user)"
    ):
        right = comparison_form(name)
        if form != right:
            yield f"account {user} is found by the beginning of {quoted(form)}, not of {quoted(right)}"
    for kind, table in (("account", "account"), ("group", "talk")):
        (given,) = connection.execute("SELECT max(id) FROM given WHERE kind = ?", (kind,)).fetchone()
        (highest,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()
        if highest is not None and (given is None or given < highest):
            yield f"{kind} {highest} has a higher id than the last that was given to one, {given or 0}"
    of_users = dict.fromkeys(
        ("member", "block", "mute", "invitation", "stored", "talk_mute", "talk_ban", "muted_user"), "user"
    ) | {"report": "reporter"}
    for table, column in of_users.items():
        for (user,) in connection.execute(
            f"SELECT DISTINCT {column} FROM {table} WHERE {column} NOT IN (SELECT id FROM account)"
        ):
            yield f"{table} names user {user}, who does not exist"


def _groups(connection: sqlite3.Connection) -> Iterator[str]:
    for group, said, owners_said, members, owners in connection.execute(
        "SELECT id, members, owners, count(user), coalesce(sum(role = ?), 0) FROM talk LEFT JOIN member ON talk = id "
        "GROUP BY id",
        (Role.OWNER,),
    ):
        if (said, owners_said) != (members, owners):
            yield (
                f"group {group} counts {said} members and {owners_said} owners, but has {members} members and "
                f"{owners} owners"
            )
        elif not owners:
            yield f"group {group} has no owner"
    for table in ("member", "invitation", "happening", "talk_mute", "talk_ban"):
        for (group,) in connection.execute(
            f"SELECT DISTINCT talk FROM {table} WHERE talk NOT IN (SELECT id FROM talk)"
        ):
            yield f"{table} names group {group}, which does not exist"


def _conversations(connection: sqlite3.Connection) -> Iterator[str]:
    for (id,) in connection.execute(
        "SELECT DISTINCT conversation FROM message WHERE conversation NOT IN (SELECT id FROM conversation)"
    ):
        yield f"there are messages of a conversation {id} that does not exist"
    for id, name, low, high, epoch, n, total, accounted, entries, bytes in connection.execute(
        "SELECT id, name, low, high, epoch, n, total, accounted, entries, bytes FROM conversation"
    ).fetchall():
        try:
            parsed = conversations.parse(name)
        except InvalidField:
            yield f"conversation {id} is called {quoted(name, 64)}, which is no name of a conversation"
            continue
        users = (0, 0)
        if isinstance(parsed, conversations.PrivateConversation):
            users = parsed.low, parsed.high
        # Whoever was deleted is 0.
        if low not in (0, users[0]) or high not in (0, users[1]):
            yield f"{name} is listed for users {low} and {high}"
        for complaint in _messages(connection, id, (epoch, n), total):
            yield f"{name}: {complaint}"
        if accounted is not None and accounted == total:
            held = connection.execute(
                "SELECT count(*), coalesce(sum(length(body)), 0) FROM message WHERE conversation = ? AND charge < ?",
                (id, CHARGES[Charge.NONE]),
            ).fetchone()
            if held != (entries, bytes):
                yield f"{name} counts {entries} entries of {bytes} bytes, but holds {held[0]} of {held[1]}"


def _messages(connection: sqlite3.Connection, id: int, end: Position, total: int) -> Iterator[str]:
    """Yield what is wrong with the messages of a conversation."""
    last: Position = positions.ZERO
    last_number = 0
    for epoch, n, before_epoch, before_n, number, body in connection.execute(
        "SELECT epoch, n, before_epoch, before_n, number, body FROM message WHERE conversation = ? ORDER BY epoch, n",
        (id,),
    ):
        position, before = (epoch, n), (before_epoch, before_n)
        at = positions.text(position)
        if not last <= before < position:
            yield f"{at} names {positions.text(before)} as the message before it, and that is {positions.text(last)}"
        if not last_number < number <= total:
            yield f"{at} is number {number} of {total}, behind number {last_number}"
        if position > end:
            yield f"{at} is beyond the end, {positions.text(end)}"
        try:
            native.parse_body(body)
        except BadFrame:
            yield f"{at} cannot be decoded"
        last, last_number = position, number


def _marks(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield the marks, records and floors that lie beyond the end of their conversation, or are of none.

    The received marks of a group that ended go with their devices.
    """
    for what, who, table, join in (
        ("the read mark of user", "user", "reader", "LEFT JOIN"),
        ("the received mark of device", "device", "received", "JOIN"),
        ("the record of a message of user", "sender", "once", "LEFT JOIN"),
    ):
        for name, one, epoch, n in connection.execute(
            f"SELECT name, {who}, at.epoch, at.n FROM {table} AS at {join} conversation ON id = conversation "
            "WHERE id IS NULL OR (at.epoch, at.n) > (conversation.epoch, conversation.n)"
        ):
            if name is None:
                yield f"{what} {one} is of a conversation that does not exist"
            else:
                yield f"{name}: {what} {one} is at {positions.text((epoch, n))}, beyond the end"
    for name, follower, epoch, n in connection.execute(
        "SELECT name, follower, at.epoch, at.n FROM followed AS at JOIN conversation ON name = at.conversation "
        "WHERE (at.epoch, at.n) > (conversation.epoch, conversation.n)"
    ):
        yield f"{name}: webhook {follower} is at {positions.text((epoch, n))}, beyond the end"
    for name, user, epoch, n in connection.execute(
        "SELECT 'g:' || talk, user, member.epoch, member.n FROM member LEFT JOIN conversation ON name = 'g:' || talk "
        "WHERE (member.epoch, member.n) > (coalesce(conversation.epoch, 0), coalesce(conversation.n, 0))"
    ):
        yield f"{name}: user {user} may read only what is behind {positions.text((epoch, n))}, beyond the end"
