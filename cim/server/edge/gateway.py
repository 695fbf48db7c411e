"""Client TCP connections: frames in, frames out (docs/protocol.md, Frames).

The first frame shows which client speaks: one that begins with a field numbered 16 or above is native; anything else
must be a guest's login.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from cim.errors import ProtocolViolation
from cim.limits import Buckets, Waiting
from cim.server.edge.connection import ClientConnection, Limits
from cim.server.edge.wheel import TimerWheel
from cim.server.sessions.shared_packet import SharedPacket, SharedRun
from cim.server.sessions.table import Session, Sessions
from cim.supervision import Loop
from cim.wire.framing import FrameReader, encode_varint
from cim.wire.packed import varint

#: In how many parts a burst of frames is counted: to ask the limit for each would cost as much as a small frame does.
COUNTED = 64
#: The lowest first byte of a frame whose first field is numbered 16 or above.
_NATIVE = 0x80

_C = TypeVar("_C", bound=ClientConnection)
#: Makes the session of a connection.
MakeSession = Callable[[ClientConnection], Session]


class TCPConnection(ClientConnection):
    """One client's TCP connection."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._reader = FrameReader(gateway.limits.max_frame)

    def dataReceived(self, data: bytes) -> None:
        """See Protocol; a Ping that comes alone, as it does from an idle client, is answered at once."""
        session = self.session
        if session is None or data != session.ping or not session.live or self._held or self._frame_since:
            super().dataReceived(data)
            return
        self._since = self.gateway.wheel.now
        self._uncounted += 1
        if self._uncounted >= self.gateway.counted_together:
            self._count()
        answer = getattr(self.transport, "write_now", self.transport.write)
        answer(session.pong)

    def take(self, data: bytes) -> int:
        """See ClientConnection."""
        try:
            bodies = [] if self.closing else self._reader.feed(data)
            for body in bodies:
                if self.closing:
                    break
                if self.session is None:
                    gateway = self.gateway
                    self.session = gateway.native(self) if body and body[0] >= _NATIVE else gateway.guest(self)
                self.session.received(body)
        except ProtocolViolation as violation:
            self.violated(violation)
            return 0
        self.heard(bool(bodies), self._reader.partial)
        return len(bodies)

    def write_packet(self, packet: bytes) -> None:
        """Queue a Packet as one frame."""
        self.transport.write(encode_varint(len(packet)) + packet)

    def write_packets(self, packets: Iterable[bytes]) -> None:
        """Queue Packets, each as one frame."""
        self.transport.write(b"".join([varint(len(packet)) + packet for packet in packets]))

    def write_shared(self, shared: SharedPacket) -> None:
        """Queue a Packet that others get too."""
        self.transport.write(shared.framed)

    def write_run(self, run: SharedRun) -> None:
        """Queue Packets that others get too, each as one frame."""
        self.transport.write(run.framed)


class Gateway(Factory):
    """All client connections to one port of this server.

    :param native: makes the session of a native client's connection
    :param guest: makes the session of a guest's connection
    :param refused: called with a short name of its kind for every input that is refused or ignored
    :param max_connections: the most connections; for one more the oldest without a login is closed, or else that one
    :param address_of: returns the address of a peer as it is counted; empty if it is not
    :param retry_after: returns the seconds after which one of so many sessions should come back when this server stops
    """

    _log = Logger()

    def __init__(
        self,
        *,
        sessions: Sessions,
        native: MakeSession,
        wheel: TimerWheel,
        refused: Callable[[str], None],
        clock: IReactorTime,
        limits: Limits | None = None,
        max_connections: int = 1 << 20,
        retry_after: Callable[[int], int] = lambda sessions: 0,
        address_of: Callable[[Any], str] = lambda peer: "",
        guest: MakeSession,
    ) -> None:
        self.sessions = sessions
        self.native = native
        self.guest = guest
        self.wheel = wheel
        self.refused = refused
        self.clock = clock
        self.limits = limits if limits is not None else Limits()
        self.frames = Buckets(self.limits.frames)
        burst = self.limits.frames.burst
        self.counted_together = max(1, burst // COUNTED) if burst else math.inf
        self.max_connections = max_connections
        self.connections: set[ClientConnection] = set()
        self.unproven: Waiting[ClientConnection] = Waiting(self.limits.unproven, self.limits.address_unproven)
        self.connects = Buckets(self.limits.connects)
        self.address_of = address_of
        self.pings = 0
        self.noisy = False
        self._turns: deque[ClientConnection] = deque()
        self._loop = Loop("serving clients in turn", self._take_turns, self.clock)
        self._retry_after = retry_after
        self._emptied: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection | None:
        """Return a connection's protocol, or None to close it at once because too many are open."""
        return self.admitted(self.address_of(addr), TCPConnection)

    def admitted(self, address: str, make: Callable[[Gateway], _C]) -> _C | None:
        """Return a new connection, or None if it is one too many.

        :param address: where its client is, as it is counted; empty if it is not
        :param make: makes it
        """
        if address and not self.connects.take(address, self.clock.seconds(), 1):
            self.refused("limit-address-connects")
            return None
        if not self._has_room():
            return None
        connection = make(self)
        connection.address = address
        return connection

    def _has_room(self) -> bool:
        """Return whether one more connection may be made, for which the oldest without a login may have to go."""
        if len(self.connections) < self.max_connections:
            return True
        self.refused("too-many-connections")
        oldest = self.unproven.first_to_go()
        if oldest is None:
            return False
        self.unproven.remove(oldest)
        oldest.give_way()
        return True

    def wait_for_turn(self, connection: ClientConnection) -> None:
        """Serve what waits of a connection after all that wait already, few frames of each in one reactor turn.

        Those who send little are served when they are read, so nobody is held up who does not wait, however many do.
        """
        self._turns.append(connection)
        if self._loop.due is None:
            self._loop.wake()

    def _take_turns(self) -> float | None:
        left = self.limits.turn
        while self._turns and left > 0:
            connection = self._turns.popleft()
            try:
                left -= max(1, connection.serve_rest(self.limits.share))
            except Exception:
                self._log.failure("a client's frame was not served")
                connection.give_way()
        return 0.0 if self._turns else None

    def gone(self, connection: ClientConnection) -> None:
        """Forget a connection that was lost."""
        self.connections.discard(connection)
        self.unproven.remove(connection)
        if not self.connections:
            emptied, self._emptied = self._emptied, []
            for waiting in emptied:
                waiting.callback(None)

    def drain(self) -> Deferred[None]:
        """Close every connection once what was written to it is sent; fires when the last is gone."""
        self.max_connections = 0
        self.sessions.end_all("draining", partial(self._retry_after, len(self.sessions)))
        for connection in list(self.connections):
            connection.leave("draining")
        if not self.connections:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._emptied.append(waiting)
        return waiting
