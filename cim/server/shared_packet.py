"""A packet on its way to many connections."""

from __future__ import annotations

from cim.wire.framing import encode_frame


class SharedPacket:
    """A packet that may go to many connections: each encoding of it is made once.

    :ivar packet: the Packet's bytes
    :ivar binary: for WebSockets: what one of them made of it for all of them
    :ivar text: likewise, as JSON
    """

    __slots__ = ("_framed", "binary", "packet", "text")

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.binary = b""
        self.text = b""
        self._framed = b""

    @property
    def framed(self) -> bytes:
        """The frame on TCP."""
        if not self._framed:
            self._framed = encode_frame(self.packet)
        return self._framed
