"""Files that operators change while a daemon runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.logger import Logger

from cim.private_files import stamp

T = TypeVar("T")

#: How often a file is looked at while it is asked for, seconds.
LOOK_SECONDS = 1.0


class Reread(Generic[T]):
    """What a file says, read again when it changes.

    A file that has changed and cannot be used changes nothing; the log says so once, and `trouble` for as long.

    :param what: what is in it, in the plural, as the log calls it
    :param read: reads it
    :param unusable: what `read` raises if that cannot be used: its `reason` or its text is the end of a sentence
    :param seconds: a clock that only goes forward
    """

    _log = Logger()

    def __init__(
        self, what: str, path: str, read: Callable[[], T], unusable: type[Exception], seconds: Callable[[], float]
    ) -> None:
        """
        :raises Exception: the file cannot be used, see `unusable`
        """
        self._what = what
        self._path = path
        self._read = read
        self._unusable = unusable
        self._seconds = seconds
        self._looked = seconds()
        self._stamp = stamp(path)  # first, so that a later change is seen
        self._said = read()
        self._trouble = ""

    @property
    def said(self) -> T:
        """What it says, or said when it could be used last."""
        self._look()
        return self._said

    @property
    def trouble(self) -> str:
        """A sentence if it cannot be used, without what is in it; empty while all is well."""
        self._look()
        return self._trouble

    def _look(self) -> None:
        seconds = self._seconds()
        if seconds - self._looked < LOOK_SECONDS:
            return
        self._looked = seconds
        present = stamp(self._path)
        if present == self._stamp:
            return
        self._stamp = present
        try:
            self._said = self._read()
        except self._unusable as error:
            why = getattr(error, "reason", None) or str(error)
            self._trouble = f"the file of {self._what} has changed and cannot be used: {why}"
            self._log.error("{trouble}; the {what} from before stay in use", trouble=self._trouble, what=self._what)
        else:
            self._trouble = ""
            self._log.info("read the {what} anew from {path}", what=self._what, path=self._path)
