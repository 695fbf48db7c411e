"""Messages that are not accepted yet: kept in order, and resent until they are accepted or refused.

The messages to one receiver form a lane. The number under way is bounded per lane and in total, below the number at
which the server stops reading. When a message fails temporarily, the server fails all messages behind it in its lane
(docs/protocol.md, Sending): the lane waits until none is under way and the server's delay is over, and continues from
the first. When the connection ends, the fate of everything unanswered is unknown, and it is resent in the next
session. Repetitions are harmless: the client id makes them the same message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from cim.client.backoff import Backoff
from cim.client.values import Sent, Waiting
from cim.errors import (
    CIMError,
    Conflict,
    InvalidField,
    RateLimited,
    TooLarge,
    Unavailable,
    Unreachable,
)
from cim.supervision import Loop
from cim.wire.cim_pb2 import Failure, Packet, Send
from cim.wire.error_table import RETRYABLE, of_failure
from cim.wire.framing import encode_frame
from cim.wire.native import check_send

#: The most messages that may wait at a time.
MAX_WAITING = 1000
#: The most unanswered messages of one lane, and of all lanes; servers stop reading at 64.
LANE_WINDOW = 16
WINDOW = 48
#: After how many seconds without an answer to a message the connection is useless.
ANSWER_SECONDS = 25.0
FIRST_WAIT = 0.25
LAST_WAIT = 10.0


def send_of(waiting: Waiting) -> Send:
    """Return the Send of a message.

    :raises InvalidField, TooLarge: the message can never be sent
    """
    try:
        send = Send(
            client_id=waiting.client_id,
            text=waiting.text,
            data=waiting.data,
            content_type=waiting.content_type,
            kind=waiting.kind.name,
            ref=waiting.ref,
        )
        if waiting.user:
            send.user = waiting.user
        else:
            send.group = waiting.group
    except UnicodeEncodeError:
        raise InvalidField("text", "must not contain lone surrogates")
    except ValueError as error:
        raise InvalidField("message", str(error))
    check_send(send)
    return send


@define(eq=False)
class Unanswered:
    """A message that is not accepted yet.

    :ivar size: of the Packet in the frame, bytes
    :ivar written: when it was written to the present connection; None if it was not, or failed there
    :ivar ever: whether it was ever written
    """

    waiting: Waiting
    frame: bytes
    size: int
    written: float | None = None
    ever: bool = False
    told: list[Deferred[Sent]] = field(factory=list)

    def answered(self, how: Callable[[Deferred[Sent]], None]) -> None:
        """Pass the answer to everybody who waits for it."""
        told, self.told = self.told, []
        for one in told:
            how(one)

    def refused(self, error: CIMError) -> None:
        """Fail for everybody who waits for it."""
        self.answered(lambda told: told.errback(error))


@define(eq=False)
class _Lane:
    backoff: Backoff
    pending: dict[str, Unanswered] = field(factory=dict)
    under_way: int = 0
    #: After a failure, nothing is written before this time; 0 for no failure.
    blocked: float = 0.0


class Outbox:
    """Keeps messages until they are answered.

    :param random: jitter: returns a number from 0 up to 1
    :param forget: called with the client id of each message that was answered
    """

    def __init__(self, clock: IReactorTime, random: Callable[[], float], forget: Callable[[str], object]) -> None:
        self._clock = clock
        self._random = random
        self._forget = forget
        self._write: Callable[[bytes], object] | None = None
        self._lanes: dict[tuple[int, int], _Lane] = {}
        self._all: dict[str, Unanswered] = {}
        self._under_way = 0
        #: The largest Packet that the server takes, bytes; 0 while that is not known.
        self._max_packet = 0
        self._loop = Loop("writing what waits to be sent", self._pump, clock)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, waiting: Waiting) -> Deferred[Sent]:
        """Add a message; fires when it is accepted.

        A message with the client id of one that already waits is the same message. Fails with RateLimited if too many
        wait, and with InvalidField or TooLarge if it can never be sent.
        """
        known = self._all.get(waiting.client_id)
        if known is not None and known.waiting != waiting:
            raise Conflict("another message with this client id is waiting to be sent")
        if known is None:
            if len(self._all) >= MAX_WAITING:
                raise RateLimited(f"{MAX_WAITING} messages are already waiting to be sent: try again later")
            known = self._put(waiting)
        told: Deferred[Sent] = Deferred()
        known.told.append(told)
        self._pump()
        return told

    def load(self, waiting: Sequence[Waiting]) -> None:
        """Add the messages that were waiting when the program last ended."""
        for one in waiting:
            if one.client_id not in self._all:
                try:
                    self._put(one)
                except CIMError:
                    self._forget(one.client_id)

    def knows(self, client_id: str) -> bool:
        """Return whether a message with that client id is waiting."""
        return client_id in self._all

    def _put(self, waiting: Waiting) -> Unanswered:
        packet = Packet(send=send_of(waiting)).SerializeToString()
        if self._is_too_large(len(packet)):
            raise self._too_large(len(packet))
        outgoing = self._all[waiting.client_id] = Unanswered(waiting, encode_frame(packet), len(packet))
        lane = self._lane(waiting)
        lane.pending[waiting.client_id] = outgoing
        return outgoing

    def _is_too_large(self, size: int) -> bool:
        return 0 < self._max_packet < size

    def _too_large(self, size: int, ever: bool = False) -> TooLarge:
        doubt = ": it may or may not have been sent before, to another server" if ever else ""
        return TooLarge(f"the message has {size} bytes as it is sent; this server takes {self._max_packet}{doubt}")

    def _lane(self, waiting: Waiting) -> _Lane:
        key = waiting.user, waiting.group
        if key not in self._lanes:
            self._lanes[key] = _Lane(Backoff(self._random, first=FIRST_WAIT, cap=LAST_WAIT))
        return self._lanes[key]

    # The session

    def begin(self, write: Callable[[bytes], object], max_packet: int = 0) -> None:
        """Start writing all messages in order, in a new session; fail those that are too large for its server.

        :param max_packet: the largest Packet that the server takes, bytes; 0 if it does not say
        """
        self._max_packet = max_packet
        for outgoing in [one for one in self._all.values() if self._is_too_large(one.size)]:
            self._take(outgoing.waiting.client_id)
            outgoing.refused(self._too_large(outgoing.size, outgoing.ever))
        self._write = write
        self._pump()

    def ended(self) -> None:
        """Note that the session has ended: everything unanswered must be written again."""
        self._write = None
        self._under_way = 0
        for lane in self._lanes.values():
            lane.under_way, lane.blocked = 0, 0.0
            for outgoing in lane.pending.values():
                outgoing.written = None
        self._set_timer()

    def accepted(self, client_id: str) -> Unanswered | None:
        """Remove an accepted message, and return it so that its senders can be told; None if it is unknown."""
        outgoing = self._take(client_id)
        if outgoing is not None:
            self._pump()
        return outgoing

    def failed(self, failure: Failure) -> None:
        """Fail a message that was refused, or write it again later if the failure is temporary."""
        outgoing = self._all.get(failure.client_id)
        if outgoing is None:
            return
        if failure.code in RETRYABLE:
            if outgoing.written is not None:
                lane = self._lane(outgoing.waiting)
                self._not_under_way(lane, outgoing)
                if not lane.blocked:
                    wait = float(failure.retry_after_seconds) + lane.backoff.next()
                    lane.blocked = self._clock.seconds() + wait
        else:
            self._take(failure.client_id)
            outgoing.refused(of_failure(failure.code, failure.message or "refused"))
        self._pump()

    def stuck(self) -> bool:
        """Return whether a message has been unanswered for so long that the connection is useless."""
        late = self._clock.seconds() - ANSWER_SECONDS
        return any(
            outgoing.written is not None and outgoing.written <= late
            for lane in self._lanes.values()
            for outgoing in lane.pending.values()
        )

    def close(self) -> None:
        """Send nothing more, and fail all waiting messages."""
        self.ended()
        self._lanes.clear()
        everything, self._all = self._all, {}
        for outgoing in everything.values():
            error: CIMError = Unreachable("the client was closed before this was sent")
            if outgoing.ever:
                error = Unavailable("the client was closed before this was answered: it may or may not have been sent")
            outgoing.refused(error)

    def _take(self, client_id: str) -> Unanswered | None:
        outgoing = self._all.pop(client_id, None)
        if outgoing is None:
            return None
        lane = self._lane(outgoing.waiting)
        del lane.pending[client_id]
        self._not_under_way(lane, outgoing)
        lane.backoff.reset()
        if not lane.pending:
            del self._lanes[outgoing.waiting.user, outgoing.waiting.group]
        self._forget(client_id)
        return outgoing

    def _not_under_way(self, lane: _Lane, outgoing: Unanswered) -> None:
        if outgoing.written is not None:
            outgoing.written = None
            lane.under_way -= 1
            self._under_way -= 1

    def _pump(self) -> None:
        """Write as many messages as allowed."""
        if self._write is None:
            return
        now = self._clock.seconds()
        frames = []
        for lane in self._lanes.values():
            if lane.blocked:
                # Messages under way behind the failed one fail, too; then all are resent from the first on.
                if lane.under_way or now < lane.blocked:
                    continue
                lane.blocked = 0.0
            if lane.under_way >= len(lane.pending):
                continue
            for outgoing in lane.pending.values():
                if lane.under_way >= LANE_WINDOW or self._under_way >= WINDOW:
                    break
                if outgoing.written is None:
                    outgoing.written, outgoing.ever = now, True
                    lane.under_way += 1
                    self._under_way += 1
                    frames.append(outgoing.frame)
        if frames:
            self._write(b"".join(frames))
        self._set_timer()

    def _set_timer(self) -> None:
        """Set the timer for the first waiting lane that may continue."""
        waits = [lane.blocked for lane in self._lanes.values() if lane.blocked and not lane.under_way]
        self._loop.plan(min(waits) - self._clock.seconds() if waits and self._write is not None else None)
