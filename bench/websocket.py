"""Native clients over WebSocket: any of them, with messages in place of the frames of TCP."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, RejectConnection, Request, TextMessage
from wsproto.utilities import RemoteProtocolError

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from bench.native import NativeConnection
from cim.wire.framing import FrameReader
from cim.wire.json_frames import from_json, to_json
from cim.wire.websocket_frames import JSON, PATH, PROTOBUF


class _WebSocket(Protocol):
    """The transport of a native connection.

    :param host: what the request says
    """

    def __init__(self, host: str, subprotocol: str, client: NativeConnection) -> None:
        self._host = host
        self._subprotocol = subprotocol
        self._client = client
        self._wire = WSConnection(ConnectionType.CLIENT)
        self._written = FrameReader(1 << 20)
        self._part: list[Any] = []
        self.accepted: Deferred[NativeConnection] = Deferred()

    # To the server

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.write(self._wire.send(Request(self._host, PATH.decode(), subprotocols=[self._subprotocol])))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It is set."""

    def write(self, data: bytes) -> None:
        """Write frames, each as a message."""
        for packet in self._written.feed(data):
            if self._subprotocol == JSON:
                self._say(TextMessage(to_json(packet)))
            else:
                self._say(BytesMessage(bytearray(packet)))

    def _say(self, event: Any) -> None:
        transport: Any = self.transport
        if transport is not None and not transport.disconnecting:
            transport.write(self._wire.send(event))

    def loseConnection(self) -> None:
        """End it."""
        transport: Any = self.transport
        transport.loseConnection()

    def abortConnection(self) -> None:
        """End it at once."""
        transport: Any = self.transport
        transport.abortConnection()

    # From the server

    def dataReceived(self, data: bytes) -> None:
        try:
            self._wire.receive_data(data)
            packets = [packet for event in self._wire.events() for packet in self._heard(event)]
        except RemoteProtocolError:
            self.abortConnection()
            return
        if packets:
            self._client.frames(packets)

    def _heard(self, event: Any) -> list[bytes]:
        if isinstance(event, BytesMessage | TextMessage):
            self._part.append(event.data)
            if event.message_finished:
                parts, self._part = self._part, []
                if self._subprotocol == JSON:
                    return [from_json("".join(parts)).SerializeToString()]
                return [b"".join(parts)]
        elif isinstance(event, AcceptConnection):
            if event.subprotocol != self._subprotocol:
                raise RemoteProtocolError(f"subprotocol {event.subprotocol}")
            self._client.makeConnection(self)
            self.accepted.callback(self._client)
        elif isinstance(event, Ping):
            self._say(event.response())
        elif isinstance(event, CloseConnection):
            self._say(event.response())
            self.loseConnection()
        elif isinstance(event, RejectConnection):
            self.abortConnection()
        return []

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.accepted.called:
            self._client.connectionLost(reason)
        else:
            self.accepted.errback(reason)


def connect_websocket(
    reactor: Any, url: str, connection: NativeConnection, *, subprotocol: str = PROTOBUF, timeout: float = 10.0
) -> Deferred[NativeConnection]:
    """Connect to the server that a login named; fires with the connection when the server has accepted it.

    :param url: or `host:port`
    """
    where = urlsplit(url if "//" in url else f"//{url}")
    socket = _WebSocket(where.netloc, subprotocol, connection)
    endpoint = TCP4ClientEndpoint(reactor, where.hostname or "", where.port or 80, timeout=timeout)

    def accepted(_: Any) -> Deferred[NativeConnection]:
        return socket.accepted.addTimeout(timeout, reactor)

    def failed(failure: Failure) -> Failure:
        if socket.transport is not None:
            socket.abortConnection()
        return failure

    return connectProtocol(endpoint, socket).addCallback(accepted).addErrback(failed)
