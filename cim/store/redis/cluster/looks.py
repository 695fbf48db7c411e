"""Looks at the epochs of the buckets of a Redis Cluster, and at its clock (docs/architecture.md, Epochs).

Before a bucket is used on a node, or after that node was met anew, its epoch is looked at; for the directory, the clock
and the schema, too. The epoch that is told is the directory's. It is begun anew with that of any other bucket
(begun.lua), unless the node that served the bucket before is still the same master and says that it gave it away: then
the bucket has only been moved.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, field

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cim.errors import StoreUnavailable
from cim.store.clock import LOOK_SECONDS as CLOCK_SECONDS
from cim.store.clock import StoreClock
from cim.store.redis.buckets import BUCKETS, DIRECTORY, placed
from cim.store.redis.clock import CLOCK, look
from cim.store.redis.cluster.node import Node, run_in, sent
from cim.store.redis.cluster.nodes import Nodes
from cim.store.redis.cluster.topology import redirection
from cim.store.redis.epoch import EPOCH, LOOK_SECONDS, Epoch
from cim.store.redis.keys import Key
from cim.store.redis.schema import complaint
from cim.store.redis.scripts import script
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

BEGUN = script("begun")
#: How many buckets besides the directory are looked at each time; all within some seconds.
LOOKED_AT = 16


@define
class Bucket:
    """What is known of a bucket.

    :ivar looked: the node, and which of its runs, by which it was looked at last
    :ivar waiting: those who wait for the look under way
    :ivar number: that of its epoch
    :ivar seen: the highest beat
    :ivar untold: a number that the directory has not been told yet, and what served it before
    """

    looked: tuple[Node, int] | None = None
    waiting: list[Deferred[None]] = field(factory=list)
    number: int = 0
    seen: int = 0
    untold: tuple[int, str] | None = None


class ClusterLooks:
    """What a route knows of the epochs and the time of what a Redis Cluster stores.

    :param named: what the cluster is called, for people
    :param time_of_day: the time in seconds since 1970 by this machine
    :param ask: sends something to the node that serves a bucket (`ClusterConnection`)
    :param refuse: called with a sentence if what is stored was not for this release from the beginning
    :param refused: called with the name of a look and the reason why it is refused
    :param wrote: called when a look has written something
    :param changed: called when what is stored may be other data than before
    :ivar buckets: what is known of each bucket
    :ivar was_away: whether a node that serves something was away since the last look at the directory
    :ivar epoch: what is known of the store's epoch, which is the directory's
    :ivar clock: the time of the store
    """

    def __init__(
        self,
        reactor: IReactorTime,
        nodes: Nodes,
        named: str,
        address: str,
        *,
        time_of_day: Callable[[], float],
        ask: Callable[[int, Callable[[Any, bool], Any]], Awaitable[Any]],
        refuse: Callable[[str], object],
        refused: Callable[[str, str], object],
        wrote: Callable[[], object],
        changed: Callable[[], object],
    ) -> None:
        import txredisapi

        self._RedisError = txredisapi.RedisError
        self._ResponseError = txredisapi.ResponseError
        self._clock = reactor
        self._nodes = nodes
        self._named = named
        self._ask = ask
        self._refuse = refuse
        self._refused = refused
        self._wrote = wrote
        self._returned = changed
        self.buckets = [Bucket() for _ in range(BUCKETS)]
        self.was_away = False
        self.epoch = Epoch(address)
        self.clock = StoreClock(named, reactor.seconds, time_of_day)
        self._turn = 0
        self._used = False
        self._looking = Loop("a look at the epochs of the Redis Cluster", self._again, reactor)
        self._timing = Loop("a look at the clock of the Redis Cluster", self._at_clock, reactor)

    def start(self) -> None:
        """Start looking."""
        self._looking.start(LOOK_SECONDS)
        self._timing.start(CLOCK_SECONDS)

    def stop(self) -> None:
        """Look no more."""
        self._looking.cancel()
        self._timing.cancel()

    def hurry(self) -> None:
        """Look at all that is not known where it is now, at once."""
        self._looking.wake()

    def knows(self, bucket: int, node: Node) -> bool:
        """Return whether a bucket was looked at on this run of a node."""
        return self.buckets[bucket].looked == (node, node.run)

    async def look_first(self, bucket: int, node: Node) -> None:
        """Look at a bucket that is not known on this node, once for all who wait."""
        state = self.buckets[bucket]
        waiter: Deferred[None] = Deferred()
        state.waiting.append(waiter)
        if len(state.waiting) == 1:
            Deferred.fromCoroutine(self.look(bucket, node)).addBoth(self._looked, state)
        await waiter

    @staticmethod
    def _looked(result: Any, state: Bucket) -> None:
        """Have those who waited go on, in the order in which they came."""
        waiting, state.waiting = state.waiting, []
        for waiter in waiting:
            if isinstance(result, Failure):
                waiter.errback(result)
            else:
                waiter.callback(None)

    async def look(self, bucket: int, node: Node) -> None:
        """Look at the epoch of a bucket; at the clock and the schema, too, if it is the directory on a new node."""
        state = self.buckets[bucket]
        run, known = (node, node.run), state.looked
        protocol = node.protocol
        if bucket != DIRECTORY:
            number, beat, _, was = await run_in(
                protocol, bucket, EPOCH, (Key.EPOCH,), (state.seen, int(not node.server.run_id and known != run), 1)
            )
            self._saw(bucket, int(number), int(beat), was.decode())
            state.looked = run
            return
        if known != run:
            (held,) = await protocol.call("MGET", placed(DIRECTORY, Key.SCHEMA))
            if reason := complaint(held):
                if not self._used:
                    self._refuse(f"{self._named} cannot be used: {reason}")
                raise StoreUnavailable(reason)

        async def run_epoch(keys: Sequence[str], args: Sequence[int]) -> Any:
            return await run_in(protocol, DIRECTORY, EPOCH, keys, (*args, 1))

        await self.epoch.look(run_epoch, anew=known != run and not node.server.run_id)
        if known != run:
            await look(self.clock, self._clock, partial(run_in, protocol, DIRECTORY, CLOCK))
        state.looked = run
        self._wrote()
        first, self._used = not self._used, True
        back = self.was_away and not self._nodes.complaint()
        if back:
            self.was_away = False
        if self.epoch.tell() or (back and not first):
            self._returned()

    def _saw(self, bucket: int, number: int, beat: int, was: str) -> None:
        state = self.buckets[bucket]
        state.seen = max(state.seen, beat)
        if number > state.number:
            state.number = number
            state.untold = (number, was)

    def saw_in(self, bucket: int, number: int) -> None:
        """Take note that a number was used in a bucket: one without it has gone back."""
        state = self.buckets[bucket]
        state.seen = max(state.seen, number)

    async def _again(self) -> float:
        """Look at the directory, at what is not known where it is now, and at some of the others; never fails."""
        due = {DIRECTORY, *((self._turn + one) % BUCKETS for one in range(LOOKED_AT))}
        self._turn = (self._turn + LOOKED_AT) % BUCKETS
        looks = []
        for bucket in range(BUCKETS):
            node = self._nodes.of(bucket)
            if node is not None and node.protocol is not None and (not self.knows(bucket, node) or bucket in due):
                looks.append(Deferred.fromCoroutine(self._try_look(bucket, node)))
        for done in looks:
            await done
        await self._tell()
        return LOOK_SECONDS

    async def _try_look(self, bucket: int, node: Node) -> None:
        try:
            if self.knows(bucket, node):
                await self.look(bucket, node)
            else:
                await self.look_first(bucket, node)
        except self._ResponseError as error:
            if redirection(str(error))[0] not in ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"):
                self._refused("epoch", str(error))
        except (self._RedisError, StoreUnavailable):
            return

    async def _tell(self) -> None:
        """Tell the directory of the epochs that buckets have begun."""
        untold = [(bucket, *state.untold) for bucket, state in enumerate(self.buckets) if state.untold is not None]
        if not untold:
            return
        words: list[str | int] = []
        for bucket, number, was in untold:
            words += bucket, number, int(await self._was_moved(bucket, was))
        try:
            await self._ask(DIRECTORY, sent(DIRECTORY, BEGUN, (Key.EPOCH,), words))
        except (self._RedisError, StoreUnavailable):
            return
        for bucket, number, _ in untold:
            state = self.buckets[bucket]
            if state.untold is not None and state.untold[0] == number:
                state.untold = None
        node = self._nodes.of(DIRECTORY)
        if node is not None and node.protocol is not None:
            await self._try_look(DIRECTORY, node)

    async def _was_moved(self, bucket: int, was: str) -> bool:
        """Return whether the one that served a bucket is the same master still, and says that another one serves it."""
        before = next((node for node in self._nodes.connected() if node.live() == tuple(was.split(" "))), None)
        if before is None or before is self._nodes.of(bucket):
            return False
        try:
            if not await before.is_same():
                return False
            await before.protocol.ask("EXISTS", placed(bucket, Key.EPOCH))
        except self._ResponseError as error:
            return redirection(str(error))[0] in ("MOVED", "ASK")
        except (self._RedisError, AttributeError):
            return False
        return False

    async def _at_clock(self) -> float:
        """Look at the clock; never fails."""
        try:
            await look(self.clock, self._clock, self._run_clock)
        except self._ResponseError as error:
            self._refused("clock", str(error))
        except (self._RedisError, StoreUnavailable):  # it is away
            pass
        return CLOCK_SECONDS

    async def _run_clock(self, keys: Sequence[str], args: Sequence[int]) -> Any:
        return await self._ask(DIRECTORY, sent(DIRECTORY, CLOCK, keys, args))
