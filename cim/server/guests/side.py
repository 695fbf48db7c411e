"""What the sessions of a server's guests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from cim.daemon.metrics import Metrics
from cim.errors import CIMError
from cim.server.guests.messages import Framing, Pushed
from cim.server.guests.receipts import ReceiptsOfGuests
from cim.server.links.groups import GroupIndex
from cim.server.links.rechecks import Rechecks
from cim.server.links.submissions import Submissions
from cim.server.sessions.shared_packet import SharedPacket
from cim.server.sessions.table import Sessions
from cim.supervision import Loop
from cim.wire.cim_pb2 import News, Synced
from cim.wire.gap import GapPolicy
from cim.wire.guests import parse_packet
from cim.wire.reader import ReaderPolicy, Unlisted

#: What guests' readers are bound to: pages that are under way, messages kept aside, conversations.
SYNCS = 4
KEPT_ASIDE = 200
CONVERSATIONS = 256
#: When readings that have nothing to do are looked for, seconds.
SWEEP_SECONDS = 30.0


class Reads(Protocol):
    """A session that reads conversations."""

    def rested(self) -> bool:
        """Return whether it has read nothing since this was asked before, and reads no more for now."""


class GuestSide:
    """The collaborators of guests' sessions, and what is theirs together.

    :param max_frame: the largest frame that guests are sent, bytes
    :param random: from 0 to 1
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        submissions: Submissions,
        rechecks: Rechecks,
        index: GroupIndex,
        clock: IReactorTime,
        metrics: Metrics,
        max_frame: int,
        random: Callable[[], float],
    ) -> None:
        self.sessions = sessions
        self.submissions = submissions
        self.rechecks = rechecks
        self.index = index
        self.clock = clock
        self.metrics = metrics
        self.framing = Framing(max_frame, lambda: metrics.refused("undeliverable"))
        self.policy = ReaderPolicy(
            GapPolicy(random, capacity=KEPT_ASIDE), Unlisted.NOTHING_NEW, syncs=SYNCS, capacity=CONVERSATIONS
        )
        self.receipts = ReceiptsOfGuests(submissions, clock)
        self._reading: dict[Reads, None] = {}
        self._loop = Loop("looking for guests that read nothing", self._sweep, clock)

    def __len__(self) -> int:
        return len(self._reading)

    def read(self, shared: SharedPacket) -> Pushed | News | Synced | None:
        """Return what guests see in a packet, and note it there; None when it is nothing for them."""
        found: Pushed | News | Synced | None = None
        try:
            packet = parse_packet(shared.packet)
            kind = packet.WhichOneof("body")
            if kind == "deliver":
                found = Pushed(shared, packet.deliver, self.framing)
            elif kind == "news":
                found = packet.news
            elif kind == "synced":
                found = packet.synced
        except CIMError:
            self.framing.refused()
        shared.for_guests = found if found is not None else False
        return found

    def began(self, session: Reads) -> None:
        """A session reads; it is asked now and then whether it has come to rest."""
        self._reading[session] = None
        self._loop.wake(SWEEP_SECONDS)

    def ended(self, session: Reads) -> None:
        """A session reads no more."""
        self._reading.pop(session, None)

    def _sweep(self) -> float | None:
        for session in [session for session in self._reading if session.rested()]:
            del self._reading[session]
        return SWEEP_SECONDS if self._reading else None
