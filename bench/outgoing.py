"""One member's end of a conversation: what it holds, and what it sent that is not accepted yet."""

from __future__ import annotations

import hashlib
from typing import Any

from attrs import define, field

from bench.history import Handed
from cim.wire import positions
from cim.wire.gap import GapRule

#: Sends of one conversation that may wait for their answer at a time.
WINDOW = 16


def content_of(message: Any) -> bytes:
    """Return a hash of what a Send or a Deliver says."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (message.text.encode(), message.data, message.content_type.encode()):
        digest.update(b"%d:%b" % (len(part), part))
    return digest.digest()


@define(eq=False)
class Outgoing:
    """A message that is not accepted yet.

    :ivar written: when it was written to the present connection; None: it was not, or it failed there
    """

    number: int
    frame: bytes
    written: float | None = None


@define(eq=False)
class Conversation:
    """One member's end of a conversation.

    :ivar patient: when something failed it waits until nothing is unanswered before it repeats; else it repeats at once
        all from the first that failed on, also what is unanswered
    :ivar numbers: how many messages it has sent here
    :ivar pending: number -> what is not accepted, in the order of sending
    :ivar unacknowledged: messages since the last receipt
    """

    name: str
    rule: GapRule[Handed]
    patient: bool = True
    numbers: int = 0
    pending: dict[int, Outgoing] = field(factory=dict)
    acknowledged: positions.Position = positions.ZERO
    unacknowledged: int = 0
    _in_flight: int = 0
    #: Nothing is written before, because something failed so that it may come again; 0: nothing did.
    _blocked_until: float = 0.0

    def add(self, frame: bytes) -> None:
        """Take the next message that is to be sent."""
        self.pending[self.numbers] = Outgoing(self.numbers, frame)
        self.numbers += 1

    def due(self, now: float) -> list[bytes]:
        """Return what is to be written now, in order; it counts as written."""
        if now < self._blocked_until:
            return []
        if self._blocked_until:
            # What is in flight behind the one that failed fails, too; then all goes again from the first on.
            if self.patient and self._in_flight:
                return []
            self._blocked_until = 0.0
            behind = False
            for outgoing in self.pending.values():
                if outgoing.written is None:
                    behind = True
                elif behind:
                    outgoing.written = None
                    self._in_flight -= 1
        frames = []
        for outgoing in self.pending.values():
            if self._in_flight >= WINDOW:
                break
            if outgoing.written is None:
                outgoing.written = now
                self._in_flight += 1
                frames.append(outgoing.frame)
        return frames

    def answered(self, number: int) -> bool:
        """A message was accepted or refused for good; return whether it waited for that."""
        outgoing = self.pending.pop(number, None)
        if outgoing is None:
            return False
        if outgoing.written is not None:
            self._in_flight -= 1
        return True

    def failed(self, number: int, until: float) -> None:
        """A message failed and may come again, not before `until`."""
        outgoing = self.pending.get(number)
        if outgoing is not None and outgoing.written is not None:
            outgoing.written = None
            self._in_flight -= 1
            self._blocked_until = max(self._blocked_until, until)

    def disconnected(self, now: float) -> None:
        """The connection is gone: what was written there is to be written again."""
        self.rule.failed(now, 0.0)
        self._in_flight, self._blocked_until = 0, 0.0
        for outgoing in self.pending.values():
            outgoing.written = None

    def forget(self) -> int:
        """Forget what is not accepted, and return how much that was."""
        forgotten = len(self.pending)
        self.pending.clear()
        self._in_flight, self._blocked_until = 0, 0.0
        return forgotten

    def waiting_since(self) -> float | None:
        """Return when the first message without an answer was written."""
        first = next(iter(self.pending.values()), None)
        return None if first is None else first.written
