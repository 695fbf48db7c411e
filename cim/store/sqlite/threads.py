"""A SQLite file served by a writer's and a reader's thread, and one that copies its log (checkpoints.py)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.logger import Logger

from cim.daemon.schema import Schema
from cim.daemon.sqlite import SqliteWorker, Work
from cim.errors import StoreUnavailable
from cim.store.sqlite.checkpoints import Checkpoints, set_up
from cim.store.sqlite.open_file import OpenFile
from cim.supervision import Loop

T = TypeVar("T")

#: How often it is looked whether the file can be written to, in seconds.
LOOK_SECONDS = 0.5


class Sqlite(Protocol):
    """A SQLite database that does not block the reactor."""

    def write(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work`, counted under `name`; fires when its changes are durable."""

    def read(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work`, which must not write, counted under `name`."""


class SqliteThreads:
    """The threads and connections of one file, from `start` to `stop`.

    :param schema: what the file holds
    :param ended: called with the name and the seconds of every finished call
    :param prepare: work to do at start
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        reactor: Any,
        schema: Schema,
        ended: Callable[[str, float], None],
        prepare: Work[None] = lambda connection: None,
    ) -> None:
        self.path = path
        self._reactor = reactor
        self._schema = schema
        self._ended = ended
        self._prepare = prepare
        self._workers: tuple[SqliteWorker, SqliteWorker] | None = None
        self._checkpoints: Checkpoints | None = None
        self._complaints = ["", ""]
        self._loop = Loop(f"looking at the file {path}", self._look, reactor, every=LOOK_SECONDS)
        self._lock: int | None = None

    def start(self) -> None:
        """Open the file, or create it.

        :raises StoreUnavailable: the file cannot be used; the error says why
        """
        try:
            os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            writing = self._connect()
            writing.execute("BEGIN IMMEDIATE")
            self._prepare(writing)
            writing.execute("COMMIT")
            reading = self._connect()
            checkpoints = self._checkpoints = Checkpoints(self._reactor, self.path, self._connect())
        except BlockingIOError:
            self._unlock()
            raise StoreUnavailable(
                f"the store {self.path} is in use by another process: stop that, or name another file in --store"
            )
        except (sqlite3.Error, OSError) as error:
            self._unlock()
            raise StoreUnavailable(f"the store {self.path} cannot be used: {_trouble(error)}") from error
        file = OpenFile(self.path)

        def check(connection: sqlite3.Connection) -> None:
            if complaint := file.complaint():
                raise sqlite3.OperationalError(complaint)
            self._schema.check(connection)

        writer = self._worker(0, writing, name="cim-store-writer", check=check, between=checkpoints.wrote)
        self._workers = writer, self._worker(1, reading, name="cim-store-reader", begin="BEGIN")
        checkpoints.start()
        self._loop.start(LOOK_SECONDS)

    def _worker(self, number: int, connection: sqlite3.Connection, **options: Any) -> SqliteWorker:
        def heard(complaint: str) -> None:
            if complaint and complaint not in self._complaints:
                self._log.warn("The SQLite store failed: {error}", error=complaint)
            # That something was done in vain proves nothing about writing: `_look` does.
            if complaint or number:
                self._complaints[number] = complaint

        worker = SqliteWorker(
            self._reactor, lambda: connection, lambda error: StoreUnavailable(), heard=heard, **options
        )
        worker.start()
        return worker

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            self._schema.upgrade(connection)
            connection.execute("PRAGMA journal_mode=WAL")
            set_up(connection)
            # What a savepoint could give back would go through a file otherwise.
            connection.execute("PRAGMA temp_store=MEMORY")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.close()
            self._checkpoints = None
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _look(self) -> None:
        """Look whether the file can be written to: by an empty transaction, or by writing if that failed before."""
        if self._workers is None or self._workers[0].stopped:
            return
        failed = bool(self._complaints[0])
        try:
            await self._workers[0].run(_write_again if failed else lambda connection: None)
        except StoreUnavailable:
            return
        if failed:
            self._complaints[0] = ""
            self._log.info("The SQLite store can be written to again")

    def stop(self) -> Deferred[None]:
        """Finish pending calls, stop the threads and close the file."""
        self._loop.stop()
        if self._workers is None or self._checkpoints is None:
            return succeed(None)
        writer, reader = self._workers
        # The connection that is closed last copies the log and removes it; of two at once, neither may be the last.
        others = gatherResults([reader.stop(), self._checkpoints.stop()])
        return others.addCallback(lambda _: writer.stop()).addCallback(lambda _: self._close())

    def write(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work` in the writer's thread, counted under `name`; fires when its changes are on disk.

        Fails with the error of `work`, or with StoreUnavailable for SQLite's own errors; nothing is changed then.
        """
        return self._run(0, name, work)

    def read(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work`, which must not write, in the reader's thread; fails like `write`."""
        return self._run(1, name, work)

    def look(self, work: Work[T]) -> Deferred[T]:
        """Run `work`, which must not write, in the writer's thread and count nothing; fails like `write`."""
        return fail(StoreUnavailable()) if self._workers is None else self._workers[0].run(work)

    def _run(self, worker: int, name: str, work: Work[T]) -> Deferred[T]:
        if self._workers is None:
            return fail(StoreUnavailable())
        started = self._reactor.seconds()

        def ended(result: T) -> T:
            self._ended(name, self._reactor.seconds() - started)
            return result

        return self._workers[worker].run(work).addBoth(ended)

    def health(self) -> str:
        """See IStore."""
        if self._workers is None:
            return f"the store {self.path} is not open"
        writing, reading = self._complaints
        if writing and not reading:
            return f"the store {self.path} takes no writes, though it can be read: {writing}"
        return f"the store {self.path} fails: {reading}" if reading else ""


def _write_again(connection: sqlite3.Connection) -> None:
    """Write what is there, which takes space in the log as anything does."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version}")


def _trouble(error: sqlite3.Error | OSError) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return "it is not a database: name another file, or restore a copy"
    if code == sqlite3.SQLITE_CORRUPT:
        return f"it is damaged ({error}): restore a copy"
    return str(error)
