"""Accounts in SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cim.icim import IAccounts
from cim.model import ID_LIMIT, Account

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.sqlite_threads import SqliteThreads

SCHEMA = ("CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",)


@implementer(IAccounts)
class SqliteAccounts:
    """Accounts on disk."""

    def __init__(self, threads: SqliteThreads, clock: IReactorTime) -> None:
        self._threads = threads
        self._clock = clock

    def register(self, name: str) -> Deferred[Account]:
        """See IAccounts."""
        now = int(self._clock.seconds() * 1000)

        def work(connection: sqlite3.Connection) -> Account:
            found = connection.execute("SELECT id FROM account WHERE name = ?", (name,)).fetchone()
            if found is None:
                found = connection.execute(
                    "INSERT INTO account SELECT max(?, coalesce(max(id), 0) + 1), ? FROM account RETURNING id",
                    (now, name),
                ).fetchone()
            return Account(found[0], name)

        return self._threads.write("register", work)

    def account(self, user: int) -> Deferred[Account | None]:
        """See IAccounts."""
        if not 0 < user < ID_LIMIT:  # more than SQLite's integers hold
            return succeed(None)
        return self._find("account", "id", user)

    def named(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._find("named", "name", name)

    def _find(self, operation: str, column: str, value: int | str) -> Deferred[Account | None]:
        def work(connection: sqlite3.Connection) -> Account | None:
            found = connection.execute(f"SELECT id, name FROM account WHERE {column} = ?", (value,)).fetchone()
            return None if found is None else Account(*found)

        return self._threads.read(operation, work)
