"""The states of a client from start to end, and the transitions between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from automat import TypeMachineBuilder, pep614

from cim.client.listeners import Listeners
from cim.client.moment import Moment
from cim.client.values import State, User
from cim.errors import CIMError, Unreachable


class Life(Protocol):
    """The inputs of a client's state machine. Reasons can be shown to a user."""

    def start(self) -> None:
        """The program starts the client.

        :raises RuntimeError: it was started before, or closed
        """

    def identified(self, user: User) -> None:
        """The engine knows which user the client is."""

    def ready(self, reason: str) -> None:
        """The engine is logged in."""

    def away(self, reason: str) -> None:
        """The engine is not logged in, and is retrying."""

    def note(self, reason: str) -> None:
        """The engine has a new reason, without a change of state."""

    def failed(self, error: CIMError) -> None:
        """The client cannot continue, or could not even start."""

    def close(self) -> None:
        """The program closes the client."""

    def left(self) -> None:
        """The session has ended after `close`."""


@dataclass
class Standing:
    """The state of a client, for those who query it and those who wait for it.

    :param begin: opens the history and goes online; ends with the input `failed` or `left`
    :param leave: ends what `begin` started
    :param release: closes the history and idle connections; ends with the input `released`
    :ivar identified: fires when the user is known
    :ivar ready: fires at the first login
    :ivar closed: fires at the end, or fails with the reason if the client failed
    """

    listeners: Listeners
    begin: Callable[[], None]
    leave: Callable[[], None]
    release: Callable[[], None]
    state: State = State.CLOSED
    me: User | None = None
    identified: Moment = field(default_factory=Moment)
    ready: Moment = field(default_factory=Moment)
    closed: Moment = field(default_factory=Moment)
    released: Moment = field(default_factory=Moment)

    def to(self, state: State, reason: str) -> None:
        """Enter a state, and notify the listeners."""
        self.state = state
        self.listeners.state(state, reason)

    def end(self, error: CIMError | None) -> None:
        """Enter the final state CLOSED, and notify everybody who waits."""
        self.listeners.stop_messages()
        self.to(State.CLOSED, error.message if error is not None else "")
        for moment in (self.ready, self.identified):
            moment.come(error or Unreachable("the client was closed"))
        self.closed.come(error)


def _machine() -> Callable[[Standing], Life]:
    machine = TypeMachineBuilder(Life, Standing)

    New = machine.state("New")
    Connecting = machine.state("Connecting")
    Ready = machine.state("Ready")
    Reconnecting = machine.state("Reconnecting")
    Leaving = machine.state("Leaving")
    #: The client has failed, and the program has not closed it yet.
    Ended = machine.state("Ended")
    Closed = machine.state("Closed")
    online = (Connecting, Ready, Reconnecting)

    @pep614(New.upon(Life.start).to(Connecting))
    def begin(life: Life, standing: Standing) -> None:
        standing.to(State.CONNECTING, "")
        standing.begin()

    def started(life: Life, standing: Standing) -> None:
        raise RuntimeError("a client can be started only once")

    def identified(life: Life, standing: Standing, user: User) -> None:
        standing.me = user
        standing.identified.come()

    def ready(life: Life, standing: Standing, reason: str) -> None:
        standing.to(State.READY, reason)
        standing.ready.come()

    def reconnecting(life: Life, standing: Standing, reason: str) -> None:
        standing.to(State.RECONNECTING, reason)

    def failed(life: Life, standing: Standing, error: CIMError) -> None:
        standing.end(error)

    def note(life: Life, standing: Standing, reason: str) -> None:
        standing.to(standing.state, reason)

    def leave(life: Life, standing: Standing) -> None:
        standing.listeners.stop_messages()
        standing.leave()

    def end(life: Life, standing: Standing, error: CIMError | None = None) -> None:
        standing.end(None)
        standing.release()

    Connecting.upon(Life.away).loop()(note)
    Ready.upon(Life.away).to(Reconnecting)(reconnecting)
    Reconnecting.upon(Life.away).loop()(note)
    for state in online:
        state.upon(Life.start).loop()(started)
        state.upon(Life.identified).loop()(identified)
        state.upon(Life.ready).to(Ready)(ready)
        state.upon(Life.note).loop()(note)
        state.upon(Life.failed).to(Ended)(failed)
        state.upon(Life.close).to(Leaving)(leave)
    New.upon(Life.close).to(Closed)(end)
    Leaving.upon(Life.left).to(Closed)(end)
    Leaving.upon(Life.failed).to(Closed)(end)

    @pep614(Ended.upon(Life.close).to(Closed))
    def release(life: Life, standing: Standing) -> None:
        standing.release()

    # Inputs that arrive too late.
    for state in (Leaving, Ended, Closed):
        state.upon(Life.start).loop()(started)
        state.upon(Life.identified).loop().returns(None)
        state.upon(Life.ready).loop().returns(None)
        state.upon(Life.away).loop().returns(None)
        state.upon(Life.note).loop().returns(None)
    for state in (Leaving, Closed):
        state.upon(Life.close).loop().returns(None)
    return machine.build()


#: Makes the Life for a Standing.
new_life = _machine()
