"""An established link without its transport: batches, credit, heartbeats, timeouts (docs/architecture.md, Links).

What one end sends within a reactor turn goes out as one Batch (or several if it is large). Each end tells the other, as
a running total, how many bytes of its batches it has handled. At most WINDOW unhandled bytes are in flight; the rest
waits in a bounded queue. Batches without items are neither counted nor held back: they carry the totals, so credit
cannot deadlock, and serve as heartbeats.

A full queue drops pushes (Deliver); once there is room again the peer is told that something was dropped.

Batches are sealed as they go out and opened as they come in; everything counted here counts sealed bytes.

Both ends count seconds by ticks, not by the clock: a process that was suspended has not heard its peer for a while, but
has no reason to consider it dead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError

from cim.errors import BadFrame
from cim.link.sealing import Sealing
from cim.wire.framing import encode_frame, encode_varint
from cim.wire.link_pb2 import Batch, Item, Missed

#: A batch of this many bytes takes no further item: several small batches are handled more evenly than a large one.
BATCH = 256 * 1024
#: The most bytes of batches in flight that the peer has not handled.
WINDOW = 2 * 1024 * 1024
#: The largest item, which makes a batch of its own. The peer reports its total whenever half a window is unreported, so
#: the unreported part never holds back even the largest item.
MAX_ITEM = WINDOW // 2 - 64
#: The largest frame that a peer may send: its batches, and room to grow.
MAX_FRAME = 2 * 1024 * 1024
#: The queue's bound for items that may be dropped when the peer is slow (Deliver), bytes.
QUEUE = 8 * 1024 * 1024
#: The queue's bound for all other items, bytes; the two ends would disagree without them, so above it the link ends.
CONTROL_QUEUE = 64 * 1024 * 1024
#: Ticks without sending until a heartbeat is due, and ticks without hearing anything until the peer is dead.
HEARTBEAT_TICKS = 3
SILENCE_TICKS = 10
#: Ticks after which a batch tells the time again, and how many of the peer's last times count.
TIME_TICKS = 3
TIMES = 6

_ENTRY = b"\x0a"  # field 1 of Batch, length-delimited
_CONSUMED = b"\x10"  # field 2 of Batch, varint
_TIME = b"\x18"  # field 3 of Batch, varint
_HEADS = tuple(_ENTRY + encode_varint(size) for size in range(1024))


class Pipe:
    """One end of an established link; its owner writes what `take` returns and calls `tick` every second."""

    __slots__ = (
        "_acknowledged",
        "_consumed",
        "_idle",
        "_missed",
        "_queue",
        "_queued",
        "_sent",
        "_silence",
        "_time_of_day",
        "_times",
        "_told",
        "_untimed",
        "overflowed",
        "sealing",
    )

    def __init__(self, time_of_day: Callable[[], float] | None = None) -> None:
        """
        :param time_of_day: the time in seconds since 1970, which is told the peer; None to tell it none
        """
        self._time_of_day = time_of_day
        self._untimed = TIME_TICKS
        #: By how many seconds our clock was ahead of the peer's, plus however long its batch was under way.
        self._times: deque[float] = deque(maxlen=TIMES)
        #: Whether an item was dropped without which the two ends would disagree, so that the link must end.
        self.overflowed = False
        #: Seals and opens the batches, if the link is sealed; set before the first batch.
        self.sealing: Sealing | None = None
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._sent = 0  # bytes of batches with items taken so far
        self._acknowledged = 0  # how many of them the peer has handled
        self._consumed = 0  # bytes of the peer's batches with items handled here
        self._told = 0  # how many of them the peer was told of
        self._idle = 0
        self._silence = 0
        #: Ticks since an item was dropped that the peer was not told about yet; -1 if there is none.
        self._missed = -1

    def send(self, item: Item) -> bool:
        """Queue an item; False if it was dropped because the queue is full or the item is larger than MAX_ITEM."""
        return self.send_packed(item.SerializeToString(), item.HasField("deliver"))

    def send_packed(self, body: bytes, droppable: bool) -> bool:
        """Queue a serialized item; False if it was dropped.

        :param droppable: whether a full queue may drop it
        """
        size = len(body)
        queued = self._queued
        if size > 1023:
            if size > MAX_ITEM:
                return False
            entry = _ENTRY + encode_varint(size) + body
        else:
            entry = _HEADS[size] + body
        queued += len(entry)
        if queued > QUEUE:
            if droppable:
                self._missed = max(0, self._missed)
                return False
            if queued > CONTROL_QUEUE:
                self.overflowed = True
                return False
        self._queued = queued
        self._queue.append(entry)
        return True

    @property
    def queued(self) -> int:
        """How many bytes wait to be taken."""
        return self._queued

    @property
    def in_flight(self) -> int:
        """How many bytes are in flight that the peer has not reported as handled."""
        return self._sent - self._acknowledged

    @property
    def due(self) -> bool:
        """Whether `take` may have something to write."""
        return self._queued > 0 or self._consumed - self._told >= WINDOW // 2 or self._idle >= HEARTBEAT_TICKS

    @property
    def skew(self) -> float | None:
        """How many seconds our clock is ahead of the peer's, by the batch that came fastest lately; None if unknown."""
        return min(self._times, default=None)

    @property
    def dead(self) -> bool:
        """Whether the peer was silent for too long."""
        return self._silence >= SILENCE_TICKS

    def take(self) -> list[tuple[int, bytes]]:
        """Return the batches to write now, as far as credit allows: each as its number of items and framed bytes."""
        batches: list[tuple[int, bytes]] = []
        if self._missed >= 0 and self._queued <= QUEUE // 2:
            missed, self._missed = Missed(seconds=self._missed), -1
            self.send(Item(missed=missed))
        while self._queued:
            count, items = self._take_items()
            if not count:
                break
            batches.append((count, self._frame(items)))
        if not batches and (self._consumed - self._told >= WINDOW // 2 or self._idle >= HEARTBEAT_TICKS):
            batches.append((0, self._frame(b"")))
        return batches

    def _take_items(self) -> tuple[int, bytes]:
        queue = self._queue
        credit = WINDOW - (self._sent - self._acknowledged) - 32  # room for the total and the time
        if self._queued <= credit and self._queued <= BATCH:
            count = len(queue)
            items = b"".join(queue)
            queue.clear()
            self._queued = 0
            return count, items
        entries: list[bytes] = []
        size = 0
        while queue and size + len(queue[0]) <= credit and (not entries or size + len(queue[0]) <= BATCH):
            entry = queue.popleft()
            entries.append(entry)
            size += len(entry)
        self._queued -= size
        return len(entries), b"".join(entries)

    def _frame(self, items: bytes) -> bytes:
        body = items
        if self._told != self._consumed:
            self._told = self._consumed
            body += _CONSUMED + encode_varint(self._consumed)
        if self._untimed >= TIME_TICKS and self._time_of_day is not None:
            self._untimed = 0
            body += _TIME + encode_varint(max(0, int(self._time_of_day() * 1000)))
        if items:
            self._sent += len(body)
        self._idle = 0
        return encode_frame(body if self.sealing is None else self.sealing.seal(body))

    def receive(self, body: bytes) -> Sequence[Item]:
        """Take a frame from the peer and return its items, which now count as handled: process them in this turn.

        Keeping one item keeps the memory of its whole batch.

        :raises BadFrame: the frame does not open, is not a batch, or gives credit for what was never sent
        """
        if self.sealing is not None:
            body = self.sealing.open(body)
        try:
            batch = Batch.FromString(body)
        except (DecodeError, UnicodeDecodeError):
            raise BadFrame("a frame on a link is not a batch")
        self._silence = 0
        told = batch.consumed
        if told:
            if not self._acknowledged <= told <= self._sent:
                raise BadFrame("a batch acknowledges more or fewer bytes than the other end can have handled")
            self._acknowledged = told
        if batch.time and self._time_of_day is not None:
            self._times.append(self._time_of_day() - batch.time / 1000)
        items = batch.items
        if items:
            self._consumed += len(body)
        return items

    def tick(self) -> None:
        """Note that a second has passed."""
        self._idle += 1
        self._untimed += 1
        self._silence += 1
        if self._missed >= 0:
            self._missed += 1
