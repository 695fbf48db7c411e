"""Passwords: argon2 in a few threads of its own, so that guessing passwords does not hold up others' messages.

A password is hashed in the form of the profile OpaqueString (RFC 8265), so that it is the same however a keyboard
composes its accents and spaces. What the profile refuses is hashed as it was typed, and so were all passwords in the
first releases.
"""

from __future__ import annotations

import enum
import os
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from operator import itemgetter
from typing import Any, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from attrs import define, field
from precis_i18n import get_profile

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from cim.errors import Unavailable

MIN_BYTES = 8
MAX_BYTES = 1024
THREADS = 2
#: By how much these threads yield to others.
NICENESS = 10
#: How many passwords may wait for a thread; more are refused at once.
WAITING = 64

_OPAQUE = get_profile("OpaqueString")

#: Runs a function in another thread, and fires with what it returns or raises.
Run = Callable[..., Deferred[Any]]


def strong_hasher() -> PasswordHasher:
    """Return the hasher of real passwords: 19 MiB and two passes, about 30 ms of one core."""
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


def _yielding(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function so that the reactor's thread goes first, where the system has priorities of threads."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    return function(*args)


class PasswordThreads(Service):
    """Runs functions in `THREADS` threads, which start when they are first needed."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, THREADS, "passwords")

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._pool, _yielding, function, *args)

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """Stop the threads once they have finished their current work."""
        super().stopService()
        self._pool.stop()


class Match(enum.Enum):
    """Whether a password is right.

    :cvar AS_TYPED: it is, and its hash is of what was typed: hash it anew
    """

    WRONG = enum.auto()
    RIGHT = enum.auto()
    AS_TYPED = enum.auto()


def forms_of(password: str) -> list[bytes]:
    """Return what may have been hashed: the form that is hashed now, and what was typed if that is different."""
    try:
        prepared = _OPAQUE.enforce(password)
    except UnicodeEncodeError:
        prepared = password
    return [form.encode() for form in dict.fromkeys((prepared, password))]


class Turn(NamedTuple):
    """Whose turn it is to have a password checked.

    :param who: the party, such as an address; parties take turns
    :param first: whether it comes before all that are not
    """

    who: str
    first: bool = False


@define(eq=False)
class _Work:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    done: Deferred[Any] = field(factory=Deferred)


class _Line:
    """Work that waits, each party's in order; parties take turns."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[_Work]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, who: str, work: _Work) -> None:
        self._waiting.setdefault(who, deque()).append(work)

    def next(self) -> _Work:
        """Take the first work of the party whose turn it is."""
        who, waiting = self._waiting.popitem(last=False)
        work = waiting.popleft()
        if waiting:
            self._waiting[who] = waiting
        return work

    def of(self, who: str) -> int:
        """How much of a party's waits."""
        return len(self._waiting.get(who, ()))

    def longest(self) -> tuple[str, int]:
        """Return the party with the most work, and how much that is."""
        return max(((who, len(waiting)) for who, waiting in self._waiting.items()), key=itemgetter(1), default=("", 0))

    def drop(self, who: str) -> _Work:
        """Take a party's last work."""
        waiting = self._waiting[who]
        work = waiting.pop()
        if not waiting:
            del self._waiting[who]
        return work


class Passwords:
    """Hashes and checks passwords, those of parties that are known first, and each party's in turn with others'.

    When too many wait, the last of the party that has the most gives way; those that are known give way to nobody else.

    :param run: runs the work; it is given THREADS at a time
    """

    _log = Logger()

    def __init__(self, run: Run, hasher: PasswordHasher) -> None:
        self._run = run
        self._hasher = hasher
        self._nobodys = hasher.hash("nobody's")
        self._running = 0
        self._first, self._others = _Line(), _Line()

    def __len__(self) -> int:
        return self._running + len(self._first) + len(self._others)

    async def hash(self, password: str, turn: Turn) -> str:
        """Return the hash of a new password.

        :raises Unavailable: too many passwords wait
        """
        hashed: str = await self._in_turn(turn, self._hasher.hash, forms_of(password)[0])
        return hashed

    async def match(self, hashed: str | None, password: str, turn: Turn) -> Match:
        """Return whether the password is right; for None return WRONG after as much work.

        :raises Unavailable: too many passwords wait; nobody has looked at it
        """
        # In one turn, so that it is looked at in all its forms or not at all.
        found: int = await self._in_turn(turn, self._find, hashed or self._nobodys, forms_of(password))
        if hashed is None or found < 0:
            return Match.WRONG
        return Match.AS_TYPED if found else Match.RIGHT

    def _find(self, hashed: str, forms: list[bytes]) -> int:
        return next((number for number, form in enumerate(forms) if self._verify(hashed, form)), -1)

    def _verify(self, hashed: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except VerificationError:
            return False
        except ValueError:
            self._log.warn("a stored password hash cannot be read")
            return False

    def _in_turn(self, turn: Turn, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        if len(self._first) + len(self._others) >= WAITING and not self._make_room(turn):
            raise _refusal()
        work = _Work(function, args)
        (self._first if turn.first else self._others).put(turn.who, work)
        self._start()
        return work.done

    def _make_room(self, turn: Turn) -> bool:
        """Have somebody's last give way, if it has more of its kind waiting than this one will; say whether it did."""
        who, most = self._others.longest()
        if most and (turn.first or most > self._others.of(turn.who) + 1):
            self._others.drop(who).done.errback(_refusal())
            return True
        who, most = self._first.longest()
        if turn.first and most > self._first.of(turn.who) + 1:
            self._first.drop(who).done.errback(_refusal())
            return True
        return False

    def _start(self) -> None:
        while self._running < THREADS and (self._first or self._others):
            work = (self._first or self._others).next()
            self._running += 1
            maybeDeferred(self._run, work.function, *work.args).addBoth(self._ended, work)

    def _ended(self, result: Any, work: _Work) -> None:
        self._running -= 1
        work.done.callback(result)
        self._start()


def _refusal() -> Unavailable:
    return Unavailable("too many passwords are being checked: try again in a moment")
