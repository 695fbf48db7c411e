"""The sessions and reservations of this server (docs/architecture.md, Logins).

A session is a user at one device. Guests have one device among them all, "guest", and claim their reservation by id and
name; native clients claim theirs by the owner token in their ticket.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from attrs import define

from twisted.internet.interfaces import IReactorTime

from cim.errors import ProtocolViolation
from cim.model import GUEST, check_id
from cim.server.sessions.shared_packet import SharedPacket
from cim.wire import packed
from cim.wire.guests import GuestMessage

if TYPE_CHECKING:
    from cim.server.sessions.asked import Asked


#: A version of the log of changes, and groups.
KnownGroups = tuple[int, tuple[int, ...]]


class Connection(Protocol):
    """What a session needs of the connection that carries it.

    :ivar slow: its write buffer is full; nothing is pushed until it is empty again
    """

    slow: bool

    def write(self, data: bytes) -> None:
        """Send a guest's frames after all else."""

    def write_packet(self, packet: bytes) -> None:
        """Send one Packet after all else."""

    def write_shared(self, shared: SharedPacket) -> None:
        """Send a Packet that others get too."""

    def logged_in(self) -> None:
        """The session said who it is."""

    def hold(self, held: bool) -> None:
        """Stop reading from the client, or go on."""

    def violated(self, violation: ProtocolViolation) -> None:
        """What the client said breaks the protocol: tell it and close."""

    def close(self, reason: str) -> None:
        """End the connection after what was written; its session is over."""

    def end(self, goodbye: bytes) -> None:
        """Send a last Packet and close."""


class Session:
    """A user who is connected here.

    :ivar owner: the token of the login that it claimed
    :ivar announced: routes were told of it
    :ivar groups: the groups that it gets messages of, by the server's index
    :ivar groups_version: of the change log, when its groups were read
    :ivar live: it can be told something
    :ivar behind_since: since when pushes to it were left out (seconds on the clock), 0 for never
    """

    __slots__ = (
        "announced",
        "behind_since",
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
    #: Whether it said who it is.
    logged_in = True
    #: Whether it is told of what it may have missed.
    wants_news = True
    #: Whether its client learns that it is live only when all routes know of it.
    waits_for_routes = False
    #: The Packet with whose presence it watches.
    watch: bytes = b""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.id = ""
        self.user = 0
        self.name = ""
        self.owner = ""
        self.device = ""
        self.announced = False
        self.groups: set[int] | None = None
        self.groups_version = 0
        self.live = False
        self.behind_since = 0.0

    @property
    def protocol(self) -> str:
        """What it speaks, as metrics name it."""
        raise NotImplementedError

    @property
    def asker(self) -> bytes:
        """Who it is, as all of its requests begin."""
        return packed.asker(self.user, self.name, self.id, self.device)

    def asked(self, weight: int = 1) -> None:
        """A request of it went up, which counts for so many."""

    def answered(self, weight: int = 1) -> None:
        """A request of it was answered or failed."""

    def received(self, packet: bytes) -> None:
        """Take a frame that the client sent.

        :raises ProtocolViolation: bytes that no client may send
        """
        raise NotImplementedError

    def push(self, shared: SharedPacket, asked: Asked | None = None) -> bool:
        """Tell it something that it did not ask for; True when that was written in this call.

        :param asked: is told later whether it was, if that is not known yet
        """
        raise NotImplementedError

    def told(self, packets: Iterable[bytes]) -> None:
        """Tell it the Packets that answer a request of it, or say that there is no answer."""
        raise NotImplementedError

    def fetch(self, asked: Asked | None) -> None:
        """Write what it has missed, if its client cannot ask for that itself."""

    def show(self, message: GuestMessage) -> bool:
        """Write what upstream's /sendMsg says, if it is a guest's; False when it was not written."""
        return False

    def fell_behind(self, now: float) -> None:
        """Note that something was not pushed to it, for it was too slow."""
        if not self.behind_since:
            self.behind_since = now

    def relieved(self) -> None:
        """The connection was slow and is not any more."""

    def link_lost(self) -> None:
        """A link is gone, and perhaps its route with what that was told last."""

    def lost(self) -> None:
        """The connection is gone or is closing; the session is out of the tables."""

    def farewell(self, code: str, retry_after: int = 0, message: str = "") -> None:
        """End its connection and say why, where the protocol has words for it."""
        raise NotImplementedError


@define
class Reservation:
    """A login that was sent here and has not connected yet.

    :param beside: sessions of other devices stay
    :param native: for a ticket, not for a guest's login frame
    :param groups: the version of the change log after which changes count, and the user's groups; None: not known
    """

    name: str
    owner: str
    expires: float
    device: str = GUEST
    beside: bool = False
    native: bool = False
    groups: KnownGroups | None = None


class SessionObserver(Protocol):
    """Who is told of sessions that come and go."""

    def opened(self, session: Session) -> None:
        """A session is live."""

    def closed(self, session: Session) -> None:
        """A session that was announced has ended."""


class Sessions:
    """All sessions and reservations of one server process.

    :ivar observers: told of what opens and closes, in order
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        # Nearly every user has one session: no tuple for it.
        self._by_user: dict[int, Session | tuple[Session, ...]] = {}
        self._by_id: dict[str, Session] = {}
        # In the order of expiry of each user's newest.
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
    ) -> bool:
        """Let one connection claim `user` within `seconds`; False when a live session is in the way.

        It replaces the user's other reservations, or with `beside` that of the same device. A device that says which
        it is replaces its own session when it claims; a guest does not, unless `beside`.

        :raises InvalidField: not a user's id
        """
        check_id(user, "user")
        self._forget_expired()
        if not beside:
            for session in self.of(user):
                if session.device != device or device == GUEST:
                    return False
        # Taken out first, so that the dict stays in the order of expiry.
        others = self._reservations.pop(user, [])
        kept = [other for other in others if other.device != device] if beside and others else []
        kept.append(Reservation(name, owner, self._clock.seconds() + seconds, device, beside, native, groups))
        self._reservations[user] = kept
        return True

    def claim_login(self, session: Session, user: int, name: str) -> Reservation | None:
        """Give a guest's session the place that was reserved for that id and name; None when there is none.

        The reservation is used up. Deliveries find the session from now on; routes are told with `announce`.
        """
        reservation = self._take(user, lambda held: not held.native and held.name == name)
        if reservation is None or (not reservation.beside and user in self._by_user):
            return None
        self._put(session, user, reservation)
        return reservation

    def claim_ticket(self, session: Session, user: int, owner: str, device: str) -> bool:
        """Give a native session the place that was reserved for its ticket; False when there is none.

        The reservation is used up. Deliveries find the session from now on; routes are told with `announce`.
        """
        reservation = self._take(user, lambda held: held.native and held.owner == owner and held.device == device)
        if reservation is None:
            return False
        self._put(session, user, reservation)
        return True

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
        """Take no reservation's word on groups any more: changes of them may have been missed."""
        for reservations in self._reservations.values():
            for reservation in reservations:
                reservation.groups = None

    def announce(self, session: Session) -> None:
        """Tell the observers that a session is live."""
        session.announced = True
        for observer in self.observers:
            observer.opened(session)

    def close(self, session: Session) -> bool:
        """Take a session out; False when it was out already, so that each is closed once."""
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

    def end(self, user: int, owner: str, reason: str) -> int:
        """Close the sessions and the reservations of `user`; return how many there were.

        :param owner: only those of this login; empty for all
        """
        ended = 0
        for reservation in list(self._reservations.get(user, ())):
            if owner in ("", reservation.owner):
                self._drop_reservation(user, reservation)
                ended += 1
        for session in self.of(user):
            if owner in ("", session.owner) and self.close(session):
                session.farewell(reason)
                ended += 1
        return ended

    def end_all(self, reason: str, retry_after: Callable[[], int] = lambda: 0) -> None:
        """Close every session: the server stops.

        :param retry_after: gives each session the seconds after which it should come back
        """
        self._reservations.clear()
        for session in list(self):
            if self.close(session):
                session.farewell(reason, retry_after())

    @property
    def reserved(self) -> int:
        """How many reservations wait."""
        self._forget_expired()
        return sum(map(len, self._reservations.values()))

    def _forget_expired(self) -> None:
        now = self._clock.seconds()
        while self._reservations:
            user = next(iter(self._reservations))
            if self._reservations[user][-1].expires > now:
                break
            del self._reservations[user]
