"""How far guests have come, told to the routes many at a time, for each message that they are written moves a mark."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from cim.icim import ILink
from cim.server.sessions import GuestSession, Sessions
from cim.server.submissions import Submissions
from cim.wire import positions
from cim.wire.link_pb2 import GuestReceipt, GuestReceipts, Item
from cim.wire.positions import Position

#: How long receipts gather, and how long they wait when they could not be told, seconds.
GATHER_SECONDS = 0.2
RETRY_SECONDS = 1.0
#: Receipts in one item.
RECEIPTS = 500

_Receipt = tuple[GuestSession, str, Position]


class ReceiptsOfGuests:
    """Sends up the receipts of guests' backlogs."""

    def __init__(self, sessions: Sessions, submissions: Submissions, clock: IReactorTime) -> None:
        self._sessions = sessions
        self._submissions = submissions
        self._clock = clock
        self._noted: dict[GuestSession, None] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._noted)

    def __contains__(self, session: GuestSession) -> bool:
        """Whether a session may have receipts to be told."""
        return session in self._noted

    def note(self, session: GuestSession) -> None:
        """The session may have come further: tell that soon."""
        if session not in self._noted:
            self._noted[session] = None
            if self._timer is None:
                self._timer = self._clock.callLater(GATHER_SECONDS, self._time)

    def closed(self, session: GuestSession) -> None:
        """Tell how far a session came that has ended."""
        self._noted.pop(session, None)
        self._tell(self._receipts_of(session))

    def _time(self) -> None:
        self._timer = None
        sessions, self._noted = self._noted, {}
        self._tell([receipt for session in sessions for receipt in self._receipts_of(session)])

    def _receipts_of(self, session: GuestSession) -> list[_Receipt]:
        if session.backlog is None:
            return []
        return [(session, *receipt) for receipt in session.backlog.receipts(self._clock.seconds())]

    def _tell(self, receipts: Sequence[_Receipt]) -> None:
        # To the routes that are asked for the users' heads, which count what they have not written yet.
        homes: dict[ILink | None, list[_Receipt]] = {}
        for receipt in receipts:
            homes.setdefault(self._submissions.home(receipt[0].user), []).append(receipt)
        for of_home in homes.values():
            for at in range(0, len(of_home), RECEIPTS):
                self._tell_home(of_home[at : at + RECEIPTS])

    def _tell_home(self, receipts: Sequence[_Receipt]) -> None:
        told = [
            GuestReceipt(user=session.user, conversation=conversation, position=positions.text(position))
            for session, conversation, position in receipts
        ]
        asking = self._submissions.ask(
            str(receipts[0][0].user), lambda call: Item(guest_receipts=GuestReceipts(call=call, receipts=told))
        )

        def failed(error: object) -> None:
            # Guests know no positions, so what is told late is better than a repeat.
            again = [receipt for receipt in receipts if receipt[0] in self._sessions]
            if again:
                self._clock.callLater(RETRY_SECONDS, self._tell, again)

        asking.addErrback(failed)
