"""Calls a Redis Cluster as `RedisConnection` calls a single Redis: each call goes to the node that serves its bucket.

What a node answers that says where to go is followed (MOVED, ASK), and what says that it cannot be done right now
(TRYAGAIN, CLUSTERDOWN) is tried again for as long as calls wait for a connection; then it is StoreUnavailable. Nothing
is sent a second time that may have been done.

Before a bucket is used on a node, or after that node was met anew, its epoch is looked at (docs/architecture.md,
Epochs); for the directory, the clock and the schema, too. The epoch that is told is the directory's. It is begun anew
with that of any other bucket (begun.lua), unless the node that served the bucket before is still the same master and
says that it gave it away: then the bucket has only been moved.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, field

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from cim.errors import StoreUnavailable
from cim.store.clock import LOOK_SECONDS as CLOCK_SECONDS
from cim.store.clock import StoreClock
from cim.store.redis.buckets import BUCKETS, DIRECTORY, TAGS, home_of, placed, taken_apart
from cim.store.redis.calls import RedisCalls
from cim.store.redis.clock import CLOCK, look
from cim.store.redis.cluster.node import Node
from cim.store.redis.cluster.nodes import Nodes
from cim.store.redis.cluster.topology import redirection
from cim.store.redis.connection import MAX_UNANSWERED, SLOW_SECONDS
from cim.store.redis.epoch import EPOCH, LOOK_SECONDS, NEVER, Epoch
from cim.store.redis.facts import ServerFacts
from cim.store.redis.introducing import credentials
from cim.store.redis.keys import Key
from cim.store.redis.patience import PATIENCE
from cim.store.redis.schema import complaint
from cim.store.redis.scripts import Script, script
from cim.store.redis.sentinel import Address
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

BEGUN = script("begun")
#: How long a call that cannot be done right now waits before it is tried again, in seconds.
PAUSE = 0.05
#: How many buckets besides the directory are looked at each time; all within some seconds.
LOOKED_AT = 16
#: Commands all of whose arguments are keys.
_ALL_KEYS = frozenset({"MGET", "DEL", "UNLINK", "EXISTS"})
#: What is found in buckets of conversations; the rest is in the directory.
_SPREAD = (Key.STREAM, Key.COUNTERS, Key.RECALLED, Key.EDITED)
#: How many bits of a SCAN's cursor are the node's own.
_CURSOR_BITS = 48


@define
class _Bucket:
    """What is known of a bucket.

    :ivar looked: the node, and which of its runs, by which it was looked at last
    :ivar waiting: those who wait for the look under way
    :ivar stuck_since: since when it is on its way to another node, in seconds on the clock
    :ivar number: that of its epoch
    :ivar seen: the highest beat
    :ivar untold: a number that the directory has not been told yet, and what served it before
    """

    looked: tuple[Node, int] | None = None
    waiting: list[Deferred[None]] = field(factory=list)
    stuck_since: float | None = None
    number: int = 0
    seen: int = 0
    untold: tuple[int, str] | None = None


class ClusterConnection(RedisCalls):
    """Calls the nodes of a Redis Cluster, and recovers from every failure by itself.

    :param seeds: some of its nodes
    :param reached: returns where an address is reached
    :param random: returns a number from 0 to 1, for jitter
    :param time_of_day: the time in seconds since 1970 by this machine
    :param user: a user of Redis's ACL; None for its default user
    :param reply_timeout: seconds without a reply after which unanswered calls of a node fail and it reconnects
    :param refuse: called with a sentence if what is in Redis was not for this release from the beginning
    :param servers: returns of how many servers, a master and its replicas, a majority must have what is told, given how
        many the cluster says there are; None to tell what the master alone has
    """

    def __init__(
        self,
        reactor: IReactorTime,
        seeds: Sequence[Address],
        reached: Callable[[Address], IStreamClientEndpoint],
        *,
        random: Callable[[], float],
        time_of_day: Callable[[], float],
        user: str | None = None,
        password: str | None = None,
        reply_timeout: float = 5.0,
        refuse: Callable[[str], object] = lambda reason: None,
        servers: Callable[[int], int] | None = None,
    ) -> None:
        import txredisapi

        super().__init__()
        self._RedisError = txredisapi.RedisError
        self._ResponseError = txredisapi.ResponseError
        self._clock = reactor
        self._random = random
        self._refuse = refuse
        self._reached = reached
        self._servers = servers
        self._auth = credentials(user, password)
        self._reply_timeout = reply_timeout
        self._scripts = [EPOCH.in_bucket, CLOCK.in_bucket, BEGUN.in_bucket]
        self.address = ",".join(map(str, seeds))
        self.nodes = Nodes(reactor, seeds, reached, self._node, random=random, auth=self._auth)
        self._buckets = [_Bucket() for _ in range(BUCKETS)]
        self._turn = 0
        self._epoch = Epoch(self.address)
        self._time = StoreClock(f"the Redis Cluster at {self.address}", reactor.seconds, time_of_day)
        self._stopped = False
        self._pauses: set[Deferred[None]] = set()
        self._down_since: float | None = None
        self._used = False
        self._was_away = False
        self._looking = Loop("a look at the epochs of the Redis Cluster", self._look_again, reactor)
        self._timing = Loop("a look at the clock of the Redis Cluster", self._look_at_clock, reactor)

    def _node(self, address: Address) -> Node:
        topology, counted = self.nodes.topology, self._servers
        return Node(
            self._clock,
            self._reached(address),
            address,
            random=self._random,
            auth=self._auth,
            scripts=self._scripts,
            reply_timeout=self._reply_timeout,
            servers=None if counted is None else lambda: counted(topology.servers()),
            served=lambda: topology.served(address),
            changed=self._changed,
        )

    # Lifecycle

    def start(self) -> None:
        """Start connecting."""
        self._stopped = False
        self.nodes.start()
        self._looking.start(LOOK_SECONDS)
        self._timing.start(CLOCK_SECONDS)

    async def stop(self) -> None:
        """Close all connections; unanswered calls fail."""
        self._stopped = True
        self._looking.cancel()
        self._timing.cancel()
        for pause in list(self._pauses):
            pause.cancel()
        await self.nodes.stop()

    def cut(self, reason: str) -> None:
        """Use the connections no more, and make others if the cluster can be used again."""
        for node in self.nodes.masters():
            node.cut(reason)

    def _changed(self, node: Node) -> None:
        """Look at all that a node serves when it is met, and ask who serves it now when it is away."""
        if node.protocol is None:
            self._was_away = self._was_away or bool(self.nodes.topology.served(node.address))
            self.nodes.hurry()
            return
        self._looking.wake()

    @property
    def named(self) -> str:
        """See RedisCalls."""
        return f"the Redis Cluster at {self.address}"

    @property
    def epoch(self) -> Epoch:
        """What is known of the epoch of the store, which is that of the directory."""
        return self._epoch

    @property
    def clock(self) -> StoreClock:
        """The time of the store."""
        return self._time

    @property
    def server(self) -> ServerFacts:
        """What the node of the directory says of itself."""
        node = self.nodes.of(DIRECTORY)
        return ServerFacts() if node is None else node.server

    async def ready(self) -> None:
        """Wait until the epoch and the time are known.

        :raises StoreUnavailable: they are not soon
        """
        bucket = self._buckets[DIRECTORY]
        if bucket.looked is None:
            await self._ask(DIRECTORY, _nothing)

    # Asking a bucket

    async def _ask(self, bucket: int, send: Callable[[Any, bool], Any]) -> Any:
        """Send something to the node that serves a bucket, wherever that is.

        :param send: called with the protocol, and whether it is to be asked as ASK demands; returns an awaitable
        :raises StoreUnavailable: nobody serves it soon
        :raises txredisapi.RedisError: it was refused, or may have been done
        """
        deadline: float | None = None
        guest: Node | None = None  # to which ASK points
        while True:
            node = guest or self.nodes.of(bucket)
            if node is not None and node.protocol is not None:
                protocol = node.protocol
                try:
                    if guest is None and self._buckets[bucket].looked != (node, node.run):
                        await self._look_first(bucket, node)
                        continue
                    reply = await send(protocol, guest is not None)
                    self._down_since = self._buckets[bucket].stuck_since = None
                    return reply
                except self._ResponseError as error:
                    kind, to = redirection(str(error))
                    if kind in ("MOVED", "ASK"):
                        to = to or node.address
                        to = to if to.host else Address(node.address.host, to.port)
                        if kind == "MOVED":
                            self.nodes.moved(bucket, to)
                            guest = None
                        else:
                            guest = self.nodes.at(to)
                            guest.use()
                        if deadline is None:
                            deadline = self._clock.seconds() + PATIENCE
                            continue
                    elif kind in ("TRYAGAIN", "CLUSTERDOWN"):
                        guest = None
                        # Who comes later does not wait longer than who came first.
                        state, since = self._buckets[bucket], self._clock.seconds()
                        if kind == "CLUSTERDOWN":
                            self.nodes.hurry()
                            since = self._down_since = self._down_since or since
                        else:
                            since = state.stuck_since = state.stuck_since or since
                        deadline = min(deadline or since + PATIENCE, since + PATIENCE)
                    else:
                        raise
            else:
                self.nodes.hurry()
                if node is not None and node.away is not None:
                    node.hurry()
                    deadline = deadline or node.down_since + PATIENCE
            now = self._clock.seconds()
            deadline = deadline or now + PATIENCE
            if now >= deadline or self._stopped:
                raise StoreUnavailable()
            await self._pause()

    async def _pause(self) -> None:
        pause: Deferred[None] = deferLater(self._clock, PAUSE)
        self._pauses.add(pause)
        try:
            await pause
        except CancelledError:
            raise StoreUnavailable() from None
        finally:
            self._pauses.discard(pause)

    async def _look_first(self, bucket: int, node: Node) -> None:
        """Look at a bucket that is not known on this node, once for all who wait."""
        state = self._buckets[bucket]
        waiter: Deferred[None] = Deferred()
        state.waiting.append(waiter)
        if len(state.waiting) == 1:
            Deferred.fromCoroutine(self._look(bucket, node)).addBoth(self._looked, state)
        await waiter

    @staticmethod
    def _looked(result: Any, state: _Bucket) -> None:
        """Have those who waited go on, in the order in which they came."""
        waiting, state.waiting = state.waiting, []
        for waiter in waiting:
            if isinstance(result, Failure):
                waiter.errback(result)
            else:
                waiter.callback(None)

    # Looks

    async def _look(self, bucket: int, node: Node) -> None:
        """Look at the epoch of a bucket; at the clock and the schema, too, if it is the directory on a new node."""
        state = self._buckets[bucket]
        run, known = (node, node.run), state.looked
        protocol = node.protocol
        if bucket != DIRECTORY:
            number, beat, _, was = await self._run(
                protocol, bucket, EPOCH, (Key.EPOCH,), (state.seen, int(not node.server.run_id and known != run), 1)
            )
            self._saw(bucket, int(number), int(beat), was.decode())
            state.looked = run
            return
        if known != run:
            (held,) = await protocol.call("MGET", placed(DIRECTORY, Key.SCHEMA))
            if reason := complaint(held):
                if not self._used:
                    self._refuse(f"{self.named} cannot be used: {reason}")
                raise StoreUnavailable(reason)

        async def run_epoch(keys: Sequence[str], args: Sequence[int]) -> Any:
            return await self._run(protocol, DIRECTORY, EPOCH, keys, (*args, 1))

        await self.epoch.look(run_epoch, anew=known != run and not node.server.run_id)
        if known != run:
            await look(self.clock, self._clock, partial(self._run, protocol, DIRECTORY, CLOCK))
        state.looked = run
        self._wrote()
        first, self._used = not self._used, True
        back = self._was_away and not self.nodes.complaint()
        if back:
            self._was_away = False
        if self.epoch.tell() or (back and not first):
            self._returned()

    def _saw(self, bucket: int, number: int, beat: int, was: str) -> None:
        state = self._buckets[bucket]
        state.seen = max(state.seen, beat)
        if number > state.number:
            state.number = number
            state.untold = (number, was)

    def saw_in(self, bucket: int, number: int) -> None:
        """Take note that a number was used in a bucket: one without it has gone back."""
        state = self._buckets[bucket]
        state.seen = max(state.seen, number)

    async def _look_again(self) -> float:
        """Look at the directory, at what is not known where it is now, and at some of the others; never fails."""
        due = {DIRECTORY, *((self._turn + one) % BUCKETS for one in range(LOOKED_AT))}
        self._turn = (self._turn + LOOKED_AT) % BUCKETS
        looks = []
        for bucket, state in enumerate(self._buckets):
            node = self.nodes.of(bucket)
            if node is not None and node.protocol is not None and (state.looked != (node, node.run) or bucket in due):
                looks.append(Deferred.fromCoroutine(self._try_look(bucket, node)))
        for done in looks:
            await done
        await self._tell()
        return LOOK_SECONDS

    async def _try_look(self, bucket: int, node: Node) -> None:
        try:
            if self._buckets[bucket].looked == (node, node.run):
                await self._look(bucket, node)
            else:
                await self._look_first(bucket, node)
        except self._ResponseError as error:
            if redirection(str(error))[0] not in ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"):
                self.refused("epoch", str(error))
        except (self._RedisError, StoreUnavailable):
            return

    async def _tell(self) -> None:
        """Tell the directory of the epochs that buckets have begun."""
        untold = [(bucket, *state.untold) for bucket, state in enumerate(self._buckets) if state.untold is not None]
        if not untold:
            return
        words: list[str | int] = []
        for bucket, number, was in untold:
            words += bucket, number, int(await self._was_moved(bucket, was))
        try:
            await self._ask(DIRECTORY, self._sent(DIRECTORY, BEGUN, (Key.EPOCH,), words))
        except (self._RedisError, StoreUnavailable):
            return
        for bucket, number, _ in untold:
            state = self._buckets[bucket]
            if state.untold is not None and state.untold[0] == number:
                state.untold = None
        node = self.nodes.of(DIRECTORY)
        if node is not None and node.protocol is not None:
            await self._try_look(DIRECTORY, node)

    async def _was_moved(self, bucket: int, was: str) -> bool:
        """Return whether the one that served a bucket is the same master still, and says that another one serves it."""
        before = next((node for node in self.nodes.connected() if node.live() == tuple(was.split(" "))), None)
        if before is None or before is self.nodes.of(bucket):
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

    async def _look_at_clock(self) -> float:
        """Look at the clock; never fails."""
        try:
            await look(self.clock, self._clock, partial(self.evaluate_in, "clock", DIRECTORY, CLOCK))
        except StoreUnavailable:
            pass
        return CLOCK_SECONDS

    # Calling

    def load(self, script: Script) -> None:
        """See RedisConnection."""
        self._scripts.append(script.in_bucket)

    async def _run(
        self,
        protocol: Any,
        bucket: int,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | bytes | int],
        asking: bool = False,
    ) -> Any:
        tag = TAGS[bucket]
        there = [*(tag + key for key in keys), tag]
        if asking:  # which counts for one command
            protocol.ask("ASKING").addErrback(_ignored)
            return await protocol.call("EVAL", script.in_bucket.text, len(there), *there, *args)
        return await protocol.run(script.in_bucket, there, args)

    def _sent(
        self, bucket: int, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Callable[[Any, bool], Any]:
        return lambda protocol, asking: self._run(protocol, bucket, script, keys, args, asking)

    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Deferred[Any]:
        """Run a script in the bucket of its first key; see RedisConnection."""
        return self.run_in(home_of(keys[0]), script, keys, args)

    def run_in(self, bucket: int, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Deferred[Any]:
        """Run a script in a bucket."""
        return Deferred.fromCoroutine(self._call(script.name, bucket, self._sent(bucket, script, keys, args)))

    def evaluate(
        self, name: str, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Coroutine[Deferred[Any], Any, Any]:
        """Run a script as part of an operation in the bucket of its first key; see RedisConnection."""
        return self.evaluate_in(name, home_of(keys[0]), script, keys, args)

    def evaluate_in(
        self, name: str, bucket: int, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Coroutine[Deferred[Any], Any, Any]:
        """Run a script in a bucket as part of an operation."""
        return self._call(name, bucket, self._sent(bucket, script, keys, args), observed=False)

    def run_in_epoch(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Deferred[Any]:
        """Run a script in the bucket of its first key; see RedisConnection."""
        bucket = home_of(keys[0])
        return Deferred.fromCoroutine(
            self._call(script.name, bucket, partial(self._in_epoch, bucket, script, keys, args))
        )

    async def _in_epoch(
        self,
        bucket: int,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | bytes | int],
        protocol: Any,
        asking: bool,
    ) -> Any:
        state = self._buckets[bucket]
        needed = self.epoch if bucket == DIRECTORY else None
        try:
            first = needed.needed if needed else state.seen or NEVER
            return await self._run(protocol, bucket, script, keys, (first, *args), asking)
        except self._ResponseError as error:
            if not str(error).startswith("EPOCH"):
                raise
        node = self.nodes.of(bucket)
        if node is None or node.protocol is not protocol:
            raise StoreUnavailable()
        await self._look(bucket, node)
        self._looking.wake()
        first = needed.needed if needed else state.seen
        return await self._run(protocol, bucket, script, keys, (first, *args), asking)

    def command(self, name: str, *args: str | bytes | int) -> Deferred[Any]:
        """Run a command in the bucket of its first key and count it under `name`; see RedisConnection."""
        return self.command_in(home_of(_key(args[1])), name, *args)

    def command_in(self, bucket: int, name: str, *args: str | bytes | int) -> Deferred[Any]:
        """Run a command in a bucket and count it under `name`."""
        return Deferred.fromCoroutine(self._call(name, bucket, partial(_command, _there(bucket, args))))

    async def commands(self, name: str, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
        """Run commands, each in the bucket of its first key, as part of an operation; see RedisConnection."""
        return await self.commands_in(
            name, [(DIRECTORY if words[0] == "SCAN" else home_of(_key(words[1])), words) for words in commands]
        )

    async def commands_in(self, name: str, commands: Iterable[tuple[int, tuple[str | bytes | int, ...]]]) -> list[Any]:
        """Run commands, each in a bucket, as part of an operation; in any order, but for those of one bucket."""
        return await gathered(
            self._scan(name, *words[1:])
            if words[0] == "SCAN"
            else self._call(name, bucket, partial(_command, _there(bucket, words)), observed=False)
            for bucket, words in commands
        )

    async def of_all(self, name: str, *words: str) -> list[Any]:
        """Ask each master that is there something that is about no bucket."""

        async def ask(node: Node) -> Any:
            try:
                return await node.protocol.ask(*words)
            except self._RedisError as error:
                raise StoreUnavailable() from error

        return await gathered(ask(node) for node in self.nodes.masters() if node.protocol is not None)

    async def _scan(self, name: str, cursor: Any, _match: Any, pattern: Any, *more: Any) -> list[Any]:
        """Go through the keys of one node after the other; return the names that they have in their own buckets."""
        spread = str(pattern).startswith(_SPREAD)
        nodes = self.nodes.masters() if spread else [self.nodes.of(DIRECTORY)]
        at, cursor = int(cursor) >> _CURSOR_BITS, int(cursor) & ((1 << _CURSOR_BITS) - 1)
        node = nodes[at] if at < len(nodes) else None
        if node is None:
            await self.ready()  # nobody is there, or it was another cluster
            return [b"0", []]
        whole = f"{{*}}{pattern}" if spread else placed(DIRECTORY, str(pattern))
        buckets = self.nodes.topology.served(node.address)
        found = await self._call(
            name, buckets[0], lambda protocol, _: protocol.call("SCAN", cursor, "MATCH", whole, *more), observed=False
        )
        further = int(found[0])
        if further:
            further |= at << _CURSOR_BITS
        elif at + 1 < len(nodes):
            further = (at + 1) << _CURSOR_BITS
        names = []
        for key in found[1]:
            apart = taken_apart(key)
            if apart is not None and home_of(apart[1]) == apart[0]:
                names.append(apart[1].encode())
        return [b"%d" % further, names]

    async def _call(self, name: str, bucket: int, send: Callable[[Any, bool], Any], observed: bool = True) -> Any:
        started = self._clock.seconds()
        if self._unanswered >= MAX_UNANSWERED:
            raise StoreUnavailable()
        self._unanswered += 1
        try:
            reply = await self._ask(bucket, send)
            self._refusals.answered()
            return reply
        except self._RedisError as error:
            if isinstance(error, self._ResponseError):
                self.refused(name, str(error))
            raise StoreUnavailable() from error
        finally:
            self._unanswered -= 1
            if observed:
                self.observed(name, self._clock.seconds() - started)

    # Reporting

    def health(self) -> str:
        """See IStore."""
        if reason := self.nodes.complaint():
            return f"{self.named}: {reason}"
        if self._buckets[DIRECTORY].looked is None:
            return f"{self.named} is away: not connected yet"
        if self._down_since is not None:
            return f"{self.named} is down"
        for node in self.nodes.masters():
            if node.protocol is not None and node.protocol.silence >= SLOW_SECONDS:
                return f"Redis at {node.address} has not answered for {node.protocol.silence:.1f} s"
        if refused := self._refusals.complaint():
            return f"{self.named} {refused}"
        complaints = [node.server.version_complaint() for node in self.nodes.masters()]
        return next((f"{self.named}: {one}" for one in complaints if one), "")

    def facts(self) -> Mapping[str, Any]:
        """See IStore."""
        masters = self.nodes.masters()
        servers = None if self._servers is None else self._servers(self.nodes.topology.servers())
        return {
            "store": f"Redis Cluster at {self.address}",
            "masters": len(masters),
            **self.server.facts(servers),
            **self.clock.facts(),
        }


def _there(bucket: int, words: Sequence[str | bytes | int]) -> list[str | bytes | int]:
    """Return a command whose keys are in a bucket."""
    tag = TAGS[bucket]
    if words[0] in _ALL_KEYS:
        return [words[0], *(tag + _key(key) for key in words[1:])]
    return [words[0], tag + _key(words[1]), *words[2:]]


def _key(word: str | bytes | int) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


async def _command(words: Sequence[str | bytes | int], protocol: Any, asking: bool) -> Any:
    if asking:
        protocol.ask("ASKING").addErrback(_ignored)
    return await protocol.call(*words)


async def _nothing(protocol: Any, asking: bool) -> None:
    return None


def _ignored(_: object) -> None:
    return None


async def gathered(work: Iterable[Coroutine[Deferred[Any], Any, Any] | Deferred[Any]]) -> list[Any]:
    """Do things side by side; return their results in order, or fail with the error of one when all are done."""
    begun = [one if isinstance(one, Deferred) else Deferred.fromCoroutine(one) for one in work]
    done = await DeferredList(begun, consumeErrors=True)
    for well, result in done:
        if not well:
            result.raiseException()
    return [result for _, result in done]
