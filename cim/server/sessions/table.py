"""The sessions and reservations of this server (docs/architecture.md, Logins).

A session is a user on one device. All guests share the device "guest", and claim their reservation by id and name;
native clients claim theirs by the owner token in their ticket.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import define, frozen

from twisted.internet.interfaces import IReactorTime

from cim.errors import ProtocolViolation
from cim.model import GUEST, check_id
from cim.server.sessions.shared_packet import SharedPacket, SharedRun
from cim.wire import packed
from cim.wire.cim_pb2 import Packet
from cim.wire.guests import GuestMessage
from cim.wire.positions import Position

if TYPE_CHECKING:
    from cim.server.sessions.asked import Asked


@frozen
class KnownGroups:
    """A user's groups, as of a version of the change log.

    :param groups: the position up to which the user may not read in each
    :param epoch: of the store when they were read; 0 from routes of earlier releases
    """

    version: int
    groups: Mapping[int, Position]
    epoch: int = 0


@frozen
class SessionBounds:
    """What bounds a session that was opened by a bounded token.

    :param scopes: what its user may do in it (cim.user_tokens)
    :param ends: when it ends, in seconds on the clock
    """

    scopes: frozenset[str]
    ends: float


class Connection(Protocol):
    """What a session needs of the connection that carries it.

    :ivar slow: whether its write buffer is full; nothing is pushed until it is empty again
    """

    slow: bool

    def write(self, data: bytes) -> None:
        """Queue a guest's frames."""

    def write_packet(self, packet: bytes) -> None:
        """Queue one Packet."""

    def write_packets(self, packets: Iterable[bytes]) -> None:
        """Queue Packets together."""

    def write_shared(self, shared: SharedPacket) -> None:
        """Queue a Packet that other connections get too."""

    def write_run(self, run: SharedRun) -> None:
        """Queue Packets that other connections get too."""

    def logged_in(self) -> None:
        """Note that the session has logged in."""

    def hold(self, held: bool) -> None:
        """Stop reading from the client, or resume."""

    def weigh(self, frames: int) -> None:
        """Count what the client just sent as so many frames more."""

    def violated(self, violation: ProtocolViolation) -> None:
        """Tell the client that it broke the protocol, and close."""

    def close(self, reason: str) -> None:
        """Close the connection once what was written is sent; its session ends at once."""

    def end(self, goodbye: bytes) -> None:
        """Send a last Packet and close."""


class Session:
    """A user who is connected to this server.

    :ivar owner: the owner token of the login that it claimed
    :ivar announced: whether the routes were told of it
    :ivar groups: the groups whose messages it gets, each with the position up to which it may not read; maintained by
        the server's index
    :ivar groups_version: the version of the change log as of which its groups were read
    :ivar live: whether it can be sent packets
    :ivar bounds: what bounds it; None for nothing
    :ivar behind_since: since when pushes to it have been left out (seconds on the clock), 0 when none were
    """

    __slots__ = (
        "announced",
        "behind_since",
        "bounds",
        "connection",
        "device",
        "groups",
        "groups_version",
        "id",
        "live",
        "name",
        "owner",
        "user",
    )
    #: Whether it has logged in.
    logged_in = True
    #: Whether to check it for missed messages.
    wants_news = True
    #: Whether its client is told that it is live only once all routes know of it.
    waits_for_routes = False
    #: Whether it gets messages of the kind MEMBERS.
    members = False
    #: A frame that asks for a sign of life, and the frame that answers it; empty if its protocol has others.
    ping = b""
    pong = b""
    #: The Packet that names the users whose presence it watches.
    watch: bytes = b""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.id = ""
        self.user = 0
        self.name = ""
        self.owner = ""
        self.device = ""
        self.announced = False
        self.groups: dict[int, Position] | None = None
        self.groups_version = 0
        self.live = False
        self.behind_since = 0.0
        self.bounds: SessionBounds | None = None

    @property
    def protocol(self) -> str:
        """The protocol that it speaks, as metrics name it."""
        raise NotImplementedError

    @property
    def asker(self) -> bytes:
        """The serialized fields that identify the session at the start of each of its requests."""
        return packed.asker(self.user, self.name, self.id, self.device, self.members)

    def asked(self, weight: int = 1) -> None:
        """Count a request of the session that went up, as `weight` requests."""

    def answered(self, weight: int = 1) -> None:
        """Count a request of the session as answered or failed."""

    def received(self, packet: bytes) -> None:
        """Take a frame that the client sent.

        :raises ProtocolViolation: the bytes are not what a client may send
        """
        raise NotImplementedError

    def end_of_read(self) -> None:
        """Do what is left to do with the frames that were read together: all of them were taken."""

    def push(self, shared: SharedPacket, asked: Asked | None = None) -> bool:
        """Push a packet to the session; return True if it was written during this call.

        :param asked: told later whether it was written, if that is not known yet
        """
        raise NotImplementedError

    def push_run(self, run: SharedRun) -> int:
        """Push packets to the session; return how many were written during this call."""
        return sum(map(self.push, run.each))

    def told(self, packets: Iterable[bytes]) -> None:
        """Send the Packets that answer one of its requests, or say that there is no answer."""
        raise NotImplementedError

    def fetch(self, asked: Asked | None) -> None:
        """Write what the session has missed, if its client cannot ask for that itself."""

    def show(self, message: GuestMessage) -> bool:
        """Write a message of upstream's /sendMsg if this is a guest's session; False if it was not written."""
        return False

    def fell_behind(self, now: float) -> None:
        """Note that something was not pushed because the connection was too slow.

        :param now: seconds on the clock
        """
        if not self.behind_since:
            self.behind_since = now

    def relieved(self) -> None:
        """Catch up on what was not pushed: the connection is no longer slow."""

    def link_lost(self) -> None:
        """Allow for a lost link: its route may not have handled what it was told last."""

    def lost(self) -> None:
        """End the session: its connection is gone or closing, and it is out of the tables."""

    def watches(self, user: int) -> bool:
        """Return whether its client watches a user's presence."""
        return bool(self.watch) and user in Packet.FromString(self.watch).watch.users

    def ask_for_life(self) -> None:
        """Ask the client for a sign of life, if its protocol has a way to."""

    def farewell(self, code: str, retry_after: int = 0, message: str = "") -> None:
        """Close the connection; say why if the protocol has a way to."""
        raise NotImplementedError


@define
class Reservation:
    """A login that a route sent here and whose client has not connected yet.

    :param beside: whether sessions on other devices stay
    :param native: whether it is claimed by a ticket, not by a guest's login frame
    :param groups: the user's groups; None when they are not known
    :param bounds: what bounds the session; None for nothing
    """

    name: str
    owner: str
    expires: float
    device: str = GUEST
    beside: bool = False
    native: bool = False
    groups: KnownGroups | None = None
    bounds: SessionBounds | None = None


class SessionObserver(Protocol):
    """What is told of sessions that open and close."""

    def opened(self, session: Session) -> None:
        """Note that a session is live."""

    def closed(self, session: Session) -> None:
        """Note that an announced session has ended."""


class Sessions:
    """All sessions and reservations of one server process.

    :ivar observers: told of sessions that open and close, in this order
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        # Nearly every user has one session, which is held without a tuple to save memory.
        self._by_user: dict[int, Session | tuple[Session, ...]] = {}
        self._by_id: dict[str, Session] = {}
        # In the order in which each user's newest one expires.
        self._reservations: dict[int, list[Reservation]] = {}
        self.observers: list[SessionObserver] = []

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_id.values())

    def __contains__(self, session: Session) -> bool:
        return self._by_id.get(session.id) is session

    def of(self, user: int) -> tuple[Session, ...]:
        """Return the live sessions of `user`."""
        held = self._by_user.get(user)
        if held is None:
            return ()
        return held if type(held) is tuple else (held,)  # type: ignore[return-value]  # narrowed by type()

    def session(self, id: str) -> Session | None:
        """Return the session with that id."""
        return self._by_id.get(id)

    def reserve(
        self,
        user: int,
        name: str,
        owner: str,
        seconds: float,
        *,
        device: str = GUEST,
        beside: bool = False,
        native: bool = False,
        groups: KnownGroups | None = None,
        bounds: SessionBounds | None = None,
    ) -> bool:
        """Let one connection claim a session of `user` within `seconds`; False when a live session is in the way.

        The reservation replaces the user's others, or with `beside` only that of the same device. A native device
        replaces its own session when it claims; a guest does not, unless `beside`.

        :raises InvalidField: `user` is not an id
        """
        check_id(user, "user")
        self._forget_expired()
        if not beside:
            for session in self.of(user):
                if session.device != device or device == GUEST:
                    return False
        # Removed first, so that the dict stays in the order of expiry.
        others = self._reservations.pop(user, [])
        kept = [other for other in others if other.device != device] if beside and others else []
        expires = self._clock.seconds() + seconds
        kept.append(Reservation(name, owner, expires, device, beside, native, groups, bounds))
        self._reservations[user] = kept
        return True

    def claim_login(self, session: Session, user: int, name: str) -> Reservation | None:
        """Give a guest's session the reservation for that id and name; None when there is none.

        The reservation is used up. Deliveries find the session from now on; routes are told with `announce`.
        """
        reservation = self._take(user, lambda held: not held.native and held.name == name)
        if reservation is None or (not reservation.beside and user in self._by_user):
            return None
        self._put(session, user, reservation)
        return reservation

    def claim_ticket(self, session: Session, user: int, owner: str, device: str, *, bounded: bool = False) -> bool:
        """Give a native session the reservation for its ticket; False when there is none.

        The reservation is used up. Deliveries find the session from now on; routes are told with `announce`.

        :param bounded: whether the session is to be a bounded one
        """

        def fits(held: Reservation) -> bool:
            same = held.owner == owner and held.device == device
            return held.native and same and (held.bounds is not None) is bounded

        reservation = self._take(user, fits)
        if reservation is None:
            return False
        self._put(session, user, reservation)
        return True

    def expects_guest(self, user: int) -> bool:
        """Return whether a guest has logged in and may connect at any moment."""
        held = self._reservations.get(user, ())
        return any(not one.native and one.expires > self._clock.seconds() for one in held)

    def _take(self, user: int, fits: Callable[[Reservation], bool]) -> Reservation | None:
        reservations = self._reservations.get(user, ())
        for reservation in reservations:
            if reservation.expires > self._clock.seconds() and fits(reservation):
                self._drop_reservation(user, reservation)
                return reservation
        return None

    def _drop_reservation(self, user: int, reservation: Reservation) -> None:
        reservations = self._reservations[user]
        reservations.remove(reservation)
        if not reservations:
            del self._reservations[user]

    def _put(self, session: Session, user: int, reservation: Reservation) -> None:
        session.user = user
        session.name, session.owner, session.device = reservation.name, reservation.owner, reservation.device
        session.bounds = reservation.bounds
        others = self.of(user)
        for other in others:
            if other.device == session.device or not reservation.beside:
                self.close(other)
                other.farewell("replaced")
        session.id = f"{next(self._ids):x}"
        self._by_id[session.id] = session
        if others:
            others = self.of(user)
        self._by_user[user] = (*others, session) if others else session

    def forget_groups(self) -> None:
        """Forget the groups that reservations named: changes to them may have been missed."""
        for reservations in self._reservations.values():
            for reservation in reservations:
                reservation.groups = None

    def announce(self, session: Session) -> None:
        """Tell the observers that a session is live."""
        session.announced = True
        for observer in self.observers:
            observer.opened(session)

    def close(self, session: Session) -> bool:
        """Remove a session; False when it was removed already, so that each is closed once."""
        if self._by_id.get(session.id) is not session:
            return False
        del self._by_id[session.id]
        left = tuple(other for other in self.of(session.user) if other is not session)
        if left:
            self._by_user[session.user] = left[0] if len(left) == 1 else left
        else:
            del self._by_user[session.user]
        if session.announced:
            for observer in self.observers:
                observer.closed(session)
        return True

    def end(self, user: int, owner: str, reason: str, message: str = "") -> int:
        """Close the sessions and the reservations of `user`; return how many there were.

        :param owner: the owner token of the only login to close; empty for all of them
        :param message: what the user is told
        """
        ended = 0
        for reservation in list(self._reservations.get(user, ())):
            if owner in ("", reservation.owner):
                self._drop_reservation(user, reservation)
                ended += 1
        for session in self.of(user):
            if owner in ("", session.owner) and self.close(session):
                session.farewell(reason, message=message)
                ended += 1
        return ended

    def end_all(self, reason: str, retry_after: Callable[[], int] = lambda: 0) -> None:
        """Close every session because the server is stopping.

        :param retry_after: returns the seconds after which one session should come back
        """
        self._reservations.clear()
        for session in list(self):
            if self.close(session):
                session.farewell(reason, retry_after())

    @property
    def reserved(self) -> int:
        """How many reservations are unclaimed."""
        self._forget_expired()
        return sum(map(len, self._reservations.values()))

    def _forget_expired(self) -> None:
        now = self._clock.seconds()
        while self._reservations:
            user = next(iter(self._reservations))
            if self._reservations[user][-1].expires > now:
                break
            del self._reservations[user]
