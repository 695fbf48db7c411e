"""Copies of a database, made while a suite writes to it, and put in its place again (docs/backup.md)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cim.errors import Conflict, StoreUnavailable
from cim.store.sqlite.conversations import epoch_of, raise_epoch

#: What SQLite keeps beside a database while it is open.
BESIDE = ("-wal", "-shm")


def opened(path: Path) -> sqlite3.Connection:
    """Open a database that is there to read it, whether or not a suite writes to it.

    :raises StoreUnavailable: it cannot be opened; the error says why
    """
    if not path.is_file():
        raise StoreUnavailable(f"{path} does not exist")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        with _closed_on_error(connection):
            connection.execute("SELECT count(*) FROM sqlite_schema")
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} cannot be read: {error}") from None
    return connection


@contextlib.contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Read a database as it is at one moment.

    :raises StoreUnavailable: it cannot be read; the error says why
    """
    with closing(opened(path)) as connection:
        try:
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{path} cannot be read: {error}") from None


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment into a new file, which only its owner can read.

    What is in the log beside it (`-wal`) is in the copy too, and a suite that writes meanwhile need not wait. The copy
    is on disk when this returns; after an error there is none.

    :raises StoreUnavailable: the database cannot be read, or the copy cannot be written
    """
    unfinished = target.with_name(f"{target.name}.unfinished")
    with closing(opened(source)) as reading:
        try:
            os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(unfinished, isolation_level=None)) as writing:
                reading.backup(writing)
                # The copy is one file, and stays one when somebody looks into it.
                writing.execute("PRAGMA journal_mode=DELETE")
            sync(unfinished)
            os.link(unfinished, target)  # fails if there is one
        except (sqlite3.Error, OSError) as error:
            why = getattr(error, "strerror", None) or error
            raise StoreUnavailable(f"{target} cannot be written: {why}") from None
        finally:
            with contextlib.suppress(OSError):
                unfinished.unlink()
    sync(target.parent)


def sync(path: Path) -> None:
    """Have a file's content, or what a folder lists, on disk when this returns.

    :raises OSError: it cannot be written
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep suites from opening a database meanwhile.

    :raises Conflict: a suite has it open
    :raises StoreUnavailable: the lock beside it cannot be written
    """
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path}.lock cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"{path} is in use: stop the suite first") from None
    else:
        yield
    finally:
        os.close(descriptor)


def prepare_restore(path: Path, replaced: Path, revoke_before: int = 0) -> None:
    """Make a copy of a database ready to take the place of another one, which may be missing or damaged.

    No position that was given in the other one is given again.

    :param revoke_before: void all tokens that were issued so far, or before this time, ms since 1970; 0 leaves them
    :raises StoreUnavailable: the copy cannot be written
    """
    given = 0
    with contextlib.suppress(StoreUnavailable, sqlite3.Error), reading(replaced) as other:
        given = epoch_of(other)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            raise_epoch(connection, given)
            if revoke_before:
                connection.execute("UPDATE credential SET valid_from = max(valid_from + 1, ?)", (revoke_before,))
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} cannot be written: {error}") from None
