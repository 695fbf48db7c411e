"""A native client's TCP connection to its server (docs/protocol.md).

Hello goes out at once. From then on something is said in every heartbeat, and a server of which nothing is heard for
two and a half is taken for dead.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as Inputs

from google.protobuf.message import DecodeError

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.ecim import ProtocolViolation
from cim.wire.cim_pb2 import Goodbye, Hello, Packet
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.native import PING, PONG

#: Until the Welcome says another.
HEARTBEAT_SECONDS = 10.0
#: How many heartbeats of silence are the end.
DEAD_HEARTBEATS = 2.5
#: Far above what our servers send; bounds what a broken one may cost.
MAX_FRAME = 4 << 20


class SessionUser(Inputs):
    """What is done with what a server says."""

    def packet(self, kind: str, body: Any) -> None:
        """The server said something: the name of the Packet's body, and the body."""

    def packets_done(self) -> None:
        """All that came together was told."""

    def beat(self) -> None:
        """A heartbeat has passed."""

    def ended(self, reason: str) -> None:
        """The connection is gone; comes once, last."""


class NativeConnection(Protocol):
    """Says Hello, keeps the connection alive, and hands on what comes."""

    _log = Logger()
    transport: Any  # an ITCPTransport that is an IPushProducer too

    def __init__(self, user: SessionUser, hello: Hello, clock: IReactorTime) -> None:
        self._user = user
        self._hello = hello
        self._clock = clock
        self._reader = FrameReader(MAX_FRAME)
        self._heartbeat = HEARTBEAT_SECONDS
        self._heard = 0.0
        self._beats: Any = None
        self._paused = False
        self._over = False
        self._reason = ""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._heard = self._clock.seconds()
        self.say(hello=self._hello)
        self._beats = self._clock.callLater(self._heartbeat, self._beat)

    def say(self, **body: Any) -> None:
        """Send a Packet with one body, given by its name."""
        self.write(encode_frame(Packet(**body).SerializeToString()))

    def write(self, frames: bytes) -> None:
        """Send frames."""
        if not self._over:
            self.transport.write(frames)

    def welcomed(self, heartbeat: float) -> None:
        """The server wants to hear something that often, seconds."""
        if heartbeat > 0:
            self._heartbeat = heartbeat
            self._beats.reset(heartbeat)

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._clock.seconds()
        try:
            for frame in self._reader.feed(data):
                packet = Packet.FromString(frame)
                kind = packet.WhichOneof("body")
                if kind == "ping":
                    self.write(encode_frame(PONG))
                elif kind is not None and not self._over:
                    self._user.packet(kind, getattr(packet, kind))
        except (ProtocolViolation, DecodeError, UnicodeDecodeError) as error:
            self._log.warn("The server sent what cannot be read: {error}", error=str(error))
            self.abort("the server sent what cannot be read")
        self._user.packets_done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        if self._beats is not None:
            self._beats.cancel()
            self._beats = None
        self._user.ended(self._reason or reason.getErrorMessage().rstrip("."))

    def abort(self, reason: str) -> None:
        """Drop the connection at once; nothing of it is told any more but its end."""
        self._reason = self._reason or reason
        self._over = True
        self.transport.abortConnection()

    def leave(self, reason: str = "left") -> None:
        """Say goodbye and close in good order."""
        self._reason = self._reason or reason
        self.say(goodbye=Goodbye())
        self._over = True
        self.transport.loseConnection()

    def pause(self, paused: bool) -> None:
        """Read nothing while paused; the server's silence is not held against it meanwhile."""
        if paused != self._paused and not self._over:
            self._paused = paused
            if paused:
                self.transport.pauseProducing()
            else:
                self._heard = self._clock.seconds()
                self.transport.resumeProducing()

    def _beat(self) -> None:
        self._beats = self._clock.callLater(self._heartbeat, self._beat)
        dead_after = self._heartbeat * DEAD_HEARTBEATS
        if not self._paused and self._clock.seconds() - self._heard >= dead_after:
            self.abort(f"nothing heard from the server for {dead_after:g} s")
        else:
            self.write(encode_frame(PING))
            self._user.beat()
