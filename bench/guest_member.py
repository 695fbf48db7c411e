"""Guests of a chaos run: upstream's clients, who cannot acknowledge, and what is asked of what they are written.

A guest has no client ids and sees no positions. So each text begins with its author, conversation and number; a guest
sends one message at a time and none twice; and what was written to a connection that broke may have come or not. What
must hold all the same:

- what was answered as stored comes, unless a connection of the guest broke after it was sent (else it is *lost*);
- nothing comes twice over one connection (*doubled*);
- what comes of one author comes in the order in which that sent (*reordered*), leaving repeats aside;
- what comes was sent there, in these words (*out of nowhere*).
"""

from __future__ import annotations

import json
import random
from collections import Counter, deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.task import LoopingCall, deferLater

from bench.guests import GuestConnection, Refused, call
from bench.history import Fault, History, Key, Violation
from bench.http import HTTPError, HTTPPool
from bench.outgoing import content_of
from cim.wire import conversations
from cim.wire.cim_pb2 import Send

#: Said of a message that was stored: it was pushed to somebody, or nobody was there.
STORED_CODES = ("9000", "7000")
OFFLINE = "7000"
PING_SECONDS = 3.0
SILENT_SECONDS = 8.0
CALL_SECONDS = 10.0
FIRST_DELAY = 0.2
LAST_DELAY = 3.0


def marked(author: int, conversation: str, number: int, text: str) -> str:
    """Return a text that says what it is."""
    return f"{author} {conversation} {number} {text}"


def mark_of(text: str) -> Key | None:
    """Return author, conversation and number of a marked text."""
    author, _, rest = text.partition(" ")
    conversation, _, rest = rest.partition(" ")
    number, _, _ = rest.partition(" ")
    return (int(author), conversation, int(number)) if author.isdigit() and number.isdigit() else None


@define
class GuestLog:
    """What one guest was written.

    :ivar arrivals: the message, its content, and the number of the connection
    :ivar broken: when its connections ended
    :ivar sent: of all messages: when they were sent
    """

    user: int
    sent: Mapping[Key, float]
    arrivals: list[tuple[Key, bytes, int]] = field(factory=list)
    broken: list[float] = field(factory=list)

    def without(self, keys: Container[Key]) -> GuestLog:
        """Return a log in which some messages never were."""
        return GuestLog(self.user, self.sent, [one for one in self.arrivals if one[0] not in keys], self.broken)

    def missing(self, history: History) -> Iterator[Key]:
        """Yield what was stored for it and did not come, though no connection of it broke since."""
        came = {key for key, _, _ in self.arrivals}
        last = max(self.broken, default=0.0)
        for key, sent in history.sent.items():
            late = sent.stored and self.sent.get(key, 0.0) > last
            if late and key[0] != self.user and key not in came and _is_for(self.user, key[1]):
                yield key

    def violations(self, history: History) -> Iterator[Violation]:
        """Yield everything that is wrong."""
        for key in self.missing(history):
            yield Violation(Fault.LOST, key, self.user, "never came to the guest")
        over: dict[Key, set[int]] = {}
        newest: dict[tuple[int, str], int] = {}
        for key, content, connection in self.arrivals:
            author, conversation, number = key
            sent = history.sent.get(key)
            if sent is None or not _is_for(self.user, conversation) or author == self.user:
                yield Violation(Fault.NOWHERE, key, self.user, "was never sent to the guest")
            elif sent.refused:
                yield Violation(Fault.NOWHERE, key, self.user, f"was refused: {sent.refused}")
            elif sent.content != content:
                yield Violation(Fault.NOWHERE, key, self.user, "says something else than was sent")
            if key in over:
                if connection in over[key]:
                    yield Violation(Fault.DOUBLED, key, self.user, "came twice over one connection")
                over[key].add(connection)
                continue
            over[key] = {connection}
            if sent is not None and sent.stored:
                last = newest.get((author, conversation), -1)
                if number < last:
                    yield Violation(Fault.REORDERED, key, self.user, f"came after message {last} of the same author")
                newest[author, conversation] = max(last, number)

    def counts(self, history: History) -> Counter[str]:
        """Return what may be, as it is guests: repeats after a connection broke, and what was lost with one."""
        keys = [key for key, _, _ in self.arrivals]
        came = set(keys)
        due = (key for key, sent in history.sent.items() if key[0] != self.user and _is_for(self.user, key[1]))
        lost = sum(1 for key in due if history.sent[key].stored and key not in came)
        return Counter({"guests: came again over a new connection": len(keys) - len(came), "guests: went under": lost})


def _is_for(user: int, conversation: str) -> bool:
    parsed = conversations.parse(conversation)
    return isinstance(parsed, conversations.PrivateConversation) and parsed.involves(user)


class _Connection(GuestConnection):
    """A guest's connection that is watched.

    :ivar heard: called for every sign of life
    """

    heard: Callable[[], object] = staticmethod(lambda: None)

    def dataReceived(self, data: bytes) -> None:
        self.heard()
        super().dataReceived(data)


class GuestMember:
    """One guest, online for as long as it is not stopped.

    :param pools: one for each route
    :param stored: called with conversation and number of a message that is stored
    :param arrived: called with every message that comes
    """

    def __init__(
        self,
        reactor: Any,
        chooser: random.Random,
        name: str,
        user: int,
        pools: Sequence[HTTPPool],
        history: History,
        log: GuestLog,
        *,
        stored: Callable[[str, int, float], object],
        arrived: Callable[[Key, float], object],
    ) -> None:
        self._reactor = reactor
        self._random = chooser
        self._name = name
        self.user = user
        self._pools = pools
        self._history = history
        self.log = log
        self._told_stored = stored
        self._told_arrived = arrived
        self._numbers: Counter[str] = Counter()
        self._queue: deque[tuple[str, int, str]] = deque()
        self._connection: _Connection | None = None
        self._connections = 0
        self._heard = 0.0
        self._pinged = 0.0
        self._ended = False
        self._working: list[Deferred[None]] = []
        self._sending = False
        self.live = False
        self.counts: Counter[str] = Counter()
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = reactor

    # What its application does

    def start(self) -> None:
        """Go online."""
        self._ticks.start(1.0, now=False)
        self._working.append(Deferred.fromCoroutine(self._be_online()))

    async def stop(self) -> None:
        """Go offline for good."""
        self._ended = True
        if self._ticks.running:
            self._ticks.stop()
        self._queue.clear()
        self.drop()
        for working in self._working:
            await working

    def send(self, conversation: str, text: str, data: bytes = b"", content_type: str = "") -> int:
        """Send a text when those before it were answered, and return its number; there is no data for guests."""
        number = self._numbers[conversation]
        self._numbers[conversation] += 1
        text = marked(self.user, conversation, number, text)
        self._history.send(self.user, conversation, number, content_of(Send(text=text)))
        self._queue.append((conversation, number, text))
        if not self._sending:
            self._sending = True
            self._working.append(Deferred.fromCoroutine(self._send_all()))
        return number

    def forget(self) -> int:
        """Die, and forget unsent messages."""
        forgotten = len(self._queue)
        self._queue.clear()
        self.drop()
        return forgotten

    def drop(self) -> None:
        """End the connection."""
        if self._connection is not None:
            transport: Any = self._connection.transport
            transport.abortConnection()

    def ask(self) -> None:
        """Fetch all messages that are stored for it."""
        self._working.append(Deferred.fromCoroutine(self._fetch()))

    @property
    def waiting(self) -> int:
        """The number of unanswered messages."""
        return len(self._queue) + self._sending

    async def _send_all(self) -> None:
        while self._queue:
            conversation, number, text = self._queue.popleft()
            parsed = conversations.parse(conversation)
            assert isinstance(parsed, conversations.PrivateConversation)
            fields = {"userId": self.user, "receiveUserId": parsed.other(self.user), "msg": text}
            if await self._call(b"/p2pRoute", fields) in STORED_CODES:
                now = self._reactor.seconds()
                self._history.store(self.user, conversation, number)
                self._told_stored(conversation, number, now)
        self._sending = False

    async def _call(self, path: bytes, fields: Any) -> str:
        """Call any route and return the code, or an empty one without an answer."""
        pool = self._random.choice(self._pools)
        calling = Deferred.fromCoroutine(call(pool, path, json.dumps(fields).encode()))
        try:
            await calling.addTimeout(CALL_SECONDS, self._reactor, _timed_out)
        except Refused as refused:
            if refused.code != OFFLINE:
                self.counts[f"guests: {path.decode()}: {refused}"] += 1
            return refused.code
        except HTTPError as error:
            self.counts[f"guests: {path.decode()}: {error}"[:100]] += 1
            return ""
        return STORED_CODES[0]

    # Its connections

    async def _be_online(self) -> None:
        failures = 0
        while not self._ended:
            try:
                await self._session()
                failures = 0
            except Exception as error:
                failures += 1
                self.counts[f"guests: away: {type(error).__name__} {error}"[:100]] += 1
            if not self._ended:
                cap = min(LAST_DELAY, FIRST_DELAY * 2 ** min(failures, 8))
                await deferLater(self._reactor, self._random.random() * cap, lambda: None)

    async def _session(self) -> None:
        """Log in and stay until the connection is lost."""
        body = json.dumps({"userId": self.user, "userName": self._name}).encode()
        logging_in = Deferred.fromCoroutine(call(self._random.choice(self._pools), b"/login", body))
        place = await logging_in.addTimeout(CALL_SECONDS, self._reactor, _timed_out)
        self.counts["guests: logins"] += 1
        self._connections += 1
        connection = self._connection = _Connection(self.user, self._name, self._arrived)
        connection.heard = self._hear
        self._hear()
        welcomed = connection.live.addErrback(lambda _: None)
        endpoint = TCP4ClientEndpoint(self._reactor, place["ip"], int(place["cimServerPort"]), timeout=5)
        try:
            await connectProtocol(endpoint, connection)
        except Exception:
            self._connection = None
            raise
        if self._ended:
            self.drop()
        self._working = [working for working in self._working if not working.called]
        await welcomed
        if not connection.lost.called:
            self.live = True
            self.ask()
        await connection.lost
        self.log.broken.append(self._reactor.seconds())
        self._connection, self.live = None, False

    async def _fetch(self) -> None:
        """Fetch messages from while it was away, and retry until that succeeds."""
        number = self._connections
        while not self._ended and number == self._connections:
            if await self._call(b"/fetchOfflineMsgs", {"receiveUserId": self.user}) == STORED_CODES[0]:
                return
            await deferLater(self._reactor, 1.0, lambda: None)

    def _hear(self) -> None:
        self._heard = self._reactor.seconds()

    def _arrived(self, user: int, text: str) -> None:
        key = mark_of(text) or (0, f"a text without a mark: {text[:40]!r}", 0)
        self.log.arrivals.append((key, content_of(Send(text=text)), self._connections))
        self._told_arrived(key, self._reactor.seconds())

    def _tick(self) -> None:
        now = self._reactor.seconds()
        if self._connection is None or self._connection.transport is None:
            return
        if now - self._heard > SILENT_SECONDS:
            self.counts["guests: silent"] += 1
            self.drop()
        elif now - self._pinged > PING_SECONDS:
            self._pinged = now
            self._connection.ping()


def _timed_out(_: Any, seconds: float) -> Any:
    raise HTTPError(f"no answer within {seconds:g} s")
