"""Accounts in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cim.errors import Conflict
from cim.interfaces import IAccounts
from cim.model import ID_LIMIT, MAX_NAME, Account, ListedAccount, Listing
from cim.names import LOOKS_TAKEN, comparison_form
from cim.store.sqlite.sanctions import held

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

#: Appended to a prefix, sorts behind every name that begins with the prefix.
_LAST = "\U0010ffff" * (MAX_NAME + 1)


def next_id(connection: sqlite3.Connection, kind: str, table: str, now: int) -> int:
    """Return an id that was never given before: the time in ms, or one more than the highest id."""
    id: int = connection.execute(
        f"INSERT INTO given SELECT ?, max(?, coalesce(max(id), 0) + 1) FROM {table} WHERE true "
        "ON CONFLICT (kind) DO UPDATE SET id = max(given.id + 1, excluded.id) RETURNING id",
        (kind, now),
    ).fetchone()[0]
    return id


def find_account(connection: sqlite3.Connection, name: str) -> Account | None:
    """Return the account with a name, or None."""
    found = connection.execute("SELECT id, name FROM account WHERE name = ?", (name,)).fetchone()
    return None if found is None else Account(*found)


def find_alike(connection: sqlite3.Connection, form: str) -> Account | None:
    """Return the account that holds a comparison form, or None."""
    found = connection.execute(
        "SELECT id, name FROM name_form JOIN account ON id = user WHERE form = ? ORDER BY user LIMIT 1", (form,)
    ).fetchone()
    return None if found is None else Account(*found)


def make_account(connection: sqlite3.Connection, name: str, now: int) -> Account:
    """Create an account with a free name.

    :raises Conflict: the name looks like that of another account
    """
    form = comparison_form(name)
    if find_alike(connection, form) is not None:
        raise Conflict(LOOKS_TAKEN)
    id = next_id(connection, "account", "account", now)
    connection.execute("INSERT INTO account VALUES (?, ?)", (id, name))
    if form:
        connection.execute("INSERT INTO name_form VALUES (?, ?)", (form, id))
    return Account(id, name)


def index_names(connection: sqlite3.Connection) -> None:
    """Give the accounts that were made since it was last called the comparison forms of their names."""
    last = connection.execute("SELECT id FROM given WHERE kind = 'indexed account'").fetchone() or (0,)
    accounts = connection.execute("SELECT id, name FROM account WHERE id > ?", last)
    forms = ((form, id) for id, name in accounts if (form := comparison_form(name)))
    connection.executemany("INSERT INTO name_form VALUES (?, ?) ON CONFLICT DO NOTHING", forms)
    connection.execute(
        "INSERT OR REPLACE INTO given SELECT 'indexed account', id FROM account ORDER BY id DESC LIMIT 1"
    )


@implementer(IAccounts)
class SqliteAccounts:
    """Accounts on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def register(self, name: str) -> Deferred[Account]:
        """See IAccounts."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> Account:
            return find_account(connection, name) or make_account(connection, name, now)

        return self._sqlite.write("register", work)

    def account(self, user: int) -> Deferred[Account | None]:
        """See IAccounts."""
        if not 0 < user < ID_LIMIT:  # else it may not fit into SQLite's integers
            return succeed(None)
        return self._find("account", "id", user)

    def named(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._find("named", "name", name)

    def known_as(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""

        def work(connection: sqlite3.Connection) -> Account | None:
            return find_account(connection, name) or find_alike(connection, comparison_form(name))

        return self._sqlite.read("known_as", work)

    def listed(self, *, prefix: str = "", after: str = "", limit: int) -> Deferred[Listing[ListedAccount]]:
        """See IAccounts; sorted by the code points of their names."""

        now = self._now()

        def work(connection: sqlite3.Connection) -> Listing[ListedAccount]:
            rows = connection.execute(
                "SELECT id, name, credential.user IS NOT NULL, until, reason, since FROM account "
                "LEFT JOIN credential ON credential.user = id LEFT JOIN suspended ON suspended.user = id "
                "WHERE name >= ? AND name > ? AND name < ? ORDER BY name LIMIT ?",
                (prefix, after, prefix + _LAST, limit + 1),
            ).fetchall()
            items = [
                ListedAccount(Account(id, name), bool(has), held(*ban, now=now)) for id, name, has, *ban in rows[:limit]
            ]
            return Listing(items, items[-1].account.name if len(rows) > limit else "")

        return self._sqlite.read("list_accounts", work)

    def accounts(self, users: Collection[int]) -> Deferred[Mapping[int, Account]]:
        """See IAccounts."""
        ids = json.dumps([user for user in users if 0 < user < ID_LIMIT])

        def work(connection: sqlite3.Connection) -> dict[int, Account]:
            found = connection.execute(
                "SELECT id, name FROM account WHERE id IN (SELECT value FROM json_each(?))", (ids,)
            )
            return {id: Account(id, name) for id, name in found}

        return self._sqlite.read("accounts", work)

    def people(self, form: str, *, whole: bool = False, after: str = "", limit: int) -> Deferred[Listing[Account]]:
        """See IAccounts."""
        behind, _, user = after.rpartition("\0")

        def work(connection: sqlite3.Connection) -> Listing[Account]:
            rows = connection.execute(
                "SELECT form, id, name FROM person JOIN account ON id = user "
                "WHERE form >= ? AND form < ? AND (form, user) > (?, ?) ORDER BY form, user LIMIT ?",
                (form, form + ("\0" if whole else _LAST), behind, int(user or 0), limit + 1),
            ).fetchall()
            accounts = [Account(id, name) for _, id, name in rows[:limit]]
            return Listing(accounts, "{}\0{}".format(*rows[limit - 1][:2]) if len(rows) > limit else "")

        return self._sqlite.read("people", work)

    def guests(self) -> Deferred[bool]:
        """See IAccounts."""

        def work(connection: sqlite3.Connection) -> bool:
            query = "SELECT EXISTS (SELECT 1 FROM account WHERE id NOT IN (SELECT user FROM credential))"
            return bool(connection.execute(query).fetchone()[0])

        return self._sqlite.read("guests", work)

    def _find(self, operation: str, column: str, value: int | str) -> Deferred[Account | None]:
        def work(connection: sqlite3.Connection) -> Account | None:
            found = connection.execute(f"SELECT id, name FROM account WHERE {column} = ?", (value,)).fetchone()
            return None if found is None else Account(*found)

        return self._sqlite.read(operation, work)
