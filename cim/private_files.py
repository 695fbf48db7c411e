"""Files that hold secrets: nobody but their owner may read or change them (docs/security.md, Secrets)."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from pathlib import Path
from typing import IO

#: The largest file that is read, bytes.
MAX_BYTES = 64 * 1024


class BadFile(Exception):
    """A file cannot be used; the error names it, says why and what to do, and never quotes its content."""


def read_private(path: str | Path) -> bytes:
    """Return the content of a file.

    :raises BadFile: it cannot be read, is longer than MAX_BYTES, or others than its owner can read or change it
    """
    try:
        with open(path, "rb") as file:
            check_private(file, path)
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise BadFile(f"{path} is longer than {MAX_BYTES} bytes")
    return content


def replace_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; it is complete at any time, with the former or the new content.

    :param path: in a folder that exists
    :raises OSError: it cannot be written, and is as before
    """
    descriptor, aside = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(aside, path)
    except OSError:
        os.unlink(aside)
        raise


def stamp(path: str | Path) -> object:
    """Return something that is another one once a file was written, replaced, or closed or opened to others."""
    try:
        status = os.stat(path)
    except OSError as error:
        return error.errno  # reading it says the rest
    return status.st_dev, status.st_ino, status.st_mode, status.st_mtime_ns, status.st_size


def check_private(file: IO[bytes], path: str | Path) -> None:
    """Check that nobody but its owner can read or change an open file.

    A file of root's may be readable by its group if the daemon is not root: this is how container platforms and systemd
    pass secrets, and root decides who is in the group.

    :raises BadFile: names the file, its mode and the command that mends it
    """
    status = os.fstat(file.fileno())
    allowed = stat.S_IRGRP if status.st_uid == 0 != os.geteuid() else 0
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 & ~allowed:
        mended = f"chmod 600 {shlex.quote(str(path))}"
        raise BadFile(f"{path} is open to others than its owner (mode {mode:04o}): {mended}")
