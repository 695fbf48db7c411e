"""Asks the Sentinels of a master where it is, and hears at once when another one has taken its place.

For each Sentinel there is a connection: ask -> subscribe to +switch-master -> a message, or a while has passed -> ask
again. So a Sentinel that hangs is noticed, and what it publishes between two connections is not missed. All are asked,
because one may be cut off from the others and not know yet; whom to believe is in cim.store.redis.sentinel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.errors import StoreUnavailable
from cim.store.redis.protocol import connections
from cim.store.redis.sentinel import SWITCHED, Address, Told, UselessAnswer, Watched, believed
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime

#: How long a Sentinel may take to connect and answer, in seconds.
ANSWER_SECONDS = 1.5
#: How often each is asked although it publishes nothing, in seconds.
ASK_AGAIN = 10.0
#: Seconds from one question to the next of a Sentinel that publishes at once, or that failed (jittered).
PAUSE = 0.05
RETRY = 1.0
#: How long a connection to the master waits for the first answer of any Sentinel, in seconds.
FIRST_ANSWER = 2.0


def _late(_: Any, seconds: float) -> Failure:
    return Failure(UselessAnswer(f"it did not answer within {seconds:g} s"))


@implementer(IStreamClientEndpoint)
class Sentinels:
    """The endpoint of whatever Redis the Sentinels name as master.

    :param reached: returns the endpoint at an address, of a Sentinel or of Redis
    :param random: returns a number from 0 to 1, for jitter
    :param auth: the arguments of AUTH for the Sentinels, if they need it
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        watched: Watched,
        reached: Callable[[Address], IStreamClientEndpoint],
        *,
        random: Callable[[], float],
        auth: tuple[str, ...] | None = None,
    ) -> None:
        self.watched = watched
        self._clock = reactor
        self._reached = reached
        self._random = random
        self._auth = auth
        self._factory: Any = None
        self._moved: Callable[[Address], object] = lambda _: None
        self._told: dict[Address, Told] = {}
        #: What is wrong with those that do not answer well.
        self._complaints: dict[Address, str] = {}
        self._current: Told | None = None
        self._asking: list[Deferred[None]] = []
        self._attempt: Deferred[IProtocol] | None = None
        self._loops = [
            Loop(f"The watch of the Sentinel at {one}", partial(self._watch, one), reactor, random=random)
            for one in watched.sentinels
        ]

    def start(self, moved: Callable[[Address], object]) -> None:
        """Start asking.

        :param moved: called with the address of the master whenever it is another one, also the first time
        """
        self._moved = moved
        self._factory = connections(self._clock, ANSWER_SECONDS)
        for loop in self._loops:
            loop.start()

    def stop(self) -> None:
        """Close all connections to Sentinels."""
        for loop in self._loops:
            loop.cancel()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the master, once any Sentinel has told where it is; fails at once when it is another one."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        if self._current is None:
            first: Deferred[None] = Deferred()
            self._asking.append(first)
            await first.addTimeout(FIRST_ANSWER, self._clock, lambda *_: None)
        if self._current is None:
            raise StoreUnavailable(f"no Sentinel names the master {self.watched.name}: {self.complaint()}")
        self._attempt = self._reached(self._current.master).connect(factory)
        try:
            return await self._attempt
        finally:
            self._attempt = None

    # What they say

    def servers(self) -> int:
        """Return of how many servers the Sentinels know, the master and its replicas, whether they are there or not."""
        known = [one.replicas for one in self._told.values()] or [self._current.replicas if self._current else 0]
        return 1 + max(known)

    def facts(self) -> dict[str, str]:
        """Return the facts for `/health`."""
        return {"sentinels": self.complaint() or f"all {len(self.watched.sentinels)} answer"}

    def complaint(self) -> str:
        """Return what is wrong with the Sentinels; "" if all answer well."""
        return "; ".join(f"Sentinel at {one}: {self._complaints[one]}" for one in sorted(self._complaints, key=str))

    async def _watch(self, sentinel: Address) -> float:
        """Ask a Sentinel, and wait until it has to be asked again."""
        protocol: Any = None
        try:
            connecting = self._reached(sentinel).connect(self._factory)
            protocol = await connecting.addTimeout(ANSWER_SECONDS, self._clock, _late)
            told = await self._ask(protocol)
            self._heard(sentinel, told)
            await protocol.published().addTimeout(ASK_AGAIN, self._clock, lambda *_: None)
            return PAUSE
        except CancelledError:
            raise
        except Exception as error:  # whatever it is, it is asked again
            self._failed(sentinel, getattr(protocol, "complaint", "") or str(error) or type(error).__name__)
            return RETRY * (0.5 + self._random())
        finally:
            if protocol is not None:
                protocol.transport.abortConnection()

    async def _ask(self, protocol: Any) -> Told:
        import txredisapi

        async def answer(*words: str) -> Any:
            try:
                return await protocol.ask(*words)
            except txredisapi.ResponseError as error:
                raise UselessAnswer(f"it refuses {words[0]} ({error})") from error

        if self._auth is not None:
            try:
                await protocol.ask("AUTH", *self._auth)
            except txredisapi.ResponseError as error:
                raise UselessAnswer(
                    f"it refuses the user or password ({error}): check --sentinel-user and --sentinel-password-file"
                ) from error
        # Asked in one write, so that no failover comes between the answers: the number would be of another master.
        where, about = (Deferred.fromCoroutine(answer(*question)) for question in self.watched.questions())
        about.addErrback(lambda failure: failure.value)
        address = await where
        told = Told.read(address, None if address is None else await about)
        await answer("SUBSCRIBE", SWITCHED)
        return told

    def _heard(self, sentinel: Address, told: Told) -> None:
        if self._complaints.pop(sentinel, None) is not None:
            self._log.info("The Sentinel at {sentinel} answers again", sentinel=str(sentinel))
        self._told[sentinel] = told
        self._judge()

    def _failed(self, sentinel: Address, reason: str) -> None:
        self._told.pop(sentinel, None)
        if self._complaints.get(sentinel) != reason:
            self._complaints[sentinel] = reason
            self._log.warn(
                "The Sentinel at {sentinel} does not tell where the master {name} is: {reason}. Retrying until it does",
                sentinel=str(sentinel),
                name=self.watched.name,
                reason=reason,
            )
        self._judge()

    def _judge(self) -> None:
        told = [self._told[one] for one in self.watched.sentinels if one in self._told]
        before, self._current = self._current, believed(told, len(self.watched.sentinels), self._current)
        if self._current is None or (before is not None and before.master == self._current.master):
            return
        self._log.info(
            "The master {name} is at {master}, by the Sentinels' configuration {epoch}{before}",
            name=self.watched.name,
            master=str(self._current.master),
            epoch=self._current.epoch,
            before="" if before is None else f"; it was at {before.master}",
        )
        asking, self._asking = self._asking, []
        self._moved(self._current.master)
        if self._attempt is not None:
            self._attempt.cancel()
        for first in asking:
            first.callback(None)
