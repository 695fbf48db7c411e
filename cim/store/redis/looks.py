"""Looks at the epoch and the clock of a Redis: on each new connection, and now and then while it is in use.

When majorities acknowledge, how many replicas keep up is looked at together with the epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cim.errors import StoreUnavailable
from cim.store.clock import LOOK_SECONDS as CLOCK_SECONDS
from cim.store.clock import StoreClock
from cim.store.redis.clock import CLOCK, look
from cim.store.redis.epoch import EPOCH, LOOK_SECONDS, Epoch
from cim.store.redis.facts import ServerFacts
from cim.store.redis.refusals import WRITES_REFUSED
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime


class Looks:
    """What a route knows of the epoch and the time of what Redis stores.

    :param address: where Redis is, for the log
    :param time_of_day: the time in seconds since 1970 by this machine
    :param refused: called with the name of a look and the reason why Redis refuses it
    :param wrote: called when a look has written something; nothing else proves that Redis takes writes
    :param changed: called when what is in Redis may be other data than before
    """

    def __init__(
        self,
        reactor: IReactorTime,
        address: str,
        *,
        time_of_day: Callable[[], float],
        refused: Callable[[str, str], object],
        wrote: Callable[[], object],
        changed: Callable[[], object],
    ) -> None:
        import txredisapi

        self._RedisError = txredisapi.RedisError
        self._ResponseError = txredisapi.ResponseError
        self._reactor = reactor
        self._refused = refused
        self._wrote = wrote
        self._changed = changed
        self._protocol: Any = None
        self._server = ServerFacts()
        self._looking = Loop(f"a look at the epoch of Redis at {address}", self._again, reactor, every=LOOK_SECONDS)
        self._timing = Loop(
            f"a look at the clock of Redis at {address}", self.at_clock_again, reactor, every=CLOCK_SECONDS
        )
        self.epoch = Epoch(address)
        self.clock = StoreClock(f"Redis at {address}", reactor.seconds, time_of_day)

    async def first(self, protocol: Any, server: ServerFacts) -> None:
        """Look at both on a new connection, before anything else uses it.

        :raises StoreUnavailable: Redis refuses it, or it is not known whether a majority has what was found
        """
        self._protocol, self._server = protocol, server
        try:
            await self.at_epoch(protocol, anew=not server.run_id)
        except self._ResponseError as error:
            if not str(error).startswith(WRITES_REFUSED):
                raise StoreUnavailable(
                    f"its epoch is unknown, without which nothing can be stored ({error})"
                ) from error
            self._refused("epoch", str(error))
            self.epoch.unknown()
        try:
            await self._at_clock()
        except self._ResponseError as error:
            raise StoreUnavailable(f"its time is unknown, without which nothing can be stored ({error})") from error

    def start(self) -> None:
        """Go on looking."""
        self._looking.start(LOOK_SECONDS)
        self._timing.start(CLOCK_SECONDS)

    def stop(self) -> None:
        """Look no more: the connection is lost."""
        self._looking.stop()
        self._timing.stop()

    async def at_epoch(self, protocol: Any, *, anew: bool = False) -> None:
        """Look at the epoch, and begin a new one if what is stored may have gone back.

        :param anew: begin a new one in any case
        :raises StoreUnavailable: it is not known whether a majority has what was found
        :raises txredisapi.RedisError: Redis is away, or refuses it
        """
        await self.epoch.look(partial(protocol.run, EPOCH), anew=anew)
        self._wrote()

    def tell(self) -> None:
        """Tell of another epoch, if there is one."""
        if self.epoch.tell():
            self._changed()

    async def _at_clock(self) -> None:
        await look(self.clock, self._reactor, partial(self._protocol.run, CLOCK))

    async def at_clock_again(self) -> None:
        """Look at the clock; never fails."""
        try:
            await self._at_clock()
        except self._ResponseError as error:
            self._refused("clock", str(error))
        except (self._RedisError, StoreUnavailable):  # it is away
            return

    async def _again(self) -> None:
        """Look at the epoch, and at what replicas do; never fails."""
        protocol = self._protocol
        try:
            await self.at_epoch(protocol)
            if protocol.confirming is not None and "INFO" not in self._server.refused:
                protocol.confirming.expect(await protocol.ask("INFO", "replication"))
        except self._ResponseError as error:
            self._refused("epoch", str(error))
        except (self._RedisError, StoreUnavailable):  # it is away
            return
        self.tell()
