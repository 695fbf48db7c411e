"""Native users of the load generator: what one sends is made by concatenation, what it gets is counted, not parsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from twisted.internet.defer import Deferred

from bench.native import (
    ACCEPTED,
    DELIVER,
    PING_FRAME,
    Address,
    NativeConnection,
    Place,
    connect,
    hello_frame,
    received_frame,
)
from bench.native import send_frame as frame_of
from bench.websocket import connect_websocket
from cim.wire.cim_pb2 import Packet

#: Before the fixed-width fields of a text (sender, number, index of its time), and of a client_id (index).
_TEXT_MARK = b"#T"
_ID_MARK = b"#I"
_WIDTH = 8

_FAILURE = b"\xf2\x01"
_NEWS = b"\xca\x01"


@define(eq=False)
class NativeUser:
    """One user with one session.

    :ivar number: its place among the users
    :ivar unanswered: Sends without an answer
    :ivar last: for each sender the number of its last message that came here
    """

    number: int
    place: Place
    device: str
    told: Told
    connection: NativeConnection | None = None
    unanswered: int = 0
    sent: dict[int, int] = field(factory=dict)
    last: dict[int, int] = field(factory=dict)
    _newest: dict[int, bytes] = field(factory=dict)

    async def connect(self, reactor: Any, *, websocket: bool = False) -> None:
        """Open the session and wait for its Welcome."""
        welcome: Deferred[None] = Deferred()

        def first(bodies: list[bytes]) -> None:
            packet = Packet.FromString(bodies[0])
            if not packet.HasField("welcome"):
                raise ValueError(f"expected a Welcome, but got {packet}")
            connection.frames = self._frames
            welcome.callback(None)
            if bodies[1:]:
                self._frames(bodies[1:])

        connection = NativeConnection(hello_frame(self.place.ticket, self.device), first)
        if websocket:
            self.connection = await connect_websocket(reactor, self.place.websocket, connection)
        else:
            self.connection = await connect(reactor, self.place, connection)
        await welcome.addTimeout(20, reactor)

    def next_frame(self, receiver: int, to: Address, index: int, length: int) -> bytes:
        """Return the frame of the next message to `receiver`, the number of a user or a group's id negated.

        :param index: of its time
        """
        number = self.sent.get(receiver, 0)
        self.sent[receiver] = number + 1
        text = b"%b%08x%08x%08x" % (_TEXT_MARK, self.number, number, index)
        self.unanswered += 1
        return frame_of(to, b"%b%08x%08x" % (_ID_MARK, index, self.number), text.ljust(length, b"."))

    def _frames(self, bodies: list[bytes]) -> None:
        told = self.told
        answered: list[int] = []
        for body in bodies:
            kind = body[:2]
            if kind == DELIVER:
                at = body.rfind(_TEXT_MARK) + 2
                sender = int(body[at : at + _WIDTH], 16)
                self._newest[sender] = body
                number = int(body[at + _WIDTH : at + 2 * _WIDTH], 16)
                expected = self.last.get(sender, -1) + 1
                if number != expected:
                    told.disordered(number, expected)
                if number >= expected:
                    self.last[sender] = number
                told.delivered(int(body[at + 2 * _WIDTH : at + 3 * _WIDTH], 16))
            elif kind == ACCEPTED:
                at = body.find(_ID_MARK) + 2
                answered.append(int(body[at : at + _WIDTH], 16))
            elif kind == _FAILURE:
                failure = Packet.FromString(body).failure
                told.failed(failure.code)
                if failure.client_id:
                    answered.append(-1)
            elif kind == _NEWS:
                told.failed("news")
        if answered:
            self.unanswered -= len(answered)
            told.answered(self, answered)

    def acknowledge(self) -> None:
        """Send the receipts that are due: a client's part of the protocol."""
        newest, self._newest = self._newest, {}
        if self.connection is None or not newest:
            return
        places = {}
        for body in newest.values():
            deliver = Packet.FromString(body).deliver
            if deliver.conversation != "g:0":
                places[deliver.conversation] = deliver.position
        self.connection.write(b"".join(received_frame(*place) for place in places.items()))

    def ping(self) -> None:
        """Send a ping."""
        if self.connection is not None:
            self.connection.write(PING_FRAME)

    async def leave(self) -> None:
        """Close the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abort()
            await connection.closed


class Told:
    """What users tell of what comes; a load replaces what it wants to hear."""

    def __init__(self) -> None:
        self.delivered: Callable[[int], object] = lambda index: None
        self.answered: Callable[[NativeUser, list[int]], object] = lambda user, indexes: None
        self.disordered: Callable[[int, int], object] = lambda number, expected: None
        self.failed: Callable[[str], object] = lambda code: None
