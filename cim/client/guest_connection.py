"""A guest's TCP connection to its server, second generation (UPSTREAM.md sections 1.3 to 1.5).

The sequence: login frame and a ping go out in one write. A guest's login has no answer, so the first pong is taken as
one: the server handles frames in order, and closes the connection of a login that it refuses. From then on a ping goes
out every 10 s (nothing else is ever written), and a server of which nothing is heard for 30 s is taken for dead.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as Inputs

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.ecim import ProtocolViolation
from cim.model import Account
from cim.wire.cim_pb2 import PING, Packet
from cim.wire.framing import FrameReader
from cim.wire.guests import Generation, encode_login, encode_ping, parse_pushed

PING_SECONDS = 10.0
DEAD_SECONDS = 30.0
#: Servers of upstream have no limit of their own.
MAX_FRAME = 1 << 20


class ConnectionUser(Inputs):
    """What is done with a connection's events; a typing.Protocol, for the client has other faces to the outside."""

    def connection_ready(self) -> None:
        """The server accepted the login."""

    def connection_received(self, packet: Packet) -> None:
        """The server pushed a message, or several in one frame."""

    def connection_ended(self, reason: str) -> None:
        """The connection is gone; comes once, last, whatever happened."""


class GuestConnection(Protocol):
    """Logs in, pings, and hands on what is pushed; ends when the server is silent or speaks something else.

    :param dead_after: longest silence of the server, and longest wait for its first pong, seconds
    """

    _log = Logger()
    transport: Any  # an ITCPTransport that is an IPushProducer too

    def __init__(
        self,
        user: ConnectionUser,
        account: Account,
        clock: IReactorTime,
        *,
        ping_after: float = PING_SECONDS,
        dead_after: float = DEAD_SECONDS,
        max_frame: int = MAX_FRAME,
    ) -> None:
        self._user = user
        self._account = account
        self._clock = clock
        self._ping_after = ping_after
        self._dead_after = dead_after
        self._reader = FrameReader(max_frame)
        self._ready = False
        self._paused = False
        self._heard = 0.0
        self._tick: IDelayedCall | None = None
        self._reason = ""

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self._heard = self._clock.seconds()
        login = encode_login(Generation.W2, self._account.id, self._account.name)
        self.transport.write(login + encode_ping(Generation.W2, self._account.id))
        self._tick = self._clock.callLater(self._ping_after, self._beat)

    def dataReceived(self, data: bytes) -> None:
        self._heard = self._clock.seconds()
        try:
            for body in self._reader.feed(data):
                self._frame_received(parse_pushed(Generation.W2, body))
        except ProtocolViolation as error:
            self._log.warn("The server sent what cannot be read: {error.message}", error=error)
            self.end(error.message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self._user.connection_ended(self._reason or reason.getErrorMessage().rstrip("."))

    def end(self, reason: str) -> None:
        """Drop the connection at once."""
        self._reason = self._reason or reason
        self.transport.abortConnection()

    def leave(self) -> None:
        """Close the connection in good order."""
        self._reason = self._reason or "left"
        self.transport.loseConnection()

    def pause(self) -> None:
        """Read nothing until `resume`; the server's silence is not held against it meanwhile."""
        if not self._paused:
            self._paused = True
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            self._heard = self._clock.seconds()
            self.transport.resumeProducing()

    def _frame_received(self, packet: Packet) -> None:
        if packet.command != PING:
            if packet.WhichOneof("body") is None:
                self._user.connection_received(packet)
        elif not self._ready:
            self._ready = True
            self._user.connection_ready()

    def _beat(self) -> None:
        self._tick = self._clock.callLater(self._ping_after, self._beat)
        if not self._paused and self._clock.seconds() - self._heard >= self._dead_after:
            self.end(f"nothing heard from the server for {self._dead_after:g} s")
        else:
            self.transport.write(encode_ping(Generation.W2, self._account.id))


def texts_of(packet: Packet) -> list[str]:
    """Return the texts that a pushed frame carries: those of its batch, or else the one."""
    return list(packet.batch) or [packet.text]


def sender_of(packet: Packet) -> tuple[int, str]:
    """Return the id (0 when unknown) and the name of the user whose message was pushed."""
    number = packet.properties.get("sendUserId", "")
    known = number.isascii() and number.isdigit() and len(number) < 20
    return (int(number) if known else 0), packet.properties.get("sendUserName", "") or "nobody"
