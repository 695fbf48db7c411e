"""The one pipelined connection to Redis, which reconnects forever.

The sequence: connect -> AUTH, SELECT -> wait until Redis answers PING well -> INFO, CONFIG GET, a look at the epoch and
one at the clock (`looks`) -> in use, with further looks -> lost -> wait a little -> connect again. An ACL may refuse
INFO and CONFIG (`facts` says what follows), but nothing else.

With Sentinels, these name the Redis to connect to, and it is left for another one as soon as they do
(cim.store.redis.sentinels). When majorities acknowledge, answers wait for replicas (cim.store.redis.confirming).

Only the protocol of txredisapi is used, not its factory, which takes a connection that is lost during AUTH or SELECT
for a refused password and never connects again. Here AUTH and SELECT are ordinary commands, and every failure is
retried.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from cim.errors import StoreUnavailable
from cim.store.clock import StoreClock
from cim.store.redis.calls import RedisCalls
from cim.store.redis.clock import CLOCK
from cim.store.redis.confirming import Confirming
from cim.store.redis.epoch import EPOCH, Epoch
from cim.store.redis.facts import ServerFacts
from cim.store.redis.introducing import close, credentials, facts_of, introduce, load, needed, tell
from cim.store.redis.keys import Key
from cim.store.redis.looks import Looks
from cim.store.redis.patience import Patience
from cim.store.redis.protocol import connections
from cim.store.redis.reconnecting import Reconnecting
from cim.store.redis.schema import complaint
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

    from cim.store.redis.scripts import Script
    from cim.store.redis.sentinel import Address
    from cim.store.redis.sentinels import Sentinels

#: After how long a silence health calls Redis slow, in seconds. Others can do the work until it answers.
SLOW_SECONDS = 1.0
#: While this many calls are unanswered, further ones fail at once.
MAX_UNANSWERED = 20_000


class RedisConnection(Reconnecting, RedisCalls):
    """Calls Redis, and recovers from every failure by itself.

    :param address: the address of Redis for health and log
    :param sentinels: name the Redis to connect to; they are the endpoint, too
    :param servers: returns of how many servers, the master and its replicas, a majority must have what is told; None to
        tell what the master alone has
    :param random: returns a number from 0 to 1, for jitter
    :param time_of_day: the time in seconds since 1970 by this machine
    :param user: a user of Redis's ACL; None for its default user
    :param reply_timeout: seconds without a reply after which unanswered calls fail and it reconnects
    :param refuse: called with a sentence if what is in Redis was not for this release from the beginning
    """

    def __init__(
        self,
        reactor: IReactorTime,
        endpoint: IStreamClientEndpoint,
        address: str,
        *,
        random: Callable[[], float],
        time_of_day: Callable[[], float],
        user: str | None = None,
        password: str | None = None,
        database: int = 0,
        reply_timeout: float = 5.0,
        refuse: Callable[[str], object] = lambda reason: None,
        sentinels: Sentinels | None = None,
        servers: Callable[[], int] | None = None,
    ) -> None:
        import txredisapi

        super().__init__()
        self._RedisError = txredisapi.RedisError
        self._ResponseError = txredisapi.ResponseError
        self._clock = reactor
        self._endpoint = endpoint
        self._address = address
        self._random = random
        self._sentinels = sentinels
        self._servers = servers
        self._auth = credentials(user, password)
        self._database = database
        self._factory = connections(reactor, reply_timeout)
        self._protocol: Any = None  # in use
        self._loop = Loop(f"connecting to Redis at {address}", self._connect, reactor, random=random)
        self._refuse = refuse
        self._used = False
        self._away: str | None = "not connected yet"
        self._said_away = False
        self._patience = Patience(reactor)
        self._ordered = [EPOCH, CLOCK]
        self._server = ServerFacts()
        self.looks = Looks(
            reactor,
            address,
            time_of_day=time_of_day,
            refused=self.refused,
            wrote=self._wrote,
            changed=self._returned,
        )

    @property
    def named(self) -> str:
        """See RedisCalls."""
        return f"Redis at {self._address}"

    @property
    def server(self) -> ServerFacts:
        """What it says of itself."""
        return self._server

    @property
    def epoch(self) -> Epoch:
        """What is known of the epoch."""
        return self.looks.epoch

    @property
    def clock(self) -> StoreClock:
        """The time of the store."""
        return self.looks.clock

    # Lifecycle

    def start(self) -> None:
        """Start connecting."""
        self._stopped = False
        self._patience.begin()
        if self._sentinels is not None:
            self._sentinels.start(self._moved)
        self._loop.start()

    async def stop(self) -> None:
        """Close the connection; unanswered calls fail."""
        self._stopped = True
        if self._sentinels is not None:
            self._sentinels.stop()
        self._loop.cancel()
        self.looks.stop()
        opened, self._protocol = self._opened, None
        self._away = "stopped"
        await close(opened, self._clock)
        self._patience.end()

    def _confirming(self, protocol: Any) -> Confirming | None:
        if self._servers is None:
            return None
        return Confirming(protocol.ask, self._clock, self._servers, protocol.cut)

    def _moved(self, address: Address) -> None:
        """Leave the Redis in use, if there is one, for the one that is the master now."""
        left, self._address = self._address, str(address)
        self.epoch.address = self._address
        self._failures = 0
        if self._opened is not None:
            self._opened.cut(f"{left} is not the master any more")
        self._loop.wake()

    async def _prepare(self, protocol: Any) -> None:
        protocol.transport.setTcpKeepAlive(True)
        await introduce(protocol, self._auth, self._database)
        server = await facts_of(protocol)
        if server.role == "slave":
            advice = "name the master in --store" if self._sentinels is None else "the Sentinels are to name the master"
            raise StoreUnavailable(f"it is a replica, which takes no writes: {advice}")
        [held] = await needed(protocol, "MGET", Key.SCHEMA)
        if reason := complaint(held):
            if not self._used:
                self._refuse(f"Redis at {self._address} cannot be used: {reason}")
            raise StoreUnavailable(reason)
        await load(protocol, self._ordered)
        await needed(protocol, "TIME")  # the scripts' own errors do not name it
        await self.looks.first(protocol, server)
        if server != self._server:
            self._server = server
            tell(self._log, self._address, server, self._servers and self._servers())

    def _connected(self, protocol: Any) -> None:
        self._protocol = protocol
        self._used = True
        self._away = None
        self._refusals.answered()
        was_away, self._said_away = self._said_away, False
        self.epoch.tell()
        self.looks.start()
        self._patience.end()
        if was_away:
            self._log.info("Redis at {address} is back", address=self._address)
            self._returned()

    def _lost(self, reason: str) -> None:
        self.looks.stop()
        if self._protocol is not None:
            self._protocol = None
            self._patience.begin()
        if not self._said_away:
            self._said_away = True
            self._log.warn(
                "Redis at {address} is away: {reason}. Retrying until it is back",
                address=self._address,
                reason=reason,
            )
        self._away = reason

    def cut(self, reason: str) -> None:
        """Use the connection no more, and make another one if Redis can be used again."""
        if self._protocol is not None:
            self._protocol.cut(reason)

    async def _usable(self) -> Any:
        if self._protocol is None:
            await self._patience.wait()
        if self._protocol is None:
            raise StoreUnavailable()
        return self._protocol

    async def ready(self) -> None:
        """Wait for a connection, which knows the epoch and the time.

        :raises StoreUnavailable: there is none soon
        """
        if self._protocol is None:
            await self._usable()

    # Calling

    def load(self, script: Script) -> None:
        """See RedisCalls."""
        self._ordered.append(script)

    def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Deferred[Any]:
        """See RedisCalls."""
        return Deferred.fromCoroutine(self._call(script.name, lambda protocol: protocol.run(script, keys, args)))

    def evaluate(
        self, name: str, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Coroutine[Deferred[Any], Any, Any]:
        """See RedisCalls."""
        return self._call(name, lambda protocol: protocol.run(script, keys, args), observed=False)

    def run_in_epoch(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Deferred[Any]:
        """See RedisCalls."""
        return Deferred.fromCoroutine(
            self._call(script.name, lambda protocol: self._in_epoch(protocol, script, keys, args))
        )

    async def _in_epoch(
        self, protocol: Any, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> Any:
        try:
            return await protocol.run(script, keys, (self.epoch.needed, *args))
        except self._ResponseError as error:
            if not str(error).startswith("EPOCH"):
                raise
        await self.looks.at_epoch(protocol)
        self.looks.tell()
        return await protocol.run(script, keys, (self.epoch.needed, *args))

    def command(self, name: str, *args: str | bytes | int) -> Deferred[Any]:
        """See RedisCalls."""
        return Deferred.fromCoroutine(self._call(name, lambda protocol: protocol.call(*args)))

    async def _call(self, name: str, ask: Callable[[Any], Awaitable[Any]], observed: bool = True) -> Any:
        """Ask something, and wait for a connection if necessary."""
        started = self._clock.seconds()
        if self._unanswered >= MAX_UNANSWERED:
            raise StoreUnavailable()
        self._unanswered += 1
        try:
            protocol = self._protocol or await self._usable()
            reply = await ask(protocol)
            self._refusals.answered()
            return reply
        except self._RedisError as error:
            raise self._unavailable(name, error) from error
        finally:
            self._unanswered -= 1
            if observed:
                self.observed(name, self._clock.seconds() - started)

    async def commands(self, name: str, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
        """See RedisCalls; they go in one write."""
        if self._unanswered >= MAX_UNANSWERED:
            raise StoreUnavailable()
        self._unanswered += 1
        asked: list[Deferred[Any]] = []
        try:
            protocol = self._protocol or await self._usable()
            for words in commands:
                asked.append(protocol.call(*words))
            return [await reply for reply in asked]
        except self._RedisError as error:
            raise self._unavailable(name, error) from error
        finally:
            self._unanswered -= 1
            for reply in asked:
                reply.addErrback(lambda _: None)  # they fail alike

    def _unavailable(self, name: str, error: Exception) -> StoreUnavailable:
        if isinstance(error, self._ResponseError):
            self.refused(name, str(error))
        return StoreUnavailable()

    def refused(self, name: str, reason: str) -> None:
        """See RedisCalls."""
        if reason.startswith("READONLY"):
            self.cut("it has become a replica")
        super().refused(name, reason)

    # Reporting

    def health(self) -> str:
        """See IStore."""
        if self._away is not None:
            return f"Redis at {self._address} is away: {self._away}"
        silence = self._protocol.silence
        if silence >= SLOW_SECONDS:
            return f"Redis at {self._address} has not answered for {silence:.1f} s"
        if refused := self._refusals.complaint():
            return f"Redis at {self._address} {refused}"
        complaint = self.server.version_complaint()
        return f"Redis at {self._address}: {complaint}" if complaint else ""

    def facts(self) -> Mapping[str, Any]:
        """See IStore."""
        server = self.server.facts(self._servers and self._servers())
        facts = {"store": f"Redis at {self._address}", **server, **self.clock.facts()}
        return facts if self._sentinels is None else {**facts, **self._sentinels.facts()}
