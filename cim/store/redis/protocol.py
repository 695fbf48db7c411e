"""txredisapi's protocol as we use it: binary, pipelined, and cut when Redis falls silent.

txredisapi imports the global reactor, so it is imported when a connection is made, not with this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import hiredis

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from cim.store.redis.tls import tls_complaint
from cim.supervision import Loop

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IReactorTime

    from cim.store.redis.confirming import Confirming
    from cim.store.redis.scripts import Script


def connections(clock: IReactorTime, silence: float) -> Factory:
    """Return a factory of connections that send no commands of their own.

    :param silence: seconds without a reply after which a connection with unanswered commands is cut
    """
    import txredisapi

    class Connection(txredisapi.HiredisProtocol):
        """A connection; `complaint` says why we cut it.

        `confirming` asks over it whether a majority has everything, if the answers to calls wait for that.

        txredisapi's `execute_command` uses a timer and three Deferreds per command; `ask` uses one timer for all and
        one Deferred per command, which saves a quarter of the CPU time of a call.
        """

        complaint = ""
        confirming: Confirming | None = None

        def __init__(self) -> None:
            super().__init__(charset=None, convertNumbers=False)
            self._heard = 0.0  # when the last reply arrived, or when the first command was sent
            self._watch = Loop("waiting for Redis", self._check, clock)

        def connectionMade(self) -> Any:
            if ITCPTransport.providedBy(self.transport):
                # What is asked while an answer is waited for goes at once, too, and not when Redis has answered.
                self.transport.setTcpNoDelay(True)
            return super().connectionMade()

        def ask(self, *args: str | bytes | int) -> Deferred[Any]:
            """Send a command; fires with its reply, or fails with txredisapi's errors."""
            packed = hiredis.pack_command(args)  # type: ignore[arg-type]  # its stub should allow a tuple of any length
            if not self.connected:
                raise txredisapi.ConnectionError("Not connected")
            if not self.replyQueue.waiting:
                self._heard = clock.seconds()
                if self._watch.due is None:
                    self._watch.wake(silence)
            self.transport.write(packed)
            reply: Deferred[Any] = self.replyQueue.get().addCallback(self.handle_reply)
            return reply

        def call(self, *args: str | bytes | int) -> Deferred[Any]:
            """Send a command like `ask`; fires with its reply when that may be told on."""
            reply = self.ask(*args)
            return reply if self.confirming is None else self.confirming.follow(reply)

        async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
            """Call a script, by its hash if Redis knows it."""
            try:
                return await self.call("EVALSHA", script.sha, len(keys), *keys, *args)
            except txredisapi.ResponseError as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
            return await self.call("EVAL", script.text, len(keys), *keys, *args)

        def published(self) -> Deferred[Any]:
            """Fire with the next message of a subscription, for which nobody waits in vain; nothing is asked after."""
            self._watch.stop()
            message: Deferred[Any] = self.replyQueue.get().addCallback(self.handle_reply)
            return message

        @property
        def silence(self) -> float:
            """For how long Redis has owed us a reply and said nothing, in seconds."""
            return clock.seconds() - self._heard if self.replyQueue.waiting else 0.0

        def tryConvertData(self, data: Any) -> Any:
            # Replies are not converted; txredisapi would inspect each part of a reply.
            return data

        def _check(self) -> float | None:
            if self.replyQueue.waiting:
                left = self._heard + silence - clock.seconds()
                if left > 0:
                    return left
                self.cut(f"it did not answer within {silence:g} s")
            return None

        def cut(self, complaint: str) -> None:
            if self.connected:
                self.complaint = self.complaint or complaint
                self.transport.abortConnection()  # connectionLost fails all waiting calls

        def dataReceived(self, data: bytes, unpause: bool = False) -> None:
            self._heard = clock.seconds()
            try:
                super().dataReceived(data, unpause)
            except txredisapi.InvalidData:
                self.cut("it does not answer like Redis")

        def connectionLost(self, why: Failure) -> None:
            self.complaint = self.complaint or tls_complaint(why)
            self._watch.stop()
            super().connectionLost(why)

    class Connections(Factory):
        noisy = False

        def buildProtocol(self, addr: IAddress | None) -> Any:
            return Connection()

    return Connections()
