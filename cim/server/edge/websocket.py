"""Native clients' WebSockets: Packets in, Packets out (docs/protocol.md, Frames).

This is a Protocol of our own over wsproto's frames, because `twisted.web.websocket` has no bounds and frames a packet
anew for each receiver. Compression (permessage-deflate) is not offered: it would cost hundreds of kilobytes per
connection and a separate frame for each receiver, and would gain little on chat messages.
"""

from __future__ import annotations

from collections.abc import Iterable

from wsproto.frame_protocol import CloseReason, Opcode

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from cim.errors import FrameTooLarge, ProtocolViolation
from cim.server.edge.connection import ClientConnection
from cim.server.edge.gateway import Gateway
from cim.server.edge.websocket_upgrade import Accepted, Refused, Upgrade
from cim.server.sessions.shared_packet import SharedPacket
from cim.web.origins import Origins
from cim.wire.cim_pb2 import Packet
from cim.wire.json_frames import from_json, to_json
from cim.wire.websocket_frames import JSON, BadWebSocketFrame, MessageReader, close_code, close_frame, frame

_TIMEOUT = (
    b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)  # fmt: skip
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

#: A character of a Packet may be six in JSON, such as \u0007.
JSON_GROWTH = 6

#: The code of a Close, by the code of the Goodbye before it, or by our reason where there is none; others get a policy
#: violation.
_CLOSE_CODES = {
    "draining": CloseReason.GOING_AWAY,
    "idle": CloseReason.GOING_AWAY,
    "protocol-error": CloseReason.PROTOCOL_ERROR,
    "goodbye": CloseReason.NORMAL_CLOSURE,
}


class WebSocketConnection(ClientConnection):
    """One client's connection: an HTTP request, then messages, then a Close from both sides.

    :param upgrade: reads the request; None if somebody else has read it, and calls `opened`
    """

    _reader: MessageReader | None = None
    _last: bytes = b""  # the Close that this end sends
    _ended = False  # the other end has sent its Close, or something unreadable

    def __init__(self, gateway: Gateway, upgrade: Upgrade | None = None) -> None:
        super().__init__(gateway)
        self._upgrade = upgrade

    def take(self, data: bytes) -> int:
        """See ClientConnection; control frames and fragments of messages count, too."""
        reader = self._reader
        if reader is None:
            return 0 if self.closing else self._requested(data)
        if self.closing:
            self._wait_for_close(reader, data)
            return 0
        return self._read(reader, data)

    def _requested(self, data: bytes) -> int:
        assert self._upgrade is not None
        try:
            accepted = self._upgrade.feed(data)
        except Refused as refused:
            self.gateway.refused(refused.kind)
            self._last = refused.answer
            self.close("no-websocket")
            return 0
        return self.opened(accepted) if accepted is not None else 0

    def opened(self, accepted: Accepted) -> int:
        """Answer the request, which was accepted; return how many frames came right after it."""
        self._upgrade = None
        is_json = accepted.subprotocol == JSON
        max_packet = self.gateway.limits.max_frame
        self._reader = MessageReader(is_json, JSON_GROWTH * max_packet if is_json else max_packet)
        self.transport.write(accepted.answer)
        return self._read(self._reader, accepted.rest) if accepted.rest else 0

    def _read(self, reader: MessageReader, data: bytes) -> int:
        completed = False
        frames = -reader.fragments  # those of earlier calls
        try:
            for opcode, payload in reader.feed(data):
                frames += 1
                if opcode is Opcode.PING:
                    self.transport.write(frame(Opcode.PONG, payload))
                    self.gateway.pings += 1
                elif opcode is Opcode.CLOSE:
                    self._ended = True
                    self._last = close_frame(payload)
                    self.close("closed by the client")
                elif opcode is not Opcode.PONG:
                    completed = True
                    self._message(payload)
                if self.closing:
                    self._wait_for_close(reader, b"")
                    return 0
        except ProtocolViolation as violation:
            self.violated(violation)
            self._wait_for_close(reader, b"")
            return 0
        self.heard(completed, reader.partial)
        return frames + reader.fragments

    def _message(self, payload: bytes | str) -> None:
        packet = self._from_json(payload) if isinstance(payload, str) else payload
        if self.session is None:
            self.session = self.gateway.native(self)
        self.session.received(packet)

    def _from_json(self, text: str) -> bytes:
        read = from_json(text)
        packet = read.SerializeToString()
        if len(packet) > self.gateway.limits.max_frame and not read.HasField("send"):
            raise FrameTooLarge(f"a Packet of {len(packet)} bytes is over the limit of {self.gateway.limits.max_frame}")
        return packet

    def violated(self, violation: ProtocolViolation) -> None:
        """Tell the client that it broke the protocol, and close."""
        self._last = close_frame(close_code(violation))
        self._ended = self._ended or (isinstance(violation, BadWebSocketFrame) and violation.last)
        super().violated(violation)

    def ask_for_life(self) -> None:
        """Send a ping, which browsers answer themselves, even in tabs that are hidden."""
        self.transport.write(frame(Opcode.PING, b""))

    def write_packet(self, packet: bytes) -> None:
        """Queue a Packet as one message."""
        self.transport.write(self._framed(packet))

    def write_packets(self, packets: Iterable[bytes]) -> None:
        """Queue Packets, each as one message."""
        self.transport.write(b"".join(map(self._framed, packets)))

    def write_shared(self, shared: SharedPacket) -> None:
        """Queue a Packet that others get too."""
        if self._speaks_json:
            shared.text = data = shared.text or self._framed(shared.packet)
        else:
            shared.binary = data = shared.binary or self._framed(shared.packet)
        self.transport.write(data)

    @property
    def _speaks_json(self) -> bool:
        return self._reader is not None and self._reader.text

    def _framed(self, packet: bytes) -> bytes:
        if self._speaks_json:
            return frame(Opcode.TEXT, to_json(packet).encode())
        return frame(Opcode.BINARY, packet)

    def end(self, goodbye: bytes) -> None:
        """Send a last Packet and close, with the Close code that corresponds to it."""
        self._last = self._last or _close_for(Packet.FromString(goodbye).goodbye.code)
        super().end(goodbye)

    def close(self, reason: str) -> None:
        """Send a Close after what was written, and end the connection when the client has sent its own."""
        if self._reader is None:
            self._last = self._last or (_UNAVAILABLE if reason == "draining" else _TIMEOUT)
        else:
            self._last = self._last or _close_for(reason)
        super().close(reason)

    def finish(self) -> None:
        """Send the Close and wait for the client's: closing first could destroy what the client has not read yet."""
        self.transport.write(self._last)
        if self._reader is None or self._ended:
            self._lose()
        elif not self.slow:
            self.transport.resumeProducing()

    def _wait_for_close(self, reader: MessageReader, data: bytes) -> None:
        if not self._ended and reader.ends(data):
            self._ended = True
            self._lose()

    def _lose(self) -> None:
        # TLS would wait for its producer to resume.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def resumeProducing(self) -> None:
        """Resume pushing: the write buffer is empty again."""
        super().resumeProducing()
        if self.closing and not self._ended:
            self.transport.resumeProducing()


def _close_for(reason: str) -> bytes:
    return close_frame(_CLOSE_CODES.get(reason, CloseReason.POLICY_VIOLATION))


class WebSocketPort(Factory):
    """The WebSockets of one port; they count as connections of the gateway.

    :param origins: the web origins whose pages may connect
    """

    noisy = False

    def __init__(self, gateway: Gateway, origins: Origins) -> None:
        self.gateway = gateway
        self.origins = origins

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection | None:
        """Return a connection's protocol, or None to close it at once because there are too many."""
        return self.gateway.admitted(
            self.gateway.address_of(addr), lambda gateway: WebSocketConnection(gateway, Upgrade(self.origins))
        )
