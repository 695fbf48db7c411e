"""Whether an open database file is still what is found under its name."""

from __future__ import annotations

import os


class OpenFile:
    """A database and its write-ahead log, as they were when this was made: both open, and to be written to.

    What is written to a file without a name is gone when the last process closes it, so nobody may rely on that.

    :param path: of the database
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._known = {name: _identity(os.stat(name)) for name in (path, f"{path}-wal") if os.path.exists(name)}

    def complaint(self) -> str:
        """Return why nothing may be written, and what to do, about "it"; "" if all is well. Takes some microseconds."""
        try:
            for name, known in self._known.items():
                which = "it" if name == self.path else f"its log {name}"
                try:
                    found = os.stat(name)
                except FileNotFoundError:
                    return f"{which} has vanished: put it back, or restore a copy and start again"
                if _identity(found) != known:
                    return f"{which} was replaced: put the former file back, or start again to use this one"
                if not found.st_mode & 0o222:
                    return f"{which} is read-only: make it writable"
            if os.statvfs(self.path).f_flag & os.ST_RDONLY:
                return "its disk is mounted read-only"
        except OSError as error:
            return f"it cannot be looked at: {error.strerror}"
        return ""


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
