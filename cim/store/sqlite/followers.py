"""Followers of the logs in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IFollowers
from cim.model import Followed, Following
from cim.store.rules.followers import FORGOTTEN_MS, HANDED_OUT, IDLE_MS, LISTED
from cim.wire import positions

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

#: Who works on a conversation on which nobody does.
_NOBODY = ""
_KNOWN = "SELECT 1 FROM follower WHERE name = ?"
_CHANGED = "SELECT 1 FROM conversation WHERE noted_n IS NOT NULL LIMIT 1"
_WHICH = "WHERE follower = ? AND conversation = ?"


@implementer(IFollowers)
class SqliteFollowers:
    """Followers on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def follow(self, name: str, owner: str, *, seconds: float, most: int) -> Deferred[tuple[list[Followed], bool]]:
        """See IFollowers."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> tuple[list[Followed], bool]:
            connection.execute("DELETE FROM follower WHERE seen <= ?", (now - FORGOTTEN_MS,))
            left = _hand_out(connection, now)
            if left and not connection.execute(_KNOWN, (name,)).fetchone():
                return [], True  # a new one begins when what was said before is handed out
            connection.execute(
                "INSERT INTO follower (name, seen) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seen = excluded.seen",
                (name, now),
            )
            return _give(connection, name, owner, now, now + int(seconds * 1000), most), left

        return self._sqlite.write("follow", work)

    def settle(
        self,
        name: str,
        owner: str,
        followed: Followed,
        *,
        wait: float = 0.0,
        stop: bool = False,
        end: bool = False,
    ) -> Deferred[bool]:
        """See IFollowers."""
        now, which = self._now(), (name, followed.conversation)

        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute(f"SELECT owner FROM followed {_WHICH}", which).fetchone()
            if row is None or row[0] != owner:
                return False
            last = _last(connection, followed.conversation)
            position = last if end else positions.parse(followed.position)
            if last == positions.ZERO:
                connection.execute(f"DELETE FROM followed {_WHICH}", which)
                return True
            due = now + int(wait * 1000) if followed.failures else now + IDLE_MS if position == last else now
            connection.execute(
                f"UPDATE followed SET epoch = ?, n = ?, failures = ?, since = ?, owner = ?, due = ?, stopped = ? "
                f"{_WHICH}",
                (*position, followed.failures, followed.since, _NOBODY, due, now if stop else None, *which),
            )
            return True

        return self._sqlite.write("settle", work)

    def stop(self, name: str) -> Deferred[None]:
        """See IFollowers."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE follower SET stopped = ? WHERE name = ?", (now, name))

        return self._sqlite.write("stop", work)

    def resume(self, name: str, conversation: str = "", *, position: str | None = None) -> Deferred[int]:
        """See IFollowers."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> int:
            if not conversation:
                connection.execute("UPDATE follower SET stopped = NULL WHERE name = ?", (name,))
            which = connection.execute(
                "SELECT conversation, epoch, n FROM followed WHERE follower = ? AND failures > 0 AND owner = ? AND "
                + ("conversation = ?" if conversation else "stopped IS NOT ?"),
                (name, _NOBODY, conversation or None),
            ).fetchall()
            for one, epoch, n in which:
                where = (epoch, n)
                if position is not None:
                    where = positions.parse(position) if position else _last(connection, one)
                connection.execute(
                    f"UPDATE followed SET epoch = ?, n = ?, failures = 0, since = 0, due = ?, stopped = NULL {_WHICH}",
                    (*where, now, name, one),
                )
            return len(which)

        return self._sqlite.write("resume", work)

    def place(self, name: str, conversation: str) -> Deferred[Followed | None]:
        """See IFollowers."""

        def work(connection: sqlite3.Connection) -> Followed | None:
            query = f"SELECT epoch, n, failures, since FROM followed {_WHICH}"
            row = connection.execute(query, (name, conversation)).fetchone()
            return None if row is None else Followed(conversation, positions.text((row[0], row[1])), row[2], row[3])

        return self._sqlite.read("place", work)

    def following(self, name: str) -> Deferred[Following]:
        """See IFollowers."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Following:
            row = connection.execute("SELECT stopped FROM follower WHERE name = ?", (name,)).fetchone()
            of = "FROM followed WHERE follower = ? AND stopped IS"
            (late,) = connection.execute(f"SELECT count(*) {of} NULL AND due <= ?", (name, now)).fetchone()
            (count,) = connection.execute(f"SELECT count(*) {of} NOT NULL", (name,)).fetchone()
            query = f"SELECT conversation, stopped {of} NOT NULL ORDER BY conversation LIMIT {LISTED}"
            stopped = row is not None and row[0] is not None
            return Following(late, stopped, count, dict(connection.execute(query, (name,))))

        return self._sqlite.read("following", work)


def _last(connection: sqlite3.Connection, conversation: str) -> positions.Position:
    row = connection.execute("SELECT epoch, n FROM conversation WHERE name = ?", (conversation,)).fetchone()
    return positions.ZERO if row is None else (row[0], row[1])


def _hand_out(connection: sqlite3.Connection, now: int) -> bool:
    """Have each follower look at some conversations that changed; return whether there are more."""
    changed = connection.execute(
        "SELECT id, name, noted_epoch, noted_n FROM conversation WHERE noted_n IS NOT NULL LIMIT ?", (HANDED_OUT,)
    ).fetchall()
    for id, name, epoch, n in changed:
        connection.execute(
            "INSERT INTO followed (follower, conversation, epoch, n, due) SELECT name, ?, ?, ?, ? FROM follower "
            # Whoever works on it looks at its end when it is done; one that fails has its time.
            "WHERE true ON CONFLICT DO UPDATE SET due = excluded.due WHERE failures = 0 AND owner = ?",
            (name, epoch, n, now, _NOBODY),
        )
        connection.execute("UPDATE conversation SET noted_epoch = NULL, noted_n = NULL WHERE id = ?", (id,))
    return connection.execute(_CHANGED).fetchone() is not None


def _give(connection: sqlite3.Connection, follower: str, owner: str, now: int, until: int, most: int) -> list[Followed]:
    """Return conversations to work on until some time."""
    given: list[Followed] = []
    if connection.execute("SELECT stopped FROM follower WHERE name = ?", (follower,)).fetchone()[0] is not None:
        return given
    rows = connection.execute(
        "SELECT conversation, epoch, n, failures, since FROM followed "
        "WHERE follower = ? AND stopped IS NULL AND due <= ? ORDER BY due LIMIT ?",
        (follower, now, most),
    ).fetchall()
    for conversation, epoch, n, failures, since in rows:
        which = follower, conversation
        if (epoch, n) == _last(connection, conversation):
            connection.execute(f"DELETE FROM followed {_WHICH}", which)
            continue
        connection.execute(f"UPDATE followed SET owner = ?, due = ? {_WHICH}", (owner, until, *which))
        given.append(Followed(conversation, positions.text((epoch, n)), failures, since))
    return given
