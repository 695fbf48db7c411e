"""A SQLite file served by two threads: one that writes, one that reads.

Whatever waits for the writer goes into one transaction, and nobody hears of it before that is on disk. So a call costs
one part of an fsync. Each piece of work has a savepoint of its own: one that fails, fails alone.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from attrs import frozen

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.ecim import StoreUnavailable

T = TypeVar("T")

#: Work on a connection, run in its thread; what it returns or raises is the result.
Work = Callable[[sqlite3.Connection], T]
MAX_WAITING = 20_000
MAX_GROUP = 1_000
#: Errors of one piece of work that say nothing about the file.
_NOT_THE_FILE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.NotSupportedError)


class Sqlite(Protocol):
    """A SQLite database that does not hold up the reactor."""

    def write(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work`, counted as `name`; fires when what it changed is kept."""

    def read(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work`, which must not write."""


@frozen
class _Asked:
    """A piece of work."""

    work: Work[Any]
    result: Deferred[Any]


class _Worker:
    """One thread with one connection; what waits for it is run in groups, each in one transaction."""

    _log = Logger()

    def __init__(self, connection: sqlite3.Connection, reactor: Any, begin: str, name: str) -> None:
        self._connection = connection
        self._reactor = reactor
        self._begin = begin
        self._queue: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._waiting = 0
        self._stopped = False
        self._finished: Deferred[None] = Deferred()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._error = ""  # the thread's own
        self.complaint = ""
        self._thread.start()

    # In the reactor's thread

    def run(self, work: Work[T]) -> Deferred[T]:
        if self._stopped or self._waiting >= MAX_WAITING:
            return fail(StoreUnavailable())
        self._waiting += 1
        result: Deferred[T] = Deferred()
        self._queue.put(_Asked(work, result))
        return result

    def stop(self) -> Deferred[None]:
        """Finish what waits, then end the thread and close the connection."""
        if not self._stopped:
            self._stopped = True
            self._queue.put(None)
        return self._finished

    def _deliver(self, group: Sequence[_Asked], results: Sequence[Any], error: str) -> None:
        self._waiting -= len(group)
        if error and error != self.complaint:
            self._log.warn("The SQLite store failed: {error}", error=error)
        self.complaint = error
        for asked, result in zip(group, results, strict=True):
            asked.result.callback(result)

    def _finish(self) -> None:
        self._thread.join()
        self._finished.callback(None)

    # In the thread

    def _serve(self) -> None:
        going = True
        while going:
            group = [self._queue.get()]
            while len(group) < MAX_GROUP and group[-1] is not None:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            going = group[-1] is not None
            works = [item for item in group if item is not None]
            if works:
                results, error = self._transaction(works)
                self._reactor.callFromThread(self._deliver, works, results, error)
        self._connection.close()
        self._reactor.callFromThread(self._finish)

    def _transaction(self, works: Sequence[_Asked]) -> tuple[list[Any], str]:
        """Run works in one transaction; return their results or Failures, and what is wrong with the file."""
        self._error = ""
        try:
            self._connection.execute(self._begin)
            results = [self._protected(asked) for asked in works]
            self._connection.execute("COMMIT")
            return results, self._error
        except sqlite3.Error as error:  # the disk is full, the file is locked...
            if self._connection.in_transaction:
                try:
                    self._connection.execute("ROLLBACK")
                except sqlite3.Error:
                    pass
            return [Failure(StoreUnavailable()) for _ in works], str(error)

    def _protected(self, asked: _Asked) -> Any:
        self._connection.execute("SAVEPOINT work")
        try:
            result = asked.work(self._connection)
        except Exception as error:
            if not self._connection.in_transaction:  # SQLite itself rolled all of it back
                raise sqlite3.OperationalError(str(error)) from error
            self._connection.execute("ROLLBACK TO work")
            result = Failure()
            if isinstance(error, sqlite3.Error):
                result = Failure(StoreUnavailable())
                if not isinstance(error, _NOT_THE_FILE):
                    self._error = str(error)
        self._connection.execute("RELEASE work")
        return result


class SqliteThreads:
    """The threads and connections of one file, from `start` to `stop`.

    :param schema: statements that make what is missing
    :param ended: called with the name and the seconds of every call that ended
    """

    def __init__(self, path: str, reactor: Any, schema: Sequence[str], ended: Callable[[str, float], None]) -> None:
        self.path = path
        self._reactor = reactor
        self._schema = schema
        self._ended = ended
        self._workers: tuple[_Worker, _Worker] | None = None
        self._lock: int | None = None

    def start(self) -> None:
        """Open the file, making it when there is none.

        :raises StoreUnavailable: says why it cannot be used
        """
        try:
            os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            writing = self._connect()
            for statement in self._schema:
                writing.execute(statement)
            writing.execute("BEGIN IMMEDIATE")  # a file that cannot be written is found out now
            writing.execute("COMMIT")
            reading = self._connect()
        except BlockingIOError:
            self._unlock()
            raise StoreUnavailable(f"the store {self.path} is in use by another process")
        except (sqlite3.Error, OSError) as error:
            self._unlock()
            raise StoreUnavailable(f"the store {self.path} cannot be used: {error}") from error
        self._workers = (
            _Worker(writing, self._reactor, "BEGIN IMMEDIATE", "cim-store-writer"),
            _Worker(reading, self._reactor, "BEGIN", "cim-store-reader"),
        )

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            # Fewer and larger checkpoints: pages that were written again and again are copied once.
            connection.execute("PRAGMA wal_autocheckpoint=4000")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def stop(self) -> Deferred[None]:
        """Finish what was asked, end the threads, close the file."""
        workers = self._workers or ()
        return gatherResults([worker.stop() for worker in workers]).addCallback(lambda _: self._unlock())

    def write(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work` in the writer's thread, counted as `name`; fires when what it changed is on disk.

        Fails with what `work` raised, with StoreUnavailable in place of SQLite's own errors; then it changed nothing.
        """
        return self._run(0, name, work)

    def read(self, name: str, work: Work[T]) -> Deferred[T]:
        """Run `work`, which must not write, in the reader's thread; fails like `write`."""
        return self._run(1, name, work)

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
        complaint = self._workers[0].complaint or self._workers[1].complaint
        return f"the store {self.path} fails: {complaint}" if complaint else ""
