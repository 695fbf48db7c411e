"""The sessions and reservations of this server (DESIGN.md section 7)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Protocol

from attrs import define

from twisted.internet.interfaces import IReactorTime

from cim.model import check_id
from cim.wire.guests import Generation, GuestMessage, Login, Recipient


class Connection(Protocol):
    """What a session needs of the connection that carries it."""

    slow: bool

    def write(self, data: bytes) -> None:
        """Send bytes after all others."""

    def close(self, reason: str) -> None:
        """End the connection; the session is closed already."""


class Session:
    """A user who is connected here.

    :ivar owner: the token of the login that it claimed
    """

    __slots__ = ("connection", "id", "name", "owner", "recipient", "user")

    def __init__(self, id: str, login: Login, owner: str, connection: Connection) -> None:
        self.id = id
        self.user = login.user
        self.name = login.name
        self.owner = owner
        self.connection = connection
        self.recipient = Recipient(login.generation, login.user)

    @property
    def generation(self) -> Generation:
        """Which protocol it speaks."""
        return self.recipient.generation

    def push(self, message: GuestMessage) -> bool:
        """Write a message; False when the connection is too slow to take more."""
        if self.connection.slow:
            return False
        self.connection.write(message.frames(self.recipient))
        return True


@define
class Reservation:
    """A login that was sent here and has not connected yet."""

    name: str
    owner: str
    expires: float


class SessionObserver(Protocol):
    """Who is told of sessions that come and go."""

    def opened(self, session: Session) -> None:
        """A session is live."""

    def closed(self, session: Session) -> None:
        """A session has ended."""


class Sessions:
    """All sessions and reservations of one server process.

    :param observer: told of what opens and closes, in order
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self._by_user: dict[int, Session] = {}
        self._reservations: dict[int, Reservation] = {}
        self.observers: list[SessionObserver] = []

    def __len__(self) -> int:
        return len(self._by_user)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_user.values())

    def of(self, user: int) -> Iterable[Session]:
        """Return the live sessions of `user`."""
        held = self._by_user.get(user)
        return () if held is None else (held,)

    def reserve(self, user: int, name: str, owner: str, seconds: float) -> bool:
        """Let one connection claim `user` within `seconds`, instead of any other; False when the user is live here."""
        check_id(user, "user")
        self._forget_expired()
        if user in self._by_user:
            return False
        # Deleted first, so that the dict stays in the order of expiry.
        self._reservations.pop(user, None)
        self._reservations[user] = Reservation(name, owner, self._clock.seconds() + seconds)
        return True

    def claim(self, login: Login, connection: Connection) -> Session | None:
        """Open the session of a guest's login; None when nothing is reserved for that id and name.

        The reservation is used up. The session is live when this returns.
        """
        reservation = self._reservations.get(login.user)
        if (
            reservation is None
            or reservation.name != login.name
            or reservation.expires <= self._clock.seconds()
            or login.user in self._by_user
        ):
            return None
        del self._reservations[login.user]
        session = Session(f"{next(self._ids):x}", login, reservation.owner, connection)
        self._by_user[login.user] = session
        for observer in self.observers:
            observer.opened(session)
        return session

    def close(self, session: Session) -> bool:
        """Take a session out; False when it was out already, so that each is closed once."""
        if self._by_user.get(session.user) is not session:
            return False
        del self._by_user[session.user]
        for observer in self.observers:
            observer.closed(session)
        return True

    def end(self, user: int, owner: str, reason: str) -> int:
        """Close the sessions and the reservation of `user`; return how many there were.

        :param owner: only those of this login; empty for all
        """
        ended = 0
        reservation = self._reservations.get(user)
        if reservation is not None and owner in ("", reservation.owner):
            del self._reservations[user]
            ended += 1
        for session in self.of(user):
            if owner in ("", session.owner) and self.close(session):
                session.connection.close(reason)
                ended += 1
        return ended

    def end_all(self, reason: str) -> None:
        """Close every session: the server stops."""
        self._reservations.clear()
        for session in list(self):
            if self.close(session):
                session.connection.close(reason)

    @property
    def reserved(self) -> int:
        """How many reservations wait."""
        self._forget_expired()
        return len(self._reservations)

    def _forget_expired(self) -> None:
        now = self._clock.seconds()
        while self._reservations:
            user = next(iter(self._reservations))
            if self._reservations[user].expires > now:
                break
            del self._reservations[user]
