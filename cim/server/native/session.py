"""The session core of the native generation (docs/protocol.md): what a client sends and what it is told.

A connection makes a session at its first Packet and calls `received` for each Packet; the session calls it back through
`Connection`. A session begins with a Hello that carries a ticket. While `cim.server.native.opening` opens it, its
client's further Packets and what is pushed to it are kept. After its Welcome it is served until it is over.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from attrs import define

from twisted.internet.interfaces import IReactorTime

from cim.daemon.metrics import Metrics
from cim.errors import BadFrame, BadLogin, CIMError, Forbidden, InvalidField, ProtocolViolation, TooLarge, Unauthorized
from cim.model import Place
from cim.server.links.rechecks import Rechecks
from cim.server.links.send_order import SendOrder
from cim.server.links.submissions import Submissions
from cim.server.native.receipts import NativeReceipts
from cim.server.sessions.asked import Asked
from cim.server.sessions.shared_packet import SharedPacket, SharedRun
from cim.server.sessions.table import Connection, Session, Sessions
from cim.tickets import read_ticket
from cim.user_tokens import UserScope
from cim.wire import native, positions
from cim.wire.cim_pb2 import Hello, Packet, Welcome
from cim.wire.framing import encode_frame
from cim.wire.native import PING, PONG, goodbye_packet


class SessionState(enum.Enum):
    """The state of a native session.

    :cvar NEW: its client has not sent a Hello
    :cvar OPENING: its client has sent a Hello and waits for the Welcome; what it sends is kept
    :cvar FULL: kept packets are still to be handled, or too many requests are unanswered: nothing is read from the
        client, and what was read already is kept
    :cvar LIVE: it is served
    :cvar OVER: it has ended
    """

    # Twice as fast as that of Enum, for each packet.
    __hash__ = object.__hash__

    NEW = enum.auto()
    OPENING = enum.auto()
    FULL = enum.auto()
    LIVE = enum.auto()
    OVER = enum.auto()


NEW, OPENING, FULL, LIVE, OVER = SessionState

#: State -> the states from which a session may enter it.
COMES_FROM: dict[SessionState, tuple[SessionState, ...]] = {
    NEW: (),
    OPENING: (NEW,),
    FULL: (OPENING, LIVE),
    LIVE: (FULL,),
    OVER: (NEW, OPENING, LIVE, FULL, OVER),
}
#: The states in which nothing is read from the client.
UNREAD = (OPENING, FULL)

_PONG = SharedPacket(PONG)
#: How many packets and bytes are kept for a session until its Welcome.
KEPT_PACKETS = 1000
KEPT_BYTES = 1 << 20
#: How many unanswered requests stop the reading from a session's connection, and how few let it resume.
STOP_READING = 64
GO_ON_READING = 32
#: How many Sends go up together at most, and the most bytes of each.
RUN, SMALL = 32, 4096
#: How many of these requests, and how many frames, a Sync for a page of the usual size counts as: the answer has up to
#: 512 KiB. A larger page counts as several.
SYNC_WEIGHT = 8
MAX_WATCHED = 200
#: For how many users a Watch counts as one frame more: each is answered with a packet.
WATCHED_AS_FRAME = 4
#: The least number of seconds between two Typings of a session.
TYPING_SECONDS = 0.5

GOODBYE_CODES = frozenset(
    ("replaced", "logged-out", "banned", "idle", "draining", "protocol-error", "unauthorized", "too-slow")
)


class Opening(Protocol):
    """What takes a session from its ticket to its Welcome."""

    def begin(self, session: NativeSession, since: str) -> None:
        """Open a session that has claimed its place.

        :param since: as in its Hello
        """


@define(eq=False, kw_only=True)
class NativeSide:
    """What all native sessions of a server share.

    :param ticket_key: the key that tickets are signed with
    :param place: this server, as tickets name it
    :param heartbeat_seconds: how often clients are asked to send something
    :param max_packet: the largest Packet that a client may send, bytes
    """

    ticket_key: bytes
    place: Place
    clock: IReactorTime
    sessions: Sessions
    submissions: Submissions
    receipts: NativeReceipts
    opening: Opening
    rechecks: Rechecks
    metrics: Metrics
    heartbeat_seconds: int
    max_packet: int

    def session(self, connection: Connection) -> NativeSession:
        """Return a new session for a connection whose first Packet has arrived."""
        return NativeSession(self, connection)


class NativeSession(Session):
    """The session of one native client.

    :ivar live: it was welcomed and is not over
    :ivar logged_in: its ticket was accepted and it is not over
    :ivar unanswered: how many requests went up and are unanswered
    :ivar orders: conversation -> the order of its Sends there, while there is anything to keep
    :ivar settled: which of its Sends were settled since one failed (see Sender)
    :ivar receipts: conversation -> position and Packet of the newest Received that were not sent up yet
    :ivar watch: the Packet that names the users whose presence it watches
    """

    __slots__ = (
        "_conversation",
        "_early",
        "_going_on",
        "_kept",
        "_kept_bytes",
        "_missed",
        "_sends",
        "_side",
        "_state",
        "_typed",
        "asker",
        "logged_in",
        "members",
        "orders",
        "receipts",
        "settled",
        "unanswered",
        "watch",
    )
    protocol = "native"
    waits_for_routes = True
    ping = encode_frame(PING)
    pong = encode_frame(PONG)
    asker: bytes

    def __init__(self, side: NativeSide, connection: Connection) -> None:
        super().__init__(connection)
        self._side = side
        self._state = NEW
        self._early: deque[bytes] | None = None
        self._kept: list[SharedPacket] | None = None
        self._kept_bytes = 0
        self._missed = False
        self._typed = 0.0
        self._going_on = False
        # Sends into one conversation that wait to go up together, until all that was read with them is handled or the
        # client says something else. They count as unanswered already.
        self._sends: list[tuple[str, bytes]] | None = None
        self._conversation = ""
        self.logged_in = False
        self.members = False
        self.asker = b""
        self.unanswered = 0
        self.orders: dict[str, SendOrder] | None = None
        self.settled: dict[tuple[str, str], None] | None = None
        self.receipts: dict[str, tuple[positions.Position, bytes]] | None = None
        self.watch = b""

    # What the client sends.

    def received(self, packet: bytes) -> None:
        """Take a Packet.

        :raises ProtocolViolation: the bytes are not a packet that a client may send, or are a Hello at the wrong time
        """
        _RECEIVED[self._state](self, packet)

    def _become(self, state: SessionState) -> None:
        before = self._state
        assert before in COMES_FROM[state], (before, state)
        self._state = state
        self.live = state is LIVE or state is FULL
        self.logged_in = self.live or state is OPENING
        if state is not OVER and (before in UNREAD) is not (state in UNREAD):
            self.connection.hold(state in UNREAD)

    def _serve(self, body: bytes) -> None:
        if body == PING:
            # Without parsing it: it is what idle clients say.
            self.connection.write_shared(_PONG)
            return
        packet = native.parse_client_packet(body)
        kind = packet.WhichOneof("body") or ""
        serve = _SERVED.get(kind)
        if serve is None:
            raise BadFrame(f"only servers may send a packet with `{kind}`")
        if self.bounds is not None and (needed := NEEDED.get(kind)) and needed not in self.bounds.scopes:
            self._refuse_scope(packet, kind, needed)
            return
        if self._sends is not None and kind != "send":
            self._pass_up()
        serve(self, packet, body)

    def _refuse_scope(self, packet: Packet, kind: str, needed: UserScope) -> None:
        client_id = packet.send.client_id[: native.MAX_CLIENT_ID]
        conversation = getattr(getattr(packet, kind), "conversation", "")[:64]
        self._side.metrics.refused("scope")
        self.refuse(Forbidden(f"your token may not do that: it lacks the scope `{needed}`"), client_id, conversation)

    def _keep(self, body: bytes) -> None:
        # A packet that was read together with the one that stopped the reading waits, too.
        if self._early is None:
            self._early = deque()
        self._early.append(body)

    def _ignore(self, body: bytes) -> None:
        """Ignore a Packet: the session is over."""

    def _ping(self, packet: Packet, body: bytes) -> None:
        self.connection.write_shared(_PONG)

    def _pong(self, packet: Packet, body: bytes) -> None:
        """Do nothing: the connection has already noted the sign of life."""

    def ask_for_life(self) -> None:
        """Send a Ping."""
        self.connection.write_packet(PING)

    def _goodbye(self, packet: Packet, body: bytes) -> None:
        self.connection.close("goodbye")

    def _second_hello(self, packet: Packet, body: bytes) -> None:
        raise BadLogin("a second Hello")

    def _hello(self, body: bytes) -> None:
        packet = native.parse_client_packet(body)
        if packet.WhichOneof("body") != "hello":
            raise BadLogin("the first packet is not a Hello")
        hello: Hello = packet.hello
        side = self._side
        try:
            ticket = read_ticket(side.ticket_key, hello.ticket, side.place)
            if hello.device not in ("", ticket.device):
                raise Unauthorized("the ticket is for another device")
            claimed = ticket.user, ticket.owner, ticket.device
            if not side.sessions.claim_ticket(self, *claimed, bounded=ticket.bounded):
                raise Unauthorized("the ticket was used before or has expired, please log in again")
        except Unauthorized as error:
            side.metrics.refused("bad-ticket")
            self._become(OVER)
            self.connection.end(goodbye_packet("unauthorized", error.message))
            return
        self.members = hello.members
        self.asker = super().asker
        self._kept = []
        # Nothing is read from it before its Welcome but what came together with the Hello.
        self._become(OPENING)
        self.connection.logged_in()
        side.opening.begin(self, hello.since if hello.since.isascii() and hello.since[:16].isdigit() else "")

    def _send(self, packet: Packet, body: bytes) -> None:
        client_id = packet.send.client_id
        try:
            # Check it here, because it is kept when the Send fails.
            native.check_client_id(client_id)
            if len(body) > self._side.max_packet:
                # A JSON text may be longer than its Packet, so this one was read.
                raise TooLarge(f"this message is a Packet of {len(body)} bytes; the limit is {self._side.max_packet}")
            conversation = native.addressed(packet.send, packet.send.WhichOneof("to"), self.user)
        except (InvalidField, TooLarge) as error:
            self.refuse(error, client_id[: native.MAX_CLIENT_ID])
            return
        sends = self._sends
        is_large = len(body) > SMALL
        if sends is not None and (conversation != self._conversation or len(sends) >= RUN or is_large):
            self._pass_up()
            sends = None
        if sends is None:
            sends = self._sends = []
            self._conversation = conversation
        sends.append((client_id, body))
        self.asked()
        if is_large:
            self._pass_up()

    def end_of_read(self) -> None:
        """See Session: Sends go up."""
        if self._sends is not None:
            self._pass_up()
            if self._state is FULL and not self._going_on:
                self._go_on()

    def _pass_up(self) -> None:
        sends, self._sends = self._sends, None
        # What they are answered at once must not let packets behind them through while some have not gone up.
        going_on, self._going_on = self._going_on, True
        try:
            self._side.submissions.send(self, self._conversation, sends or ())
        finally:
            self._going_on = going_on

    def _sync(self, packet: Packet, body: bytes) -> None:
        try:
            conversation = native.conversation_of(packet, self.user)
        except InvalidField as error:
            self.refuse(error, conversation=packet.sync.conversation[:64])
            return
        if self.receipts:
            self._side.receipts.flush(self)
        weight = SYNC_WEIGHT * max(1, min(packet.sync.limit, native.MAX_PAGE) // native.PAGE)
        self.connection.weigh(weight - 1)
        self._side.submissions.packet(self, body, conversation, conversation or str(self.user), weight)

    def _received(self, packet: Packet, body: bytes) -> None:
        said = packet.received
        try:
            native.conversation_of(packet, self.user)
            self._side.receipts.note(self, said.conversation, said.position, body)
        except InvalidField as error:
            self.refuse(error, conversation=said.conversation[:64])

    def _read(self, packet: Packet, body: bytes) -> None:
        said = packet.read
        try:
            native.conversation_of(packet, self.user)
            positions.parse(said.position)
        except InvalidField as error:
            self.refuse(error, conversation=said.conversation[:64])
        else:
            self._side.submissions.receipt(self, body, said.conversation)

    def _typing(self, packet: Packet, body: bytes) -> None:
        now = self._side.clock.seconds()
        if now - self._typed < TYPING_SECONDS:
            self._side.metrics.refused("typing-too-often")
            return
        self._typed = now
        try:
            conversation = native.conversation_of(packet, self.user)
        except InvalidField as error:
            self.refuse(error)
            return
        group = packet.typing.group
        if group and group not in (self.groups or ()):
            return  # routes may not know yet that its user is no member any more
        self._side.submissions.hint(self, body, conversation)

    def _watch(self, packet: Packet, body: bytes) -> None:
        if len(packet.watch.users) > MAX_WATCHED:
            self.refuse(InvalidField("users", f"must have at most {MAX_WATCHED} entries"))
            return
        self.connection.weigh(len(packet.watch.users) // WATCHED_AS_FRAME)
        self.watch = body if packet.watch.users else b""
        self._side.submissions.watch(self, body)

    # What the client is told.

    def refuse(self, error: CIMError, client_id: str = "", conversation: str = "") -> None:
        """Answer with a Failure."""
        self.connection.write_packet(native.failure_packet(error, client_id, conversation))

    def asked(self, weight: int = 1) -> None:
        """Count a request that went up, as `weight` requests."""
        self.unanswered += weight
        if self.unanswered >= STOP_READING and self._state is LIVE:
            self._become(FULL)

    def answered(self, weight: int = 1) -> None:
        """Count a request as answered or failed."""
        self.unanswered -= weight
        if self._state is FULL and not self._going_on:
            self._go_on()

    def _go_on(self) -> None:
        """Handle waiting packets, then read again, as long as not too many requests are unanswered."""
        early = self._early
        self._going_on = True
        try:
            while True:
                if early and self.unanswered < GO_ON_READING and self.live:
                    self._serve(early.popleft())
                elif self._sends is not None:
                    self._pass_up()
                else:
                    break
        except ProtocolViolation as violation:
            self.connection.violated(violation)
        finally:
            self._going_on = False
        if not early:
            # Most sessions never need a deque again.
            self._early = None
            if self.unanswered < GO_ON_READING and self._state is FULL:
                self._become(LIVE)

    def push(self, shared: SharedPacket, asked: Asked | None = None) -> bool:
        """See Session; the packet is written, or kept until the Welcome is, unless the connection is too slow."""
        if self._kept is not None:
            if len(self._kept) >= KEPT_PACKETS or self._kept_bytes >= KEPT_BYTES:
                self._missed = True
                return False
            self._kept.append(shared)
            self._kept_bytes += len(shared.packet)
            return True
        connection = self.connection
        if connection.slow:
            self.fell_behind(self._side.clock.seconds())
            return False
        connection.write_shared(shared)
        return True

    def push_run(self, run: SharedRun) -> int:
        """See Session."""
        if self._kept is not None or self.connection.slow:
            return super().push_run(run)
        self.connection.write_run(run)
        return len(run)

    def told(self, packets: Iterable[bytes]) -> None:
        """See Session."""
        self.connection.write_packets(packets)

    def welcome(self, welcome: Welcome) -> None:
        """Send the Welcome and start to serve the client.

        :param welcome: what is new, from the route; this completes the object and sends it
        """
        welcome.user_id = self.user
        welcome.session = self.id
        welcome.heartbeat_seconds = self._side.heartbeat_seconds
        welcome.max_packet = self._side.max_packet
        self.connection.write_packet(Packet(welcome=welcome).SerializeToString())
        # What the client sent before its Welcome is handled first, as far as the limit of unanswered requests allows.
        self._become(FULL)
        kept, self._kept = self._kept, None
        for shared in kept or ():
            self.push(shared)
        if self._missed:
            self._side.rechecks.recheck(self, self._side.clock.seconds())
        self._go_on()

    def unavailable(self, error: CIMError, retry_after: int) -> None:
        """End the session before its Welcome because no route could open it; the client logs in again later."""
        self._side.sessions.close(self)
        self.connection.write_packet(native.failure_packet(error, retry_after=retry_after))
        self.farewell("draining", retry_after)

    def relieved(self) -> None:
        """Check for what was not pushed while the connection was slow."""
        since, self.behind_since = self.behind_since, 0.0
        if since:
            self._side.rechecks.recheck(self, since)

    def lost(self) -> None:
        """End the session: the connection is gone or is closing."""
        self._become(OVER)
        self.end_of_read()
        self._kept = self._early = None
        if self.receipts:
            self._side.receipts.flush(self)

    def farewell(self, code: str, retry_after: int = 0, message: str = "") -> None:
        """Send a Goodbye and close the connection."""
        if code not in GOODBYE_CODES:
            code = "logged-out"
        self.connection.end(goodbye_packet(code, message, retry_after))


#: State -> what handles a Packet that arrives in it.
_RECEIVED: dict[SessionState, Callable[[NativeSession, bytes], None]] = {
    NEW: NativeSession._hello,
    OPENING: NativeSession._keep,
    FULL: NativeSession._keep,
    LIVE: NativeSession._serve,
    OVER: NativeSession._ignore,
}
#: Kind of packet -> what handles such a packet of a client that was welcomed.
_SERVED: dict[str, Callable[[NativeSession, Packet, bytes], None]] = {
    "send": NativeSession._send,
    "received": NativeSession._received,
    "read": NativeSession._read,
    "sync": NativeSession._sync,
    "typing": NativeSession._typing,
    "watch": NativeSession._watch,
    "ping": NativeSession._ping,
    "pong": NativeSession._pong,
    "goodbye": NativeSession._goodbye,
    "hello": NativeSession._second_hello,
}
#: Kind of packet -> the scope that a bounded session needs for it; those that are not here need none.
NEEDED: dict[str, UserScope] = {
    "send": UserScope.SEND,
    "typing": UserScope.SEND,
    "received": UserScope.READ,
    "read": UserScope.READ,
    "sync": UserScope.READ,
    "watch": UserScope.READ,
}
