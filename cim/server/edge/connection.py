"""What every client connection has, whatever its framing: liveness, backpressure, its end (docs/protocol.md).

A connection must log in within `login` seconds. It ends when the client leaves, is silent for too long, breaks the
protocol or reads too slowly for too long, or when its session is ended from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.errors import ProtocolViolation
from cim.limits import Limit, limit
from cim.server.sessions.shared_packet import SharedPacket, SharedRun
from cim.server.sessions.table import Session
from cim.wire.framing import DEFAULT_MAX_FRAME
from cim.wire.guests import Generation

if TYPE_CHECKING:
    from cim.server.edge.gateway import Gateway


#: The usual limit of a session's frames.
SESSION_FRAMES = limit("200/2000")
#: The usual limit of an address's connections that come to nothing.
ADDRESS_CONNECTS = limit("50/5000")
#: How many connections may be without a login, together and from one address, unless options say otherwise.
UNPROVEN = 16_384
ADDRESS_UNPROVEN = 4096


@frozen
class Limits:
    """What one connection may cost, in seconds and bytes.

    :param idle: how long a logged-in guest may be silent; W1's first releases ping every 30 to 60 seconds
    :param native_idle: how long a native client may be silent; it is asked for a sign of life after two thirds of that
    :param write_buffer: how much may wait for a slow client; above it nothing more is pushed to the client or read
        from it, so a client that never reads is idle in the end
    :param frames: how many frames of a client are served; more than that waits
    :param connects: how many connections of one address may end without a login
    :param unproven: how many connections may be without a login
    :param address_unproven: how many of them may come from one address; 0 for no limit, here and above
    :param turn: how many frames of a client are served when they are read, and in one reactor turn of all that wait
    :param share: how many of one client that waits are served before others have their turn
    :param closing: how long to try to write the last bytes before the connection is cut
    """

    max_frame: int = DEFAULT_MAX_FRAME
    login: int = 10
    frame: int = 10
    idle: dict[Generation, int] = field(factory=lambda: {Generation.W1: 130, Generation.W2: 33})
    native_idle: int = 33
    write_buffer: int = 1 << 20
    frames: Limit = SESSION_FRAMES
    connects: Limit = ADDRESS_CONNECTS
    unproven: int = UNPROVEN
    address_unproven: int = ADDRESS_UNPROVEN
    turn: int = 32
    share: int = 32
    closing: int = 5


#: Reason for the end of a connection -> the code of the Goodbye that a native client gets.
GOODBYES = {
    "idle": "idle",
    "slow-frame": "protocol-error",
    "login-timeout": "unauthorized",
    "draining": "draining",
    "too-slow": "too-slow",
}


#: So many bytes are taken at once; more as long as they complete no frame.
SLICE = 256
#: So many when a client has said nothing yet: a Hello has a ticket.
FIRST = 2048
#: Why a client is not read: its session wants nothing, or it has had its share.
_SESSION, _SHARE = 1, 2


@implementer(IPushProducer)
class ClientConnection(Protocol):
    """One client's connection; it is a producer only so that its transport says when its buffer is full.

    Subclasses add the framing, call `heard` whenever bytes arrive, and set `session`.
    """

    transport: Any  # a TCP or TLS one: twisted.web and the plain ITransport name too little of it
    session: Session | None = None
    slow = False
    closing = False
    wheel_slot = 0
    #: The time of the last sign of life before which the client was asked for one.
    _asked = 0
    _held = 0
    _frame_since = 0
    #: Frames that were served and are not counted towards the limit yet.
    _uncounted = 0
    #: What was read and is not served yet, and what goes on with it when it has to wait for longer than its turn.
    _rest = b""
    _going_on: IDelayedCall | None = None

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        #: Where the client is, as it is counted; empty if it is not.
        self.address = ""
        self._since = gateway.wheel.now

    def connectionMade(self) -> None:
        """Start the time limit for the login."""
        gateway = self.gateway
        gateway.connections.add(self)
        oldest = gateway.unproven.put(self, self.address)
        if oldest is not None:
            gateway.refused("unproven-connections")
            oldest.give_way()
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        # Twisted's own bound (64 KiB) is less than one burst of large messages.
        self.transport.bufferSize = gateway.limits.write_buffer
        self.transport.registerProducer(self, True)
        gateway.wheel.put(self, self._since + gateway.limits.login)

    def heard(self, whole: bool, partial: bool) -> None:
        """Note that the client sent something.

        :param whole: a frame was completed
        :param partial: a frame is still incomplete
        """
        gateway = self.gateway
        session = self.session
        if session is not None and session.logged_in:
            self._since = gateway.wheel.now
        if whole or not partial:
            # The frame that is incomplete now began after the one that was incomplete before.
            self._frame_since = 0
        if partial and not self._frame_since and not self.closing:
            self._frame_since = gateway.wheel.now
            gateway.wheel.put(self, min(self.wheel_slot, self._frame_since + gateway.limits.frame))

    def logged_in(self) -> None:
        """Replace the time limit for the login by the one for silence: the session has logged in."""
        gateway = self.gateway
        gateway.unproven.remove(self)
        if self.address:
            gateway.connects.give_back(self.address, gateway.clock.seconds(), 1)
        self._since = gateway.wheel.now
        gateway.wheel.put(self, self._since + self._idle() * 2 // 3)

    def give_way(self) -> None:
        """Close at once, whatever is still to be written."""
        self.transport.abortConnection()

    def _idle(self) -> int:
        """Return how many seconds the client may be silent."""
        assert self.session is not None
        limits, protocol = self.gateway.limits, self.session.protocol
        for generation, seconds in limits.idle.items():
            if generation.value == protocol:
                return seconds
        return limits.native_idle

    def violated(self, violation: ProtocolViolation) -> None:
        """Tell the client that it broke the protocol, and close."""
        self._end_of_read()
        self.gateway.refused(violation.kind)
        self._leave("protocol-error", violation.message)

    def write(self, data: bytes) -> None:
        """Queue bytes; everything written in one reactor turn is sent together."""
        self.transport.write(data)

    def write_packet(self, packet: bytes) -> None:
        """Queue a Packet, framed as this connection needs it."""
        raise NotImplementedError

    def write_packets(self, packets: Iterable[bytes]) -> None:
        """Queue Packets, framed as this connection needs them."""
        raise NotImplementedError

    def write_shared(self, shared: SharedPacket) -> None:
        """Queue a Packet that others get too."""
        self.write_packet(shared.packet)

    def write_run(self, run: SharedRun) -> None:
        """Queue Packets that others get too."""
        for shared in run.each:
            self.write_shared(shared)

    def end(self, goodbye: bytes) -> None:
        """Send a last Packet and close."""
        if not self.closing:
            self.write_packet(goodbye)
            self.close("goodbye")

    def close(self, reason: str) -> None:
        """Close the connection once what was written is sent; the session ends at once."""
        if self.closing:
            return
        self.closing = True
        self.gateway.unproven.remove(self)
        self._end_session()
        self.finish()
        self.gateway.wheel.put(self, self.gateway.wheel.now + self.gateway.limits.closing)

    def finish(self) -> None:
        """Have the transport close; a framing with a closing frame of its own sends that first."""
        if self._held and not self.slow:
            # TLS waits for the other side's close_notify, and for its producer to resume.
            self.transport.resumeProducing()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the session: the connection is gone."""
        self.closing = True
        gateway = self.gateway
        gateway.wheel.remove(self)
        if self._going_on is not None:
            self._going_on.cancel()
            self._going_on = None
        self._rest = b""
        gateway.frames.refill(self)
        self._end_session()
        gateway.gone(self)

    def _end_session(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            self.gateway.sessions.close(session)
            session.lost()

    def check(self, now: int) -> int:
        """Close the connection if the client has exceeded a time limit (see `cim.server.edge.wheel.Watched`)."""
        limits = self.gateway.limits
        if self.closing:
            self.transport.abortConnection()
            return 0
        if self.session is None or not self.session.logged_in:
            self._drop("login-timeout")
            return self.wheel_slot
        if self._held & _SHARE:
            return now + limits.frame
        if self._frame_since and now >= self._frame_since + limits.frame:
            self._drop("slow-frame")
            return self.wheel_slot
        idle = self._idle()
        # One more, because the tick of the last sign of life may have been all but over.
        due = self._since + idle + 1
        if now >= due:
            self._drop("too-slow" if self.slow else "idle")
            return self.wheel_slot
        if self._asked != self._since:
            ask = self._since + idle * 2 // 3
            if now < ask:
                due = ask
            else:
                self._asked = self._since
                self.ask_for_life()
        return due if not self._frame_since else min(due, self._frame_since + limits.frame)

    def ask_for_life(self) -> None:
        """Ask a silent client for a sign of life, if its protocol has a way to."""
        if self.session is not None:
            self.session.ask_for_life()

    def _drop(self, kind: str) -> None:
        self.gateway.refused(kind)
        self.leave(kind)

    def leave(self, reason: str) -> None:
        """Close for a reason of this server; a logged-in client whose protocol has words for the reason is told."""
        self._leave(GOODBYES[reason])

    def _leave(self, code: str, message: str = "") -> None:
        if self.session is not None:
            self.session.farewell(code, message=message)
        else:
            self.close(code)

    def dataReceived(self, data: bytes) -> None:
        """Serve bytes as they arrive, as far as the client's share goes; the rest waits, and nothing more is read."""
        if self._held & _SHARE and not self.closing:
            # TLS hands over what it had read already.
            self._rest += data
        elif self._rest or len(data) > (SLICE if self.session is not None else FIRST):
            self._serve(self._rest + data, self.gateway.limits.turn)
        else:
            frames = self.take(data)  # may weigh some of them
            self._uncounted += frames
            self._end_of_read()
            if self._uncounted >= self.gateway.counted_together:
                self._count()

    def _end_of_read(self) -> None:
        if self.session is not None:
            self.session.end_of_read()

    def weigh(self, frames: int) -> None:
        """Count what was just received as so many frames more."""
        self._uncounted += frames

    def take(self, data: bytes) -> int:
        """Take bytes, and return how many frames they completed."""
        raise NotImplementedError

    def serve_rest(self, share: int) -> int:
        """Serve what waits, up to so many frames; return how many that were."""
        return self._serve(self._rest, share)

    def _serve(self, data: bytes, share: int) -> int:
        at = served = 0
        size = SLICE
        self._rest = b""
        while at < len(data) and (served < share or self.closing):
            before = self._uncounted
            frames = self.take(data[at : at + size])
            self._uncounted += frames
            served += self._uncounted - before
            at += size
            size = SLICE if frames else 2 * size
        self._rest = data[at:]
        self._end_of_read()
        if self._rest or self._uncounted >= self.gateway.counted_together:
            self._count()
        else:
            self.hold(False, _SHARE)
        return served

    def _count(self) -> None:
        """Count frames towards the limit, and let others go first if the client has had its share."""
        gateway = self.gateway
        frames, self._uncounted = self._uncounted, 0
        wait = gateway.frames.spend(self, gateway.clock.seconds(), frames)
        if self.closing or not (wait or self._rest):
            self.hold(False, _SHARE)
            return
        self.hold(True, _SHARE)
        if wait:
            gateway.refused("limit-session-frames")
            self._going_on = gateway.clock.callLater(wait, self._go_on)
        else:
            gateway.wait_for_turn(self)

    def _go_on(self) -> None:
        self._going_on = None
        if self._rest:
            self.gateway.wait_for_turn(self)
        else:
            self.hold(False, _SHARE)

    def hold(self, held: bool, why: int = _SESSION) -> None:
        """Stop reading from the client, or resume when nothing else holds it; a session holds it for itself."""
        before, self._held = self._held, self._held | why if held else self._held & ~why
        if bool(before) is not bool(self._held):
            held = bool(self._held)
            # A client that was not being read does not count as silent.
            self._since = self.gateway.wheel.now
            if not self.slow and not self.closing:
                if held:
                    self.transport.pauseProducing()
                else:
                    self.transport.resumeProducing()

    def pauseProducing(self) -> None:
        """Stop pushing until the write buffer is empty again: it is full."""
        self.slow = True
        self.transport.pauseProducing()
        self.gateway.refused("slow-session")

    def resumeProducing(self) -> None:
        """Resume pushing: the write buffer is empty again."""
        self.slow = False
        if not self.closing:
            if not self._held:
                self.transport.resumeProducing()
            if self.session is not None:
                self.session.relieved()

    def stopProducing(self) -> None:
        """Do nothing: the transport ends, and connectionLost follows."""
