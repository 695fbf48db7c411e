"""One thread with one SQLite connection, so that SQLite never blocks the reactor.

All waiting work goes into one transaction, and no caller gets a result before that is on disk, so calls share the cost
of an fsync. Of several pieces each has a savepoint of its own, so one that fails fails alone.
"""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import frozen

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

T = TypeVar("T")

#: Work on a connection, run in the connection's thread; what it returns or raises is the result.
Work = Callable[[sqlite3.Connection], T]
#: When this many pieces of work wait, further ones fail at once.
MAX_WAITING = 20_000
#: How many pieces of work go into one transaction.
MAX_GROUP = 1_000
#: Errors that concern one piece of work and say nothing about the file.
_NOT_THE_FILE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.NotSupportedError)


@frozen
class _QueuedWork:
    work: Work[Any]
    result: Deferred[Any]


class SqliteWorker:
    """Runs work on a connection, in the order of the calls.

    :param connect: makes the connection; called in the thread
    :param unavailable: returns the error to fail work with for an error of SQLite's
    :param name: the thread's name
    :param begin: the statement that begins a transaction; "BEGIN" if the work only reads, "" for no transaction
    :param check: called in each transaction before its work, which fails with the error of SQLite's that this raises
    :param between: called in the thread after each transaction, whose results are on their way then
    :param heard: called after each transaction with what is wrong with the file; "" when nothing is
    :ivar stopped: whether it refuses further work
    """

    def __init__(
        self,
        reactor: Any,
        connect: Callable[[], sqlite3.Connection],
        unavailable: Callable[[sqlite3.Error], Exception],
        *,
        name: str,
        begin: str = "BEGIN IMMEDIATE",
        check: Work[object] = lambda connection: None,
        between: Work[None] = lambda connection: None,
        heard: Callable[[str], None] = lambda complaint: None,
    ) -> None:
        self._reactor = reactor
        self._connect = connect
        self._unavailable = unavailable
        self._begin = begin
        self._check = check
        self._between = between
        self._heard = heard
        self._queue: queue.SimpleQueue[_QueuedWork | None] = queue.SimpleQueue()
        self._waiting = 0
        self.stopped = False
        self._finished: Deferred[None] = Deferred()
        self._error = ""  # the thread's own
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    # In the reactor's thread

    def start(self) -> Deferred[None]:
        """Start the thread; fires when the connection is made, or fails with what `connect` raised."""
        self._opened: Deferred[None] = Deferred()
        self._thread.start()
        return self._opened

    def run(self, work: Work[T]) -> Deferred[T]:
        """Run `work`; fires when what it changed is on disk.

        If `work` raises, nothing is changed, and this fails with that error, or with what `unavailable` returns for an
        error of SQLite's own.
        """
        if self.stopped or self._waiting >= MAX_WAITING:
            return fail(self._unavailable(sqlite3.OperationalError("too many calls are waiting for it")))
        self._waiting += 1
        result: Deferred[T] = Deferred()
        self._queue.put(_QueuedWork(work, result))
        return result

    def stop(self) -> Deferred[None]:
        """Finish the waiting work, then close the connection and end the thread; fires when that is done."""
        if not self.stopped:
            self.stopped = True
            self._queue.put(None)
        finished: Deferred[None] = Deferred()
        self._finished.chainDeferred(finished)
        return finished

    def _deliver(self, group: Sequence[_QueuedWork], results: Sequence[Any], error: str) -> None:
        self._waiting -= len(group)
        self._heard(error)
        for asked, result in zip(group, results, strict=True):
            asked.result.callback(result)

    def _not_opened(self, failure: Failure) -> None:
        self.stopped = True
        self._finish()
        self._opened.errback(failure)
        while not self._queue.empty():
            asked = self._queue.get()
            if asked is not None:
                asked.result.errback(failure)

    def _finish(self) -> None:
        self._thread.join()
        self._finished.callback(None)

    # In the thread

    def _serve(self) -> None:
        try:
            connection = self._connect()
        except BaseException:
            self._reactor.callFromThread(self._not_opened, Failure())
            return
        self._reactor.callFromThread(self._opened.callback, None)
        going = True
        while going:
            group = [self._queue.get()]
            while len(group) < MAX_GROUP and group[-1] is not None:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            going = group[-1] is not None
            asked = [item for item in group if item is not None]
            if asked:
                results, error = self._transaction(connection, asked)
                self._reactor.callFromThread(self._deliver, asked, results, error)
                with contextlib.suppress(sqlite3.Error):  # what is wrong with the file, the next transaction says
                    self._between(connection)
        connection.close()
        self._reactor.callFromThread(self._finish)

    def _transaction(self, connection: sqlite3.Connection, group: Sequence[_QueuedWork]) -> tuple[list[Any], str]:
        """Run work in one transaction; return the results or Failures, and what is wrong with the file, if anything."""
        self._error = ""
        try:
            connection.execute(self._begin)
            self._check(connection)
            alone = len(group) == 1
            results = [self._protected(connection, asked.work, alone) for asked in group]
            if connection.in_transaction:
                connection.execute("COMMIT")
            return results, self._error
        except Exception as error:  # such as a full disk or a locked file; nothing ends the thread
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            told = self._unavailable(error) if isinstance(error, sqlite3.Error) else error
            return [Failure(told) for _ in group], str(error) or type(error).__name__

    def _protected(self, connection: sqlite3.Connection, work: Work[Any], alone: bool) -> Any:
        """Run a piece of work, of which nothing is left if it fails.

        :param alone: whether it has its transaction to itself: a savepoint costs copies of all pages that it changes
        """
        if not alone:
            connection.execute("SAVEPOINT work")
        try:
            result = work(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite rolled all of it back itself
                raise error if isinstance(error, sqlite3.Error) else sqlite3.OperationalError(str(error)) from error
            connection.execute("ROLLBACK" if alone else "ROLLBACK TO work")
            result = Failure()
            if isinstance(error, sqlite3.Error):
                result = Failure(self._unavailable(error))
                if not isinstance(error, _NOT_THE_FILE):
                    self._error = str(error)
        if not alone:
            connection.execute("RELEASE work")
        return result
