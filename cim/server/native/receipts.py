"""Received on its way up: only the newest of each conversation, a few times a second, many sessions' at a time.

See docs/architecture.md, Receipts and news.

A lost receipt costs only repeated messages, which clients drop by their positions, so nothing waits for their answers.
A Read does not wait here: it counts up to the end of its conversation as it is when it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from cim.interfaces import RUNS, ILink
from cim.server.links.submissions import Submissions
from cim.supervision import Loop
from cim.wire import positions
from cim.wire.link_pb2 import Item, Receipt, ReceiptBatch

if TYPE_CHECKING:
    from cim.server.native.session import NativeSession

SECONDS = 0.2
#: How many receipts of one session may wait; beyond that they all go up at once.
MAX_WAITING = 64
#: Receipts in one item.
RECEIPTS = 500


#: Receipts and their conversations, by the link that they go over.
_Together = dict[ILink, list[tuple[str, Receipt]]]


class NativeReceipts:
    """Holds sessions' receipts until they are sent up."""

    def __init__(self, submissions: Submissions, clock: IReactorTime) -> None:
        self._submissions = submissions
        self._waiting: dict[NativeSession, None] = {}
        self._loop = Loop("passing up what was received", self._pass_up, clock)

    def note(self, session: NativeSession, conversation: str, position: str, packet: bytes) -> None:
        """Take a receipt; one that is behind a waiting one is dropped.

        :raises InvalidField: `position` is not a position
        """
        place = positions.parse(position)
        waiting = session.receipts
        if waiting is None:
            waiting = session.receipts = {}
        held = waiting.get(conversation)
        if held is not None and held[0] >= place:
            return
        waiting[conversation] = (place, packet)
        self._waiting[session] = None
        if len(waiting) >= MAX_WAITING:
            self.flush(session)
        elif self._loop.due is None:
            self._loop.wake(SECONDS)

    def flush(self, session: NativeSession) -> None:
        """Send up a session's waiting receipts."""
        together: _Together = {}
        self._take(session, together)
        self._send(together)

    def _pass_up(self) -> None:
        together: _Together = {}
        try:
            while self._waiting:
                self._take(next(iter(self._waiting)), together)
        finally:
            self._send(together)

    def _take(self, session: NativeSession, together: _Together) -> None:
        """Take a session's receipts, and send those up that cannot go with others."""
        self._waiting.pop(session, None)
        waiting, session.receipts = session.receipts, None
        for conversation, (place, packet) in (waiting or {}).items():
            link = self._submissions.link_of(conversation)
            if link is None or link.version < RUNS:
                self._submissions.receipt(session, packet, conversation)
                continue
            receipt = Receipt(
                user=session.user, device=session.device, conversation=conversation, position=positions.text(place)
            )
            together.setdefault(link, []).append((conversation, receipt))

    def _send(self, together: _Together) -> None:
        for of_link in together.values():
            for at in range(0, len(of_link), RECEIPTS):
                some = of_link[at : at + RECEIPTS]
                batch = ReceiptBatch(receipts=[receipt for _, receipt in some])
                asking = self._submissions.ask(some[0][0], Item(receipts=batch))
                asking.addErrback(lambda _: None)
