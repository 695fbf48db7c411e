"""Messages in the frames of RFC 6455, as both ends read and write them, without any transport.

wsproto cuts the bytes into frames and unmasks them. This module bounds a message while it is assembled, and refuses the
kind of message that the subprotocol does not allow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import StringIO
from typing import Any

from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, MessageDecoder, Opcode, ParseFailed

from cim.errors import BadFrame, BadLogin, FrameTooLarge, ProtocolViolation

#: Where a server takes WebSockets, and the subprotocols: a Packet in each message, in one form or the other.
PATH = b"/v1/socket"
PROTOBUF = "cim.v1.protobuf"
JSON = "cim.v1.json"
SUBPROTOCOLS = (PROTOBUF, JSON)
#: Close codes that may be sent: those of the RFC, those registered later, and applications' own.
_PROTOCOL_CODES = frozenset((*range(1000, 1004), *range(1007, 1015)))
_APPLICATION_CODES = range(3000, 5000)
_MAX_CONTROL = 125


class BadWebSocketFrame(BadFrame):
    """Bytes that RFC 6455 does not allow, or a message that the subprotocol does not.

    :param close_code: the code of the Close that answers it
    :param last: nothing can be read after it: it was a Close, or it is not known where the next frame begins
    """

    def __init__(self, message: str, close_code: int = CloseReason.PROTOCOL_ERROR, *, last: bool = False) -> None:
        super().__init__(message)
        self.close_code = int(close_code)
        self.last = last


def close_code(violation: ProtocolViolation) -> int:
    """Return the Close code for a violation."""
    if isinstance(violation, BadWebSocketFrame):
        return violation.close_code
    if isinstance(violation, FrameTooLarge):
        return CloseReason.MESSAGE_TOO_BIG
    if isinstance(violation, BadLogin):
        return CloseReason.POLICY_VIOLATION
    return CloseReason.INVALID_FRAME_PAYLOAD_DATA


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """Return a server's whole message or control frame, unmasked, so the same bytes serve all receivers."""
    size = len(payload)
    if size <= _MAX_CONTROL:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def masked_frame(opcode: Opcode, payload: bytes, key: bytes) -> bytes:
    """Return a whole message or control frame of a client.

    :param key: 4 bytes that nobody can foresee, new for each frame (RFC 6455 section 5.3)
    """
    size = len(payload)
    head = bytearray(frame(opcode, payload)[: -size or None])
    head[1] |= 0x80
    pad = int.from_bytes((key * (size // 4 + 1))[:size], "big")
    return b"".join((head, key, (int.from_bytes(payload, "big") ^ pad).to_bytes(size, "big")))


def close_payload(code: int | None) -> bytes:
    """Return the payload of a Close; with None it has no code."""
    return b"" if code is None else struct.pack("!H", code)


def close_frame(code: int | None) -> bytes:
    """Return the Close frame of a server; with None it has no code."""
    return frame(Opcode.CLOSE, close_payload(code))


class MessageReader:
    """Assembles messages from bytes; holds at most one incomplete message, and one control frame within it.

    :param text: True to accept only text messages, False to accept only binary ones
    :param max_message: the largest message, bytes; checked as soon as a frame's header is complete
    :param client: True to read as a client: a masked frame is refused; else an unmasked one is
    :ivar fragments: how many frames have come that completed no message
    """

    __slots__ = ("_begun", "_frames", "_messages", "_size", "fragments", "max_message", "text")

    def __init__(self, text: bool, max_message: int, *, client: bool = False) -> None:
        self.text = text
        self.max_message = max_message
        self._frames = FrameDecoder(client=client)
        self._messages = MessageDecoder()
        #: What has come of a message: one buffer, however small the fragments are.
        self._begun: bytearray | StringIO | None = None
        self._size = 0
        self.fragments = 0

    @property
    def partial(self) -> bool:
        """Whether a message or frame has begun but is not complete."""
        frames = self._frames
        return self._messages.opcode is not None or frames.header is not None or bool(frames.buffer.buffer)

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, Any]]:
        """Take bytes and yield the messages and control frames that they complete, in order.

        TEXT comes with a str, BINARY, PING and PONG with bytes, CLOSE with its code or None.

        :raises BadWebSocketFrame: anything that is not allowed
        :raises FrameTooLarge: a message is over the limit
        """
        self._frames.receive_bytes(data)
        while True:
            found = self._next_frame()
            self._check_size(found)
            if found is None:
                return
            if found.opcode is Opcode.CLOSE:
                yield found.opcode, _close_reason(found.payload)
            elif found.opcode.iscontrol():
                yield found.opcode, found.payload
            else:
                message = self._assembled(found)
                if message is not None:
                    yield (Opcode.TEXT if self.text else Opcode.BINARY), message

    def ends(self, data: bytes) -> bool:
        """Discard bytes; return whether they contain a Close or something that cannot be read."""
        self._frames.receive_bytes(data)
        try:
            while (found := self._next_frame()) is not None:
                if found.opcode is Opcode.CLOSE:
                    return True
        except BadWebSocketFrame:
            return True
        return False

    def _next_frame(self) -> Frame | None:
        try:
            return self._frames.process_buffer()
        except ParseFailed as error:
            raise BadWebSocketFrame(str(error), error.code, last=True)

    def _check_size(self, found: Frame | None) -> None:
        if found is not None and not found.opcode.iscontrol():
            self._size += len(found.payload)
        header = self._frames.header
        size = self._size
        if header is not None and not header.opcode.iscontrol():
            size += header.payload_len - self._frames.payload_consumed
        if size > self.max_message:
            raise FrameTooLarge(f"a message of {size} bytes or more is over the limit of {self.max_message}")

    def _assembled(self, found: Frame) -> Any:
        """Take a frame, or the part of it that has arrived; return the message if that completes one, else None."""
        if found.opcode is not Opcode.CONTINUATION and (found.opcode is Opcode.TEXT) is not self.text:
            wanted = "text" if self.text else "binary"
            raise BadWebSocketFrame(f"messages of this subprotocol must be {wanted}", CloseReason.UNSUPPORTED_DATA)
        try:
            found = self._messages.process_frame(found)
        except ParseFailed as error:
            raise BadWebSocketFrame(str(error), error.code)
        payload: Any = found.payload
        if found.message_finished:
            self._size = 0
            if self._begun is None:
                return payload
        elif self._begun is None:
            self._begun = StringIO() if self.text else bytearray()
        begun = self._begun
        if isinstance(begun, StringIO):
            begun.write(payload)
        else:
            begun += payload
        if not found.message_finished:
            self.fragments += self._frames.header is None
            return None
        self._begun = None
        return begun.getvalue() if isinstance(begun, StringIO) else bytes(begun)


def _close_reason(payload: Any) -> int | None:
    """Return the code in a Close, or None when it has none.

    :raises BadWebSocketFrame: the code must not be sent, or the reason is not UTF-8
    """
    if not payload:
        return None
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _PROTOCOL_CODES or code in _APPLICATION_CODES):
        raise BadWebSocketFrame("a Close has a code that must not be sent", last=True)
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise BadWebSocketFrame(
            "a Close has a reason that is not UTF-8", CloseReason.INVALID_FRAME_PAYLOAD_DATA, last=True
        )
    return code
