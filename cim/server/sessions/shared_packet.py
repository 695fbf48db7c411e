"""A packet on its way to many connections."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cim.wire.framing import encode_frame

if TYPE_CHECKING:
    from cim.server.sessions.batches import Batch


class SharedPacket:
    """A packet that may go to many connections; each of its encodings is made once.

    :ivar packet: the Packet's bytes
    :ivar repeated: whether the message was pushed before
    :ivar batch: the batch that the message arrived in, if any
    :ivar binary: its binary WebSocket frame, made by the first connection that needs it
    :ivar text: its JSON WebSocket frame, likewise
    :ivar for_guests: what the first guest's session parsed from it, for reuse by the others
    """

    __slots__ = ("_framed", "batch", "binary", "for_guests", "packet", "repeated", "text")

    def __init__(self, packet: bytes, repeated: bool = False) -> None:
        self.packet = packet
        self.repeated = repeated
        self.batch: Batch | None = None
        self.binary = b""
        self.text = b""
        self.for_guests: Any = None
        self._framed = b""

    @property
    def framed(self) -> bytes:
        """Its frame on TCP."""
        if not self._framed:
            self._framed = encode_frame(self.packet)
        return self._framed


class SharedRun:
    """Packets that go to many connections together, one after another.

    :param packets: at least one
    """

    def __init__(self, packets: Sequence[bytes], repeated: bool = False) -> None:
        self.packets = packets
        self._repeated = repeated

    def __len__(self) -> int:
        return len(self.packets)

    @cached_property
    def framed(self) -> bytes:
        """Their frames on TCP."""
        return b"".join(map(encode_frame, self.packets))

    @cached_property
    def each(self) -> tuple[SharedPacket, ...]:
        """Each of them."""
        return tuple(SharedPacket(packet, self._repeated) for packet in self.packets)
