"""What every client's connection has, whatever frames it carries: liveness, slowness, its end (docs/protocol.md).

A connection's life: made -> within `login` seconds it has logged in -> it ends when the client goes, is silent for too
long, breaks the protocol, reads too slowly for too long, or its session is ended from elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.errors import ProtocolViolation
from cim.server.sessions.shared_packet import SharedPacket
from cim.server.sessions.table import Session
from cim.wire.framing import DEFAULT_MAX_FRAME
from cim.wire.guests import Generation

if TYPE_CHECKING:
    from cim.server.edge.gateway import Gateway


@frozen
class Limits:
    """What one connection may cost (seconds and bytes).

    :param idle: how long a logged-in guest may be silent; W1's first releases ping each minute or half minute
    :param native_idle: how long a native client may be silent
    :param write_buffer: what may wait for a slow client; beyond it nothing more is pushed, and nothing is read from
        it, so that one that never reads is idle in the end
    :param closing: how long the last bytes are tried before the connection is cut
    """

    max_frame: int = DEFAULT_MAX_FRAME
    login: int = 10
    frame: int = 10
    idle: dict[Generation, int] = field(factory=lambda: {Generation.W1: 130, Generation.W2: 33})
    native_idle: int = 33
    write_buffer: int = 1 << 20
    closing: int = 5

    def idle_of(self, protocol: str) -> int:
        """Return how long a client that speaks that may be silent."""
        for generation, seconds in self.idle.items():
            if generation.value == protocol:
                return seconds
        return self.native_idle


#: What native clients are told when their connection ends for these reasons.
GOODBYES = {
    "idle": "idle",
    "slow-frame": "protocol-error",
    "login-timeout": "unauthorized",
    "draining": "draining",
    "too-slow": "too-slow",
}


@implementer(IPushProducer)
class ClientConnection(Protocol):
    """One client's connection; a producer only so that its transport tells when its buffer is full.

    Those who add the framing call `heard` whenever bytes came, and set `session`.
    """

    transport: Any  # a TCP or TLS one: twisted.web and the plain ITransport name too little of it
    session: Session | None = None
    slow = False
    closing = False
    wheel_slot = 0
    _held = False
    _frame_since = 0

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
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

    def heard(self, whole: bool, partial: bool) -> None:
        """Note a sign of life.

        :param whole: a frame came to its end
        :param partial: the end of a frame is still to come
        """
        gateway = self.gateway
        session = self.session
        if session is not None and session.logged_in:
            self._since = gateway.wheel.now
        if whole or not partial:
            # What is incomplete now began after what was incomplete before.
            self._frame_since = 0
        if partial and not self._frame_since and not self.closing:
            self._frame_since = gateway.wheel.now
            gateway.wheel.put(self, min(self.wheel_slot, self._frame_since + gateway.limits.frame))

    def logged_in(self) -> None:
        """The session said who it is: from now on silence counts, no longer the time to log in."""
        self._since = self.gateway.wheel.now
        self.gateway.wheel.put(self, self._since + self._idle())

    def _idle(self) -> int:
        assert self.session is not None
        return self.gateway.limits.idle_of(self.session.protocol)

    def violated(self, violation: ProtocolViolation) -> None:
        """What came breaks the protocol."""
        self.gateway.refused(violation.kind)
        self._leave("protocol-error", violation.message)

    def write(self, data: bytes) -> None:
        """Queue bytes; what is written in one reactor turn leaves in one piece."""
        self.transport.write(data)

    def write_packet(self, packet: bytes) -> None:
        """Queue a Packet, framed as this connection needs it."""
        raise NotImplementedError

    def write_shared(self, shared: SharedPacket) -> None:
        """Queue a Packet that others get too."""
        self.write_packet(shared.packet)

    def end(self, goodbye: bytes) -> None:
        """Send a last Packet and close."""
        if not self.closing:
            self.write_packet(goodbye)
            self.close("goodbye")

    def close(self, reason: str) -> None:
        """End the connection after what was written; the session is over at once."""
        if self.closing:
            return
        self.closing = True
        self._end_session()
        self.finish()
        self.gateway.wheel.put(self, self.gateway.wheel.now + self.gateway.limits.closing)

    def finish(self) -> None:
        """Have the transport close; a framing that has words of its own for it says them first."""
        if self._held and not self.slow:
            # TLS waits for the other side's last word, and for the producer that it has.
            self.transport.resumeProducing()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

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
            session.lost()

    def check(self, now: int) -> int:
        """Act on silence (see `Watched` in wheel)."""
        limits = self.gateway.limits
        if self.closing:
            self.transport.abortConnection()
            return 0
        if self.session is None or not self.session.logged_in:
            self._drop("login-timeout")
            return self.wheel_slot
        if self._frame_since and now >= self._frame_since + limits.frame:
            self._drop("slow-frame")
            return self.wheel_slot
        due = self._since + self._idle()
        if now >= due:
            self._drop("too-slow" if self.slow else "idle")
            return self.wheel_slot
        return due if not self._frame_since else min(due, self._frame_since + limits.frame)

    def _drop(self, kind: str) -> None:
        self.gateway.refused(kind)
        self.leave(kind)

    def leave(self, reason: str) -> None:
        """Close for a reason of ours; its client is told, if it has a session and knows reasons."""
        self._leave(GOODBYES[reason])

    def _leave(self, code: str, message: str = "") -> None:
        if self.session is not None:
            self.session.farewell(code, message=message)
        else:
            self.close(code)

    def hold(self, held: bool) -> None:
        """Stop reading from the client, or go on."""
        if held != self._held:
            self._held = held
            # Whoever could not say anything was not silent.
            self._since = self.gateway.wheel.now
            if not self.slow and not self.closing:
                if held:
                    self.transport.pauseProducing()
                else:
                    self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        """The write buffer is full: nothing more is pushed until it is empty."""
        self.slow = True
        self.transport.pauseProducing()
        self.gateway.refused("slow-session")

    def resumeProducing(self) -> None:
        """The write buffer is empty again."""
        self.slow = False
        if not self.closing:
            if not self._held:
                self.transport.resumeProducing()
            if self.session is not None:
                self.session.relieved()

    def stopProducing(self) -> None:
        """The transport ends; connectionLost follows."""
