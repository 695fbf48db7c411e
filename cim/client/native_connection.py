"""A native client's connection to its server (docs/protocol.md).

Hello goes out at once, and the server must answer with a Welcome in time. From then on the client sends something in
every heartbeat, and takes a server that is silent for two and a half heartbeats for dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from cim.client.connection import ConnectionUser, ServerConnection
from cim.supervision import Loop
from cim.wire.cim_pb2 import Goodbye, Hello, Packet
from cim.wire.framing import encode_frame
from cim.wire.native import PING, PONG

#: The heartbeat until the Welcome names another, in seconds.
HEARTBEAT_SECONDS = 10.0
#: After how many heartbeats of silence the server is taken for dead.
DEAD_HEARTBEATS = 2.5
#: How long a Welcome may take while the connection is not paused, in seconds.
WELCOME_SECONDS = 15.0
#: The longest frame, in bytes: far above what our servers send, to bound the damage of a broken one.
MAX_FRAME = 4 << 20
_PONG = encode_frame(PONG)


#: Handlers by the name of a Packet's body.
Hearing = Mapping[str, Callable[[Any], None]]


class NativeConnection(ServerConnection):
    """Sends Hello, keeps the connection alive, and passes on packets.

    :param hearing: handlers for packets up to and including the Welcome; other packets are ignored
    """

    max_frame = MAX_FRAME
    beat_after = HEARTBEAT_SECONDS
    dead_after = HEARTBEAT_SECONDS * DEAD_HEARTBEATS

    def __init__(self, user: ConnectionUser, hello: Hello, hearing: Hearing, clock: IReactorTime) -> None:
        first = encode_frame(Packet(hello=hello).SerializeToString())
        super().__init__(user, clock, first=first, ping=encode_frame(PING))
        self._hearing = hearing
        self._late = Loop("waiting for the welcome", self._unwelcome, clock)

    def say(self, **body: Any) -> None:
        """Send a Packet with one body, given by its name."""
        self.write(encode_frame(Packet(**body).SerializeToString()))

    def welcomed(self, heartbeat: float, hearing: Hearing) -> None:
        """Switch to the live connection after the server's Welcome.

        :param heartbeat: the server's heartbeat, in seconds
        :param hearing: handlers for packets from now on
        """
        self._late.stop()
        self._hearing = hearing
        if heartbeat > 0:
            self.beat_after, self.dead_after = heartbeat, heartbeat * DEAD_HEARTBEATS
            self._beats.plan(heartbeat)

    def leave(self, reason: str = "left") -> None:
        """Send Goodbye and close gracefully."""
        self.say(goodbye=Goodbye())
        super().leave(reason)

    def connectionMade(self) -> None:
        self._late.start(WELCOME_SECONDS)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._late.stop()
        super().connectionLost(reason)

    def frame_received(self, frame: bytes) -> None:
        """See ServerConnection."""
        packet = Packet.FromString(frame)
        kind = packet.WhichOneof("body")
        if kind == "ping":
            self.write(_PONG)
        elif kind is not None and (hear := self._hearing.get(kind)) is not None:
            hear(getattr(packet, kind))

    def _unwelcome(self) -> float | None:
        if self._paused:
            return WELCOME_SECONDS
        self.abort(f"it did not answer the login within {WELCOME_SECONDS:g} s")
        return None
