"""The loop that keeps a client online: log in, and again whenever the session ended, until it is left or refused.

There is one, for the servers of all generations: an engine says how to log in, what it means that a connection ended,
and which errors are the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from automat import TypeMachineBuilder, pep614

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.client.backoff import STEADY_SECONDS, Backoff
from cim.client.connection import ServerConnection
from cim.client.life import Life
from cim.client.moment import Moment
from cim.client.v1 import retry_after
from cim.ecim import CIMError

#: How long leaving in good order may take, seconds.
LEAVE_SECONDS = 2.0


class Reconnectable(Protocol):
    """What an engine does for the loop."""

    async def connect(self) -> None:
        """Log in and connect; `Reconnection.connected` is told as soon as the connection is made.

        :raises CIMError: the login was refused, or nothing can be reached
        """

    def lost(self, why: str, welcomed: bool) -> CIMError:
        """Return the error that stands for the end of a connection, before or after it was welcomed."""

    def is_final(self, error: CIMError) -> bool:
        """Return whether it is useless to try again."""


class Unexpected(CIMError):
    """Something failed that should not: a bug, told in the log."""


class Reconnection(Protocol):
    """What happens to a session: the inputs of the loop."""

    def start(self) -> None:
        """The client is to be online."""

    def connected(self, connection: ServerConnection) -> None:
        """A connection is made, and the login is written to it."""

    def welcomed(self, reason: str) -> None:
        """The server has accepted the login; `reason` can be shown to a user."""

    def ended(self, why: str) -> None:
        """The connection is gone; `why` in a few words."""

    def failed(self, error: CIMError) -> None:
        """Logging in or connecting has failed."""

    def again(self, error: CIMError) -> None:
        """What went wrong may pass: wait, and try again."""

    def give_up(self, error: CIMError) -> None:
        """What went wrong will not pass: end."""

    def due(self) -> None:
        """The time is over that was waited for."""

    def leave(self) -> None:
        """The client is to be online no more."""


@dataclass
class Upkeep:
    """What the loop works with.

    :ivar connection: the present one, or the last one
    :ivar sessions: how many sessions were welcomed
    :ivar since: when the last one was welcomed, on the clock
    :ivar over: comes when the session was left; with the reason when there will be none any more
    """

    engine: Reconnectable
    life: Life
    clock: IReactorTime
    backoff: Backoff
    connection: ServerConnection | None = None
    sessions: int = 0
    since: float = 0.0
    over: Moment = field(default_factory=Moment)
    log: Logger = field(default_factory=lambda: Logger("cim.client.reconnection"))


def _machine() -> Callable[[Upkeep], Reconnection]:
    machine = TypeMachineBuilder(Reconnection, Upkeep)

    def attempt(loop: Reconnection, upkeep: Upkeep) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, (CIMError, CancelledError, ConnectingCancelledError)):
                upkeep.log.failure("The login failed unexpectedly", failure)
                error = Unexpected(f"unexpected error: {failure.getErrorMessage()}")
            if isinstance(error, CIMError):
                loop.failed(error)

        return Deferred.fromCoroutine(upkeep.engine.connect()).addErrback(failed)

    def wait(loop: Reconnection, upkeep: Upkeep, error: CIMError) -> IDelayedCall:
        seconds = retry_after(error) + upkeep.backoff.next()
        upkeep.life.away(f"{error.message}; trying again in {seconds:.1f} s")
        return upkeep.clock.callLater(seconds, loop.due)

    def good_order(loop: Reconnection, upkeep: Upkeep) -> IDelayedCall:
        return upkeep.clock.callLater(LEAVE_SECONDS, loop.due)

    New = machine.state("New")
    LoggingIn = machine.state("LoggingIn", attempt)
    #: Connected, and not welcomed yet.
    Greeting = machine.state("Greeting")
    Live = machine.state("Live")
    #: There is none: whether it is worth trying again is decided at once.
    Lost = machine.state("Lost")
    Waiting = machine.state("Waiting", wait)
    Leaving = machine.state("Leaving", good_order)
    Over = machine.state("Over")

    New.upon(Reconnection.start).to(LoggingIn).returns(None)
    Waiting.upon(Reconnection.due, nodata=True).to(LoggingIn).returns(None)

    @pep614(LoggingIn.upon(Reconnection.connected).to(Greeting))
    def greet(loop: Reconnection, upkeep: Upkeep, attempt: Deferred[None], connection: ServerConnection) -> None:
        upkeep.connection = connection

    @pep614(Greeting.upon(Reconnection.welcomed).to(Live))
    def go_live(loop: Reconnection, upkeep: Upkeep, reason: str) -> None:
        upkeep.sessions += 1
        upkeep.since = upkeep.clock.seconds()
        upkeep.life.ready(reason)

    def judge(loop: Reconnection, upkeep: Upkeep, error: CIMError) -> None:
        if isinstance(error, Unexpected) or upkeep.engine.is_final(error):
            loop.give_up(error)
        else:
            loop.again(error)

    @pep614(LoggingIn.upon(Reconnection.failed).to(Lost))
    def fail(loop: Reconnection, upkeep: Upkeep, attempt: Deferred[None], error: CIMError) -> None:
        judge(loop, upkeep, error)

    @pep614(Greeting.upon(Reconnection.ended).to(Lost))
    def unwelcome(loop: Reconnection, upkeep: Upkeep, why: str) -> None:
        judge(loop, upkeep, upkeep.engine.lost(why, welcomed=False))

    @pep614(Live.upon(Reconnection.ended).to(Lost))
    def lose(loop: Reconnection, upkeep: Upkeep, why: str) -> None:
        if upkeep.clock.seconds() - upkeep.since >= STEADY_SECONDS:
            upkeep.backoff.reset()
        judge(loop, upkeep, upkeep.engine.lost(why, welcomed=True))

    Lost.upon(Reconnection.again).to(Waiting).returns(None)

    @pep614(Lost.upon(Reconnection.give_up).to(Over))
    def give_up(loop: Reconnection, upkeep: Upkeep, error: CIMError) -> None:
        upkeep.over.come(error)

    # How it is left

    def left(loop: Reconnection, upkeep: Upkeep) -> None:
        upkeep.over.come()

    New.upon(Reconnection.leave).to(Over)(left)
    Lost.upon(Reconnection.leave).to(Over)(left)

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

    @pep614(Leaving.upon(Reconnection.ended).to(Over))
    def ended(loop: Reconnection, upkeep: Upkeep, late: IDelayedCall, why: str) -> None:
        if late.active():
            late.cancel()
        upkeep.over.come()

    # What comes too late.

    @pep614(Over.upon(Reconnection.connected).loop())
    def unwanted(loop: Reconnection, upkeep: Upkeep, connection: ServerConnection) -> None:
        connection.abort("left")

    Leaving.upon(Reconnection.leave, nodata=True).loop().returns(None)
    for late_input in (Reconnection.leave, Reconnection.due):
        Over.upon(late_input).loop().returns(None)
    Over.upon(Reconnection.ended).loop().returns(None)
    for troubled in (Reconnection.failed, Reconnection.again, Reconnection.give_up):
        Over.upon(troubled).loop().returns(None)
    return machine.build()


#: Makes the loop from what it works with.
new_reconnection = _machine()
