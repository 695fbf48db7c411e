"""A guest's reading of its conversations: what its Reader asks for is asked, and what that gives is written.

There is one while there is anything to do. When it has been quiet for a while it is dropped: its marks are in the
store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.errors import CIMError
from cim.server.guests.messages import Pushed, Shown, messages, paged
from cim.server.guests.side import GuestSide
from cim.server.sessions.batches import Done
from cim.server.sessions.table import Session
from cim.supervision import Loop
from cim.wire import cim_pb2, native, positions
from cim.wire.cim_pb2 import Deliver, News, Synced, Welcome
from cim.wire.error_table import RETRYABLE
from cim.wire.guests import Recipient, parse_packet
from cim.wire.positions import Position
from cim.wire.reader import STORED_SECONDS, Begun, Reader

#: A list or a page that failed is asked for again after so many seconds.
RETRY_SECONDS = 1.0
#: The least wait for what is due, so that nothing is looked at twice in a turn.
STEP_SECONDS = 0.05
#: Those who wait to hear that theirs was written, in one conversation, and that all is.
MAX_WAITING = 32


class GuestReading:
    """What one session reads.

    :param recipient: what its frames have of their own
    """

    __slots__ = ("_fetches", "_loop", "_reader", "_recipient", "_side", "_used", "_waiting", "session")
    _log = Logger()

    def __init__(self, side: GuestSide, session: Session, recipient: Recipient) -> None:
        self.session = session
        self._side = side
        self._recipient = recipient
        self._reader: Reader[Shown | None] = Reader(side.policy)
        self._loop = Loop("reading for a guest", self.go_on, side.clock)
        # Who waits to hear that a message was written, and that all was.
        self._waiting: dict[str, list[tuple[Pushed, Done]]] = {}
        self._fetches: list[Done] = []
        self._used = True

    # What comes.

    def want_all(self) -> None:
        """Have everything that is new listed, once it goes on."""
        self._reader.want(0, self._side.clock.seconds())

    def fetch(self, done: Done) -> None:
        """Write everything that is new; `done` is told when it was."""
        self.want_all()
        if done is not None:
            if len(self._fetches) < MAX_WAITING:
                self._fetches.append(done)
            else:
                done(False)
        self.go_on()

    def push(self, pushed: Pushed) -> bool:
        """Take a message that was pushed; True when it was written, now or before."""
        now = self._side.clock.seconds()
        self._used = True
        items = self._take(pushed, now)
        if items:
            self._hand(pushed.conversation, items, now, pushed)
        if self._fetches or not self._reader.caught_up:
            self.go_on()
        return self._is_written(pushed)

    def push_batch(self, batch: Sequence[tuple[Pushed, Done]]) -> None:
        """Take messages that were said at once in one conversation."""
        now = self._side.clock.seconds()
        items = [item for pushed, _ in batch for item in self._take(pushed, now)]
        self._hand(batch[0][0].conversation, items, now)
        self.go_on()
        for pushed, done in batch:
            if done is not None:
                if self._is_written(pushed):
                    done(True)
                else:
                    self.wait(pushed, done)

    def wait(self, pushed: Pushed, done: Done) -> None:
        """Tell `done` when a message that was pushed was written, or that it will not be."""
        assert done is not None
        waiting = self._waiting.setdefault(pushed.conversation, [])
        if self._shown(pushed) is None or len(waiting) == MAX_WAITING:
            done(False)
        else:
            waiting.append((pushed, done))
        self._answer(pushed.conversation)

    def told(self, packets: Iterable[bytes]) -> None:
        """Take the answer to a request."""
        now = self._side.clock.seconds()
        page: list[Deliver] = []
        for body in packets:
            packet = parse_packet(body)
            kind = packet.WhichOneof("body")
            if kind == "deliver":
                page.append(packet.deliver)
            elif kind == "synced":
                self._page(page, packet.synced, now)
            elif kind == "news":
                self._hand_begun(self._reader.listed(packet.news.heads, packet.news.more, now), now)
            elif kind == "failure":
                self._refused(packet.failure, now)
        self.go_on()

    def news(self, news: News) -> None:
        """Take heads that nobody asked for."""
        now = self._side.clock.seconds()
        self._hand_begun(self._reader.news(news.heads, now), now)
        if news.more:
            self.want_all()
        self.go_on()

    # What is done.

    def go_on(self) -> None:
        """Ask for what is due, unless the connection is slow, and tell those who waited for all."""
        session, side, reader = self.session, self._side, self._reader
        now = side.clock.seconds()
        self._used = True
        if not session.connection.slow:
            since = reader.first_page(now)
            if since is not None:
                self._list(since)
            for sync in reader.requests(now):
                key = sync.conversation or str(session.user)
                side.submissions.packet(session, native.packet(sync=sync), sync.conversation, key)
        for conversation in list(self._waiting):
            self._answer(conversation)
        if self._fetches and reader.caught_up:
            fetches, self._fetches = self._fetches, []
            _tell(fetches, True)
        self._arm(now)

    def receipts(self) -> list[tuple[str, Position]]:
        """Return how far the guest has come in conversations where that is not known yet."""
        return self._reader.receipts(self._side.clock.seconds())

    def receipts_lost(self, since: float) -> None:
        """What was returned since then (seconds on the clock) may be lost, and is to be returned again."""
        self._reader.receipts_lost(since, self._side.clock.seconds())

    def link_lost(self) -> None:
        """What just went up may be lost with a route."""
        self.receipts_lost(self._side.clock.seconds() - STORED_SECONDS)
        if self._reader.owes:
            self._side.receipts.note(self)

    def rests(self) -> bool:
        """Return whether nothing has happened since this was asked before, and nothing is to be done."""
        used, self._used = self._used, False
        busy = used or self._loop.due is not None or self._waiting or self._fetches
        return not busy and self._reader.rests(self._side.clock.seconds())

    def close(self) -> None:
        """End it: the session is over."""
        self._side.receipts.flush(self)
        self._loop.stop()
        waiting, self._waiting = self._waiting, {}
        for conversation in waiting.values():
            _tell([done for _, done in conversation], False)
        fetches, self._fetches = self._fetches, []
        _tell(fetches, False)

    # Inside.

    def _shown(self, pushed: Pushed) -> Pushed | None:
        return pushed if pushed.text is not None and pushed.sender != self.session.user else None

    def _take(self, pushed: Pushed, now: float) -> list[Shown | None]:
        return self._reader.pushed(
            pushed.conversation,
            pushed.position,
            pushed.previous,
            self._shown(pushed),
            now,
            since=pushed.since,
            first=pushed.first,
        )

    def _is_written(self, pushed: Pushed) -> bool:
        return (
            self._reader.held(pushed.conversation) >= pushed.position
            and self._shown(pushed) is not None
            and not pushed.undeliverable
        )

    def _hand(self, conversation: str, items: list[Shown | None], now: float, counted: Pushed | None = None) -> None:
        """Write what is handed over, and note that it was.

        :param counted: the message that whoever pushed it counts
        """
        shown = [item for item in items if item is not None]
        if shown:
            ready = messages(shown, self._recipient.generation, self._side.framing)
            if ready:
                self.session.connection.write(b"".join([message.frames(self._recipient) for message in ready]))
            self._side.metrics.messages_out += len(ready) - (counted in shown)
            self._reader.kept(conversation, now)
            self._side.receipts.note(self)
        if self._waiting:
            self._answer(conversation)

    def _hand_begun(self, begun: Iterable[Begun[Shown | None]], now: float) -> None:
        for conversation, _, items in begun:
            self._hand(conversation, items, now)

    def _page(self, page: Iterable[Deliver], synced: Synced, now: float) -> None:
        reader, conversation = self._reader, synced.conversation
        if not reader.knows(conversation):
            return
        items: list[Shown | None] = []
        for deliver in page:
            place = positions.parse(deliver.position), positions.parse(deliver.previous)
            items += reader.pushed(conversation, *place, paged(deliver, self.session.user), now)
        after, upto = positions.parse(synced.after), positions.parse(synced.upto)
        items += reader.synced(conversation, after, upto, synced.more, synced.reset, now)
        self._hand(conversation, items, now)
        # What a page brought need not come again, shown or not.
        reader.kept(conversation, now)
        if reader.owes:
            self._side.receipts.note(self)

    def _refused(self, failure: cim_pb2.Failure, now: float) -> None:
        delay = (failure.retry_after_seconds or RETRY_SECONDS) if failure.code in RETRYABLE else None
        self._reader.failed(failure.conversation, now, delay)

    def _answer(self, conversation: str) -> None:
        """Tell those who wait in a conversation what is known by now."""
        waiting = self._waiting.pop(conversation, [])
        settled = self._reader.settled(conversation)
        left = [one for one in waiting if not (settled or self._is_written(one[0]))]
        if left:
            self._waiting[conversation] = left
        for pushed, done in waiting:
            written = self._is_written(pushed)
            if done is not None and (settled or written):
                done(written)

    def _list(self, since: int) -> None:
        asking = Deferred.fromCoroutine(self._side.rechecks.heads(self.session, str(since) if since else ""))
        asking.addCallbacks(self._listed, self._not_listed)
        asking.addErrback(lambda failure: self._log.failure("a guest's conversations were not listed", failure))

    def _listed(self, welcome: Welcome) -> None:
        if self.session.live:
            now = self._side.clock.seconds()
            self._hand_begun(self._reader.listed(welcome.heads, welcome.more, now), now)
            self.go_on()

    def _not_listed(self, failure: Failure) -> None:
        failure.trap(CIMError)
        if self.session.live:
            self._reader.not_listed(self._side.clock.seconds(), RETRY_SECONDS)
            self.go_on()

    def _arm(self, now: float) -> None:
        """Come back when the next thing is due."""
        due = None if self.session.connection.slow else self._reader.due
        if due is None:
            self._loop.plan(None)
        else:
            self._loop.wake(max(due - now, STEP_SECONDS))


def _tell(waiting: Iterable[Done], written: bool) -> None:
    for done in waiting:
        if done is not None:
            done(written)
