"""A guest's connection to its server, second generation (docs/upstream.md).

The sequence: the login frame and a ping go out in one write. A guest's login has no answer, so the first pong counts as
one: the server handles frames in order, and closes the connection if it refuses the login. From then on a ping goes out
every 10 s (nothing else is ever written), and a server that is silent for 30 s is taken for dead.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from cim.client.connection import ConnectionUser, ServerConnection
from cim.model import Account
from cim.wire.cim_pb2 import PING, Packet
from cim.wire.guests import Generation, encode_login, encode_ping, parse_pushed

PING_SECONDS = 10.0
DEAD_SECONDS = 30.0
#: The longest frame, in bytes; upstream's servers have no limit of their own.
MAX_FRAME = 1 << 20


class GuestUser(ConnectionUser, Protocol):
    """Handles what a server sends to a guest."""

    def welcomed(self) -> None:
        """The server has accepted the login."""

    def pushed(self, packet: Packet) -> None:
        """The server pushed a message, or several in one frame."""


class GuestConnection(ServerConnection):
    """Logs in, pings, and passes on pushes."""

    max_frame = MAX_FRAME
    beat_after = PING_SECONDS
    dead_after = DEAD_SECONDS

    def __init__(self, user: GuestUser, account: Account, clock: IReactorTime) -> None:
        ping = encode_ping(Generation.W2, account.id)
        super().__init__(user, clock, first=encode_login(Generation.W2, account.id, account.name) + ping, ping=ping)
        self._guest = user
        self._welcomed = False

    def frame_received(self, frame: bytes) -> None:
        """See ServerConnection."""
        packet = parse_pushed(Generation.W2, frame)
        if packet.command != PING:
            if packet.WhichOneof("body") is None:
                self._guest.pushed(packet)
        elif not self._welcomed:
            self._welcomed = True
            self._guest.welcomed()


def texts_of(packet: Packet) -> list[str]:
    """Return the texts of a pushed frame: those of its batch, or else its single text."""
    return list(packet.batch) or [packet.text]


def sender_of(packet: Packet) -> tuple[int, str]:
    """Return the id (0 when unknown) and the name of the user whose message was pushed."""
    number = packet.properties.get("sendUserId", "")
    known = number.isascii() and number.isdigit() and len(number) < 20
    return (int(number) if known else 0), packet.properties.get("sendUserName", "") or "nobody"
