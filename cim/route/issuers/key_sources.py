"""Where an issuer's keys come from: a file, a secret, or a JWK Set that is fetched (docs/own-users.md).

Each issuer has a source of its own, so that no key ever counts for another issuer. What a token says never changes
where keys are looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.daemon.rereading import Reread
from cim.errors import CIMError, Unavailable
from cim.issuers.issuer import Issuer
from cim.issuers.keys import MAX_BYTES, BadKeys, Key, keys_in_file, keys_in_set, secret_key
from cim.private_files import BadFile, read_private

#: After how long a set of keys is fetched anew, and after how long without success it counts no more, seconds.
FRESH_SECONDS = 3600.0
STALE_SECONDS = 24 * 3600.0
#: The shortest time from one attempt to fetch to the next, whatever keys tokens name, seconds.
PAUSE_SECONDS = 30.0
FETCH_SECONDS = 5.0

#: Fetches what is at an https URL, at most MAX_BYTES of it; fails with a CIMError.
Fetch = Callable[[str], Deferred[bytes]]


class KeySource(Protocol):
    """The keys of one issuer."""

    async def keys(self) -> Sequence[Key]:
        """Return the keys.

        :raises Unavailable: they cannot be had now
        """

    async def newer(self) -> Sequence[Key]:
        """Return the keys for a token that names another one: as new as they may be had now.

        :raises Unavailable: they cannot be had now
        """

    def trouble(self) -> str:
        """Return what is wrong, for operators; empty for nothing."""


class FileKeys:
    """Keys in a file, which is read again when it changes.

    :param seconds: a clock that only goes forward
    """

    def __init__(self, issuer: Issuer, seconds: Callable[[], float]) -> None:
        """
        :raises BadKeys: the file cannot be used; the message names it
        """
        self._issuer = issuer
        self._path = issuer.secret_file or issuer.keys
        self._file = Reread(f"keys of {issuer.issuer}", self._path, self._read, BadKeys, seconds)

    async def keys(self) -> Sequence[Key]:
        """See KeySource."""
        return self._file.said

    newer = keys

    def trouble(self) -> str:
        """See KeySource."""
        return self._file.trouble

    def _read(self) -> list[Key]:
        try:
            if self._issuer.secret_file:
                return [secret_key(read_private(self._path).strip())]
            with Path(self._path).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise BadKeys(f"is longer than {MAX_BYTES} bytes")
            return keys_in_file(content, self._issuer.algorithms)
        except BadKeys as error:
            raise BadKeys(f"{self._path} {error}") from None
        except BadFile as error:
            raise BadKeys(str(error)) from None
        except (OSError, ValueError) as error:
            raise BadKeys(f"{self._path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


class FetchedKeys:
    """A JWK Set that is fetched when it is needed, and anew once an hour, and for tokens by keys that are not in it.

    While it cannot be fetched the last one counts, for a day.
    """

    _log = Logger()

    def __init__(self, issuer: Issuer, fetch: Fetch, clock: IReactorTime) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._keys: Sequence[Key] = ()
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._waiting: list[Deferred[None]] | None = None
        self._trouble = ""

    async def keys(self) -> Sequence[Key]:
        """See KeySource."""
        age = self._clock.seconds() - self._fetched
        if age > STALE_SECONDS:
            await self._fetch_now()
            return self._usable()
        if age > FRESH_SECONDS:
            self._begin()  # whoever logs in now does not wait for it
        return self._keys

    async def newer(self) -> Sequence[Key]:
        """See KeySource."""
        await self._fetch_now()
        return self._usable()

    def trouble(self) -> str:
        """See KeySource."""
        return self._trouble

    def _usable(self) -> Sequence[Key]:
        if self._clock.seconds() - self._fetched > STALE_SECONDS:
            raise Unavailable(f"the keys of {self._issuer.issuer} cannot be had now: try again later")
        return self._keys

    async def _fetch_now(self) -> None:
        """Wait for a fetch, unless there was one just now."""
        if self._begin():
            assert self._waiting is not None
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    def _begin(self) -> bool:
        """Begin a fetch if none is under way and the last one is long enough ago; return whether one is under way."""
        if self._waiting is None:
            if self._clock.seconds() - self._tried < PAUSE_SECONDS:
                return False
            self._tried = self._clock.seconds()
            self._waiting = []
            fetching = Deferred.fromCoroutine(self._take())
            fetching.addErrback(lambda failure: self._log.failure("failed to fetch the keys of an issuer", failure))
            fetching.addBoth(self._done)
        return self._waiting is not None

    async def _take(self) -> None:
        try:
            self._keys = keys_in_set(await self._fetch(self._issuer.url), self._issuer.algorithms)
        except (CIMError, BadKeys) as error:
            said = error.message if isinstance(error, CIMError) else f"it {error}"
            # Its query may hold a secret, and everybody reads /health.
            url = self._issuer.url.partition("?")[0]
            self._trouble = f"the keys of {self._issuer.issuer} at {url} cannot be used: {said}"
            self._log.error("{trouble}", trouble=self._trouble)
            return
        self._fetched = self._clock.seconds()
        self._trouble = ""

    def _done(self, _: object) -> None:
        waiting, self._waiting = self._waiting, None
        for one in waiting or ():
            one.callback(None)
