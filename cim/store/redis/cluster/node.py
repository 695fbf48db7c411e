"""The one pipelined connection to a master of a Redis Cluster, which is made anew until nobody wants it any more.

The sequence is that of a single Redis (cim/store/redis/connection.py), but for the epoch and the clock, which lie in
buckets and are looked at by whoever uses them (cim/store/redis/cluster/connection.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from cim.errors import StoreUnavailable
from cim.store.redis.buckets import TAGS
from cim.store.redis.confirming import Confirming
from cim.store.redis.facts import ServerFacts
from cim.store.redis.introducing import close, facts_of, introduce, load, tell
from cim.store.redis.keys import Key
from cim.store.redis.protocol import connections
from cim.store.redis.reconnecting import Reconnecting
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

    from cim.store.redis.scripts import Script
    from cim.store.redis.sentinel import Address

#: How often one looks whether it is still the same master, in seconds.
LOOK_SECONDS = 1.0


class Node(Reconnecting):
    """A master.

    :param auth: the arguments of AUTH, if it is needed
    :param scripts: which are loaded before it is used
    :param servers: returns of how many servers, the master and its replicas, a majority must have what is told; None to
        tell what the master alone has
    :param served: returns its buckets
    :param changed: called when it can be used, and when it cannot any more
    :ivar run: how often another process, or history, was met there: what is known of what it stores is of one of them
    :ivar away: why it cannot be used; None if it can
    :ivar down_since: since when, in seconds on the clock
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        address: Address,
        *,
        random: Callable[[], float],
        auth: tuple[str, ...] | None,
        scripts: Sequence[Script],
        reply_timeout: float,
        servers: Callable[[], int] | None,
        served: Callable[[], Sequence[int]],
        changed: Callable[[Node], object],
    ) -> None:
        import txredisapi

        self._RedisError = txredisapi.RedisError
        self._ResponseError = txredisapi.ResponseError
        self.address = address
        self._clock = reactor
        self._endpoint = endpoint
        self._random = random
        self._auth = auth
        self._scripts = scripts
        self._servers = servers
        self._served = served
        self._changed = changed
        self._factory = connections(reactor, reply_timeout)
        self.protocol: Any = None  # in use
        self.run = 0
        self.away: str | None = "not connected yet"
        self.down_since = self._used = reactor.seconds()
        self.server = ServerFacts()
        self._said_away = False
        self._loop = Loop(f"connecting to Redis at {address}", self._connect, reactor, random=random)
        self._looking = Loop(f"a look at Redis at {address}", self._look, reactor, every=LOOK_SECONDS)

    def start(self) -> None:
        """Start connecting."""
        self._loop.start()

    async def stop(self) -> None:
        """Close the connection; unanswered calls fail."""
        self._stopped = True
        self._loop.cancel()
        self._looking.cancel()
        opened, self.protocol = self._opened, None
        self.away = "stopped"
        await close(opened, self._clock)

    def hurry(self) -> None:
        """Try at once."""
        if self._opened is None:
            self._failures = 0
            self._loop.wake()

    def cut(self, reason: str) -> None:
        """Use the connection no more, and make another one."""
        if self._opened is not None:
            self._opened.cut(reason)

    def used_since(self, when: float) -> bool:
        """Return whether somebody was sent here since then."""
        return self._used >= when

    def use(self) -> None:
        """Note that somebody is sent here who is not known to be served by it."""
        self._used = self._clock.seconds()

    def live(self) -> tuple[str, str] | None:
        """Return the ids of the process and of its history if it is in use and told them."""
        return (self.server.run_id, self.server.history) if self.protocol is not None and self.server.run_id else None

    async def is_same(self) -> bool:
        """Return whether it is still the same master.

        :raises txredisapi.RedisError: it does not say
        """
        now = ServerFacts.read(await self.protocol.ask("INFO", "replication"), {})
        return now.role == "master" and now.history == self.server.history

    def _confirming(self, protocol: Any) -> Confirming | None:
        if self._servers is None:
            return None
        return Confirming(protocol.ask, self._clock, self._servers, protocol.cut, self._traces)

    def _connected(self, protocol: Any) -> None:
        self.run += 1
        self.protocol, self.away = protocol, None
        if self._said_away:
            self._log.info("Redis at {address} is back", address=str(self.address))
        self._said_away = False
        self._looking.start(LOOK_SECONDS)
        self._changed(self)

    async def _prepare(self, protocol: Any) -> None:
        protocol.transport.setTcpKeepAlive(True)
        await introduce(protocol, self._auth, 0)
        server = await facts_of(protocol)
        if server.role == "slave":
            raise StoreUnavailable("it is a replica, which takes no writes")
        await load(protocol, self._scripts)
        if protocol.confirming is not None:
            await protocol.confirming.confirmed()
        if server == self.server:
            return
        self.server = server
        tell(self._log, str(self.address), server, self._servers and self._servers())

    def _traces(self) -> list[tuple[str, ...]]:
        """Return writes for replicas, which in a cluster do not get what is published; one bucket may be on its way."""
        return [("INCR", TAGS[bucket] + Key.ASKED) for bucket in self._served()[:2]]

    def _lost(self, reason: str) -> None:
        self._looking.stop()
        if self.away is None:
            self.down_since = self._clock.seconds()
        self.protocol, self.away = None, reason
        if not self._said_away:
            self._said_away = True
            self._log.warn(
                "Redis at {address} is away: {reason}. Retrying while the cluster has it",
                address=str(self.address),
                reason=reason,
            )
        self._changed(self)

    async def _look(self) -> None:
        """See whether it is the same master, and what its replicas do; never fails."""
        protocol = self.protocol
        if protocol is None or "INFO" in self.server.refused:
            return
        try:
            info: bytes = await protocol.ask("INFO", "replication")
        except (self._RedisError, StoreUnavailable):
            return
        if protocol.confirming is not None:
            protocol.confirming.expect(info)
        now = ServerFacts.read(info, {})
        if now.role == "slave":
            protocol.cut("it has become a replica")
        elif now.history != self.server.history:
            protocol.cut("its history is another one")


async def run_in(
    protocol: Any,
    bucket: int,
    script: Script,
    keys: Sequence[str],
    args: Sequence[str | bytes | int],
    asking: bool = False,
) -> Any:
    """Run a script in a bucket.

    :param asking: whether the node is to be asked as ASK demands
    """
    tag = TAGS[bucket]
    there = [*(tag + key for key in keys), tag]
    if asking:
        ask_there(protocol)
        return await protocol.call("EVAL", script.in_bucket.text, len(there), *there, *args)
    return await protocol.run(script.in_bucket, there, args)


def sent(
    bucket: int, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
) -> Callable[[Any, bool], Any]:
    """Return what runs a script in a bucket, given the protocol, and whether it is to be asked as ASK demands."""
    return lambda protocol, asking: run_in(protocol, bucket, script, keys, args, asking)


def ask_there(protocol: Any) -> None:
    """Have a node do the next command though the bucket is on its way to it."""
    protocol.ask("ASKING").addErrback(lambda failure: None)
