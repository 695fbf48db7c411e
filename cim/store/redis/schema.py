"""The schema of what is in Redis, in numbered steps (docs/upgrading.md).

    cim:schema    how many steps the data has taken; none if a release before numbers made it, or nothing is there

A step goes through the data in batches while this route and others work. It may begin anew, if its route stops, and
several routes may take it at the same time; so it is repeatable, and bears what routes of earlier releases write. Those
that know of numbers stop when they see a higher one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.daemon.schema import newer
from cim.errors import StoreUnavailable, Unavailable
from cim.store.redis.changing import Changing, Decision, Facts
from cim.store.redis.keys import Key
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.redis.connection import RedisConnection

#: The schema of this release: the number of steps.
NEWEST = 1
#: How often one looks at the number, in seconds.
LOOK_SECONDS = 1.0
#: How long a caller waits for a step, in seconds.
WAIT_SECONDS = 2.0


def taken(held: bytes | None) -> int:
    """Return how many steps the data has taken, given the value of the key; upstream may have written anything."""
    return int(held) if held is not None and held.isdigit() and len(held) < 10 else 0


def complaint(held: bytes | None) -> str:
    """Return why this release cannot use the data, given the value of the key; "" if it can."""
    return newer(taken(held), NEWEST) if taken(held) > NEWEST else ""


class RedisSchema:
    """Takes the steps that are missing, and looks for a newer schema.

    :param steps: make version 1, 2, ... up to NEWEST; they may fail with Unavailable
    """

    _log = Logger()

    def __init__(
        self,
        connection: RedisConnection,
        changing: Changing,
        steps: Sequence[Callable[[], Awaitable[object]]],
        clock: IReactorTime,
    ) -> None:
        self._connection = connection
        self._changing = changing
        self._steps = steps
        self._clock = clock
        # How many steps are taken, as far as is known.
        self._taken = 0
        self._running = False
        self._waiting: list[Deferred[None]] = []
        self._loop = Loop("the schema in Redis", self._look, clock, every=LOOK_SECONDS)

    def start(self) -> None:
        """Begin to look; also when the data may be other data than before."""
        self._taken = 0
        self._running = True
        self._loop.start()

    def stop(self) -> Deferred[None]:
        """Look no more; fires when no step is being taken any more."""
        self._running = False
        return self._loop.cancel()

    def facts(self) -> dict[str, int]:
        """Return the facts for `/health`."""
        return {"schema": self._taken} if self._taken else {}

    async def reached(self, version: int) -> None:
        """Wait until so many steps are taken.

        :raises StoreUnavailable: Redis does not answer, or it takes too long
        """
        if self._taken >= version:
            return
        if not self._running:
            raise StoreUnavailable()
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._loop.wake()
        await waiting.addTimeout(WAIT_SECONDS, self._clock, self._late)
        if self._taken < version:
            raise StoreUnavailable()

    @staticmethod
    def _late(result: Any, seconds: float) -> Any:
        raise StoreUnavailable("what an earlier release stored is being brought up to date: try again in a moment")

    async def _look(self) -> None:
        error: Unavailable | None = None
        try:
            ((held,),) = await self._connection.commands("schema", ("MGET", Key.SCHEMA))
            if reason := complaint(held):
                self._connection.cut(reason)
                return
            self._taken = taken(held)
            while self._taken < len(self._steps):
                await self._steps[self._taken]()
                await self._raise(self._taken + 1)
                self._taken += 1
                self._log.info("Redis has schema {version} now", version=self._taken)
        except Unavailable as unavailable:
            error = unavailable
        finally:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if error is None:
                    one.callback(None)
                else:
                    one.errback(error)

    async def _raise(self, version: int) -> None:
        """Note that a step is taken, unless a newer route was faster."""

        def decide(replies: Sequence[Any], now: int) -> Decision[None]:
            ((held,),) = replies
            return Decision([] if taken(held) >= version else [3, "SET", 1, version])

        await self._changing.change("schema", (Key.SCHEMA,), Facts(1, 0, (2, "MGET", 1)), decide)
