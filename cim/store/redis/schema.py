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

    from cim.store.redis.calls import RedisCalls

#: The schema of this release: the number of steps.
NEWEST = 4
#: How often one looks at the number, in seconds.
LOOK_SECONDS = 1.0
#: How long a caller waits for a step, in seconds.
WAIT_SECONDS = 2.0


async def stop_earlier_routes() -> None:
    """Take step 4, whose number says all: repetitions are noted where earlier releases do not look (once.lua)."""


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
        connection: RedisCalls,
        changing: Changing,
        steps: Sequence[Callable[[], Awaitable[object]]],
        clock: IReactorTime,
    ) -> None:
        self._connection = connection
        self._changing = changing
        self._steps = steps
        self._clock = clock
        # How many steps are taken; None while it is not known.
        self._taken: int | None = None
        self._starts = 0
        self._running = False
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._looking = Loop("the look at the schema in Redis", self._look, clock, every=LOOK_SECONDS)
        self._stepping = Loop("a step of the schema in Redis", self._take, clock)

    def start(self) -> None:
        """Begin to look; also when the data may be other data than before."""
        self._taken = None
        self._starts += 1
        self._running = True
        self._looking.start()
        self._stepping.start()

    def stop(self) -> Deferred[None]:
        """Look no more; fires when no step is being taken any more."""
        self._running = False
        self._looking.cancel()
        return self._stepping.cancel().addCallback(lambda _: self._release(StoreUnavailable()))

    def facts(self) -> dict[str, int]:
        """Return the facts for `/health`."""
        return {"schema": self._taken} if self._taken else {}

    async def reached(self, version: int) -> None:
        """Wait until so many steps are taken.

        :raises StoreUnavailable: Redis does not answer, or it takes too long
        """
        if self._taken is not None and self._taken >= version:
            return
        if not self._running:
            raise StoreUnavailable()
        waiting: Deferred[None] = Deferred()
        self._waiting.append((version, waiting))
        self._looking.wake()
        waiting.addTimeout(WAIT_SECONDS, self._clock, self._late)
        await waiting

    @staticmethod
    def _late(result: Any, seconds: float) -> Any:
        raise StoreUnavailable("what an earlier release stored is being brought up to date: try again in a moment")

    def _release(self, error: Unavailable | None = None) -> None:
        """Tell those who wait that enough steps are taken, or all of them that something failed."""
        waiting, self._waiting = self._waiting, []
        for version, one in waiting:
            if one.called:
                continue
            if error is not None:
                one.errback(error)
            elif self._taken is not None and self._taken >= version:
                one.callback(None)
            else:
                self._waiting.append((version, one))

    async def _look(self) -> None:
        try:
            ((held,),) = await self._connection.commands("schema", ("MGET", Key.SCHEMA))
        except Unavailable as error:
            self._release(error)
            return
        if reason := complaint(held):
            self._connection.cut(reason)
            return
        self._taken = taken(held)
        self._release()
        if self._taken < len(self._steps):
            self._stepping.wake()

    async def _take(self) -> None:
        while self._taken is not None and self._taken < len(self._steps):
            began, version = self._starts, self._taken + 1
            try:
                await self._steps[version - 1]()
                if began != self._starts:
                    continue  # it went through other data
                self._taken = await self._raise(version)
            except Unavailable as error:
                self._release(error)
                return
            self._release()

    async def _raise(self, version: int) -> int:
        """Note that a step is taken; return how many are, if another route was faster or this is other data."""

        def decide(replies: Sequence[Any], now: int) -> Decision[int]:
            ((held,),) = replies
            if taken(held) != version - 1:
                return Decision([], taken(held))
            return Decision([3, "SET", 1, version], version)

        now = await self._changing.change("schema", (Key.SCHEMA,), Facts(1, 0, (2, "MGET", 1)), decide)
        self._log.info("Redis has schema {version} now", version=now)
        return now
