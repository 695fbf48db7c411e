"""Tokens that API keys made for users, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import Conflict
from cim.interfaces import IUserTokens
from cim.store.rules.user_tokens import TOO_MANY
from cim.user_tokens import MOST, UserToken, scopes_of, words_of

if TYPE_CHECKING:
    from cim.store.sqlite.threads import Sqlite

_LISTED = "SELECT id, made, ends, device, scopes FROM user_token WHERE user = ? AND ends > ? ORDER BY ends, id"
_FOUND = "SELECT id, made, ends, device, scopes FROM user_token WHERE user = ? AND ends > ? AND id = ?"


def _token(row: tuple[str, int, int, str, str]) -> UserToken:
    id, made, ends, device, scopes = row
    return UserToken(id, made, ends, device, scopes_of(scopes.split()))


@implementer(IUserTokens)
class SqliteUserTokens:
    """Tokens on disk."""

    def __init__(self, sqlite: Sqlite, now: Callable[[], int]) -> None:
        self._sqlite = sqlite
        self._now = now

    def keep(self, user: int, token: UserToken) -> Deferred[bool]:
        """See IUserTokens."""
        now = self._now()
        row = token.id, token.made, token.ends, token.device, " ".join(words_of(token.scopes))

        def work(connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM user_token WHERE ends <= ?", (now,))
            if connection.execute("SELECT count(*) FROM user_token WHERE user = ?", (user,)).fetchone()[0] >= MOST:
                raise Conflict(TOO_MANY)
            made = connection.execute(
                "INSERT INTO user_token SELECT user, ?, ?, ?, ?, ? FROM credential WHERE user = ?", (*row, user)
            )
            return made.rowcount > 0

        return self._sqlite.write("keep_user_token", work)

    def find(self, user: int, id: str) -> Deferred[UserToken | None]:
        """See IUserTokens."""
        asked = user, self._now(), id

        def work(connection: sqlite3.Connection) -> UserToken | None:
            row = connection.execute(_FOUND, asked).fetchone()
            return None if row is None else _token(row)

        return self._sqlite.read("user_token", work)

    def listed(self, user: int) -> Deferred[Sequence[UserToken]]:
        """See IUserTokens."""
        asked = user, self._now()
        return self._sqlite.read("user_tokens", lambda connection: [*map(_token, connection.execute(_LISTED, asked))])

    def revoke(self, user: int, id: str) -> Deferred[bool]:
        """See IUserTokens."""
        now = self._now()

        def work(connection: sqlite3.Connection) -> bool:
            query = "DELETE FROM user_token WHERE user = ? AND id = ? RETURNING ends"
            row = connection.execute(query, (user, id)).fetchone()
            return row is not None and row[0] > now

        return self._sqlite.write("revoke_user_token", work)
