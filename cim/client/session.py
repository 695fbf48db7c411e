"""How a session at a server is kept: logged in, again whenever it ended, until it is left or cannot be had any more.

This is the one loop of reconnection, for the servers of all generations: an engine says how to log in, what became of a
connection, and which errors are the end.
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

from cim.client.life import Life
from cim.client.moment import Moment
from cim.client.reconnection import STEADY_SECONDS, Backoff
from cim.client.v1 import retry_after
from cim.ecim import CIMError

#: How long leaving in good order may take, seconds.
LEAVE_SECONDS = 2.0


class Connection(Protocol):
    """A connection to a server."""

    def leave(self) -> None:
        """Close it in good order; `Session.ended` follows."""

    def abort(self, reason: str) -> None:
        """Drop it; `Session.ended` follows with this reason."""


class Attempts(Protocol):
    """What an engine does for its session."""

    async def connect(self) -> None:
        """Log in and connect; the connection says `Session.connected` itself, as soon as it is made.

        :raises CIMError: it did not come to that
        """

    def lost(self, why: str, welcomed: bool) -> CIMError:
        """Return what it means that the connection ended."""

    def is_final(self, error: CIMError) -> bool:
        """Whether there is no use in trying again."""


class Unexpected(CIMError):
    """Something failed that should not: a bug, told in the log."""


class Session(Protocol):
    """What happens to a session."""

    def start(self) -> None:
        """It is wanted."""

    def connected(self, connection: Connection) -> None:
        """There is a connection, on which who logs in has been said."""

    def welcomed(self, reason: str) -> None:
        """The server accepted the login; `reason` can be shown to a user."""

    def ended(self, why: str) -> None:
        """The connection is gone."""

    def failed(self, error: CIMError) -> None:
        """The attempt came to nothing."""

    def again(self, error: CIMError) -> None:
        """What went wrong may pass."""

    def give_up(self, error: CIMError) -> None:
        """What went wrong is the end."""

    def due(self) -> None:
        """The time has come that was waited for."""

    def leave(self) -> None:
        """It is not wanted any more."""


@dataclass
class Kept:
    """What a session is kept with.

    :ivar connection: the one that there is, or the last one
    :ivar sessions: how many were welcomed
    :ivar since: when it was welcomed, on the clock
    :ivar over: comes when the session was left; with the reason when it cannot be had any more
    """

    attempts: Attempts
    life: Life
    clock: IReactorTime
    backoff: Backoff
    connection: Connection | None = None
    sessions: int = 0
    since: float = 0.0
    over: Moment = field(default_factory=Moment)
    log: Logger = field(default_factory=lambda: Logger("cim.client.session"))


def _machine() -> Callable[[Kept], Session]:
    machine = TypeMachineBuilder(Session, Kept)

    def attempt(session: Session, kept: Kept) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            error = failure.value
            if not isinstance(error, (CIMError, CancelledError, ConnectingCancelledError)):
                kept.log.failure("The login failed unexpectedly", failure)
                error = Unexpected(f"unexpected error: {failure.getErrorMessage()}")
            if isinstance(error, CIMError):
                session.failed(error)

        return Deferred.fromCoroutine(kept.attempts.connect()).addErrback(failed)

    def wait(session: Session, kept: Kept, error: CIMError) -> IDelayedCall:
        seconds = retry_after(error) + kept.backoff.next()
        kept.life.away(f"{error.message}; trying again in {seconds:.1f} s")
        return kept.clock.callLater(seconds, session.due)

    def good_order(session: Session, kept: Kept) -> IDelayedCall:
        return kept.clock.callLater(LEAVE_SECONDS, session.due)

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

    New.upon(Session.start).to(LoggingIn).returns(None)
    Waiting.upon(Session.due, nodata=True).to(LoggingIn).returns(None)

    @pep614(LoggingIn.upon(Session.connected).to(Greeting))
    def greet(session: Session, kept: Kept, attempt: Deferred[None], connection: Connection) -> None:
        kept.connection = connection

    @pep614(Greeting.upon(Session.welcomed).to(Live))
    def go_live(session: Session, kept: Kept, reason: str) -> None:
        kept.sessions += 1
        kept.since = kept.clock.seconds()
        kept.life.ready(reason)

    def judge(session: Session, kept: Kept, error: CIMError) -> None:
        if isinstance(error, Unexpected) or kept.attempts.is_final(error):
            session.give_up(error)
        else:
            session.again(error)

    @pep614(LoggingIn.upon(Session.failed).to(Lost))
    def fail(session: Session, kept: Kept, attempt: Deferred[None], error: CIMError) -> None:
        judge(session, kept, error)

    @pep614(Greeting.upon(Session.ended).to(Lost))
    def unwelcome(session: Session, kept: Kept, why: str) -> None:
        judge(session, kept, kept.attempts.lost(why, welcomed=False))

    @pep614(Live.upon(Session.ended).to(Lost))
    def lose(session: Session, kept: Kept, why: str) -> None:
        if kept.clock.seconds() - kept.since >= STEADY_SECONDS:
            kept.backoff.reset()
        judge(session, kept, kept.attempts.lost(why, welcomed=True))

    Lost.upon(Session.again).to(Waiting).returns(None)

    @pep614(Lost.upon(Session.give_up).to(Over))
    def give_up(session: Session, kept: Kept, error: CIMError) -> None:
        kept.over.come(error)

    # How it is left

    def left(session: Session, kept: Kept) -> None:
        kept.over.come()

    New.upon(Session.leave).to(Over)(left)
    Lost.upon(Session.leave).to(Over)(left)

    @pep614(LoggingIn.upon(Session.leave).to(Over))
    def cancel_attempt(session: Session, kept: Kept, attempt: Deferred[None]) -> None:
        attempt.cancel()
        kept.over.come()

    @pep614(Waiting.upon(Session.leave).to(Over))
    def cancel_wait(session: Session, kept: Kept, waiting: IDelayedCall) -> None:
        waiting.cancel()
        kept.over.come()

    @pep614(Greeting.upon(Session.leave).to(Leaving))
    @pep614(Live.upon(Session.leave).to(Leaving))
    def leave(session: Session, kept: Kept) -> None:
        assert kept.connection is not None
        kept.connection.leave()

    @pep614(Leaving.upon(Session.due).loop())
    def late(session: Session, kept: Kept, late: IDelayedCall) -> None:
        assert kept.connection is not None
        kept.connection.abort("left")

    @pep614(Leaving.upon(Session.ended).to(Over))
    def ended(session: Session, kept: Kept, late: IDelayedCall, why: str) -> None:
        if late.active():
            late.cancel()
        kept.over.come()

    # What comes too late.

    @pep614(Over.upon(Session.connected).loop())
    def unwanted(session: Session, kept: Kept, connection: Connection) -> None:
        connection.abort("left")

    Leaving.upon(Session.leave, nodata=True).loop().returns(None)
    for late_input in (Session.leave, Session.due):
        Over.upon(late_input).loop().returns(None)
    Over.upon(Session.ended).loop().returns(None)
    for troubled in (Session.failed, Session.again, Session.give_up):
        Over.upon(troubled).loop().returns(None)
    return machine.build()


#: From what it is kept with, a Session.
new_session = _machine()
