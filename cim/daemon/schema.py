"""The schema of a SQLite file, in numbered steps (docs/upgrading.md).

The header of a file says which kind it is, `application_id`, and how many steps it has taken, `user_version`. A step is
never changed once it was released: what is to be different comes with a further one. A new file takes the same steps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from attrs import frozen

#: Changes a file from one version of its schema to the next, in a transaction of the caller.
Step = Callable[[sqlite3.Connection], None]


class Foreign(sqlite3.DatabaseError):
    """Raised if a file is not for this release; the message, about "it", says why and what to do."""


def newer(version: int, known: int) -> str:
    """Return what is wrong with data of a newer schema, and what to do."""
    return (
        f"it has schema {version}, and this release knows schemas up to {known}: "
        "use the release that changed it, or a copy from before"
    )


def statements(*sql: str) -> Step:
    """Return the step that runs statements."""

    def step(connection: sqlite3.Connection) -> None:
        for statement in sql:
            connection.execute(statement)

    return step


@frozen
class Schema:
    """The schema of one kind of file.

    :param application: what marks files of this kind
    :param steps: the first makes version 1 of an empty file
    :param unmarked: tables by which files of this kind are known that releases made before they marked them
    """

    application: int
    steps: Sequence[Step]
    unmarked: frozenset[str] = frozenset()

    def check(self, connection: sqlite3.Connection) -> int:
        """Return how many steps a file has taken.

        :raises Foreign: it is of another kind, or a newer release has changed it
        """
        [application] = connection.execute("PRAGMA application_id").fetchone()
        [version] = connection.execute("PRAGMA user_version").fetchone()
        if application != self.application:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            if application or version or (tables and not (self.unmarked and self.unmarked <= tables)):
                raise Foreign("it belongs to another application: name another file")
        if version > len(self.steps):
            raise Foreign(newer(version, len(self.steps)))
        taken: int = version
        return taken

    def upgrade(self, connection: sqlite3.Connection) -> None:
        """Have a file take the steps that it has not taken, each in one transaction, which also tries to write.

        :param connection: in autocommit mode
        :raises Foreign: the file is not for this release; it is left as it is
        :raises sqlite3.Error: it cannot be read or written
        """
        self.check(connection)
        taken = -1
        while taken < len(self.steps):
            connection.execute("BEGIN IMMEDIATE")
            try:
                taken = self.check(connection)
                if taken < len(self.steps):
                    self.steps[taken](connection)
                    taken += 1
                    connection.execute(f"PRAGMA application_id = {self.application}")
                    connection.execute(f"PRAGMA user_version = {taken}")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
