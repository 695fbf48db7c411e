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
from cim.model import SYSTEM

MIN_BYTES = 8
MAX_BYTES = 1024
THREADS = 2
#: By how much these threads yield to others.
NICENESS = 10
#: How many passwords from known places may wait for a thread, and as many others; more are refused at once.
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
    :param first: whether it comes from a place that is known, which has every other turn while others wait
    """

    who: str
    first: bool = False


#: The turn of back ends, which strangers do not keep out.
OPERATORS = Turn("operators", first=True)


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

    def make_room(self, who: str) -> _Work | None:
        """Take the last work of the party with the most, if that is more than `who` will have; None if it is not."""
        largest, waiting = max(self._waiting.items(), key=lambda item: len(item[1]))
        if len(waiting) <= len(self._waiting.get(who, ())) + 1:
            return None
        work = waiting.pop()
        if not waiting:
            del self._waiting[largest]
        return work


class Passwords:
    """Hashes and checks passwords; parties take turns, and so do those that are known and all others.

    When too many of either wait, the last of the party that has the most of them gives way: so nobody who is known is
    kept out by strangers, and no stranger by those who are known.

    :param run: runs the work; it is given THREADS at a time
    """

    _log = Logger()

    def __init__(self, run: Run, hasher: PasswordHasher) -> None:
        self._run = run
        self._hasher = hasher
        self._nobodys = hasher.hash("nobody's")
        self._running = 0
        # The line whose turn it is stands first.
        self._lines = [_Line(), _Line()]
        self._known, self._others = self._lines

    def __len__(self) -> int:
        return self._running + sum(map(len, self._lines))

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
        known = hashed if hashed not in (None, "", SYSTEM) else self._nobodys
        found: int = await self._in_turn(turn, self._find, known, forms_of(password))
        if known is self._nobodys or found < 0:
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
        line = self._known if turn.first else self._others
        if len(line) >= WAITING:
            dropped = line.make_room(turn.who)
            if dropped is None:
                raise _refusal()
            dropped.done.errback(_refusal())
        work = _Work(function, args)
        line.put(turn.who, work)
        self._start()
        return work.done

    def _start(self) -> None:
        while self._running < THREADS and any(self._lines):
            self._running += 1
            line = self._lines.pop(0 if self._lines[0] else 1)
            self._lines.append(line)
            work = line.next()
            maybeDeferred(self._run, work.function, *work.args).addBoth(self._ended, work)

    def _ended(self, result: Any, work: _Work) -> None:
        self._running -= 1
        work.done.callback(result)
        self._start()


def _refusal() -> Unavailable:
    return Unavailable("too many passwords are being checked: try again in a moment")
