"""A guest's session: what its client says, and what it is told, as frames of its generation (docs/protocol.md, Guests).

It is pushed what native sessions are pushed, and asks routes what native clients ask; its `GuestReading` does that
while there is anything to read. It is live in the turn of its first frame.
"""

from __future__ import annotations

from collections.abc import Iterable

from cim.errors import BadLogin
from cim.server.guests.messages import Pushed
from cim.server.guests.reading import GuestReading
from cim.server.guests.side import GuestSide
from cim.server.sessions.asked import Asked
from cim.server.sessions.batches import Done
from cim.server.sessions.shared_packet import SharedPacket
from cim.server.sessions.table import Connection, Session
from cim.wire.cim_pb2 import News, Synced
from cim.wire.guests import (
    LOGIN_COMMANDS,
    PING_COMMANDS,
    PONGS,
    Generation,
    GuestMessage,
    Recipient,
    parse_login,
    parse_packet,
)


class GuestSession(Session):
    """One guest.

    :ivar live: it has logged in and is not over
    """

    __slots__ = ("_begun", "_reading", "_recipient", "_side")

    def __init__(self, side: GuestSide, connection: Connection) -> None:
        super().__init__(connection)
        self._side = side
        self._recipient: Recipient | None = None
        self._reading: GuestReading | None = None
        # Whether what it has missed is to be written, as far as this session goes.
        self._begun = False

    @property
    def logged_in(self) -> bool:  # type: ignore[override]  # a constant of others
        """Whether it said who it is."""
        return self._recipient is not None

    @property
    def wants_news(self) -> bool:  # type: ignore[override]  # a constant of others
        """Whether it reads: else what it has missed waits in the store until it is fetched."""
        return self._begun

    @property
    def protocol(self) -> str:
        """What it speaks, as metrics name it."""
        return self._known.generation.value

    @property
    def _known(self) -> Recipient:
        assert self._recipient is not None
        return self._recipient

    # What the client says.

    def received(self, packet: bytes) -> None:
        """See Session."""
        if self._recipient is None:
            self._log_in(packet)
            return
        frame, generation = parse_packet(packet), self._recipient.generation
        if frame.command == PING_COMMANDS[generation]:
            self.connection.write(PONGS[generation])
        elif frame.command == LOGIN_COMMANDS[generation]:
            if frame.user_id != self.user:
                raise BadLogin("a connection cannot log in as a second user")
        else:
            # Chat of guests goes up by HTTP; upstream ignores it here too.
            self._side.metrics.refused("ignored-frame")

    def _log_in(self, frame: bytes) -> None:
        side, login = self._side, parse_login(frame)
        reservation = side.sessions.claim_login(self, login.user, login.name)
        if reservation is None:
            side.metrics.refused("unreserved-login")
            self.connection.close("no reservation")
            return
        self._recipient = Recipient(login.generation, login.user)
        self.live = True
        self.connection.logged_in()
        if reservation.groups is not None:
            side.index.join(self, reservation.groups)
        side.sessions.announce(self)
        if login.generation is Generation.W1:
            self._read().go_on()

    # What it is told.

    def push(self, shared: SharedPacket, asked: Asked | None = None) -> bool:
        """See Session."""
        seen = shared.for_guests
        if seen is None:
            seen = self._side.read(shared)
        if isinstance(seen, Pushed):
            if seen.everyone:
                return self._write(seen)
            if seen.batch is None:
                return self._push(seen, asked)
            seen.batch.wait(self, shared, asked.wait() if asked is not None else None)
        elif isinstance(seen, News):
            return self._news(seen)
        elif isinstance(seen, Synced) and self._reading is not None:
            self._reading.told((shared.packet,))
        return False

    def push_batch(self, pushed: list[tuple[SharedPacket, Done]]) -> None:
        """See batches.Waiter."""
        if self.live and self._takes(pushed[0][0].for_guests):
            self._read().push_batch([(shared.for_guests, done) for shared, done in pushed])
        else:
            for _, done in pushed:
                if done is not None:
                    done(False)

    def _push(self, pushed: Pushed, asked: Asked | None) -> bool:
        if not self._takes(pushed):
            return False
        reading = self._reading if self._reading is not None else self._read()
        written = reading.push(pushed)
        if not written and asked is not None:
            reading.wait(pushed, asked.wait())
        return written

    def _takes(self, pushed: Pushed) -> bool:
        """Return whether a message is any use to it now."""
        if self._reading is None and (pushed.text is None or pushed.sender == self.user):
            # What it is not shown makes nothing known to one that reads nothing.
            return False
        if self.connection.slow:
            self._read()
            self.fell_behind(self._side.clock.seconds())
            return False
        return True

    def _news(self, news: News) -> bool:
        if self.connection.slow:
            return False
        self._read().news(news)
        return True

    def _write(self, pushed: Pushed) -> bool:
        """Write a message that has no place among others."""
        if pushed.text is None or pushed.sender == self.user:
            return False
        ready = pushed.ready
        return bool(ready) and self.show(ready[0])

    def show(self, message: GuestMessage) -> bool:
        """See Session."""
        if self.connection.slow:
            return False
        self.connection.write(message.frames(self._known))
        return True

    def told(self, packets: Iterable[bytes]) -> None:
        """See Session; nothing of it is written as it is."""
        if self._reading is not None:
            self._reading.told(packets)

    def fetch(self, asked: Asked | None) -> None:
        """See Session."""
        self._read().fetch(asked.wait() if asked is not None else None)

    def _read(self) -> GuestReading:
        """Return its reading, made when there is none. The first thing that it reads is all that is new."""
        reading = self._reading
        if reading is None:
            reading = self._reading = GuestReading(self._side, self, self._known)
            self._side.began(self)
        if not self._begun:
            self._begun = True
            reading.want_all()
        return reading

    def rested(self) -> bool:
        """See side.Reads."""
        if self._reading is None or not self._reading.rests():
            return self._reading is None
        self._reading = None
        return True

    def relieved(self) -> None:
        """See Session."""
        since, self.behind_since = self.behind_since, 0.0
        if since:
            self._side.rechecks.recheck(self, since)
        if self._reading is not None:
            self._reading.go_on()

    def link_lost(self) -> None:
        """See Session."""
        if self._reading is not None:
            self._reading.link_lost()

    def lost(self) -> None:
        """See Session."""
        self.live = False
        reading, self._reading = self._reading, None
        if reading is not None:
            self._side.ended(self)
            reading.close()

    def farewell(self, code: str, retry_after: int = 0, message: str = "") -> None:
        """Close the connection: guests know no reasons."""
        self.connection.close(code)
