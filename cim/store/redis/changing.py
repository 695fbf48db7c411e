"""How rules change data in Redis: read the facts, decide, and write if the facts are unchanged.

One script, change.lua, reads and writes. It compares only the facts that a decision was based on, and counts only
against bounds. If they are unchanged it writes; otherwise it returns them, and the rule decides again after a pause. A
route makes one change of a key at a time, so it only competes with other routes; after several mismatches in a row it
gives up.

Most changes start with a guess of the facts. It is usually right, and then one call is enough.
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

    from cim.store.redis.calls import RedisCalls

T = TypeVar("T")

CHANGE = script("change")
#: How often a change is retried because other routes were faster.
REPEATS = 5
#: The longest pause before the first retry, in seconds; it doubles with each further one.
FIRST_PAUSE = 0.005

#: Commands of Redis or of change.lua, concatenated; for each: the number of its words, its name, the number of its key
#: among the keys of the change, from 1, and other arguments.
Words = list[str | bytes | int]


@frozen
class Facts:
    """The commands that read what a decision is based on.

    :param compared: how many commands read facts that must be unchanged when the decision is carried out
    :param told: how many further commands read facts that may change
    :param words: all these commands
    """

    compared: int = 0
    told: int = 0
    words: Sequence[str | int] = ()


@frozen
class Decision(Generic[T]):
    """What to write, and the result.

    :param words: the writing commands; empty to write nothing
    :param made: makes the result from the replies of the LOG commands; without it, the result is `result`
    :param bounds: for hashes, by the number of their key: the least and the most fields that they may have
    """

    words: Words
    result: T = None  # type: ignore[assignment]  # unused when `made` is given
    made: Callable[[Sequence[Any]], T] | None = None
    bounds: Sequence[tuple[int, int, int]] = ()

    def of(self, given: Sequence[Any]) -> T:
        """Return the result, given the replies of the LOG commands."""
        return self.result if self.made is None else self.made(given)


#: Decides, given the replies to the commands of the facts, and the store's time in ms since 1970.
Decide = Callable[[Sequence[Any], int], Decision[T]]


class Changing:
    """Makes changes over a connection.

    :param random: returns a number from 0 to 1, for jitter
    """

    def __init__(self, connection: RedisCalls, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._connection = connection
        self._clock = clock
        self._time = connection.clock
        self._random = random
        self._last_id = 0
        # Key -> the changes that wait for the one under way.
        self._turns: dict[str, deque[Deferred[None]] | None] = {}

    async def new_id(self, last: int) -> int:
        """Return an id for something new: the store's time in ms since 1970, or more.

        :param last: the id must be higher than this
        """
        await self._connection.ready()
        self._last_id = max(self._last_id, last, self._time.now() - 1) + 1
        return self._last_id

    def operation(self, name: str, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """Run an operation that may take several calls, and count it once under its name."""
        return Deferred.fromCoroutine(self._operation(name, work))

    async def _operation(self, name: str, work: Coroutine[Deferred[Any], Any, T]) -> T:
        started = self._clock.seconds()
        try:
            return await work
        finally:
            self._connection.observed(name, self._clock.seconds() - started)

    async def look(self, name: str, keys: Sequence[str], facts: Facts) -> tuple[Sequence[Any], int]:
        """Read facts in one call; return the replies, and the store's time in ms since 1970.

        :param name: the name of the operation, for logs of refusals
        """
        _, replies = await self._call(name, keys, facts)
        return replies, self._time.now()

    async def change(
        self, name: str, keys: Sequence[str], facts: Facts, decide: Decide[T], guess: Sequence[Any] | None = None
    ) -> T:
        """Carry out what `decide` returns for the facts, and return its result.

        :param name: the name of the operation, for logs of refusals
        :param keys: the keys that commands refer to by number; changes of the first key run one at a time
        :param decide: must be repeatable; an error that it raises for facts that were read is the outcome
        :param guess: the probable replies
        :raises StoreUnavailable: the change may or may not have been made
        """
        first = keys[0]
        if first in self._turns:
            await self._wait(first)
        else:
            self._turns[first] = None
        try:
            if guess is None:
                return await self._insist(name, keys, facts, decide)
            await self._connection.ready()
            try:
                decision = decide(guess, self._time.now())
            except CIMError:  # an error about a guess means nothing
                return await self._insist(name, keys, facts, decide)
            wrote, found = await self._call(name, keys, facts, guess, decision)
            if wrote:
                return decision.of(found)
            return await self._insist(name, keys, facts, decide, found)
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
        seen: Sequence[Any] | None = None,
    ) -> T:
        """Read, decide and write until the write succeeds.

        :param seen: replies that were just read
        """
        for repeat in range(REPEATS + 1):
            if repeat:
                await deferLater(self._clock, FIRST_PAUSE * 2 ** (repeat - 1) * self._random())
            replies = seen if seen is not None else (await self._call(name, keys, facts))[1]
            decision = decide(replies, self._time.now())
            if not decision.words:
                return decision.of(())
            wrote, found = await self._call(name, keys, facts, replies, decision)
            if wrote:
                return decision.of(found)
            seen = None  # outdated after the pause
        raise StoreUnavailable()

    async def _call(
        self,
        name: str,
        keys: Sequence[str],
        facts: Facts,
        replies: Sequence[Any] = (),
        decision: Decision[Any] | None = None,
    ) -> tuple[int, Sequence[Any]]:
        """Write if the facts are unchanged; return whether it did, and the results or the facts.

        :param decision: None to only read
        """
        arguments: Words = ["", facts.compared, facts.told, 0, *facts.words]
        if decision is not None:
            arguments[0] = _text(replies[: facts.compared])
            arguments[3] = len(decision.bounds)
            for bound in decision.bounds:
                arguments += bound
            arguments += decision.words
        wrote, found = await self._connection.evaluate(name, CHANGE, keys, arguments)
        return wrote, found


def _text(replies: Sequence[Any]) -> bytes:
    """Return the text that change.lua makes of the same replies."""
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
