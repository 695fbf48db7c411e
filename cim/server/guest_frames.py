"""What guests are written of conversations: live messages as they come, stored ones by runs (DESIGN.md section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import frozen

from cim.ecim import CIMError
from cim.wire.cim_pb2 import Deliver
from cim.wire.guests import Generation, GuestMessage
from cim.wire.native import guest_texts

#: Messages in one OFFLINE frame.
RUN = 100


@frozen
class Stored:
    """A message of a page, as a guest is shown it."""

    sender: int
    sender_name: str
    text: str


#: A message that was pushed, ready for any guest, or one of a page.
Shown = GuestMessage | Stored


def shown(deliver: Deliver, receiver: int) -> Stored | None:
    """Return what a guest is shown of a message of a page; None for its own and for what guests do not see."""
    if deliver.sender == receiver:
        return None
    texts = guest_texts(deliver)
    return Stored(deliver.sender, deliver.sender_name, texts[0]) if texts else None


def messages(items: Iterable[Shown], generation: Generation, max_frame: int) -> Iterator[GuestMessage | None]:
    """Yield what to write, in order; None for each stored message that fits into no frame.

    W2 gets the stored ones as OFFLINE frames, one for each run of one sender; W1 as ordinary messages.
    """
    run: list[Stored] = []
    for item in items:
        if isinstance(item, Stored):
            if run and (run[0].sender != item.sender or len(run) == RUN):
                yield from _run(run, generation, max_frame)
                run = []
            run.append(item)
        else:
            if run:
                yield from _run(run, generation, max_frame)
                run = []
            yield item
    if run:
        yield from _run(run, generation, max_frame)


def _run(run: Sequence[Stored], generation: Generation, max_frame: int) -> Iterator[GuestMessage | None]:
    offline = generation is Generation.W2

    def framed(texts: Sequence[str]) -> GuestMessage:
        return GuestMessage(
            run[0].sender, run[0].sender_name, texts, batch=offline, offline=offline, max_frame=max_frame
        )

    try:
        yield framed([stored.text for stored in run])
    except CIMError:
        # One that fits into no frame must not keep the others back.
        for stored in run:
            try:
                yield framed([stored.text])
            except CIMError:
                yield None
