"""How many bytes are stored of each user, in SQLite (docs/limits.md, History)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from cim.model import Retention
from cim.store.bounds import DAY_MS, blocks, no_room


class Quotas:
    """Has users' quotas pay for messages, in the writer's thread.

    :param random: returns a number from 0 to 1
    """

    def __init__(self, retention: Retention, random: Callable[[], float]) -> None:
        self._quota = retention.user_bytes
        self._ms = retention.ms
        self._random = random

    def pay(self, connection: sqlite3.Connection, user: int, size: int, now: int) -> None:
        """Have a user's quota pay for a message.

        :raises NoRoom: it does not
        """
        if not self._quota or not (size := blocks(size, self._random())):
            return
        oldest = (now - self._ms) // DAY_MS
        (stored,) = connection.execute(
            "SELECT coalesce(sum(bytes), 0) FROM stored WHERE user = ? AND day >= ?", (user, oldest)
        ).fetchone()
        if stored + size > self._quota:
            raise no_room("quota")
        connection.execute("DELETE FROM stored WHERE user = ? AND day < ?", (user, oldest))
        connection.execute(
            "INSERT INTO stored VALUES (?, ?, ?) ON CONFLICT (user, day) DO UPDATE SET bytes = bytes + ?",
            (user, now // DAY_MS, size, size),
        )

    @staticmethod
    def give_back(connection: sqlite3.Connection, user: int, day: int, size: int) -> None:
        """Give a user's quota back what was stored on a day."""
        connection.execute("UPDATE stored SET bytes = max(0, bytes - ?) WHERE user = ? AND day = ?", (size, user, day))
