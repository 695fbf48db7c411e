"""Who is logged in at the console: API keys, each behind a random value that only a browser's cookie has."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from attrs import frozen

from cim.api_keys import APIKey, Scope
from cim.route.http.api_keys import APIKeys

#: How long a login lasts at most, seconds.
SECONDS = 8 * 3600
#: How many logins there may be; for one more, the oldest ends.
MOST = 256


@frozen
class _Login:
    key: APIKey
    until: float


class KeySessions:
    """The logins of a console, in memory: they end with the process.

    One ends when it is too old, when somebody logs out, and when its key is removed from the file of keys or loses the
    scope that lets in.

    :param seconds: a clock that only goes forward
    :param new_id: makes an unguessable text
    """

    def __init__(self, keys: APIKeys, seconds: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._keys = keys
        self._seconds = seconds
        self._new_id = new_id
        # By the hash of its secret: how long looking one up takes tells nothing of the secrets.
        self._logins: OrderedDict[bytes, _Login] = OrderedDict()

    def __len__(self) -> int:
        return len(self._logins)

    def begin(self, key: APIKey) -> str:
        """Begin a login, and return its secret."""
        secret = self._new_id()
        self._logins[_digest(secret)] = _Login(key, self._seconds() + SECONDS)
        if len(self._logins) > MOST:
            self._logins.popitem(last=False)
        return secret

    def find(self, secret: str) -> tuple[APIKey, float] | None:
        """Return the key of a login, as it is in the file now, and the seconds that are left; None if it has ended."""
        login = self._logins.get(_digest(secret))
        if login is None:
            return None
        key, left = self._keys.present(login.key), login.until - self._seconds()
        if key is None or Scope.ADMIN not in key.scopes or left <= 0:
            self.end(secret)
            return None
        return key, left

    def end(self, secret: str) -> None:
        """End a login, if there is one."""
        self._logins.pop(_digest(secret), None)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
