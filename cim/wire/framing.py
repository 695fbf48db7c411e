"""Frames on TCP: a length as a base-128 varint32, then that many bytes (docs/protocol.md, Frames)."""

from __future__ import annotations

from cim.errors import BadFrame, FrameTooLarge

#: The default limit of a frame, bytes; also what one frame may cost in memory before its sender is known.
DEFAULT_MAX_FRAME = 65536


def encode_varint(value: int) -> bytes:
    """Return `value` (0 or more) in base 128, least significant group first."""
    # Unrolled for most lengths and numbers, because it runs several times for every message.
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0x200000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def encode_frame(body: bytes) -> bytes:
    """Return `body` preceded by its length."""
    return encode_varint(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into frames; holds at most one incomplete frame.

    :param max_frame: the largest body to accept, bytes; checked before any of the body is kept
    """

    __slots__ = ("_buffer", "max_frame")

    def __init__(self, max_frame: int = DEFAULT_MAX_FRAME) -> None:
        self.max_frame = max_frame
        self._buffer = b""

    @property
    def partial(self) -> bool:
        """Whether a frame has begun but is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they arrive and return the bodies that they complete, in order.

        :raises FrameTooLarge: a length is over the limit; frames before it in `data` are lost with the connection
        :raises BadFrame: a length is not a varint32
        """
        if self._buffer:
            data = self._buffer + data
        frames: list[bytes] = []
        offset = 0
        available = len(data)
        while offset < available:
            length = data[offset]
            start = offset + 1
            if length >= 0x80:
                length &= 0x7F
                shift = 7
                while True:
                    if shift > 28:
                        raise BadFrame("a frame's length prefix has more than 5 bytes")
                    if start >= available:
                        self._buffer = data[offset:]
                        return frames
                    group = data[start]
                    start += 1
                    length |= (group & 0x7F) << shift
                    if group < 0x80:
                        break
                    shift += 7
            if length > self.max_frame:
                raise FrameTooLarge(f"a frame of {length} bytes is over the limit of {self.max_frame}")
            end = start + length
            if end > available:
                break
            frames.append(data[start:end])
            offset = end
        self._buffer = data[offset:] if offset < available else b""
        return frames
