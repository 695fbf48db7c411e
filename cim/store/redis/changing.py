"""How rules change what is in Redis: read the facts, decide, and write if the facts are still the same.

Reading and writing are one script, change.lua. It compares the facts that a decision was made by, and nothing else,
counts only against bounds. When they are the same it writes; otherwise they are read and decided by again, after a
pause. Of one key a route makes one change at a time, so it meets only other routes there; after some mismatches in a
row it gives up.

Most changes first need to read. Who can guess what it would find says so, and mostly is right: one call then does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cim.ecim import CIMError, StoreUnavailable
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.redis.connection import RedisConnection

T = TypeVar("T")

CHANGE = script("change")
#: How often a change is tried again because others were faster.
REPEATS = 5
#: The longest pause before the first repetition, seconds; each further one may take twice as long.
FIRST_PAUSE = 0.005

#: A command of Redis or of change.lua: its name, its key, its other arguments.
Command = tuple[str | int, ...]


@frozen
class Facts:
    """What a decision is made by.

    :param compared: commands whose replies must still be the same when it is carried out
    :param told: further commands; replies may have changed
    """

    compared: Sequence[Command]
    told: Sequence[Command] = ()


@frozen
class Seen:
    """Facts as they were.

    :param now: ms since 1970 by Redis's clock
    :param replies: of the commands, in their order
    """

    now: int
    replies: Sequence[Any]


@frozen
class Decision(Generic[T]):
    """What is to be written.

    :param result: makes the result of what the commands ID and LOG gave
    :param commands: nothing is to be written when there are none
    :param bounds: hashes, and how many fields they may have at least and at most
    """

    result: Callable[[Sequence[Any]], T]
    commands: Sequence[Command] = ()
    bounds: Sequence[tuple[str, int, int]] = ()


class Changing:
    """Makes changes over a connection.

    :param random: a number from 0 to 1, for the jitter
    """

    def __init__(self, connection: RedisConnection, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock
        self._random = random
        #: How much Redis's clock is ahead of ours, as the last answer told; None before.
        self._ahead: int | None = None
        self._waiting: dict[str, deque[Deferred[None]]] = {}

    def operation(self, name: str, work: Coroutine[Deferred[Any], Any, T] | Deferred[T]) -> Deferred[T]:
        """Do something that may take several calls, counted as one of that name."""
        started = self._clock.seconds()

        def ended(result: T) -> T:
            self._connection.observed(name, self._clock.seconds() - started)
            return result

        ending = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        return ending.addBoth(ended)

    async def look(self, name: str, *commands: Command) -> Seen:
        """Read facts, in one call.

        :param name: what a refusal is told under
        """
        _, seen = await self._call(name, Facts((), commands))
        return seen

    async def change(
        self,
        name: str,
        key: str,
        facts: Facts,
        decide: Callable[[Seen], Decision[T]],
        guess: Sequence[Any] | None = None,
    ) -> T:
        """Change what `decide` says about the facts, and return its result.

        :param name: what a refusal is told under
        :param key: of which there is one change at a time
        :param decide: must be repeatable; what it raises about facts that were read is the outcome
        :param guess: what the replies will probably be
        :raises StoreUnavailable: it may have been made or not
        """
        await self._turn(key)
        try:
            return await self._change(name, facts, decide, guess)
        finally:
            self._end_turn(key)

    async def _turn(self, key: str) -> None:
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = deque()
        else:
            turn: Deferred[None] = Deferred()
            waiting.append(turn)
            await turn

    def _end_turn(self, key: str) -> None:
        waiting = self._waiting[key]
        if waiting:
            waiting.popleft().callback(None)
        else:
            del self._waiting[key]

    async def _change(
        self, name: str, facts: Facts, decide: Callable[[Seen], Decision[T]], guess: Sequence[Any] | None
    ) -> T:
        seen = None
        if guess is not None and self._ahead is not None:
            seen = Seen(int(self._clock.seconds() * 1000) + self._ahead, guess)
            try:
                decision = decide(seen)
            except CIMError:  # of a guess that means nothing
                seen = None
            else:
                given, seen = await self._call(name, facts, seen, decision, assumed=True)
                if given is not None:
                    return decision.result(given)
        if seen is None:
            _, seen = await self._call(name, facts)
        for repeat in range(REPEATS + 1):
            if repeat:
                # What it was told is old after the pause.
                await deferLater(self._clock, FIRST_PAUSE * 2 ** (repeat - 1) * self._random())
                _, seen = await self._call(name, facts)
            decision = decide(seen)
            if not decision.commands:
                return decision.result(())
            given, _ = await self._call(name, facts, seen, decision)
            if given is not None:
                return decision.result(given)
        raise StoreUnavailable()

    async def _call(
        self,
        name: str,
        facts: Facts,
        seen: Seen | None = None,
        decision: Decision[Any] | None = None,
        *,
        assumed: bool = False,
    ) -> tuple[Sequence[Any] | None, Seen]:
        """Return what the commands gave if it wrote, else None, and what was seen.

        :param assumed: the time of what was seen is not Redis's own
        """
        keys: dict[str | int, int] = {}
        words: list[str | int] = []

        def add(name: str | int, key: str | int, *arguments: str | int) -> None:
            words.extend((2 + len(arguments), name, keys.setdefault(key, len(keys) + 1), *arguments))

        for command in (*facts.compared, *facts.told):
            add(*command)
        fingerprint, bounds = "", 0
        if decision is not None and seen is not None:
            fingerprint = _fingerprint(seen.replies[: len(facts.compared)])
            bounds = len(decision.bounds)
            for bound in decision.bounds:
                add("HLEN", *bound)
            for command in decision.commands:
                add(*command)
                if command[0] == "LOG":
                    keys.setdefault(Key.GROUP_LOG, len(keys) + 1)
        time = seen.now if assumed and seen is not None else ""
        arguments = (fingerprint, time, len(facts.compared), len(facts.told), bounds, *words)
        reply = await self._connection.run(CHANGE, tuple(map(str, keys)), arguments, name=name)
        now, wrote, found = int(reply[0]), reply[1], reply[2]
        self._ahead = now - int(self._clock.seconds() * 1000)
        return (found, Seen(now, ())) if wrote else (None, Seen(now, found))


def _fingerprint(replies: Sequence[Any]) -> str:
    """Return what change.lua makes of the same replies."""
    parts: list[bytes] = []
    for reply in replies:
        held = reply if isinstance(reply, list) else [reply]
        parts.append(b"%d;" % len(held))
        for part in held:
            text = b"" if part is None else b"%d" % part if isinstance(part, int) else part
            parts.append(b"%d:%b" % (len(text), text))
    return sha1(b"".join(parts), usedforsecurity=False).hexdigest()
