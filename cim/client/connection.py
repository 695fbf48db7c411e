"""A client's TCP connection to a server of any generation: kept alive, paused, left when nothing is heard of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Protocol as Inputs

from google.protobuf.message import DecodeError

from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.errors import ProtocolViolation, Unavailable
from cim.web.calling import reason
from cim.wire.framing import FrameReader


class ConnectionUser(Inputs):
    """What is done with what happens on a connection."""

    def connected(self) -> None:
        """It is made, and the first frames are written."""

    def frames_done(self) -> None:
        """All frames that came together were handed on."""

    def beat(self) -> None:
        """A heartbeat has passed in which the server was read."""

    def ended(self, reason: str) -> None:
        """It is gone; comes once, last."""


class ServerConnection(Protocol):
    """Writes its first frames at once, then one ping after the other, and hands on the frames that come.

    :param first: the frames that are written when it is made
    :param ping: the frame that is written in every heartbeat
    :cvar max_frame: bounds what a broken server may cost, bytes
    :ivar beat_after: the length of a heartbeat, seconds
    :ivar dead_after: the longest silence of the server, seconds; none counts while it is paused
    """

    _log = Logger()
    transport: Any  # an ITCPTransport that is an IPushProducer too
    max_frame: int
    beat_after: float
    dead_after: float

    def __init__(self, user: ConnectionUser, clock: IReactorTime, *, first: bytes, ping: bytes) -> None:
        self._user = user
        self._clock = clock
        self._first = first
        self._ping = ping
        self._reader = FrameReader(self.max_frame)
        self._heard = 0.0
        self._beats: Any = None
        self._paused = False
        self._over = False
        self._reason = ""

    def frame_received(self, frame: bytes) -> None:
        """Take a frame.

        :raises ProtocolViolation, DecodeError: it cannot be read
        """
        raise NotImplementedError

    # What its owner calls

    def write(self, frames: bytes) -> None:
        """Send frames."""
        if not self._over:
            self.transport.write(frames)

    def abort(self, reason: str) -> None:
        """Drop the connection at once; nothing of it is told any more but its end, and why."""
        self._reason = self._reason or reason
        self._over = True
        self.transport.abortConnection()

    def leave(self, reason: str = "left") -> None:
        """Close in good order; nothing of it is told any more but its end."""
        self._reason = self._reason or reason
        self._over = True
        self.transport.loseConnection()

    def pause(self, paused: bool) -> None:
        """Read nothing while paused, from the first byte on when it is not made yet."""
        if paused != self._paused and not self._over:
            self._paused = paused
            if self.transport is not None:
                self._heard = self._clock.seconds()
                if paused:
                    self.transport.pauseProducing()
                else:
                    self.transport.resumeProducing()

    # What the transport calls

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        if self._paused:
            self.transport.pauseProducing()
        self._heard = self._clock.seconds()
        self.write(self._first)
        self._beats = self._clock.callLater(self.beat_after, self._beat)
        self._user.connected()

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._clock.seconds()
        try:
            for frame in self._reader.feed(data):
                if self._over:
                    break
                self.frame_received(frame)
        except (ProtocolViolation, DecodeError, UnicodeDecodeError) as error:
            self._log.warn("The server sent something that cannot be read: {error}", error=str(error))
            self.abort("the server sent something that cannot be read")
        self._user.frames_done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        if self._beats is not None:
            self._beats.cancel()
            self._beats = None
        self._user.ended(self._reason or reason.getErrorMessage().rstrip("."))

    def _beat(self) -> None:
        self._beats = self._clock.callLater(self.beat_after, self._beat)
        if self._paused:
            self.write(self._ping)
        elif self._clock.seconds() - self._heard >= self.dead_after:
            self.abort(f"nothing heard from the server for {self.dead_after:g} s")
        else:
            self.write(self._ping)
            self._user.beat()


async def connect(
    endpoint: Callable[[str, int], IStreamClientEndpoint], host: str, port: int, connection: ServerConnection
) -> None:
    """Make a connection.

    :param endpoint: from a host and a port to what connects there
    :raises Unavailable: it cannot be made
    """
    try:
        await connectProtocol(endpoint(host, port), connection)
    except (ConnectError, DNSLookupError) as error:
        raise Unavailable(f"the server {host}:{port} cannot be reached: {reason(error)}")
