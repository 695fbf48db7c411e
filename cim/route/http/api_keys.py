"""The API keys of a route, read again when their file changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cim.api_keys import APIKey, find, read_keys
from cim.daemon.rereading import Reread
from cim.errors import InvalidField


class APIKeys:
    """The keys of a route.

    :param keys: those that there are, unless they are in a file
    :param file: they are in it, and what is wrong with it is reported by health
    """

    def __init__(self, keys: Sequence[APIKey] = (), file: Reread[list[APIKey]] | None = None) -> None:
        self._fixed = keys
        self._file = file

    @classmethod
    def of_file(cls, path: str, seconds: Callable[[], float]) -> APIKeys:
        """Return the keys of a file.

        :param seconds: a clock that only goes forward
        :raises InvalidField: it cannot be used
        """
        return cls(file=Reread("API keys", path, lambda: read_keys(path), InvalidField, seconds))

    @property
    def _keys(self) -> Sequence[APIKey]:
        return self._fixed if self._file is None else self._file.said

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, given: bytes) -> APIKey | None:
        """Return the key that somebody gives, None if it is none of these."""
        return find(self._keys, given)

    def present(self, key: APIKey) -> APIKey | None:
        """Return a key as it stands in the file now, None if it was removed from it."""
        return next((one for one in self._keys if one.digest == key.digest and one.name == key.name), None)

    def facts(self) -> Mapping[str, Any]:
        """Return what `/health` says of them: nothing while all is well."""
        trouble = self._file.trouble if self._file is not None else ""
        return {"api_keys": trouble} if trouble else {}
