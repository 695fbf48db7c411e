"""Passwords: argon2 in a few threads of its own, so that guessing passwords does not hold up others' messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from cim.errors import Unavailable

MIN_BYTES = 8
MAX_BYTES = 1024
THREADS = 2
#: How many passwords may wait for a thread; more are refused at once.
WAITING = 64

#: Runs a function in another thread, and fires with what it returns or raises.
Run = Callable[..., Deferred[Any]]


def strong_hasher() -> PasswordHasher:
    """Return the hasher of real passwords: 19 MiB and two passes, about 30 ms of one core."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class PasswordThreads(Service):
    """Runs functions in `THREADS` threads, which start when they are first needed."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, THREADS, "passwords")

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, function, *args)

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """Stop the threads once they have finished their current work."""
        super().stopService()
        self._pool.stop()


class Passwords:
    """Hashes and checks passwords.

    :param run: runs the work, a few at a time
    """

    _log = Logger()

    def __init__(self, run: Run, hasher: PasswordHasher) -> None:
        self._run = run
        self._hasher = hasher
        self._nobodys = hasher.hash("nobody's")
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    async def hash(self, password: str) -> str:
        """Return the hash of a new password.

        :raises Unavailable: too many passwords wait
        """
        hashed: str = await self._in_turn(self._hasher.hash, password.encode())
        return hashed

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Return whether the password is right; for None return False after as much work.

        :raises Unavailable: too many passwords wait
        """
        matched: bool = await self._in_turn(self._verify, hashed or self._nobodys, password.encode())
        return matched and hashed is not None

    def _verify(self, hashed: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except VerificationError:
            return False
        except ValueError:
            self._log.warn("a stored password hash cannot be read")
            return False

    async def _in_turn(self, function: Callable[..., Any], *args: Any) -> Any:
        if self._waiting >= WAITING + THREADS:
            raise Unavailable("too many passwords are being checked: try again in a moment")
        self._waiting += 1
        try:
            return await self._run(function, *args)
        finally:
            self._waiting -= 1
