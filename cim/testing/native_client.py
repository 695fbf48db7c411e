"""A native client at a server, Packet by Packet, on a string transport."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from cim.server.connection import ClientConnection
from cim.wire.cim_pb2 import Hello, Packet, Ping, Read, Received, Send, Sync, Typing, Watch
from cim.wire.framing import FrameReader, encode_frame


@define
class NativeClient:
    """What a native client says and was told.

    :ivar transport: a `ClientTransport` of `testing.cluster`
    """

    connection: ClientConnection
    transport: Any
    _reader: FrameReader = field(factory=lambda: FrameReader(1 << 20))

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return bool(self.transport.disconnecting)

    @property
    def read_from(self) -> bool:
        """Whether the server reads what it says."""
        return bool(self.transport.producerState == "producing")

    def say(self, *packets: Packet) -> None:
        """Send packets in one piece."""
        self.connection.dataReceived(b"".join(encode_frame(packet.SerializeToString()) for packet in packets))

    def hello(self, ticket: str, device: str = "", since: str = "") -> None:
        """Send a Hello."""
        self.say(Packet(hello=Hello(ticket=ticket, device=device, agent="test", since=since)))

    def send(self, user: int, text: str, client_id: str, **fields: Any) -> None:
        """Say something to a user."""
        self.say(Packet(send=Send(user=user, text=text, client_id=client_id, **fields)))

    def send_group(self, group: int, text: str, client_id: str, **fields: Any) -> None:
        """Say something to a group."""
        self.say(Packet(send=Send(group=group, text=text, client_id=client_id, **fields)))

    def received(self, conversation: str, position: str) -> None:
        """Acknowledge."""
        self.say(Packet(received=Received(conversation=conversation, position=position)))

    def read(self, conversation: str, position: str) -> None:
        """Say that something was read."""
        self.say(Packet(read=Read(conversation=conversation, position=position)))

    def sync(self, conversation: str = "", after: str = "", **fields: Any) -> None:
        """Ask for a page."""
        self.say(Packet(sync=Sync(conversation=conversation, after=after, **fields)))

    def typing(self, user: int) -> None:
        """Say that one is typing."""
        self.say(Packet(typing=Typing(user=user)))

    def watch(self, *users: int) -> None:
        """Say whom to watch."""
        self.say(Packet(watch=Watch(users=users)))

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.say(Packet(ping=Ping()))

    def packets(self) -> list[Packet]:
        """Take the packets that came since the last time."""
        data = self.transport.value()
        self.transport.clear()
        return [Packet.FromString(body) for body in self._reader.feed(data)]

    def bodies(self) -> list[Any]:
        """Take what the packets hold."""
        return [getattr(packet, packet.WhichOneof("body") or "text") for packet in self.packets()]

    def texts(self) -> list[str]:
        """Take the texts of the messages that came."""
        return [packet.deliver.text for packet in self.packets() if packet.HasField("deliver")]

    def drop(self) -> None:
        """Cut the connection."""
        from twisted.internet.error import ConnectionLost
        from twisted.python.failure import Failure

        self.connection.connectionLost(Failure(ConnectionLost()))
