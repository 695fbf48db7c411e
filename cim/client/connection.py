"""A client's connection to a server of any generation: keeps it alive, can pause it, and drops it when silent."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Inputs

from google.protobuf.message import DecodeError

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.errors import ProtocolViolation, Unavailable
from cim.supervision import Loop
from cim.web.calling import reason
from cim.wire.framing import FrameReader


class ConnectionUser(Inputs):
    """Handles the events of a connection."""

    def connected(self) -> None:
        """The connection is made, and the first frames are written."""

    def frames_done(self) -> None:
        """All frames that arrived together were passed on."""

    def beat(self) -> None:
        """A heartbeat has passed during which the server was read."""

    def ended(self, error: Unavailable) -> None:
        """The connection has ended, and why; called once, last."""


class ServerConnection(Protocol):
    """Writes its first frames at once, then a ping in every heartbeat, and passes on the frames that arrive.

    :param first: the frames to write when the connection is made
    :param ping: the frame to write in every heartbeat
    :cvar max_frame: the longest frame, in bytes, to bound the damage of a broken server
    :ivar beat_after: the length of a heartbeat, in seconds
    :ivar place: the name of the server, for users
    :ivar dead_after: the longest silence of the server, in seconds; it does not count while paused
    """

    _log = Logger()
    transport: Any  # an ITCPTransport that is an IPushProducer too
    max_frame: int
    beat_after: float
    dead_after: float

    def __init__(self, user: ConnectionUser, clock: IReactorTime, *, first: bytes, ping: bytes) -> None:
        self.place = ""
        self._user = user
        self._clock = clock
        self._first = first
        self._ping = ping
        self._reader = FrameReader(self.max_frame)
        self._heard = 0.0
        self._beats = Loop("keeping the connection alive", self._beat, clock)
        self._paused = False
        self._over = False
        self._reason = ""

    def frame_received(self, frame: bytes) -> None:
        """Handle a frame.

        :raises ProtocolViolation, DecodeError: the frame is malformed
        """
        raise NotImplementedError

    # Called by the owner

    def write(self, frames: bytes) -> None:
        """Send frames."""
        if not self._over:
            self.transport.write(frames)

    def abort(self, reason: str) -> None:
        """Drop the connection at once; after this only its end is reported, with the reason."""
        self._reason = self._reason or reason
        self._over = True
        self.transport.abortConnection()

    def leave(self, reason: str = "left") -> None:
        """Close the connection gracefully; after this only its end is reported."""
        self._reason = self._reason or reason
        self._over = True
        self.transport.loseConnection()

    def pause(self, paused: bool) -> None:
        """Pause or resume reading; a connection that is not made yet starts paused."""
        if paused != self._paused and not self._over:
            self._paused = paused
            if self.transport is not None:
                self._heard = self._clock.seconds()
                if paused:
                    self.transport.pauseProducing()
                else:
                    self.transport.resumeProducing()

    # Called by the transport

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        if self._paused:
            self.transport.pauseProducing()
        self._heard = self._clock.seconds()
        self.write(self._first)
        self._beats.start(self.beat_after)
        self._user.connected()

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._clock.seconds()
        try:
            for frame in self._reader.feed(data):
                if self._over:
                    break
                self.frame_received(frame)
        except (ProtocolViolation, DecodeError, UnicodeDecodeError) as error:
            self._log.warn("The server sent a malformed frame: {error}", error=str(error))
            self.abort("the server sent a malformed frame")
        self._user.frames_done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over = True
        self._beats.stop()
        why = reason.value
        self._user.ended(why if isinstance(why, Unavailable) else Unavailable(self._reason or _in_words(why)))

    def _beat(self) -> float:
        if self._paused:
            self.write(self._ping)
        elif self._clock.seconds() - self._heard >= self.dead_after:
            self.abort(f"nothing heard from the server for {self.dead_after:g} s")
        else:
            self.write(self._ping)
            self._user.beat()
        return self.beat_after


def _in_words(error: BaseException | None) -> str:
    return reason(error) if error is not None else "closed"
