"""Messages from their sender into a conversation and on to whom they are for (docs/architecture.md, Conversations).

A message's way: checked -> rights -> appended by the store, with all else that waits -> its sender is told -> pushed.
Nothing here waits for one message while another of the same conversation overtakes it, so that what comes in order is
seldom out of order at the store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from attrs import define

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.daemon.metrics import Metrics
from cim.errors import CIMError, Forbidden, OutOfOrder, RateLimited, Unavailable
from cim.interfaces import IConversations, ILink
from cim.model import Account, Append, Appended
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.appending import Appender
from cim.route.messages.delivery import Delivery, Push
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import EDIT, RECALL, TEXT, Send

#: How long an author may recall or edit what it said, seconds.
REVISION_SECONDS = 24 * 3600.0
#: Messages of one sender to everyone: so many a second in the long run, so many at once.
EVERYONE_RATE = 50.0
EVERYONE_BURST = 500.0
#: Senders to everyone whose rate is known.
KEPT_RATES = 100_000
#: Messages of one conversation that wait for something to be looked up.
MAX_WAITING = 10_000
#: Of one author in one conversation: revisions that wait, each of which takes a look-up.
MAX_LOOKED_UP = 16
#: What only the author of a message may say of it.
REVISIONS = frozenset((RECALL, EDIT))


@define(eq=False)
class Outgoing:
    """A message on its way.

    :param after: the client_id of its author's message that must be stored before it; empty: none
    :param origin: with `session`, who said it, so that it does not come back there
    :param push: False when the caller pushes it itself
    """

    author: Account
    send: Send
    conversation: str
    after: str = ""
    origin: ILink | None = None
    session: str = ""
    push: bool = True


def push_of(message: Outgoing, appended: Appended, batch: int = 0) -> Push:
    """Return the push of a message that was appended.

    :param batch: of a batch: how many of its messages are pushed from this one on
    """
    packet = native.deliver_packet(appended.body, message.conversation, appended.position, appended.previous)
    return Push(packet, message.origin, message.session, appended.repeated, batch)


#: Told once what became of a message.
Done = Callable[[Appended | CIMError], None]


class Sending:
    """Takes messages of native clients, guests and back ends alike."""

    _log = Logger()

    def __init__(
        self,
        *,
        accounts: KnownAccounts,
        store: IConversations,
        appender: Appender,
        delivery: Delivery,
        clock: IReactorTime,
        metrics: Metrics,
        revision_seconds: float = REVISION_SECONDS,
    ) -> None:
        self._revision_ms = revision_seconds * 1000
        self._accounts = accounts
        self._store = store
        self._appender = appender
        self._delivery = delivery
        self._clock = clock
        self._metrics = metrics
        # Messages that wait for something to be looked up first, and those behind them, by conversation.
        self._waiting: dict[str, deque[tuple[Outgoing, Done]]] = {}
        self._everyone: dict[int, tuple[float, float]] = {}

    def submit(self, message: Outgoing, done: Done) -> None:
        """Send a message whose fields were checked by `native.check_send`; `done` is told once what became of it."""
        waiting = self._waiting.get(message.conversation)
        if waiting is not None:
            if len(waiting) >= MAX_WAITING or self._too_many(message, waiting):
                done(RateLimited("too many messages wait in this conversation, please try again later"))
            else:
                waiting.append((message, done))
        elif message.send.kind not in REVISIONS and (
            not message.send.user or self._accounts.at_hand(message.send.user) is not None
        ):
            self._append(message, done, message.send.ref)
        else:
            self._waiting[message.conversation] = deque(((message, done),))
            working = Deferred.fromCoroutine(self._work(message.conversation))
            working.addErrback(lambda failure: self._log.failure("messages were not sent", failure))

    @staticmethod
    def _too_many(message: Outgoing, waiting: Iterable[tuple[Outgoing, Done]]) -> bool:
        """Whether an author, who need not be a member, keeps others waiting for look-ups."""
        if message.send.kind not in REVISIONS:
            return False
        author = message.author.id
        revisions = (other for other, _ in waiting if other.send.kind in REVISIONS)
        return sum(other.author.id == author for other in revisions) >= MAX_LOOKED_UP

    async def _work(self, conversation: str) -> None:
        waiting = self._waiting[conversation]
        while waiting:
            message, done = waiting[0]
            error: CIMError | None = None
            ref = ""
            try:
                ref = await self._look_up(message)
            except CIMError as refusal:
                error = refusal
            except Exception:
                self._log.failure("a message could not be sent")
                self._metrics.internal_errors += 1
                error = Unavailable()
            waiting.popleft()
            try:
                if error is None:
                    self._append(message, done, ref)
                else:
                    done(error)
            except Exception:
                self._log.failure("the fate of a message could not be told")
        del self._waiting[conversation]

    async def _look_up(self, message: Outgoing) -> str:
        """Check what takes a look-up, and return the position of the text that the message refers to."""
        send = message.send
        if send.user:
            await self._accounts.get(send.user)
        if send.kind not in REVISIONS or message.conversation == conversations.EVERYONE:
            return send.ref
        entry = await self._store.entry(message.conversation, send.ref)
        if entry is None:
            # It is refused, unless it repeats what was stored before.
            return positions.NOWHERE
        said = native.parse_body(entry.body)
        if said.sender != message.author.id:
            raise Forbidden("only its author can recall or edit a message")
        if said.sent_at + self._revision_ms < self._clock.seconds() * 1000:
            raise Forbidden("it is too long ago to recall or edit")
        return send.ref

    def _append(self, message: Outgoing, done: Done, ref: str) -> None:
        send, author = message.send, message.author
        everyone = message.conversation == conversations.EVERYONE
        if everyone:
            error = self._refuse_to_everyone(message)
            if error is not None:
                done(error)
                return
        now = int(self._clock.seconds() * 1000)
        body = native.body_of(send, author.id, author.name, now)
        kind = send.kind
        item = Append(
            message.conversation,
            author.id,
            send.client_id,
            native.digest(send),
            body,
            now,
            kind == TEXT,
            message.after,
            ref if kind != RECALL else "",
            ref if kind == RECALL else "",
        )

        def told(result: Appended | CIMError) -> None:
            if isinstance(result, Appended):
                self._metrics.messages_in += 1
                done(result)
                if message.push:
                    self.push(message, result)
            else:
                if everyone and isinstance(result, OutOfOrder):
                    self._give_back(author.id)
                done(result)

        self._appender.put(item, told)

    def _refuse_to_everyone(self, message: Outgoing) -> CIMError | None:
        if message.send.kind != TEXT:
            return Forbidden("what was said to everyone stays as it is")
        if not self._may_tell_everyone(message.author.id):
            return RateLimited("too many messages to everyone, please wait a little", retry_after=1)
        return None

    def push(self, message: Outgoing, appended: Appended) -> None:
        """Push a message that was appended to whom it is for."""
        send, push = message.send, push_of(message, appended)
        if send.user:
            self._delivery.to_users(push, (send.user, message.author.id))
        elif send.group:
            self._delivery.to_group(push, send.group, appended.version)
        else:
            self._delivery.to_everyone(push)

    def _may_tell_everyone(self, user: int) -> bool:
        now = self._clock.seconds()
        then, tokens = self._everyone.get(user, (now, EVERYONE_BURST))
        tokens = min(EVERYONE_BURST, tokens + (now - then) * EVERYONE_RATE)
        if tokens < 1:
            return False
        if len(self._everyone) >= KEPT_RATES:
            self._everyone.clear()
        self._everyone[user] = (now, tokens - 1)
        return True

    def _give_back(self, user: int) -> None:
        """What was not stored for the order's sake costs nothing."""
        if user in self._everyone:
            then, tokens = self._everyone[user]
            self._everyone[user] = (then, tokens + 1)

    def send(self, message: Outgoing) -> Deferred[Appended]:
        """Send a message for a caller that waits; fails with the CIMError that ends it."""
        fate: Deferred[Appended] = Deferred()

        def done(result: Appended | CIMError) -> None:
            if isinstance(result, Appended):
                fate.callback(result)
            else:
                fate.errback(result)

        self.submit(message, done)
        return fate
