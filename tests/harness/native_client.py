"""A native client at a server, Packet by Packet, on a string transport: over TCP, or over WebSocket in either form."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Message, Request, TextMessage

from cim.server.edge.connection import ClientConnection
from cim.wire.cim_pb2 import Hello, Packet, Ping, Read, Received, Send, Sync, Typing, Watch, Welcome
from cim.wire.framing import FrameReader, encode_frame
from cim.wire.json_frames import from_json, to_json


@define
class NativeClient:
    """A native client, which sends packets and collects those that it is sent.

    :ivar transport: a `ClientTransport` of `cluster`
    :ivar welcome: the Welcome that it got from `begin`
    """

    connection: ClientConnection
    transport: Any
    welcome: Welcome = field(factory=Welcome)
    _unread: list[Packet] = field(factory=list)
    _reader: FrameReader = field(factory=lambda: FrameReader(1 << 20))

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return bool(self.transport.disconnecting)

    @property
    def read_from(self) -> bool:
        """Whether the server reads what the client sends."""
        return bool(self.transport.producerState == "producing")

    def say(self, *packets: Packet) -> None:
        """Send packets in one piece."""
        self.connection.dataReceived(b"".join(map(self._encode, packets)))

    def _encode(self, packet: Packet) -> bytes:
        return encode_frame(packet.SerializeToString())

    def _decode(self, data: bytes) -> list[Packet]:
        return [Packet.FromString(body) for body in self._reader.feed(data)]

    def hello(self, ticket: str, device: str = "", since: str = "", members: bool = False) -> None:
        """Send a Hello."""
        self.say(Packet(hello=Hello(ticket=ticket, device=device, agent="test", since=since, members=members)))

    def send(self, user: int, text: str, client_id: str, **fields: Any) -> None:
        """Say something to a user."""
        self.say(Packet(send=Send(user=user, text=text, client_id=client_id, **fields)))

    def send_group(self, group: int, text: str, client_id: str, **fields: Any) -> None:
        """Say something to a group."""
        self.say(Packet(send=Send(group=group, text=text, client_id=client_id, **fields)))

    def received(self, conversation: str, position: str) -> None:
        """Acknowledge the messages up to a position."""
        self.say(Packet(received=Received(conversation=conversation, position=position)))

    def read(self, conversation: str, position: str) -> None:
        """Report the messages up to a position as read."""
        self.say(Packet(read=Read(conversation=conversation, position=position)))

    def sync(self, conversation: str = "", after: str = "", **fields: Any) -> None:
        """Ask for a page."""
        self.say(Packet(sync=Sync(conversation=conversation, after=after, **fields)))

    def typing(self, user: int = 0, **fields: Any) -> None:
        """Report that the user is typing."""
        self.say(Packet(typing=Typing(user=user, **fields) if user else Typing(**fields)))

    def watch(self, *users: int) -> None:
        """Say whose presence to watch."""
        self.say(Packet(watch=Watch(users=users)))

    def ping(self) -> None:
        """Send a Ping."""
        self.say(Packet(ping=Ping()))

    def packets(self) -> list[Packet]:
        """Take the packets that arrived since the last call."""
        data = self.transport.value()
        self.transport.clear()
        unread, self._unread = self._unread, []
        return unread + self._decode(data)

    def begin(self) -> bool:
        """Take the Welcome, and leave what came after it; False if something else came."""
        came = self.packets()
        if not came or not came[0].HasField("welcome"):
            self._unread = came
            return False
        self.welcome = came[0].welcome
        self._unread = came[1:]
        return True

    def take(self, kind: str) -> list[Any]:
        """Take the bodies of one kind that arrived, and leave the rest."""
        came = self.packets()
        self._unread = [packet for packet in came if packet.WhichOneof("body") != kind]
        return [getattr(packet, kind) for packet in came if packet.WhichOneof("body") == kind]

    def bodies(self) -> list[Any]:
        """Take the bodies of the packets that arrived."""
        return [getattr(packet, packet.WhichOneof("body") or "text") for packet in self.packets()]

    def texts(self) -> list[str]:
        """Take the texts of the messages that arrived."""
        return [packet.deliver.text for packet in self.packets() if packet.HasField("deliver")]

    def drop(self) -> None:
        """Cut the connection."""
        from twisted.internet.error import ConnectionLost
        from twisted.python.failure import Failure

        self.connection.connectionLost(Failure(ConnectionLost()))


class WebSocketClient(NativeClient):
    """The same over a WebSocket.

    :param subprotocol: `cim.v1.protobuf` or `cim.v1.json`
    """

    def __init__(self, connection: ClientConnection, transport: Any, subprotocol: str) -> None:
        super().__init__(connection, transport)
        self._json = subprotocol.endswith("json")
        self._websocket = WSConnection(ConnectionType.CLIENT)
        request = Request(host="localhost", target="/v1/socket", subprotocols=[subprotocol])
        connection.dataReceived(self._websocket.send(request))
        (accepted,) = self._events()
        assert isinstance(accepted, AcceptConnection)

    def _events(self) -> list[Any]:
        data = self.transport.value()
        self.transport.clear()
        self._websocket.receive_data(data)
        return list(self._websocket.events())

    def _encode(self, packet: Packet) -> bytes:
        if self._json:
            return self._websocket.send(TextMessage(data=to_json(packet)))
        return self._websocket.send(BytesMessage(data=packet.SerializeToString()))

    def _decode(self, data: bytes) -> list[Packet]:
        if data:
            self._websocket.receive_data(data)
        found = []
        for event in self._websocket.events():
            if isinstance(event, Message):
                text = isinstance(event, TextMessage)
                assert text == self._json
                found.append(from_json(event.data) if text else Packet.FromString(bytes(event.data)))
        return found
