"""How rules change what is in Redis: read the facts, decide, and write if the facts are still the same.

Reading and writing are one script, change.lua. It compares the facts that a decision was made by, and nothing else,
counts only against bounds. When they are the same it writes; otherwise they are read and decided by again, after a
pause. Of one key a route makes one change at a time, so it meets only other routes there; after some mismatches in a
row it gives up.

Most changes begin with a guess at what would be read. It mostly is right, and then one call does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import frozen

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cim.errors import CIMError, StoreUnavailable
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

#: Commands of Redis or of change.lua, one after the other: the number of its words, its name, the number of its key
#: among those of the change, from 1, other arguments.
Words = list[str | bytes | int]


@frozen
class Facts:
    """What a decision is made by.

    :param compared: how many commands give what must still be the same when it is carried out
    :param told: how many further commands give what may have changed
    :param words: all of them
    """

    compared: int = 0
    told: int = 0
    words: Sequence[str | int] = ()


@frozen
class Decision(Generic[T]):
    """What is to be written, and the result.

    :param words: commands; nothing is to be written when there are none
    :param made: makes the result of what the commands LOG gave; else it is `result`
    :param bounds: keys of hashes by their numbers, and how many fields they may have at least and at most
    """

    words: Words
    result: T = None  # type: ignore[assignment]  # whoever leaves it out has `made`
    made: Callable[[Sequence[Any]], T] | None = None
    bounds: Sequence[tuple[int, int, int]] = ()

    def of(self, given: Sequence[Any]) -> T:
        """Return the result."""
        return self.result if self.made is None else self.made(given)


#: Decides by the replies to the commands of the facts, and the time, ms since 1970 by Redis's clock.
Decide = Callable[[Sequence[Any], int], Decision[T]]


class Changing:
    """Makes changes over a connection.

    :param random: a number from 0 to 1, for the jitter
    """

    def __init__(self, connection: RedisConnection, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock
        self._random = random
        #: How much Redis's clock is ahead of ours, ms, as the last answer told; None before.
        self._ahead: int | None = None
        self._last_id = 0
        # Key -> whose turn comes after the change under way.
        self._turns: dict[str, deque[Deferred[None]] | None] = {}

    async def new_id(self, name: str, last: int) -> int:
        """Return an id for something that is made now: the time by Redis's clock, ms since 1970, as far as it is known.

        :param name: what a refusal is told under
        :param last: it must be beyond that
        """
        if self._ahead is None:
            await self._call(name, (), Facts())
        self._last_id = max(self._last_id, last, self._time() - 1) + 1
        return self._last_id

    def _time(self) -> int:
        return int(self._clock.seconds() * 1000) + (self._ahead or 0)

    def operation(self, name: str, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Do something that may take several calls, counted as one of that name."""
        return Deferred.fromCoroutine(self._operation(name, work))

    async def _operation(self, name: str, work: Coroutine[Deferred[Any], Any, T]) -> T:
        started = self._clock.seconds()
        try:
            return await work
        finally:
            self._connection.observed(name, self._clock.seconds() - started)

    async def look(self, name: str, keys: Sequence[str], facts: Facts) -> tuple[Sequence[Any], int]:
        """Read facts in one call; return the replies and the time, ms since 1970 by Redis's clock.

        :param name: what a refusal is told under
        """
        _, replies, now = await self._call(name, keys, facts)
        return replies, now

    async def change(
        self, name: str, keys: Sequence[str], facts: Facts, decide: Decide[T], guess: Sequence[Any] | None = None
    ) -> T:
        """Change what `decide` says about the facts, and return its result.

        :param name: what a refusal is told under
        :param keys: those that commands name by their number; of the first there is one change at a time
        :param decide: must be repeatable; what it raises about facts that were read is the outcome
        :param guess: what the replies will probably be
        :raises StoreUnavailable: it may have been made or not
        """
        first = keys[0]
        if first in self._turns:
            await self._wait(first)
        else:
            self._turns[first] = None
        try:
            if guess is None or self._ahead is None:
                return await self._insist(name, keys, facts, decide)
            now = self._time()
            try:
                decision = decide(guess, now)
            except CIMError:  # of a guess that means nothing
                return await self._insist(name, keys, facts, decide)
            wrote, found, now = await self._call(name, keys, facts, guess, decision, now)
            if wrote:
                return decision.of(found)
            return await self._insist(name, keys, facts, decide, (found, now))
        finally:
            self._pass_on(first)

    async def _wait(self, key: str) -> None:
        turn: Deferred[None] = Deferred()
        waiting = self._turns[key]
        if waiting is None:
            waiting = self._turns[key] = deque()
        waiting.append(turn)
        await turn

    def _pass_on(self, key: str) -> None:
        waiting = self._turns[key]
        if waiting:
            waiting.popleft().callback(None)
        else:
            del self._turns[key]

    async def _insist(
        self,
        name: str,
        keys: Sequence[str],
        facts: Facts,
        decide: Decide[T],
        seen: tuple[Sequence[Any], int] | None = None,
    ) -> T:
        """Read, decide and write until it was.

        :param seen: replies that were read just now, and when
        """
        for repeat in range(REPEATS + 1):
            if repeat:
                await deferLater(self._clock, FIRST_PAUSE * 2 ** (repeat - 1) * self._random())
            replies, now = seen if seen is not None else await self.look(name, keys, facts)
            decision = decide(replies, now)
            if not decision.words:
                return decision.of(())
            wrote, found, _ = await self._call(name, keys, facts, replies, decision)
            if wrote:
                return decision.of(found)
            seen = None  # it will be old after the pause
        raise StoreUnavailable()

    async def _call(
        self,
        name: str,
        keys: Sequence[str],
        facts: Facts,
        replies: Sequence[Any] = (),
        decision: Decision[Any] | None = None,
        assumed: int | str = "",
    ) -> tuple[int, Sequence[Any], int]:
        """Write if the facts are the same; return whether it did, what was given or read, and the time.

        :param decision: None only reads
        :param assumed: the time that the decision was made by, if it is not Redis's own
        """
        arguments: Words = ["", assumed, facts.compared, facts.told, 0, *facts.words]
        if decision is not None:
            arguments[0] = _text(replies[: facts.compared])
            arguments[4] = len(decision.bounds)
            for bound in decision.bounds:
                arguments += bound
            arguments += decision.words
        now, wrote, found = await self._connection.evaluate(name, CHANGE, keys, arguments)
        now = int(now)
        self._ahead = now - int(self._clock.seconds() * 1000)
        return wrote, found, now


def _text(replies: Sequence[Any]) -> bytes:
    """Return what change.lua makes of the same replies."""
    parts = [b"="]
    for reply in replies:
        held = reply if isinstance(reply, list) else (reply,)
        parts.append(b"%d;" % len(held))
        for part in held:
            if part is None:
                parts.append(b"-")
            elif isinstance(part, int):
                parts.append(b":%d," % part)
            else:
                parts.append(b"%d:%b" % (len(part), part))
    return b"".join(parts)
