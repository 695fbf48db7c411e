"""A guest's session of the second generation: logs in, keeps the connection to a server, sends, tells what comes.

A life of it: register the name -> log in through a route -> connect to the server that it named, login frame, first
pong -> READY. When the connection ends: RECONNECTING, a growing random wait, /offLine for the own session that may
still count as live, and in again. Before the first READY only what may pass (no route, no server yet) is tried again;
whatever else goes wrong ends the session. stopService closes the connection and logs out once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.client.api import RouteAPI
from cim.client.guest_connection import GuestConnection, sender_of, texts_of
from cim.client.reconnection import STEADY_SECONDS, Backoff
from cim.client.values import State
from cim.ecim import AccountMismatch, CIMError, Misdirected, NoServerAvailable, RateLimited, Unavailable, Unreachable
from cim.model import Account, ServerAddress, check_name
from cim.web.calling import reason
from cim.wire.cim_pb2 import Packet

CONNECT_SECONDS = 5.0
#: How long each of the two steps of leaving may take, seconds.
LEAVE_SECONDS = 2.0
#: How long a message is held back while no route can be reached, seconds.
SEND_SECONDS = 30.0


#: Told of each message: the sender's id, 0 when it is unknown, the sender's name, the text.
MessageListener = Callable[[int, str, str], None]
#: Told of each state and why: what is shown to a user beside it, possibly empty.
StateListener = Callable[[State, str], None]


def _passing(error: CIMError) -> bool:
    """Whether the same login may well succeed later."""
    return isinstance(error, (Unavailable, NoServerAvailable, RateLimited))


class GuestSession(Service):
    """One logged-in user.

    :param user_name: registered when it is new
    :param reactor: connects, and is the clock
    :param random: jitter: returns a number from 0 up to 1
    :param received: called with each message
    :param on_state: called at every change of state and whenever something has to be tried again
    :param endpoint: from a host and a port to what connects there
    """

    _log = Logger()

    def __init__(
        self,
        api: RouteAPI,
        user_name: str,
        reactor: Any,
        random: Callable[[], float],
        received: MessageListener,
        on_state: StateListener,
        *,
        endpoint: Callable[[str, int], IStreamClientEndpoint] | None = None,
    ) -> None:
        self.user_name = check_name(user_name, "user name")
        self.account: Account | None = None
        self.state = State.CLOSED
        self._api = api
        self._reactor = reactor
        self._random = random
        self._backoff = Backoff(random)
        self._received = received
        self._on_state = on_state
        self._endpoint = endpoint or self._by_host_name
        self._keeping: Deferred[None] | None = None
        self._fetching: Deferred[None] | None = None
        self._connection: GuestConnection | None = None
        self._ready_since: float | None = None
        self._was_ready = False
        self._refusal: CIMError | None = None
        self._to_log_out = False
        self._paused = False
        self._whens_ready: list[Deferred[None]] = []
        self._whens_refused: list[Deferred[CIMError]] = []
        self._whens_ended: list[Deferred[str]] = []

    # What its owner calls

    def when_ready(self) -> Deferred[None]:
        """Return a Deferred that fires when the client is READY for the first time, or at once if it ever was.

        Fails with the CIMError of a refused login, or with Unavailable when the client is stopped before.
        """
        if self._was_ready:
            return succeed(None)
        if self._refusal is not None:
            return fail(self._refusal)
        waiting: Deferred[None] = Deferred()
        self._whens_ready.append(waiting)
        return waiting

    def when_refused(self) -> Deferred[CIMError]:
        """Return a Deferred that fires with the reason if the first login is refused for good."""
        if self._refusal is not None:
            return succeed(self._refusal)
        waiting: Deferred[CIMError] = Deferred()
        self._whens_refused.append(waiting)
        return waiting

    def send_group(self, text: str) -> Deferred[None]:
        """Say something to everyone; waits for the first login, and for a route that can be reached, within bounds.

        Fails with Unreachable when it was certainly not sent, with another Unavailable when that is unknown.
        """
        return Deferred.fromCoroutine(self._send(lambda user: self._api.send_group(user, text)))

    def send_private(self, receiver: int, text: str) -> Deferred[None]:
        """Say something to one user; as `send_group`, and fails with UserOffline."""
        return Deferred.fromCoroutine(self._send(lambda user: self._api.send_private(user, receiver, text)))

    def online_users(self) -> Deferred[Sequence[Account]]:
        """Return who is online."""
        return Deferred.fromCoroutine(self._api.online_users())

    def pause_receiving(self) -> None:
        """Read nothing from the server until `resume_receiving`, over reconnections too."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume_receiving(self) -> None:
        """Read from the server again."""
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    # The service

    def startService(self) -> None:
        super().startService()
        self._keeping = Deferred.fromCoroutine(self._keep()).addErrback(self._keeping_failed)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._leave())

    # What the connection calls

    def connection_ready(self) -> None:
        assert self.account is not None
        self._ready_since = self._reactor.seconds()
        self._was_ready = True
        self._to(State.READY, f"logged in as {self.account.name} (id {self.account.id})")
        _fire(self._whens_ready, lambda waiting: waiting.callback(None))
        self._fetching = Deferred.fromCoroutine(self._fetch_missed(self.account.id))

    async def _fetch_missed(self, user: int) -> None:
        try:
            await self._api.fetch_offline(user)
        except (CIMError, CancelledError) as error:
            self._log.info("What was missed could not be fetched: {error}", error=str(error) or "left meanwhile")

    def connection_received(self, packet: Packet) -> None:
        sender, name = sender_of(packet)
        for text in texts_of(packet):
            self._received(sender, name, text)

    def connection_ended(self, reason: str) -> None:
        self._connection = None
        _fire(self._whens_ended, lambda waiting: waiting.callback(reason))

    # How a session is kept

    async def _keep(self) -> None:
        """Log in again and again until cancelled or refused."""
        self._to(State.CONNECTING, "")
        while True:
            try:
                trouble = await self._live_through_a_session()
            except CIMError as error:
                if not self._was_ready and not _passing(error):
                    return self._refuse(error)
                trouble = error.message
            wait = self._backoff.next()
            state = State.RECONNECTING if self._was_ready else State.CONNECTING
            self._to(state, f"{trouble}; trying again in {wait:.1f} s")
            await deferLater(self._reactor, wait)

    async def _live_through_a_session(self) -> str:
        """Log in, and return why the session ended when it has.

        :raises CIMError: when it did not come to a session
        """
        address = await self._log_in()
        await self._connect(address)
        why = await self._when_ended()
        server = f"{address.host}:{address.tcp_port}"
        if self._ready_since is None:
            raise Unavailable(f"the server {server} refused the login: {why}")
        if self._reactor.seconds() - self._ready_since >= STEADY_SECONDS:
            self._backoff.reset()
        return f"lost the connection to {server}: {why}"

    async def _log_in(self) -> ServerAddress:
        if self.account is None:
            self.account = await self._api.register(self.user_name)
        if self._to_log_out:
            # Our own last session may still count as live: the server has not missed us yet, or died.
            await self._api.log_out(self.account.id)
            self._to_log_out = False
        try:
            address = await self._api.login(self.account)
        except CIMError as error:
            # What a first login finds may be another's session: never end that.
            self._to_log_out = self._was_ready or isinstance(error, Misdirected)
            if isinstance(error, AccountMismatch):
                self.account = None  # the routes do not know it any more: register again
            raise
        self._to_log_out = True
        return address

    async def _connect(self, address: ServerAddress) -> None:
        assert self.account is not None
        self._ready_since = None
        connection = GuestConnection(self, self.account, self._reactor)
        try:
            await connectProtocol(self._endpoint(address.host, address.tcp_port), connection)
        except (ConnectError, DNSLookupError) as error:
            server = f"{address.host}:{address.tcp_port}"
            raise Unavailable(f"the server {server} cannot be reached: {reason(error)}")
        self._connection = connection
        if self._paused:
            connection.pause()

    def _by_host_name(self, host: str, port: int) -> IStreamClientEndpoint:
        return HostnameEndpoint(self._reactor, host, port, timeout=CONNECT_SECONDS)

    def _when_ended(self) -> Deferred[str]:
        waiting: Deferred[str] = Deferred()
        self._whens_ended.append(waiting)
        return waiting

    def _keeping_failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError, ConnectingCancelledError):
            self._log.failure("The client failed", failure)
            self._refuse(CIMError(f"unexpected error: {failure.getErrorMessage()}"))

    def _refuse(self, error: CIMError) -> None:
        self._refusal = error
        self._to(State.CLOSED, error.message)
        _fire(self._whens_ready, lambda waiting: waiting.errback(error))
        _fire(self._whens_refused, lambda waiting: waiting.callback(error))

    async def _leave(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        if self._fetching is not None:
            self._fetching.cancel()
            self._fetching = None
        connection = self._connection
        if connection is not None:
            ended = self._when_ended()
            connection.leave()
            await self._bounded(ended, lambda: connection.end("left"))
        if self._to_log_out and self.account is not None:
            self._to_log_out = False
            logging_out = Deferred.fromCoroutine(self._api.log_out(self.account.id))
            await self._bounded(logging_out, logging_out.cancel)
        if self.state is not State.CLOSED:
            self._to(State.CLOSED, "")
        _fire(self._whens_ready, lambda waiting: waiting.errback(Unavailable("the client was stopped")))

    async def _bounded(self, waited: Deferred[Any], give_up: Callable[[], object]) -> None:
        late = self._reactor.callLater(LEAVE_SECONDS, give_up)
        try:
            await waited
        except (CIMError, CancelledError) as error:
            self._log.info("Not left in good order: {error}", error=str(error) or type(error).__name__)
        finally:
            if late.active():
                late.cancel()

    def _to(self, state: State, reason: str) -> None:
        self.state = state
        self._on_state(state, reason)

    async def _send(self, call: Callable[[int], Coroutine[Any, Any, None]]) -> None:
        """Make the call, again and again while it is certain that nothing was sent.

        Cancelled or refused while it waits it fails with Unreachable: nothing was sent.
        """
        await self._waiting(self.when_ready())
        backoff = Backoff(self._random)
        until = self._reactor.seconds() + SEND_SECONDS
        told = False
        while True:
            try:
                if self.account is None:
                    raise Unreachable("not logged in at the moment")
                return await call(self.account.id)
            except Unreachable as error:
                wait = backoff.next()
                if self._reactor.seconds() + wait >= until:
                    raise
                if not told:
                    told = True
                    self._to(self.state, f"{error.message}; the message waits")
            await self._waiting(deferLater(self._reactor, wait))

    async def _waiting(self, waited: Deferred[None]) -> None:
        try:
            await waited
        except CancelledError:
            raise Unreachable("given up before")
        except CIMError:
            raise Unreachable("not logged in")


def _fire(waiting: list[Any], how: Callable[[Any], None]) -> None:
    """Fire all and forget them first, so that whoever is called may wait anew."""
    fired, waiting[:] = tuple(waiting), ()
    for one in fired:
        how(one)
