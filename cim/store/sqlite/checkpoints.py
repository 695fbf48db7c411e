"""Copies what the log of a SQLite file has into the file, beside the writer (docs/architecture.md, Stores).

By itself SQLite does this within the COMMIT after which there is enough: it copies hundreds of pages and waits until
the disk has them, and so does everybody whose messages are in that transaction. Here a worker with a connection of its
own does it while the writer goes on. But the log only begins anew when all of it was copied, and while the writer goes
on something is left; so when the log is long, the writer copies what is left between two transactions: the few pages
that it wrote while the others were copied.
"""

from __future__ import annotations

import os
import sqlite3

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.daemon.sqlite import SqliteWorker
from cim.errors import StoreUnavailable

#: After how many changes of rows the log is copied; each writes about a page to it.
CHANGES = 2_000
#: From how many pages on the log is to begin anew: 4 KiB each.
LONG = 4_000
#: At how many pages the writer copies the log by itself, within a COMMIT, because nothing else did.
TOO_LONG = 16_000
#: The size to which the file of the log is cut when it was longer, as while somebody read the file for long: bytes.
CUT = 64 << 20


def set_up(connection: sqlite3.Connection) -> None:
    """Have a connection leave the copying to `Checkpoints`."""
    connection.execute(f"PRAGMA wal_autocheckpoint = {TOO_LONG}")
    connection.execute(f"PRAGMA journal_size_limit = {CUT}")


class Checkpoints:
    """Has a worker copy the log whenever enough was written.

    :param path: of the file
    :param connection: to the file, for the worker
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFromThreads, path: str, connection: sqlite3.Connection) -> None:
        self._reactor = reactor
        self._worker = SqliteWorker(
            reactor,
            lambda: connection,
            lambda error: StoreUnavailable(),
            name="cim-store-checkpoints",
            begin="",
            heard=self._heard,
        )
        # Closed last: whenever a process closes a file, the system gives up its locks on it, SQLite's, too.
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._changes = 0
        self._copying = False
        # Whether the writer is to copy what is left.
        self._due = False

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def stop(self) -> Deferred[None]:
        """End the thread; fires when it has closed its connection."""
        return self._worker.stop()

    def close(self) -> None:
        """Close the file, to which no connection is open any more."""
        os.close(self._file)

    def wrote(self, connection: sqlite3.Connection) -> None:
        """Do what is due after a transaction of the writer's, in its thread."""
        if self._due:
            _, length, copied = copy_log(connection)
            self._due = copied < length  # as long as somebody reads what was there before
        changes = connection.total_changes
        if changes - self._changes >= CHANGES and not self._copying:
            self._changes, self._copying = changes, True
            self._reactor.callFromThread(self._begin)

    def _begin(self) -> None:
        self._worker.run(self._copy).addCallbacks(self._done, self._failed)

    def _copy(self, connection: sqlite3.Connection) -> int:
        _, length, _ = copy_log(connection)
        # SQLite itself waits for the disk only when nothing was left.
        os.fdatasync(self._file)
        return length

    def _done(self, length: int) -> None:
        self._due = length >= LONG
        self._copying = False

    def _failed(self, failure: Failure) -> None:
        self._copying = False

    def _heard(self, complaint: str) -> None:
        if complaint:
            self._log.warn("The log of the SQLite store cannot be copied: {error}", error=complaint)


def copy_log(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Copy what can be copied while others read and write.

    :returns: 1 if another one is at it, or 0; how many pages the log has; how many of them are copied
    """
    busy, length, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return busy, length, copied
