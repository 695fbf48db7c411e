"""Calls a Redis Cluster as `RedisConnection` calls a single Redis: each call goes to the node that serves its bucket.

What a node answers that says where to go is followed (MOVED, ASK), and what says that it cannot be done right now
(TRYAGAIN, CLUSTERDOWN) is tried again for as long as calls wait for a connection; then it is StoreUnavailable. Nothing
is sent a second time that may have been done.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater

from cim.errors import StoreUnavailable
from cim.store.clock import StoreClock
from cim.store.redis.buckets import DIRECTORY, TAGS, home_of, placed, taken_apart
from cim.store.redis.calls import RedisCalls
from cim.store.redis.clock import CLOCK
from cim.store.redis.cluster.looks import BEGUN, ClusterLooks
from cim.store.redis.cluster.node import Node, ask_there, run_in, sent
from cim.store.redis.cluster.nodes import Nodes
from cim.store.redis.cluster.topology import redirection
from cim.store.redis.connection import MAX_UNANSWERED, SLOW_SECONDS
from cim.store.redis.epoch import EPOCH, NEVER, Epoch
from cim.store.redis.facts import ServerFacts
from cim.store.redis.introducing import credentials
from cim.store.redis.keys import Key
from cim.store.redis.patience import PATIENCE
from cim.store.redis.scripts import Script
from cim.store.redis.sentinel import Address

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

#: How long a call that cannot be done right now waits before it is tried again, in seconds.
PAUSE = 0.05
#: Commands all of whose arguments are keys.
_ALL_KEYS = frozenset({"MGET", "DEL", "UNLINK", "EXISTS"})
#: What is found in buckets of conversations; the rest is in the directory.
_SPREAD = (Key.STREAM, Key.COUNTERS, Key.RECALLED, Key.EDITED)
#: How many bits of a SCAN's cursor are the node's own.
_CURSOR_BITS = 48


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
        self._reached = reached
        self._servers = servers
        self._auth = credentials(user, password)
        self._reply_timeout = reply_timeout
        self._scripts = [EPOCH.in_bucket, CLOCK.in_bucket, BEGUN.in_bucket]
        self.address = ",".join(map(str, seeds))
        self.nodes = Nodes(reactor, seeds, reached, self._node, random=random, auth=self._auth)
        self.looks = ClusterLooks(
            reactor,
            self.nodes,
            self.named,
            self.address,
            time_of_day=time_of_day,
            ask=self._ask,
            refuse=refuse,
            refused=self.refused,
            wrote=self._wrote,
            changed=self._returned,
        )
        self._stopped = False
        self._pauses: set[Deferred[None]] = set()
        self._down_since: float | None = None
        # Since when buckets are on their way to another node, in seconds on the clock.
        self._stuck_since: dict[int, float] = {}

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
        self.looks.start()

    async def stop(self) -> None:
        """Close all connections; unanswered calls fail."""
        self._stopped = True
        self.looks.stop()
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
            self.looks.was_away = self.looks.was_away or bool(self.nodes.topology.served(node.address))
            self.nodes.hurry()
            return
        self.looks.hurry()

    @property
    def named(self) -> str:
        """See RedisCalls."""
        return f"the Redis Cluster at {self.address}"

    @property
    def epoch(self) -> Epoch:
        """What is known of the epoch of the store, which is that of the directory."""
        return self.looks.epoch

    @property
    def clock(self) -> StoreClock:
        """The time of the store."""
        return self.looks.clock

    @property
    def server(self) -> ServerFacts:
        """What the node of the directory says of itself."""
        node = self.nodes.of(DIRECTORY)
        return ServerFacts() if node is None else node.server

    async def ready(self) -> None:
        """Wait until the epoch and the time are known.

        :raises StoreUnavailable: they are not soon
        """
        if self.looks.buckets[DIRECTORY].looked is None:
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
                    if guest is None and not self.looks.knows(bucket, node):
                        await self.looks.look_first(bucket, node)
                        continue
                    reply = await send(protocol, guest is not None)
                    self._down_since = None
                    self._stuck_since.pop(bucket, None)
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
                        since = self._clock.seconds()
                        if kind == "CLUSTERDOWN":
                            self.nodes.hurry()
                            since = self._down_since = self._down_since or since
                        else:
                            since = self._stuck_since.setdefault(bucket, since)
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

    # Calling

    def load(self, script: Script) -> None:
        """See RedisConnection."""
        self._scripts.append(script.in_bucket)

    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Deferred[Any]:
        """Run a script in the bucket of its first key; see RedisConnection."""
        return self.run_in(home_of(keys[0]), script, keys, args)

    def run_in(self, bucket: int, script: Script, keys: Sequence[str], args: Sequence[Any]) -> Deferred[Any]:
        """Run a script in a bucket."""
        return Deferred.fromCoroutine(self._call(script.name, bucket, sent(bucket, script, keys, args)))

    def evaluate(
        self, name: str, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Coroutine[Deferred[Any], Any, Any]:
        """Run a script as part of an operation in the bucket of its first key; see RedisConnection."""
        return self.evaluate_in(name, home_of(keys[0]), script, keys, args)

    def evaluate_in(
        self, name: str, bucket: int, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Coroutine[Deferred[Any], Any, Any]:
        """Run a script in a bucket as part of an operation."""
        return self._call(name, bucket, sent(bucket, script, keys, args), observed=False)

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
        state = self.looks.buckets[bucket]
        needed = self.epoch if bucket == DIRECTORY else None
        try:
            first = needed.needed if needed else state.seen or NEVER
            return await run_in(protocol, bucket, script, keys, (first, *args), asking)
        except self._ResponseError as error:
            if not str(error).startswith("EPOCH"):
                raise
        node = self.nodes.of(bucket)
        if node is None or node.protocol is not protocol:
            raise StoreUnavailable()
        await self.looks.look(bucket, node)
        self.looks.hurry()
        first = needed.needed if needed else state.seen
        return await run_in(protocol, bucket, script, keys, (first, *args), asking)

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
        if self.looks.buckets[DIRECTORY].looked is None:
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
        ask_there(protocol)
    return await protocol.call(*words)


async def _nothing(protocol: Any, asking: bool) -> None:
    return None


async def gathered(work: Iterable[Coroutine[Deferred[Any], Any, Any] | Deferred[Any]]) -> list[Any]:
    """Do things side by side; return their results in order, or fail with the error of one when all are done."""
    begun = [one if isinstance(one, Deferred) else Deferred.fromCoroutine(one) for one in work]
    done = await DeferredList(begun, consumeErrors=True)
    for well, result in done:
        if not well:
            result.raiseException()
    return [result for _, result in done]
