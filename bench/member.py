"""A native client that follows the protocol to the letter and notes what happens, for a history that is checked.

It logs in through any route, connects, sends, and reads by the gap rule. When its connection ends, or is silent for too
long, it comes back with backoff; then what was not accepted is sent again, in order, under the same client ids. What it
has missed it learns as every client does: from the heads of its Welcome and from News.

    away -> POST /v1/sessions -> connect -> Hello ... Welcome -> live -> connection lost -> away
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater

from bench.history import Handed, History
from bench.http import HTTPError, HTTPPool
from bench.native import (
    PING_FRAME,
    PONG_FRAME,
    NativeConnection,
    Place,
    connect,
    hello_frame,
    packet_frame,
    received_frame,
)
from bench.native import log_in as ask_to_log_in
from bench.outgoing import Conversation, content_of
from bench.websocket import connect_websocket
from cim.wire import conversations, positions
from cim.wire.cim_pb2 import Deliver, Goodbye, Head, Packet, Send, Sync
from cim.wire.error_table import RETRYABLE
from cim.wire.gap import GapPolicy, GapRule

PAGE = 100
TICK_SECONDS = 0.05
#: A receipt goes out after this many seconds or messages.
RECEIPT_SECONDS = 1.0
RECEIPT_MESSAGES = 100
#: After how many seconds of silence a connection is pinged, and dropped.
PING_SECONDS = 3.0
SILENT_SECONDS = 8.0
#: After how many seconds without an answer to a Send the connection is useless.
ANSWER_SECONDS = 25.0
WELCOME_SECONDS = 10.0
CALL_SECONDS = 10.0
#: Bounds of the backoff (with full jitter) of logins and of failed messages, in seconds.
FIRST_DELAY = 0.2
LAST_DELAY = 3.0


class Away(Exception):
    """Raised when the member cannot log in, or its connection ends before the Welcome."""


class Member:
    """One identity on one device.

    :param name: of its account
    :param pools: one for each route
    :param history: what is noted goes there
    :param handed: called with conversation, message and time of everything that is handed over
    :param accepted: called with conversation, number and time of everything that is accepted
    :param reader: under which id the history knows what it is handed; its user id when 0
    :param number_of: returns the number of a message, when not the client id says that
    :param subprotocol: of its WebSocket; empty: it uses TCP
    :param patient: see `bench.outgoing.Conversation`
    """

    def __init__(
        self,
        reactor: Any,
        chooser: random.Random,
        name: str,
        password: str,
        user: int,
        pools: Sequence[HTTPPool],
        history: History,
        *,
        device: str = "bench",
        reader: int = 0,
        subprotocol: str = "",
        patient: bool = True,
        number_of: Callable[[Deliver], int | None] = lambda deliver: None,
        handed: Callable[[str, Handed, float], object] = lambda conversation, message, now: None,
        accepted: Callable[[str, int, float], object] = lambda conversation, number, now: None,
    ) -> None:
        self._reactor = reactor
        self._random = chooser
        self._name = name
        self._password = password
        self.user = user
        self.reader = reader or user
        self._pools = pools
        self._history = history
        self._device = device
        self._subprotocol = subprotocol
        self._patient = patient
        self._number_of = number_of
        self._told_handed = handed
        self._told_accepted = accepted
        self._policy = GapPolicy(chooser.random)
        self._life = 0
        self._token = ""
        self._connection: NativeConnection | None = None
        self._ended = False
        self._ending: Deferred[None] | None = None
        self._heard = 0.0
        self._pinged = 0.0
        self._receipted = 0.0
        self._welcomed = False
        self._late: Any = None
        self._since = ""
        self._wait = 0.0
        self._heads: tuple[str, float] | None = None
        self.live = False
        self.conversations: dict[str, Conversation] = {}
        self.counts: Counter[str] = Counter()
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = reactor

    # What its application does

    def start(self) -> None:
        """Go online, and stay online until stopped."""
        self._ticks.start(TICK_SECONDS, now=False)
        self._ending = Deferred.fromCoroutine(self._be_online())

    async def stop(self) -> None:
        """Go offline for good."""
        self._ended = True
        if self._ticks.running:
            self._ticks.stop()
        self.drop()
        if self._ending is not None:
            await self._ending

    def send(self, conversation: str, text: str, data: bytes = b"", content_type: str = "") -> int:
        """Send into a conversation, now or once that is possible, and return the number of the message there."""
        there = self.conversation(conversation)
        number = there.numbers
        send = Send(client_id=f"{self._life}.{number}", text=text, data=data, content_type=content_type)
        parsed = conversations.parse(conversation)
        if isinstance(parsed, conversations.PrivateConversation):
            send.user = parsed.other(self.user)
        else:
            send.group = parsed.id
        self._history.send(self.user, conversation, number, content_of(send))
        there.add(packet_frame(send=send))
        self._pump(there)
        return number

    def next_number(self, conversation: str) -> int:
        """Return the number of its next message in a conversation."""
        return self.conversation(conversation).numbers

    def forget(self) -> int:
        """Forget all unaccepted messages, as a client that dies, and return how many there were.

        Their outcome stays unknown.
        """
        forgotten = sum(there.forget() for there in self.conversations.values())
        self._life += 1
        self.drop()
        return forgotten

    def drop(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.abort()

    def ask(self) -> None:
        """Ask for everything after what is held, whatever was heard; clients need not, but it tells why one waits."""
        for there in self.conversations.values():
            there.rule.news((there.rule.held[0], there.rule.held[1] + 1), self._reactor.seconds())

    def conversation(self, name: str) -> Conversation:
        """Return its end of a conversation, created if it is new."""
        there = self.conversations.get(name)
        if there is None:
            there = self.conversations[name] = Conversation(name, GapRule(self._policy), self._patient)
        return there

    @property
    def waiting(self) -> int:
        """The number of unaccepted messages."""
        return sum(len(there.pending) for there in self.conversations.values())

    # Its connections

    async def _be_online(self) -> None:
        failures = 0
        while True:
            self._wait = 0.0
            try:
                await self._session()
                failures = 0
            except (Away, HTTPError) as error:
                failures += 1
                self.counts[f"away: {error}"[:100]] += 1
            if self._ended:
                return
            cap = min(LAST_DELAY, FIRST_DELAY * 2 ** min(failures, 8))
            await deferLater(self._reactor, self._wait + self._random.random() * cap, lambda: None)

    async def _session(self) -> None:
        """Log in and stay until the connection is lost."""
        place = await self._log_in()
        began = self._reactor.seconds()
        hello = hello_frame(place.ticket, self._device, self._since)
        connection = NativeConnection(hello, self._frames, lambda: self._lost(connection))
        try:
            if self._subprotocol:
                await connect_websocket(
                    self._reactor, place.websocket, connection, subprotocol=self._subprotocol, timeout=5.0
                )
            else:
                await connect(self._reactor, place, connection, 5.0)
        except Exception as error:
            raise Away(f"connect: {type(error).__name__}") from None
        self._connection = connection
        self._heard = self._pinged = self._receipted = began
        self._welcomed = False
        self._late = self._reactor.callLater(WELCOME_SECONDS, connection.abort)
        if self._ended:
            connection.abort()
        await connection.closed
        if self._late.active():
            self._late.cancel()
        if not self._welcomed:
            raise Away("the connection ended before the Welcome")

    async def _log_in(self) -> Place:
        pool = self._random.choice(self._pools)
        self.counts["logins"] += 1
        # A token spares the server the work of a password; if it is no longer valid, use the password.
        known = {"token": self._token} if self._token else {"password": self._password}
        calling = Deferred.fromCoroutine(ask_to_log_in(pool, self._name, self._device, **known))
        try:
            place = await calling.addTimeout(CALL_SECONDS, self._reactor, _timed_out)
        except HTTPError as error:
            if error.status in (401, 403):
                self._token = ""
            raise
        self._token = place.token
        return place

    def _lost(self, connection: NativeConnection) -> None:
        if connection is self._connection:
            self._connection = None
            self.live = False
            self._heads = None
            now = self._reactor.seconds()
            for there in self.conversations.values():
                there.disconnected(now)

    # What it hears

    def _frames(self, frames: list[bytes]) -> None:
        now = self._heard = self._reactor.seconds()
        for frame in frames:
            packet = Packet.FromString(frame)
            kind = packet.WhichOneof("body") or "nothing"
            self.counts[kind] += 1
            hear = getattr(self, f"_hear_{kind}", None)
            if hear is not None:
                hear(getattr(packet, kind), now)

    def _hear_welcome(self, welcome: Any, now: float) -> None:
        self.live = self._welcomed = True
        if self._late is not None and self._late.active():
            self._late.cancel()
        self._since = welcome.as_of
        self._news(welcome.heads, welcome.more, now)
        for there in self.conversations.values():
            self._pump(there)

    def _hear_news(self, news: Any, now: float) -> None:
        self._news(news.heads, news.more, now)

    def _news(self, heads: Iterable[Head], more: str, now: float) -> None:
        for head in heads:
            there = self.conversation(head.conversation)
            there.rule.news(positions.parse(head.latest), now)
        self._heads = (more, now) if more else None

    def _hear_deliver(self, deliver: Any, now: float) -> None:
        there = self.conversation(deliver.conversation)
        number = self._number_of(deliver)
        if number is None:
            number = number_in(deliver.client_id)
        item = Handed(deliver.sender, number, positions.parse(deliver.position), content_of(deliver))
        self._hand(there, there.rule.pushed(item.position, positions.parse(deliver.previous), item, now), now)

    def _hear_accepted(self, accepted: Any, now: float) -> None:
        there = self.conversation(accepted.conversation)
        number = number_in(accepted.client_id)
        # Ignore answers to forgotten messages, and second answers.
        if self._mine(accepted.client_id) and there.answered(number):
            position = positions.parse(accepted.position)
            self._history.accept(self.user, there.name, number, position)
            self._told_accepted(there.name, number, now)
            content = self._history.sent[self.user, there.name, number].content
            item = Handed(self.user, number, position, content)
            self._hand(there, there.rule.pushed(position, positions.parse(accepted.previous), item, now), now)
        self._pump(there)

    def _hear_synced(self, synced: Any, now: float) -> None:
        there = self.conversation(synced.conversation)
        if synced.reset:
            self.counts["resets"] += 1
        after, upto = positions.parse(synced.after), positions.parse(synced.upto)
        self._hand(there, there.rule.synced(after, upto, synced.more, synced.reset, now), now)

    def _hear_failure(self, failure: Any, now: float) -> None:
        self.counts[f"failure: {failure.code}"] += 1
        delay = self._delay(failure.retry_after_seconds)
        if not failure.conversation:
            self._heads = (self._heads[0], now + delay) if self._heads else None
            return
        there = self.conversation(failure.conversation)
        if not failure.client_id:
            there.rule.failed(now, delay)
            return
        number = number_in(failure.client_id)
        if not self._mine(failure.client_id):
            return
        if failure.code in RETRYABLE:
            there.failed(number, now + delay)
        elif there.answered(number):
            self._history.refuse(self.user, there.name, number, failure.code)
            self.counts[f"refused: {failure.code} {failure.message}"[:100]] += 1

    def _mine(self, client_id: str) -> bool:
        """Return whether a client id belongs to a remembered message."""
        return client_id.startswith(f"{self._life}.")

    def _hear_goodbye(self, goodbye: Goodbye, now: float) -> None:
        self.counts[f"goodbye: {goodbye.code}"] += 1
        # Wait the whole delay: the server has already spread its sessions.
        self._wait = min(float(goodbye.retry_after_seconds), 10.0)
        if goodbye.code == "unauthorized":
            self._token = ""
        self.drop()

    def _hear_ping(self, ping: Any, now: float) -> None:
        self._write(PONG_FRAME)

    def _hand(self, there: Conversation, items: list[Handed], now: float) -> None:
        for item in items:
            self._history.hand(self.reader, there.name, item)
            self._told_handed(there.name, item, now)
        there.unacknowledged += len(items)
        if there.unacknowledged >= RECEIPT_MESSAGES:
            self._acknowledge(there)

    # What it says

    def _write(self, frame: bytes) -> None:
        if self._connection is not None and self.live:
            self._connection.write(frame)

    def _pump(self, there: Conversation) -> None:
        """Write what may be written of a conversation, in order."""
        if self.live and self._connection is not None:
            frames = there.due(self._reactor.seconds())
            if frames:
                self._connection.write(b"".join(frames))

    def _acknowledge(self, there: Conversation) -> None:
        if there.rule.held > there.acknowledged and self.live:
            there.acknowledged, there.unacknowledged = there.rule.held, 0
            self._write(received_frame(there.name, positions.text(there.rule.held)))

    def _delay(self, wanted: int) -> float:
        return min(float(wanted), 10.0) + FIRST_DELAY * (0.5 + self._random.random() * 2)

    def _tick(self) -> None:
        now = self._reactor.seconds()
        connection = self._connection
        if connection is None or not self.live:
            return
        if now - self._heard > SILENT_SECONDS:
            self.counts["silent"] += 1
            connection.abort()
            return
        receipts = now - self._receipted > RECEIPT_SECONDS
        if receipts:
            self._receipted = now
        if now - self._pinged > PING_SECONDS:
            self._pinged = now
            self._write(PING_FRAME)
        if self._heads is not None and now >= self._heads[1]:
            self._write(packet_frame(sync=Sync(after=self._heads[0])))
            self._heads = (self._heads[0], now + CALL_SECONDS)
        for there in self.conversations.values():
            after = there.rule.sync_due(now)
            if after is not None:
                self.counts["syncs"] += 1
                sync = Sync(conversation=there.name, after=positions.text(after), limit=PAGE)
                self._write(packet_frame(sync=sync))
            if there.pending:
                self._pump(there)
                since = there.waiting_since()
                if since is not None and now - since > ANSWER_SECONDS:
                    self.counts["no answer in time"] += 1
                    connection.abort()
                    return
            if receipts:
                self._acknowledge(there)


def number_in(client_id: str) -> int:
    """Return the number of a message among those of its author in its conversation; -1 if it has none."""
    _, _, number = client_id.partition(".")
    return int(number) if number.isdigit() else -1


def _timed_out(_: Any, seconds: float) -> Any:
    raise HTTPError(f"no answer within {seconds:g} s")
