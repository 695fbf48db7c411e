"""How many bytes are stored of each user, in SQLite (docs/limits.md, History)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from cim.model import Retention
from cim.store.bounds import BLOCK, DAY_MS, blocks, no_room


class Quotas:
    """Has users' quotas pay for messages, in the writer's thread.

    :param random: returns a number from 0 to 1
    """

    def __init__(self, retention: Retention, random: Callable[[], float]) -> None:
        self._quota = retention.user_bytes
        self._ms = retention.ms
        self._random = random
        self._spent: set[int] = set()

    def pay(self, connection: sqlite3.Connection, user: int, size: int, first: bool, now: int) -> None:
        """Have a user's quota pay for a message, maybe the first one of its conversation.

        :raises NoRoom: it does not
        """
        if not self._quota:
            return
        size = blocks(size, first, self._random())
        if not size and user not in self._spent:
            return
        oldest = (now - self._ms) // DAY_MS
        (stored,) = connection.execute(
            "SELECT coalesce(sum(bytes), 0) FROM stored WHERE user = ? AND day >= ?", (user, oldest)
        ).fetchone()
        if stored + max(size, BLOCK) > self._quota:
            # Now what pays nothing is not stored, either.
            self._spent.add(user)
            raise no_room("quota")
        self._spent.discard(user)
        connection.execute("DELETE FROM stored WHERE user = ? AND day < ?", (user, oldest))
        connection.execute(
            "INSERT INTO stored VALUES (?, ?, ?) ON CONFLICT (user, day) DO UPDATE SET bytes = bytes + ?",
            (user, now // DAY_MS, size, size),
        )

    @staticmethod
    def give_back(connection: sqlite3.Connection, user: int, day: int, size: int) -> None:
        """Give a user's quota back what was stored on a day."""
        connection.execute("UPDATE stored SET bytes = max(0, bytes - ?) WHERE user = ? AND day = ?", (size, user, day))
