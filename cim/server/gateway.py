"""Clients' TCP connections: frames in, frames out, and when a connection ends (DESIGN.md section 4).

A connection's life: made -> its first frame must be a login, within `login_seconds` -> the session is claimed against
a reservation -> pings are answered, messages are written as they come -> it ends when the client goes, is silent for
too long, breaks the protocol, reads too slowly for too long, or the session is ended from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.ecim import BadLogin, ProtocolViolation
from cim.server.sessions import Session, Sessions
from cim.server.wheel import TimerWheel
from cim.wire.framing import DEFAULT_MAX_FRAME, FrameReader
from cim.wire.guests import LOGIN_COMMANDS, PING_COMMANDS, PONGS, Generation, parse_login, parse_packet


@frozen
class Limits:
    """What one connection may cost (seconds and bytes).

    :param idle: how long a logged-in client may be silent; W1's first releases ping each minute or half minute
    :param write_buffer: what may wait for a slow client; beyond it nothing more is queued, and nothing is read from
        it, so that one that never reads is idle in the end
    :param closing: how long the last bytes are tried before the connection is cut
    """

    max_frame: int = DEFAULT_MAX_FRAME
    login: int = 10
    frame: int = 10
    idle: dict[Generation, int] = field(factory=lambda: {Generation.W1: 130, Generation.W2: 33})
    write_buffer: int = 1 << 20
    closing: int = 5


@implementer(IPushProducer)
class ClientConnection(Protocol):
    """One client's TCP connection; a producer only so that its transport tells when its buffer is full."""

    transport: Any  # a TCP or TLS one: twisted.web and the plain ITransport name too little of it
    session: Session | None = None
    slow = False
    closing = False
    wheel_slot = 0
    _frame_since = 0

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._reader = FrameReader(gateway.limits.max_frame)
        self._since = gateway.wheel.now

    def connectionMade(self) -> None:
        """Start to wait for the login."""
        gateway = self.gateway
        gateway.connections.add(self)
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        # Twisted's own bound (64 KiB) is less than one burst of large messages.
        self.transport.bufferSize = gateway.limits.write_buffer
        self.transport.registerProducer(self, True)
        gateway.wheel.put(self, self._since + gateway.limits.login)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes as they come."""
        if self.closing:
            return
        gateway = self.gateway
        try:
            for body in self._reader.feed(data):
                self._frame_received(body)
        except ProtocolViolation as violation:
            gateway.refused(violation.kind)
            self.close(violation.message)
            return
        if self.session is not None:
            self._since = gateway.wheel.now
        if not self._reader.partial:
            self._frame_since = 0
        elif not self._frame_since:
            self._frame_since = gateway.wheel.now
            gateway.wheel.put(self, min(self.wheel_slot, self._frame_since + gateway.limits.frame))

    def _frame_received(self, body: bytes) -> None:
        if self.closing:
            return
        session = self.session
        if session is None:
            self._login(body)
            return
        packet = parse_packet(body)
        generation = session.generation
        if packet.command == PING_COMMANDS[generation]:
            self.transport.write(PONGS[generation])
            self.gateway.pings += 1
        elif packet.command == LOGIN_COMMANDS[generation]:
            if packet.user_id != session.user:
                raise BadLogin("a connection cannot log in as a second user")
        else:
            # Chat of guests goes up by HTTP; upstream ignores it here too.
            self.gateway.refused("ignored-frame")

    def _login(self, body: bytes) -> None:
        gateway = self.gateway
        login = parse_login(body)
        session = gateway.sessions.claim(login, self)
        if session is None:
            gateway.refused("unreserved-login")
            self.close("no reservation")
            return
        self.session = session
        gateway.wheel.put(self, gateway.wheel.now + gateway.limits.idle[login.generation])

    def write(self, data: bytes) -> None:
        """Queue bytes; what is written in one reactor turn leaves in one piece."""
        self.transport.write(data)

    def close(self, reason: str) -> None:
        """End the connection after what was written; the session is over at once."""
        if self.closing:
            return
        self.closing = True
        self._end_session()
        self.transport.loseConnection()
        self.gateway.wheel.put(self, self.gateway.wheel.now + self.gateway.limits.closing)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.closing = True
        gateway = self.gateway
        gateway.wheel.remove(self)
        self._end_session()
        gateway.gone(self)

    def _end_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            self.gateway.sessions.close(session)

    def check(self, now: int) -> int:
        """Act on silence (see `server.wheel.Watched`)."""
        limits = self.gateway.limits
        if self.closing:
            self.transport.abortConnection()
            return 0
        if self.session is None:
            self._drop("login-timeout")
            return self.wheel_slot
        if self._frame_since and now >= self._frame_since + limits.frame:
            self._drop("slow-frame")
            return self.wheel_slot
        due = self._since + limits.idle[self.session.generation]
        if now >= due:
            self._drop("idle")
            return self.wheel_slot
        return due if not self._frame_since else min(due, self._frame_since + limits.frame)

    def _drop(self, kind: str) -> None:
        self.gateway.refused(kind)
        self.close(kind)

    def pauseProducing(self) -> None:
        """The write buffer is full: nothing more is queued until it is empty."""
        self.slow = True
        self.transport.pauseProducing()
        self.gateway.refused("slow-session")

    def resumeProducing(self) -> None:
        """The write buffer is empty again."""
        self.slow = False
        if not self.closing:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The transport ends; connectionLost follows."""


class Gateway(Factory):
    """All clients' TCP connections of this server.

    :param refused: called with a short name for every input that was refused or ignored
    :param max_connections: more are closed as they come
    """

    def __init__(
        self,
        sessions: Sessions,
        wheel: TimerWheel,
        refused: Callable[[str], None],
        limits: Limits | None = None,
        max_connections: int = 1 << 20,
    ) -> None:
        self.sessions = sessions
        self.wheel = wheel
        self.refused = refused
        self.limits = limits if limits is not None else Limits()
        self.max_connections = max_connections
        self.connections: set[ClientConnection] = set()
        self.pings = 0
        self.noisy = False
        self._emptied: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection | None:
        """Return a connection's protocol, or None to close it at once: too many are open."""
        if len(self.connections) >= self.max_connections:
            self.refused("too-many-connections")
            return None
        return ClientConnection(self)

    def gone(self, connection: ClientConnection) -> None:
        """A connection was lost."""
        self.connections.discard(connection)
        if not self.connections:
            emptied, self._emptied = self._emptied, []
            for waiting in emptied:
                waiting.callback(None)

    def drain(self) -> Deferred[None]:
        """Close every connection after what was written to it; fires when the last is gone."""
        self.max_connections = 0
        self.sessions.end_all("draining")
        for connection in list(self.connections):
            connection.close("draining")
        if not self.connections:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._emptied.append(waiting)
        return waiting
