"""Messages from their sender into a conversation and on to whom they are for (DESIGN.md section 5).

A message's way: checked -> rights -> appended by the store, with all else that waits -> its sender is told -> pushed.
Nothing here waits for one message while another of the same conversation overtakes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from attrs import define

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.ecim import CIMError, Forbidden, NotFound, RateLimited, Unavailable
from cim.icim import IConversations, ILink
from cim.metrics import Metrics
from cim.model import GUEST, Account, Append, Appended
from cim.route.accounts import KnownAccounts
from cim.route.appending import RETRYABLE, Appender
from cim.route.delivery import Delivery, Push
from cim.route.presence import Presence
from cim.wire import conversations, native
from cim.wire.cim_pb2 import EDIT, RECALL, TEXT, Send
from cim.wire.link_pb2 import Guest

#: How long an author may recall or edit what it said, seconds.
REVISION_SECONDS = 24 * 3600.0
#: Messages of one sender to everyone: so many a second in the long run, so many at once.
EVERYONE_RATE = 50.0
EVERYONE_BURST = 500.0
#: Senders to everyone whose rate is known.
KEPT_RATES = 100_000
#: Messages of one conversation that wait for something to be looked up.
MAX_WAITING = 10_000
#: Of one author in one conversation: messages that refer to another, each of which takes a look-up.
MAX_LOOKED_UP = 16
#: Sessions whose failed messages are remembered, and conversations of each.
KEPT_FAILED = 100_000
MAX_FAILED = 256


@define(eq=False)
class Outgoing:
    """A message on its way.

    :param done: told once of its fate
    :param push: False when the caller pushes it itself
    :ivar looked_at: its rights are being checked
    :ivar refused: why it is not sent any more, although it was not told yet
    """

    author: Account
    send: Send
    conversation: str
    done: Callable[[Appended | CIMError], None]
    origin: ILink | None = None
    session: str = ""
    push: bool = True
    appended: Appended | None = None
    looked_at: bool = False
    refused: CIMError | None = None

    def is_behind(self, other: Outgoing) -> bool:
        """Whether the same session said both in the same conversation: they fail together."""
        return self.origin is other.origin and self.session == other.session != ""


class Sending:
    """Takes messages of native clients, guests and back ends alike."""

    _log = Logger()

    def __init__(
        self,
        accounts: KnownAccounts,
        store: IConversations,
        appender: Appender,
        delivery: Delivery,
        presence: Presence,
        clock: IReactorTime,
        metrics: Metrics,
        revision_seconds: float = REVISION_SECONDS,
    ) -> None:
        self._revision_ms = revision_seconds * 1000
        self._accounts = accounts
        self._store = store
        self._appender = appender
        self._delivery = delivery
        self._presence = presence
        self._clock = clock
        self._metrics = metrics
        # Messages that wait for something to be looked up first, and those behind them, by conversation.
        self._waiting: dict[str, deque[Outgoing]] = {}
        self._everyone: dict[int, tuple[float, float]] = {}

    def submit(self, message: Outgoing) -> None:
        """Send a message; its fields were checked by `native.check_send`."""
        waiting = self._waiting.get(message.conversation)
        if waiting is not None:
            if len(waiting) >= MAX_WAITING or self._too_many(message, waiting):
                message.done(RateLimited("too many messages wait in this conversation, please try again later"))
            else:
                waiting.append(message)
        elif self._ready(message):
            self._append(message)
        else:
            self._waiting[message.conversation] = deque((message,))
            working = Deferred.fromCoroutine(self._work(message.conversation))
            working.addErrback(lambda failure: self._log.failure("messages were not sent", failure))

    @staticmethod
    def _too_many(message: Outgoing, waiting: Iterable[Outgoing]) -> bool:
        """Whether an author, who need not be a member, keeps others waiting for look-ups."""
        if message.send.kind == TEXT:
            return False
        author = message.author.id
        return sum(other.author.id == author and other.send.kind != TEXT for other in waiting) >= MAX_LOOKED_UP

    def _ready(self, message: Outgoing) -> bool:
        send = message.send
        if send.kind != TEXT:
            return False
        return not send.user or self._accounts.at_hand(send.user) is not None

    async def _work(self, conversation: str) -> None:
        waiting = self._waiting[conversation]
        while waiting:
            message = waiting[0]
            message.looked_at = True
            try:
                await self._check_rights(message)
                error = message.refused
            except CIMError as refusal:
                error = refusal
            except Exception:
                error = self._unexpected()
            waiting.popleft()
            try:
                if error is None:
                    # What comes behind a RECALL is to find the text blank.
                    told = _when_told(message) if message.send.kind == RECALL else None
                    self._append(message)
                    if told is not None:
                        await told
            except Exception:
                error = self._unexpected()
            if error is not None:
                self._fail(message, error)
        del self._waiting[conversation]

    def _unexpected(self) -> CIMError:
        self._log.failure("a message could not be sent")
        self._metrics.internal_errors += 1
        return Unavailable()

    def _fail(self, message: Outgoing, error: CIMError) -> None:
        """Tell that a message failed; if it may come again, what is behind it fails the same way."""
        behind: list[Outgoing] = []
        waiting = self._waiting.get(message.conversation)
        if waiting and isinstance(error, RETRYABLE):
            others = list(waiting)
            waiting.clear()
            for other in others:
                if other.looked_at and other.is_behind(message):
                    other.refused = error  # it hears of it then
                (behind if not other.looked_at and other.is_behind(message) else waiting).append(other)
        for one in (message, *behind):
            try:
                one.done(error)
            except Exception:
                self._log.failure("the fate of a message could not be told")

    async def _check_rights(self, message: Outgoing) -> None:
        send = message.send
        if send.user:
            await self._accounts.get(send.user)
        if send.kind == TEXT:
            return
        if message.conversation == conversations.EVERYONE:
            raise Forbidden("what was said to everyone stays as it is")
        entry = await self._store.entry(message.conversation, send.ref)
        if entry is None:
            raise NotFound("the message that `ref` names is not there")
        said = native.parse_body(entry.body)
        if said.kind != TEXT:
            # So a text's edits all name its own position, and are recalled with it.
            raise Forbidden("`ref` must name a text")
        if send.kind in (RECALL, EDIT):
            if said.sender != message.author.id:
                raise Forbidden("only its author can recall or edit a message")
            if said.sent_at + self._revision_ms < self._clock.seconds() * 1000:
                raise Forbidden("it is too long ago to recall or edit")
        if send.kind != RECALL and not said.text and not said.data:
            raise NotFound("the message that `ref` names was recalled")

    def _append(self, message: Outgoing) -> None:
        send, author = message.send, message.author
        if message.conversation == conversations.EVERYONE and not self._may_tell_everyone(author.id):
            self._fail(message, RateLimited("too many messages to everyone, please wait a little", retry_after=1))
            return
        now = int(self._clock.seconds() * 1000)
        body = native.body_of(send, author.id, author.name, now)
        item = Append(
            message.conversation,
            author.id,
            send.client_id,
            native.digest(send),
            body,
            now,
            send.kind == TEXT,
            send.ref if send.kind == RECALL else "",
        )

        def told(result: Appended | CIMError) -> None:
            if isinstance(result, Appended):
                self._metrics.messages_in += 1
                message.appended = result
                message.done(result)
                if message.push:
                    self.push(message, result)
            else:
                self._fail(message, result)

        line = (message.origin, message.session, message.conversation) if message.session else None
        self._appender.put(item, told, line)

    def push(self, message: Outgoing, appended: Appended) -> None:
        """Push a message that was appended to whom it is for."""
        send = message.send
        push = Push(
            message.conversation,
            appended.position,
            appended.previous,
            native.deliver_packet(appended.body, message.conversation, appended.position, appended.previous),
            self._guest(message, appended),
            message.origin,
            message.session,
            appended.repeated,
        )
        if send.user:
            self._delivery.to_users(push, (send.user, message.author.id))
        elif send.group:
            self._delivery.to_group(push, send.group, appended.version)
        else:
            self._delivery.to_everyone(push)

    def _guest(self, message: Outgoing, appended: Appended) -> Guest | None:
        if not self._presence.guests:
            return None
        send, author = message.send, message.author
        if send.user and not any(
            online.device == GUEST for user in (send.user, author.id) for online in self._presence.of(user)
        ):
            return None
        texts = native.guest_texts(appended.body)
        # Nothing to show still moves a guest's position on.
        return Guest(sender=author.id, sender_name=author.name, texts=texts)

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

    def send(self, message: Outgoing) -> Deferred[Appended]:
        """Send a message for a caller that waits; fails with the CIMError that ends it."""
        fate: Deferred[Appended] = Deferred()

        def done(result: Appended | CIMError) -> None:
            if isinstance(result, Appended):
                fate.callback(result)
            else:
                fate.errback(result)

        message.done = done
        self.submit(message)
        return fate


def _when_told(message: Outgoing) -> Deferred[None]:
    """Fire when a message's fate was told."""
    told: Deferred[None] = Deferred()
    done = message.done

    def both(result: Appended | CIMError) -> None:
        try:
            done(result)
        finally:
            told.callback(None)

    message.done = both
    return told


class Poison:
    """Keeps the order of a client that sends on before it hears that something failed (DESIGN.md section 5, Order).

    After a Send of a session into a conversation failed retryably, those behind it fail the same way, until the client
    comes again with the one that failed.
    """

    def __init__(self) -> None:
        self._failed: dict[tuple[ILink, str], dict[str, tuple[str, Unavailable | RateLimited]]] = {}

    def check(self, link: ILink, session: str, conversation: str, client_id: str, again: bool) -> CIMError | None:
        """Return the error that a Send meets here, or None when it may go on."""
        if not self._failed:
            return None
        failed = self._failed.get((link, session))
        if not failed or conversation not in failed:
            return None
        first, error = failed[conversation]
        if again or client_id == first:
            del failed[conversation]
            if not failed:
                del self._failed[link, session]
            return None
        return error

    def note(self, link: ILink, session: str, conversation: str, client_id: str, error: CIMError) -> None:
        """Remember that a Send failed, if it failed retryably."""
        if isinstance(error, RETRYABLE):
            failed = self._failed.setdefault((link, session), {})
            failed.setdefault(conversation, (client_id, error))
            if len(failed) > MAX_FAILED:
                del failed[next(iter(failed))]
            if len(self._failed) > KEPT_FAILED:
                del self._failed[next(iter(self._failed))]

    def forget(self, link: ILink, session: str) -> None:
        """The session has ended."""
        self._failed.pop((link, session), None)

    def forget_link(self, link: ILink) -> None:
        """The link is gone, and all that was under way on it."""
        for key in [key for key in self._failed if key[0] is link]:
            del self._failed[key]

    def __len__(self) -> int:
        return len(self._failed)
