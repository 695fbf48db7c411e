"""The API keys of a route, read again when their file changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.logger import Logger

from cim.api_keys import APIKey, find, read_keys
from cim.errors import InvalidField
from cim.private_files import stamp

#: How often the file is looked at while it is asked for, seconds.
LOOK_SECONDS = 1.0


class APIKeys:
    """The keys of a route.

    A file that has changed and cannot be used changes nothing; log and health report it.

    :param keys: those to begin with
    :param path: the file that they come from; empty for none
    :param seconds: a clock that only goes forward
    """

    _log = Logger()

    def __init__(self, keys: Sequence[APIKey] = (), path: str = "", seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._keys = keys
        self._path = path
        self._seconds = seconds
        self._looked = seconds()
        self._stamp = stamp(path)
        self._trouble = ""

    @classmethod
    def of_file(cls, path: str, seconds: Callable[[], float]) -> APIKeys:
        """Return the keys of a file.

        :raises InvalidField: it cannot be used
        """
        found = cls((), path, seconds)  # first, so that a later change is seen
        found._keys = read_keys(path)
        return found

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, given: bytes) -> APIKey | None:
        """Return the key that somebody gives, None if it is none of these."""
        self._look()
        return find(self._keys, given)

    def present(self, key: APIKey) -> APIKey | None:
        """Return a key as it stands in the file now, None if it was removed from it."""
        self._look()
        return next((one for one in self._keys if one.digest == key.digest and one.name == key.name), None)

    def facts(self) -> Mapping[str, Any]:
        """Return what `/health` says of them: nothing while all is well."""
        self._look()
        return {"api_keys": self._trouble} if self._trouble else {}

    def _look(self) -> None:
        seconds = self._seconds()
        if not self._path or seconds - self._looked < LOOK_SECONDS:
            return
        self._looked = seconds
        present = stamp(self._path)
        if present == self._stamp:
            return
        self._stamp = present
        try:
            self._keys = read_keys(self._path)
        except InvalidField as error:
            self._trouble = f"the file of API keys has changed and cannot be used: {error.reason}"
            self._log.error("{trouble}; the keys from before stay in use", trouble=self._trouble)
        else:
            self._trouble = ""
            self._log.info("read {count} API keys from {path}", count=len(self._keys), path=self._path)
