"""What guests are written of conversations: what was pushed as it came, what came in pages by runs of one sender."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import frozen

from cim.errors import CIMError
from cim.server.sessions.batches import Batch
from cim.server.sessions.shared_packet import SharedPacket
from cim.wire import positions
from cim.wire.cim_pb2 import Deliver
from cim.wire.conversations import EVERYONE
from cim.wire.guests import Generation, GuestMessage
from cim.wire.native import guest_text
from cim.wire.positions import ZERO

#: Messages in one OFFLINE frame.
RUN = 100
#: How long before a message was sent its conversation may have been noted as active, ms.
ACTIVITY_MS = 1000


@frozen
class Framing:
    """Makes messages ready to be framed for any guest.

    :param max_frame: the largest frame that guests are sent, bytes
    :param refused: called for every text that fits into none
    """

    max_frame: int
    refused: Callable[[], None]

    def of(
        self, sender: int, name: str, texts: Sequence[str], *, batch: bool = False, offline: bool = False
    ) -> list[GuestMessage]:
        """Return the texts as one message; without those that fit into no frame, which keep no others back."""
        whole = self.whole(sender, name, texts, batch=batch, offline=offline)
        if whole is not None:
            return [whole]
        if len(texts) == 1:
            self.refused()
            return []
        return [message for text in texts for message in self.of(sender, name, (text,), batch=batch, offline=offline)]

    def whole(
        self, sender: int, name: str, texts: Sequence[str], *, batch: bool = False, offline: bool = False
    ) -> GuestMessage | None:
        """Return the texts as one message; None when one of them fits into no frame."""
        try:
            return GuestMessage(sender, name, texts, batch=batch, offline=offline, max_frame=self.max_frame)
        except CIMError:
            return None


class Pushed:
    """A message that was pushed, as the guests' sessions of a server see it: read once, and made ready once.

    :ivar text: what guests are shown; None for nothing
    :ivar first: it is the very first of its conversation, and was said just now
    :ivar since: its conversation was active then or later, ms since 1970
    :ivar batch: the batch that it is of, and which one of it
    """

    __slots__ = (
        "_framing", "_ready", "batch", "conversation", "everyone", "first", "number", "position", "previous", "sender",
        "sender_name", "since", "text",
    )  # fmt: skip

    def __init__(self, shared: SharedPacket, deliver: Deliver, framing: Framing) -> None:
        self.conversation = deliver.conversation
        self.everyone = self.conversation == EVERYONE
        self.position = positions.parse(deliver.position)
        self.previous = positions.parse(deliver.previous, "previous")
        self.first = self.previous == ZERO and not shared.repeated
        self.since = max(0, deliver.sent_at - ACTIVITY_MS)
        self.sender = deliver.sender
        self.sender_name = deliver.sender_name
        self.text = guest_text(deliver, new=not shared.repeated)
        self.batch = shared.batch
        self.number = self.batch.packets.index(shared) if self.batch is not None else 0
        self._framing = framing
        self._ready: list[GuestMessage] | None = None

    @property
    def ready(self) -> list[GuestMessage]:
        """What is written of it; nothing when it fits into no frame."""
        ready = self._ready
        if ready is None:
            assert self.text is not None
            ready = self._ready = self._framing.of(self.sender, self.sender_name, (self.text,))
        return ready

    @property
    def undeliverable(self) -> bool:
        """Whether it was found to fit into no frame."""
        return self._ready is not None and not self._ready


@frozen
class Paged:
    """A message of a page, as a guest is shown it."""

    sender: int
    sender_name: str
    text: str


#: What a guest's session hands over.
Shown = Pushed | Paged


def paged(deliver: Deliver, receiver: int) -> Paged | None:
    """Return what a guest is shown of a message of a page; None for its own and for what guests do not see."""
    if deliver.sender == receiver:
        return None
    text = guest_text(deliver)
    return Paged(deliver.sender, deliver.sender_name, text) if text is not None else None


def messages(items: Sequence[Shown], generation: Generation, framing: Framing) -> list[GuestMessage]:
    """Return what to write of what is handed over at once, in order.

    W2 gets what came in pages as OFFLINE frames, one for each run of one sender, and a batch that is whole as one
    frame. W1, which knows neither, gets ordinary messages.
    """
    modern = generation is Generation.W2
    found: list[GuestMessage] = []
    at = 0
    while at < len(items):
        item = items[at]
        if isinstance(item, Paged):
            run = _run(items[at : at + RUN], item.sender)
            texts = [one.text for one in run]
            found += framing.of(item.sender, item.sender_name, texts, batch=modern, offline=modern)
            at += len(run)
            continue
        batch = item.batch
        if modern and batch is not None and _begins(items, at, batch):
            of_batch = items[at : at + len(batch.packets)]
            whole = _of_batch(batch, of_batch, framing)
            # Else one by one, so that it is known of each whether it was written.
            found += (whole,) if whole else _singly(of_batch)
            at += len(batch.packets)
        else:
            found += item.ready
            at += 1
    return found


def _run(items: Sequence[Shown], sender: int) -> list[Paged]:
    """Return what one sender said at the beginning of what came in pages."""
    run = []
    for item in items:
        if not isinstance(item, Paged) or item.sender != sender:
            break
        run.append(item)
    return run


def _begins(items: Sequence[Shown], at: int, batch: Batch) -> bool:
    """Return whether all of a batch is there, from that item on and with nothing between."""
    size = len(batch.packets)
    found = items[at : at + size]
    return (
        batch.whole
        and len(found) == size
        and all(isinstance(item, Pushed) and item.batch is batch and item.number == n for n, item in enumerate(found))
    )


def _singly(items: Sequence[Shown]) -> list[GuestMessage]:
    return [message for item in items if isinstance(item, Pushed) for message in item.ready]


def _of_batch(batch: Batch, items: Sequence[Shown], framing: Framing) -> GuestMessage | None:
    if batch.for_guests is None:
        first = items[0]
        texts = [item.text for item in items if item.text is not None]
        batch.for_guests = framing.whole(first.sender, first.sender_name, texts, batch=True) or False
    return batch.for_guests or None
