"""A packet on its way to many connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cim.wire.framing import encode_frame

if TYPE_CHECKING:
    from cim.server.sessions.batches import Batch


class SharedPacket:
    """A packet that may go to many connections: each encoding of it is made once.

    :ivar packet: the Packet's bytes
    :ivar repeated: of a message that was said before
    :ivar batch: of a message that came in a batch
    :ivar binary: for WebSockets: what one of them made of it for all of them
    :ivar text: likewise, as JSON
    :ivar for_guests: for guests' sessions: what one of them read in it for all of them
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
        """The frame on TCP."""
        if not self._framed:
            self._framed = encode_frame(self.packet)
        return self._framed
