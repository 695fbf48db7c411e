"""Takes messages from senders into conversations and on to recipients (docs/architecture.md, Conversations).

The path of a message: check it -> ask the limits -> check rights -> append it with all others that wait -> tell its
sender -> push it. No message of an author in a conversation overtakes another that waits, so messages that arrive in
order are seldom out of order at the store. Authors do not wait for one another: who may not even write there could make
those wait who do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from attrs import define

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.daemon.metrics import Metrics
from cim.errors import CIMError, Forbidden, NoRoom, OutOfOrder, RateLimited, Unavailable
from cim.interfaces import IConversations, ILink, IStoreClock
from cim.model import Account, Append, Appended, Charge
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.appending import Appender
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.full import FullConversations
from cim.route.messages.limits import Key, MessageLimits, Payer
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import EDIT, RECALL, TEXT, Send

#: How long an author may recall or edit a message, in seconds.
REVISION_SECONDS = 24 * 3600.0
#: The most messages of one author in one conversation that may wait for a look-up.
MAX_WAITING = 10_000
#: The most revisions among them: each takes a look-up.
MAX_LOOKED_UP = 16
#: The kinds that only the author of a message may send about it.
REVISIONS = frozenset((RECALL, EDIT))


@define(eq=False)
class Outgoing:
    """A message to be sent.

    :param size: bytes of text and data, as `native.check_send` returns them
    :param after: the client_id of its author's message that must be stored before it; empty for none
    :param origin: with `session`, the session that sent it, which does not get it back
    :param push: False if the caller pushes it itself
    :param payer: whose limits it counts towards; None for its author, who has proved its identity
    :param operator: whether an operator sends it, whom no block stops
    """

    author: Account
    send: Send
    conversation: str
    size: int
    after: str = ""
    origin: ILink | None = None
    session: str = ""
    push: bool = True
    payer: Payer | None = None
    operator: bool = False

    @property
    def past_blocks(self) -> bool:
        """Whether it reaches a receiver who blocks its author."""
        return self.operator or self.send.kind == RECALL


def push_of(message: Outgoing, appended: Appended, batch: int = 0) -> Push:
    """Return the push of an appended message.

    :param batch: in a batch: how many of its messages are pushed from this one on
    """
    packet = native.deliver_packet(appended.body, message.conversation, appended.position, appended.previous)
    reads = message.send.ref or appended.position if message.send.group else ""
    return Push(packet, message.origin, message.session, appended.repeated, batch, reads)


#: Called once with the fate of a message.
Done = Callable[[Appended | CIMError], None]


class Sending:
    """Sends messages of native clients, guests and back ends alike."""

    _log = Logger()

    def __init__(
        self,
        *,
        accounts: KnownAccounts,
        store: IConversations,
        appender: Appender,
        delivery: Delivery,
        clock: IReactorTime,
        time: IStoreClock,
        metrics: Metrics,
        limits: MessageLimits,
        revision_seconds: float = REVISION_SECONDS,
    ) -> None:
        self._revision_ms = revision_seconds * 1000
        self._accounts = accounts
        self._store = store
        self._appender = appender
        self._delivery = delivery
        self._time = time
        self._metrics = metrics
        self._limits = limits
        self.full = FullConversations(clock)
        # Messages that wait for a look-up, and those of the same author behind them, by conversation and author.
        self._waiting: dict[tuple[str, int], deque[tuple[Outgoing, Done]]] = {}

    def submit(self, message: Outgoing, done: Done, allowed: bool = False) -> None:
        """Send a message whose fields `native.check_send` has checked; `done` is called once with its fate.

        :param allowed: the limits were asked for it already
        """
        if not allowed:
            refusal = self._limits.take(message.payer or message.author.id, message.conversation, 1, message.size)
            if refusal is not None:
                done(refusal)
                return
        line = message.conversation, message.author.id
        waiting = self._waiting.get(line)
        if waiting is not None:
            if len(waiting) >= MAX_WAITING or self._too_many(message, waiting):
                self._give_back(message)
                done(RateLimited("too many of your messages are waiting in this conversation: try again later"))
            else:
                waiting.append((message, done))
        elif message.send.kind not in REVISIONS and (
            not message.send.user or self._accounts.at_hand(message.send.user) is not None
        ):
            self._append(message, done, message.send.ref)
        else:
            self._waiting[line] = deque(((message, done),))
            working = Deferred.fromCoroutine(self._work(line))
            working.addErrback(lambda failure: self._log.failure("messages were not sent", failure))

    @staticmethod
    def _too_many(message: Outgoing, waiting: Iterable[tuple[Outgoing, Done]]) -> bool:
        """Return whether a message is one revision too many."""
        if message.send.kind not in REVISIONS:
            return False
        return sum(other.send.kind in REVISIONS for other, _ in waiting) >= MAX_LOOKED_UP

    async def _work(self, line: tuple[str, int]) -> None:
        waiting = self._waiting[line]
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
                error = Unavailable()
            waiting.popleft()
            try:
                if error is None:
                    self._append(message, done, ref)
                else:
                    done(error)
            except Exception:
                self._log.failure("the caller of a send failed")
        del self._waiting[line]

    async def _look_up(self, message: Outgoing) -> str:
        """Do the checks that take a look-up, and return the position of the text that the message refers to."""
        send = message.send
        if send.user:
            await self._accounts.get(send.user)
        if send.kind not in REVISIONS or message.conversation == conversations.EVERYONE:
            return send.ref
        reader = 0 if send.user and message.past_blocks else message.author.id
        entry = await self._store.entry(message.conversation, send.ref, reader=reader)
        if entry is None:
            # The store refuses it unless it repeats a stored message.
            return positions.NOWHERE
        said = native.parse_body(entry.body)
        if said.sender != message.author.id:
            refusal = "only its author can recall or edit a message"
        elif said.sent_at + self._revision_ms < min(self._time.now(), self._time.shown()):
            refusal = "the message is too old to be recalled or edited"
        else:
            return send.ref
        if not reader and await self._store.entry(message.conversation, send.ref, reader=message.author.id) is None:
            # The other one blocks the author, who must not learn even that there is such a message.
            return positions.NOWHERE
        raise Forbidden(refusal)

    def _append(self, message: Outgoing, done: Done, ref: str) -> None:
        send, author = message.send, message.author
        if message.conversation == conversations.EVERYONE and send.kind != TEXT:
            done(Forbidden("messages to everyone cannot be recalled, edited or reacted to"))
            return
        now = self._time.shown()
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
            message.past_blocks,
            Charge.LOG if isinstance(message.payer, Key) else Charge.USER,
            kind == EDIT,
        )

        def told(result: Appended | CIMError) -> None:
            if isinstance(result, Appended):
                self._metrics.messages_in += 1
                done(result)
                if message.push:
                    self.push(message, result)
            else:
                if isinstance(result, NoRoom):  # which cost the store something, so it counts
                    self._metrics.refused(result.kind)
                    if result.kind == "history-full":
                        self.full.note(message.conversation)
                elif isinstance(result, OutOfOrder | RateLimited):
                    self._give_back(message)
                done(result)

        self._appender.put(item, told)

    def _give_back(self, message: Outgoing) -> None:
        """Give back what a message took that another bound refused, or that was out of order."""
        self._limits.give_back(message.payer or message.author.id, message.conversation, 1, message.size)

    def push(self, message: Outgoing, appended: Appended) -> None:
        """Push an appended message to its recipients."""
        send, push = message.send, push_of(message, appended)
        if send.user:
            self._delivery.to_users(push, (send.user, message.author.id))
        elif send.group:
            self._delivery.to_group(push, send.group, appended.version)
        else:
            self._delivery.to_everyone(push)

    def send(self, message: Outgoing) -> Deferred[Appended]:
        """Send a message; fires when it is stored, and fails with a CIMError otherwise."""
        return self._fate(message)

    def allow(self, payer: Payer, conversation: str, messages: int, size: int) -> None:
        """Take from the limits what `send_all` is to send; so nothing is made first of what they refuse.

        :param size: bytes of the texts and data of all of them
        :raises RateLimited: the limits do not allow all of them
        """
        refusal = self._limits.take(payer, conversation, messages, size)
        if refusal is not None:
            raise refusal

    def send_all(self, messages: Sequence[Outgoing]) -> list[Deferred[Appended]]:
        """Send all messages of one call to one conversation, which were allowed, each as `send` does."""
        return [self._fate(message, allowed=True) for message in messages]

    def _fate(self, message: Outgoing, allowed: bool = False) -> Deferred[Appended]:
        fate: Deferred[Appended] = Deferred()

        def done(result: Appended | CIMError) -> None:
            if isinstance(result, Appended):
                fate.callback(result)
            else:
                fate.errback(result)

        self.submit(message, done, allowed)
        return fate
