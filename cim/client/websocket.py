"""A client's connection to a server over WebSocket (docs/protocol.md, Frames).

Its life: connected -> the request is written -> the server accepts it -> open. From then on each frame that the
protocol on it writes is sent as a message, and each message is passed to it as a frame, as on TCP. Any other answer, or
none in time, ends the connection.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import h11
from attrs import frozen
from wsproto.frame_protocol import CloseReason, Opcode
from wsproto.utilities import generate_accept_token

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory, IReactorTime, IStreamClientEndpoint, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.errors import ProtocolViolation, Unavailable
from cim.web.calling import reason as _in_words
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.websocket_frames import PROTOBUF, MessageReader, close_code, close_payload, masked_frame

#: How long the server may take to accept, seconds.
UPGRADE_SECONDS = 10.0
#: The most bytes of the answer's headers.
MAX_ANSWER = 16 * 1024
#: The largest message, bytes: far above what our servers send, to bound the damage of a broken one.
MAX_MESSAGE = 4 << 20
_PORTS = {"ws": 80, "wss": 443}


@frozen
class WebSocketURL:
    """The URL of a server's WebSockets.

    :ivar authority: the host and port as written in it
    :ivar target: the path and query
    """

    text: str
    tls: bool
    host: str
    port: int
    authority: str
    target: str

    @classmethod
    def parse(cls, text: str) -> WebSocketURL | None:
        """Parse the URL in a login; None if it is not one to connect to."""
        try:
            parts = urlsplit(text)
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            return None
        if parts.scheme not in _PORTS or not parts.hostname or not text.isascii() or not text.isprintable():
            return None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc.rpartition("@")[2]
        return cls(text, parts.scheme == "wss", parts.hostname, port, authority, target)


@implementer(IStreamClientEndpoint)
@frozen(eq=False)
class WebSocketEndpoint:
    """Connects protocols that read and write frames as on TCP.

    :param below: connects to the host of the URL, with TLS if the URL says so
    :param random_bytes: returns that many unpredictable bytes
    """

    below: IStreamClientEndpoint
    url: WebSocketURL
    clock: IReactorTime
    random_bytes: Callable[[int], bytes]

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Fire with the protocol when the WebSocket is open; fail with Unavailable if the server does not accept."""
        upgrade = _Upgrade(self, factory)
        return connectProtocol(self.below, upgrade).addCallback(lambda _: upgrade.opened)


class _Upgrade(Protocol):
    """Asks for the WebSocket, and then passes everything on."""

    transport: Any

    def __init__(self, endpoint: WebSocketEndpoint, factory: IProtocolFactory) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._key = b64encode(endpoint.random_bytes(16))
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER)
        self._late: Any = None
        self._socket: _WebSocket | None = None
        self._why: Unavailable | None = None
        self.opened: Deferred[Any] = Deferred(lambda _: self._end("is not wanted any more"))

    def connectionMade(self) -> None:
        self._late = self._endpoint.clock.callLater(UPGRADE_SECONDS, self._timed_out)
        self.transport.setTcpNoDelay(True)
        url = self._endpoint.url
        headers = [
            ("Host", url.authority),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", self._key.decode()),
            ("Sec-WebSocket-Protocol", PROTOBUF),
        ]
        self.transport.write(self._http.send(h11.Request(method="GET", target=url.target, headers=headers)))

    def dataReceived(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.received(data)
        elif self._why is None:
            try:
                self._http.receive_data(data)
                event = self._http.next_event()
                while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                    event = self._http.next_event()
            except h11.RemoteProtocolError:
                self._end("answers something that is not HTTP")
            else:
                if event is not h11.NEED_DATA:
                    self._answered(event)

    def _answered(self, event: Any) -> None:
        if not isinstance(event, h11.InformationalResponse):
            status = f"HTTP {event.status_code}" if isinstance(event, h11.Response) else "no answer"
            return self._end(f"has no WebSocket ({status})")
        said = {bytes(name).lower(): bytes(value) for name, value in event.headers}
        if (
            said.get(b"sec-websocket-accept") != generate_accept_token(self._key)
            or said.get(b"sec-websocket-protocol") != PROTOBUF.encode()
            or b"sec-websocket-extensions" in said
        ):
            return self._end("has no WebSocket of ours")
        self._late.cancel()
        protocol: Any = self._factory.buildProtocol(self.transport.getPeer())
        self._socket = _WebSocket(self.transport, protocol, self._endpoint.random_bytes)
        protocol.makeConnection(self._socket)
        self.opened.callback(protocol)
        if rest := self._http.trailing_data[0]:
            self._socket.received(rest)

    def _timed_out(self) -> None:
        self._end(f"did not answer within {UPGRADE_SECONDS:g} s")

    def _end(self, why: str) -> None:
        self._why = Unavailable(f"{self._endpoint.url.text} {why}")
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._socket is not None:
            return self._socket.lost(reason)
        if self._late is not None and self._late.active():
            self._late.cancel()
        if not self.opened.called:
            error = reason.value or ConnectionDone()
            if not isinstance(error, Unavailable):
                error = Unavailable(f"{self._endpoint.url.text} cannot be reached: {_in_words(error)}")
            self.opened.errback(self._why or error)


@implementer(ITransport)
class _WebSocket:
    """The transport of a protocol that reads and writes frames as on TCP."""

    def __init__(self, below: Any, protocol: Any, random_bytes: Callable[[int], bytes]) -> None:
        self._below = below
        self._protocol = protocol
        self._random_bytes = random_bytes
        self._messages = MessageReader(text=False, max_message=MAX_MESSAGE, client=True)
        self._written = FrameReader(MAX_MESSAGE)
        self._over = False
        self._why: Unavailable | None = None

    # Called by the protocol

    def write(self, data: bytes) -> None:
        """Send frames, each as a message."""
        messages = (self._masked(Opcode.BINARY, body) for body in self._written.feed(data))
        self._below.write(b"".join(messages))

    def writeSequence(self, parts: Any) -> None:
        """See ITransport."""
        self.write(b"".join(parts))

    def loseConnection(self, *reason: Any) -> None:
        """Send a Close, and close."""
        self._close(CloseReason.NORMAL_CLOSURE)

    def __getattr__(self, name: str) -> Any:
        # Everything else is the connection's: pausing, aborting, its options.
        return getattr(self._below, name)

    # Called by the connection

    def received(self, data: bytes) -> None:
        """Read bytes, and pass on the messages that they complete."""
        frames: list[bytes] = []
        closed: int | None = None
        try:
            for opcode, payload in self._messages.feed(data):
                if opcode is Opcode.BINARY:
                    frames.append(encode_frame(payload))
                elif opcode is Opcode.PING:
                    self._below.write(self._masked(Opcode.PONG, payload))
                elif opcode is Opcode.CLOSE:
                    closed = CloseReason.NORMAL_CLOSURE
                    break
        except ProtocolViolation as error:
            self._why = Unavailable(f"the server sent something that cannot be read: {error.message}")
            closed = close_code(error)
        # Even without a message this shows that the server is alive.
        self._protocol.dataReceived(b"".join(frames))
        if closed is not None:
            self._close(closed)

    def lost(self, reason: Failure) -> None:
        """Tell the protocol that the connection is lost."""
        self._protocol.connectionLost(Failure(self._why) if self._why is not None else reason)

    def _close(self, code: int) -> None:
        if not self._over:
            self._over = True
            self._below.write(self._masked(Opcode.CLOSE, close_payload(code)))
            self._below.loseConnection()

    def _masked(self, opcode: Opcode, payload: bytes) -> bytes:
        return masked_frame(opcode, payload, self._random_bytes(4))
