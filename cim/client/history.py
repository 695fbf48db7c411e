"""A client's history of its conversations: on disk, in one SQLite file for each user, or in memory."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail, succeed
from zope.interface import implementer

from cim.client import history_tables as tables
from cim.client.iclient import IHistory
from cim.client.values import Message, Waiting
from cim.daemon.sqlite import SqliteWorker, Work
from cim.errors import HistoryUnavailable

T = TypeVar("T")


class _History:
    """The base of IHistory implementations, which run work on a connection in order."""

    def _run(self, work: Work[T]) -> Deferred[T]:
        raise NotImplementedError

    def places(self) -> Deferred[dict[str, str]]:
        """See IHistory."""
        return self._run(tables.places)

    def add(self, messages: Sequence[Message], places: dict[str, str]) -> Deferred[None]:
        """See IHistory."""
        messages, places = tuple(messages), dict(places)
        return self._run(lambda connection: tables.add(connection, messages, places))

    def page(self, conversation: str, before: str = "", limit: int = 50) -> Deferred[Sequence[Message]]:
        """See IHistory; fails with InvalidField if `before` is not a position."""
        return self._run(lambda connection: tables.page(connection, conversation, before, limit))

    def search(self, text: str, limit: int = 50) -> Deferred[Sequence[Message]]:
        """See IHistory; ignores case."""
        return self._run(lambda connection: tables.search(connection, text, limit))

    def waiting(self) -> Deferred[Sequence[Waiting]]:
        """See IHistory."""
        return self._run(tables.waiting)

    def put_waiting(self, message: Waiting) -> Deferred[None]:
        """See IHistory; a stored message with the same client_id stays as it is."""
        return self._run(lambda connection: tables.put_waiting(connection, message))

    def drop_waiting(self, client_id: str) -> Deferred[None]:
        """See IHistory."""
        return self._run(lambda connection: tables.drop_waiting(connection, client_id))

    def facts(self) -> Deferred[dict[str, str]]:
        """See IHistory."""
        return self._run(tables.facts)

    def set_fact(self, name: str, value: str) -> Deferred[None]:
        """See IHistory."""
        return self._run(lambda connection: tables.set_fact(connection, name, value))


@implementer(IHistory)
class MemoryHistory(_History):
    """A history in memory. Its Deferreds have fired when they are returned.

    :param kept: how many messages are kept, those that were added last
    """

    def __init__(self, kept: int = 10_000) -> None:
        self._kept = kept
        self._added = 0
        self._connection: sqlite3.Connection | None = None

    def open(self) -> Deferred[None]:
        """See IHistory."""
        if self._connection is None:
            self._connection = sqlite3.connect(":memory:", isolation_level=None)
            tables.SCHEMA.upgrade(self._connection)
        return succeed(None)

    def close(self) -> Deferred[None]:
        """See IHistory."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return succeed(None)

    def add(self, messages: Sequence[Message], places: dict[str, str]) -> Deferred[None]:
        """See IHistory."""
        self._added += len(messages)
        added = super().add(messages, places)
        if self._added > max(100, self._kept // 10):
            # Only now and then: the excess is at most a tenth.
            self._added = 0
            self._run(lambda connection: tables.forget(connection, self._kept)).addErrback(lambda _: None)
        return added

    def _run(self, work: Work[T]) -> Deferred[T]:
        connection = self._connection
        if connection is None:
            return fail(HistoryUnavailable("the history is not open"))

        def run() -> T:
            connection.execute("BEGIN")
            try:
                result = work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            return result

        return execute(run)


@implementer(IHistory)
class SqliteHistory(_History):
    """A history in a file that only its user can read, served by one thread.

    Every method fails with HistoryUnavailable, which names the file, if the file is in use by another client, damaged
    or not writable.

    :param path: the file, which is created with its folder if missing
    :param reactor: Deferreds fire in its thread
    """

    def __init__(self, path: str | os.PathLike[str], reactor: Any) -> None:
        self.path = Path(path)
        self._reactor = reactor
        self._worker: SqliteWorker | None = None

    def open(self) -> Deferred[None]:
        """See IHistory; locks the file for this client until it closes it or its process ends."""
        self._worker = SqliteWorker(self._reactor, self._connect, self._unavailable, name="cim-history")
        return self._worker.start()

    def close(self) -> Deferred[None]:
        """See IHistory."""
        return succeed(None) if self._worker is None else self._worker.stop()

    def _run(self, work: Work[T]) -> Deferred[T]:
        if self._worker is None or self._worker.stopped:
            return fail(HistoryUnavailable(f"the history {self.path} is not open"))
        return self._worker.run(work)

    def _connect(self) -> sqlite3.Connection:
        with self._named():
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                # Never open an existing file here: closing it would release the locks that this process holds on it.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            except FileExistsError:
                pass
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=0)
            try:
                # The lock is held from the first access until the file is closed or the process ends.
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA synchronous = FULL")
                # Recalled texts are overwritten on disk.
                connection.execute("PRAGMA secure_delete = ON")
                tables.SCHEMA.upgrade(connection)
                for path in self.path, Path(f"{self.path}-wal"):
                    if path.exists() and path.stat().st_mode & 0o077:
                        path.chmod(0o600)
                connection.execute("PRAGMA journal_mode = WAL")
            except BaseException:
                connection.close()
                raise
            return connection

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Make errors name the file and say what to do."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: sqlite3.Error | OSError) -> HistoryUnavailable:
        return HistoryUnavailable(f"the history {self.path} {_trouble(error)}")


def _trouble(error: sqlite3.Error | OSError) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return "is in use by another client"
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"is damaged ({error}): move it away, and a new one is created"
    return f"cannot be used: {getattr(error, 'strerror', None) or error}"
