"""A native client's connection to its server (docs/protocol.md).

Hello goes out at once, and the server has to answer with a Welcome in time. From then on something is said in every
heartbeat, and a server of which nothing is heard for two and a half is taken for dead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from cim.client.connection import ConnectionUser, ServerConnection
from cim.wire.cim_pb2 import Goodbye, Hello, Packet
from cim.wire.framing import encode_frame
from cim.wire.native import PING, PONG

#: Until the Welcome says another.
HEARTBEAT_SECONDS = 10.0
#: How many heartbeats of silence are the end.
DEAD_HEARTBEATS = 2.5
#: How long a Welcome may take, while the connection is not paused.
WELCOME_SECONDS = 15.0
#: Far above what our servers send; bounds what a broken one may cost.
MAX_FRAME = 4 << 20
_PONG = encode_frame(PONG)


#: By the name of a Packet's body, what is done with it.
Hearing = Mapping[str, Callable[[Any], None]]


class NativeConnection(ServerConnection):
    """Says Hello, keeps the connection alive, and hands on what comes.

    :param hearing: what is done with what comes before the Welcome, and with that; all else is passed over
    """

    max_frame = MAX_FRAME
    beat_after = HEARTBEAT_SECONDS
    dead_after = HEARTBEAT_SECONDS * DEAD_HEARTBEATS

    def __init__(self, user: ConnectionUser, hello: Hello, hearing: Hearing, clock: IReactorTime) -> None:
        first = encode_frame(Packet(hello=hello).SerializeToString())
        super().__init__(user, clock, first=first, ping=encode_frame(PING))
        self._hearing = hearing
        self._late: Any = None

    def say(self, **body: Any) -> None:
        """Send a Packet with one body, given by its name."""
        self.write(encode_frame(Packet(**body).SerializeToString()))

    def welcomed(self, heartbeat: float, hearing: Hearing) -> None:
        """Take the server's Welcome.

        :param heartbeat: how often it wants to hear something, seconds
        :param hearing: what is done with what comes from now on
        """
        self._cancel_late()
        self._hearing = hearing
        if heartbeat > 0:
            self.beat_after, self.dead_after = heartbeat, heartbeat * DEAD_HEARTBEATS
            self._beats.reset(heartbeat)

    def leave(self, reason: str = "left") -> None:
        """Say goodbye and close in good order."""
        self.say(goodbye=Goodbye())
        super().leave(reason)

    def connectionMade(self) -> None:
        self._late = self._clock.callLater(WELCOME_SECONDS, self._unwelcome)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_late()
        super().connectionLost(reason)

    def frame_received(self, frame: bytes) -> None:
        """See ServerConnection."""
        packet = Packet.FromString(frame)
        kind = packet.WhichOneof("body")
        if kind == "ping":
            self.write(_PONG)
        elif kind is not None and (hear := self._hearing.get(kind)) is not None:
            hear(getattr(packet, kind))

    def _unwelcome(self) -> None:
        if self._paused:
            self._late = self._clock.callLater(WELCOME_SECONDS, self._unwelcome)
        else:
            self._late = None
            self.abort(f"it did not answer the login within {WELCOME_SECONDS:g} s")

    def _cancel_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
