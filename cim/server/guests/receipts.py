"""How far guests have come, told to the routes many at a time, for each message that they are written moves a mark."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from cim.interfaces import ILink
from cim.server.links.submissions import Submissions
from cim.server.sessions.table import Session
from cim.supervision import Loop
from cim.wire import positions
from cim.wire.link_pb2 import Item, Receipt, ReceiptBatch
from cim.wire.positions import Position

#: How long receipts gather, and how long they wait when they could not be told, seconds.
GATHER_SECONDS = 0.2
RETRY_SECONDS = 1.0
#: Receipts in one item.
RECEIPTS = 500


class Acknowledging(Protocol):
    """Whose receipts there are.

    :ivar session: the guest's
    """

    session: Session

    def receipts(self) -> list[tuple[str, Position]]:
        """Return how far the guest has come in conversations where that is not known yet."""

    def receipts_lost(self, since: float) -> None:
        """What was returned since then (seconds on the clock) may be lost, and is to be returned again."""


_Receipt = tuple[Acknowledging, str, Position]


class ReceiptsOfGuests:
    """Sends up the receipts of guests' readings."""

    def __init__(self, submissions: Submissions, clock: IReactorTime) -> None:
        self._submissions = submissions
        self._clock = clock
        self._noted: dict[Acknowledging, None] = {}
        self._loop = Loop("passing up how far guests have come", self._pass_up, clock)

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, reading: Acknowledging) -> None:
        """The guest may have come further: tell that soon."""
        self._noted[reading] = None
        self._loop.wake(GATHER_SECONDS)

    def flush(self, reading: Acknowledging) -> None:
        """Tell how far the guest has come: its session is over."""
        self._noted.pop(reading, None)
        self._tell([(reading, *receipt) for receipt in reading.receipts()])

    def _pass_up(self) -> None:
        readings, self._noted = self._noted, {}
        self._tell([(reading, *receipt) for reading in readings for receipt in reading.receipts()])

    def _tell(self, receipts: Sequence[_Receipt]) -> None:
        # To the routes that are asked for the users' heads, which count what they have not written yet.
        homes: dict[ILink | None, list[_Receipt]] = {}
        for receipt in receipts:
            homes.setdefault(self._submissions.link_of(str(receipt[0].session.user)), []).append(receipt)
        for of_home in homes.values():
            for at in range(0, len(of_home), RECEIPTS):
                self._tell_home(of_home[at : at + RECEIPTS])

    def _tell_home(self, receipts: Sequence[_Receipt]) -> None:
        since = self._clock.seconds()
        told = [
            Receipt(user=reading.session.user, conversation=conversation, position=positions.text(position))
            for reading, conversation, position in receipts
        ]
        asking = self._submissions.ask(
            str(receipts[0][0].session.user),
            Item(receipts=ReceiptBatch(receipts=told)),
        )

        def failed(error: object) -> None:
            for reading in dict.fromkeys(reading for reading, _, _ in receipts):
                if reading.session.live:
                    reading.receipts_lost(since)
                    self._noted[reading] = None
                    self._loop.wake(RETRY_SECONDS)

        asking.addErrback(failed)
