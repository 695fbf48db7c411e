"""Who is muted in groups, and banned from them, in SQLite."""

from __future__ import annotations

import sqlite3

from cim.model import Ban, Restrictions
from cim.store.rules.group_values import Banning, Muting

_RUNS = "(until = 0 OR until > ?)"


def mutes_in(connection: sqlite3.Connection, group: int, now: int) -> dict[int, int]:
    """Return until when users are muted in a group."""
    rows = connection.execute(f"SELECT user, until FROM talk_mute WHERE talk = ? AND {_RUNS}", (group, now))
    return dict(rows)


def bans_in(connection: sqlite3.Connection, group: int) -> list[Ban]:
    """Return who is banned from a group, the last one first."""
    rows = connection.execute(
        "SELECT talk, user, actor, at FROM talk_ban WHERE talk = ? ORDER BY at DESC, user", (group,)
    )
    return [Ban(*row) for row in rows]


def banned(connection: sqlite3.Connection, group: int, user: int) -> dict[int, int]:
    """Return who banned a user from a group, by the user; nothing if it is not banned."""
    rows = connection.execute("SELECT user, actor FROM talk_ban WHERE talk = ? AND user = ?", (group, user))
    return dict(rows)


def restrictions_of(connection: sqlite3.Connection, user: int, now: int) -> Restrictions:
    """Return where a user is muted or banned."""
    muted = connection.execute(f"SELECT talk, until FROM talk_mute WHERE user = ? AND {_RUNS}", (user, now))
    bans = connection.execute("SELECT talk, user, actor, at FROM talk_ban WHERE user = ? ORDER BY talk", (user,))
    return Restrictions(dict(muted), tuple(Ban(*row) for row in bans))


def mute(connection: sqlite3.Connection, group: int, muting: Muting, now: int) -> None:
    """Carry out that a user is muted, or is not any more, and forget what has ended."""
    if not muting.user:
        connection.execute("UPDATE talk SET muted = ? WHERE id = ?", (muting.until, group))
        return
    connection.execute(f"DELETE FROM talk_mute WHERE talk = ? AND NOT {_RUNS}", (group, now))
    connection.execute("DELETE FROM talk_mute WHERE talk = ? AND user = ?", (group, muting.user))
    if muting.until is not None:
        connection.execute("INSERT INTO talk_mute VALUES (?, ?, ?)", (group, muting.user, muting.until))


def ban(connection: sqlite3.Connection, group: int, banning: Banning, now: int) -> None:
    """Carry out that a user is banned, or is not any more."""
    if banning.by is None:
        connection.execute("DELETE FROM talk_ban WHERE talk = ? AND user = ?", (group, banning.user))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO talk_ban VALUES (?, ?, ?, ?)", (group, banning.user, banning.by, now)
        )


def lift_all(connection: sqlite3.Connection, column: str, id: int) -> None:
    """Forget all mutes and bans in a group that has ended, or of a user whose account goes.

    :param column: `talk` or `user`
    """
    for table in ("talk_mute", "talk_ban"):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (id,))
