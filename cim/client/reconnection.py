"""The loop that keeps a client online: log in, and again whenever the session ends, until it is left or refused.

It serves all generations of servers: an engine knows how to log in, what the end of a connection means, and which
errors are final.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from automat import TypeMachineBuilder, pep614

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.client.backoff import STEADY_SECONDS, UNREACHABLE_SECONDS, Backoff
from cim.client.connection import ServerConnection
from cim.client.life import Life
from cim.client.moment import Moment
from cim.client.v1 import retry_after
from cim.errors import CIMError, Unreachable

#: How long a graceful leave may take, in seconds.
LEAVE_SECONDS = 2.0


class Reconnectable(Protocol):
    """The interface of an engine for the loop."""

    async def connect(self) -> None:
        """Log in and connect; call `Reconnection.connected` as soon as the connection is made.

        :raises CIMError: the login was refused, or no route or server can be reached
        """

    def is_final(self, error: CIMError) -> bool:
        """Return whether retrying after this error is useless."""


class Reconnection(Protocol):
    """The inputs of the loop. Reasons and errors can be shown to a user."""

    def start(self) -> None:
        """The client is to be online."""

    def connected(self, connection: ServerConnection) -> None:
        """A connection is made, and the login is written to it."""

    def welcomed(self, reason: str) -> None:
        """The server has accepted the login."""

    def lost(self, error: CIMError) -> None:
        """The session ended or could not be made; retry later."""

    def refused(self, error: CIMError) -> None:
        """The session ended or could not be made, for good."""

    def due(self) -> None:
        """The wait is over."""

    def leave(self) -> None:
        """The client is to go offline."""


@dataclass
class Upkeep:
    """The data of the loop.

    :ivar connection: the present connection, or the last one
    :ivar sessions: how many sessions were welcomed
    :ivar since: when the present session was welcomed, on the clock; infinity for none
    :ivar over: fires when the session was left, or fails with the reason if there will be no other
    """

    engine: Reconnectable
    life: Life
    clock: IReactorTime
    backoff: Backoff
    connection: ServerConnection | None = None
    sessions: int = 0
    since: float = inf
    over: Moment = field(default_factory=Moment)
    log: Logger = field(default_factory=lambda: Logger("cim.client.reconnection"))

    @property
    def live(self) -> bool:
        """Whether the present session has been welcomed."""
        return self.since < inf

    def end(self, loop: Reconnection, error: CIMError) -> None:
        """Tell the loop that a session ended or could not be made."""
        if self.engine.is_final(error):
            loop.refused(error)
        else:
            loop.lost(error)


def _machine() -> Callable[[Upkeep], Reconnection]:
    machine = TypeMachineBuilder(Reconnection, Upkeep)

    def attempt(loop: Reconnection, upkeep: Upkeep) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            if isinstance(failure.value, CIMError):
                upkeep.end(loop, failure.value)
            elif not failure.check(CancelledError, ConnectingCancelledError):
                upkeep.log.failure("The login failed unexpectedly", failure)
                error = CIMError(f"unexpected error, please report it: {failure.getErrorMessage()}")
                upkeep.end(loop, error)

        return Deferred.fromCoroutine(upkeep.engine.connect()).addErrback(failed)

    def wait(loop: Reconnection, upkeep: Upkeep, error: CIMError) -> IDelayedCall:
        if upkeep.clock.seconds() - upkeep.since >= STEADY_SECONDS:
            upkeep.backoff.reset()
        upkeep.since = inf
        cap = UNREACHABLE_SECONDS if isinstance(error, Unreachable) else None
        seconds = retry_after(error) + upkeep.backoff.next(cap)
        upkeep.life.away(f"{error.message}; retrying in {seconds:.1f} s")
        return upkeep.clock.callLater(seconds, loop.due)

    def good_order(loop: Reconnection, upkeep: Upkeep) -> IDelayedCall:
        return upkeep.clock.callLater(LEAVE_SECONDS, loop.due)

    New = machine.state("New")
    LoggingIn = machine.state("LoggingIn", attempt)
    #: Connected, but not welcomed yet.
    Greeting = machine.state("Greeting")
    Live = machine.state("Live")
    Waiting = machine.state("Waiting", wait)
    Leaving = machine.state("Leaving", good_order)
    Over = machine.state("Over")

    New.upon(Reconnection.start).to(LoggingIn).returns(None)
    LoggingIn.upon(Reconnection.lost, nodata=True).to(Waiting).returns(None)
    Greeting.upon(Reconnection.lost).to(Waiting).returns(None)
    Live.upon(Reconnection.lost).to(Waiting).returns(None)
    Waiting.upon(Reconnection.due, nodata=True).to(LoggingIn).returns(None)

    @pep614(LoggingIn.upon(Reconnection.connected).to(Greeting))
    def greet(loop: Reconnection, upkeep: Upkeep, attempt: Deferred[None], connection: ServerConnection) -> None:
        upkeep.connection = connection

    @pep614(Greeting.upon(Reconnection.welcomed).to(Live))
    def go_live(loop: Reconnection, upkeep: Upkeep, reason: str) -> None:
        upkeep.sessions += 1
        upkeep.since = upkeep.clock.seconds()
        upkeep.life.ready(reason)

    # Being refused

    @pep614(LoggingIn.upon(Reconnection.refused).to(Over))
    def refused_login(loop: Reconnection, upkeep: Upkeep, attempt: Deferred[None], error: CIMError) -> None:
        upkeep.over.come(error)

    @pep614(Greeting.upon(Reconnection.refused).to(Over))
    @pep614(Live.upon(Reconnection.refused).to(Over))
    def refused(loop: Reconnection, upkeep: Upkeep, error: CIMError) -> None:
        upkeep.over.come(error)

    # Leaving

    @pep614(New.upon(Reconnection.leave).to(Over))
    def left(loop: Reconnection, upkeep: Upkeep) -> None:
        upkeep.over.come()

    @pep614(LoggingIn.upon(Reconnection.leave).to(Over))
    def cancel_attempt(loop: Reconnection, upkeep: Upkeep, attempt: Deferred[None]) -> None:
        attempt.cancel()
        upkeep.over.come()

    @pep614(Waiting.upon(Reconnection.leave).to(Over))
    def cancel_wait(loop: Reconnection, upkeep: Upkeep, waiting: IDelayedCall) -> None:
        waiting.cancel()
        upkeep.over.come()

    @pep614(Greeting.upon(Reconnection.leave).to(Leaving))
    @pep614(Live.upon(Reconnection.leave).to(Leaving))
    def leave(loop: Reconnection, upkeep: Upkeep) -> None:
        assert upkeep.connection is not None
        upkeep.connection.leave()

    @pep614(Leaving.upon(Reconnection.due).loop())
    def late(loop: Reconnection, upkeep: Upkeep, late: IDelayedCall) -> None:
        assert upkeep.connection is not None
        upkeep.connection.abort("left")

    @pep614(Leaving.upon(Reconnection.lost).to(Over))
    @pep614(Leaving.upon(Reconnection.refused).to(Over))
    def ended(loop: Reconnection, upkeep: Upkeep, late: IDelayedCall, error: CIMError) -> None:
        if late.active():
            late.cancel()
        upkeep.over.come()

    # Inputs that arrive too late

    @pep614(Over.upon(Reconnection.connected).loop())
    def unwanted(loop: Reconnection, upkeep: Upkeep, connection: ServerConnection) -> None:
        connection.abort("left")

    Leaving.upon(Reconnection.leave, nodata=True).loop().returns(None)
    Over.upon(Reconnection.leave).loop().returns(None)
    Over.upon(Reconnection.lost).loop().returns(None)
    Over.upon(Reconnection.refused).loop().returns(None)
    return machine.build()


#: Makes the loop for an Upkeep.
new_reconnection = _machine()
