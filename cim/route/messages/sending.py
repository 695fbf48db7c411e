"""Takes messages from senders into conversations and on to recipients (docs/architecture.md, Conversations).

The path of a message: check it -> ask the limits -> check rights -> have the policy decide, if there is one -> append
it with all others that wait -> tell its sender -> push it. No message of an author in a conversation overtakes another
that waits, so messages that arrive in order are seldom out of order at the store, although a policy decides on some of
them at the same time. Authors do not wait for one another: who may not even write there could make those wait who do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

from attrs import define

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.errors import CIMError, Forbidden, NoRoom, OutOfOrder, RateLimited, Refused, Unavailable, Undecided
from cim.interfaces import IConversations, IMessagePolicy, IStoreClock
from cim.model import Append, Appended, Fate
from cim.policies import ALLOWED, Question, Verdict
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.appending import Appender, Result
from cim.route.messages.delivery import Delivery, Push
from cim.route.messages.full import FullConversations
from cim.route.messages.judging import Judging, question_of
from cim.route.messages.limits import MessageLimits, Payer
from cim.route.messages.outgoing import Outgoing, append_of, compared, push_of, run_of
from cim.route.messages.together import together
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import EDIT, RECALL, TEXT

#: How long an author may recall or edit a message, in seconds.
REVISION_SECONDS = 24 * 3600.0
#: The most messages of one author in one conversation that may wait for a look-up.
MAX_WAITING = 10_000
#: The most revisions among them: each takes a look-up.
MAX_LOOKED_UP = 16
#: How many messages of one author in one conversation a policy decides on at a time.
AHEAD = 8
#: The kinds that only the author of a message may send about it.
REVISIONS = frozenset((RECALL, EDIT))

#: Called once with the fate of a message.
Done = Callable[[Result], None]
#: Called with the number of a message of a run and its result, or with the results of several from that number on.
RunDone = Callable[[int, Sequence[Result]], None]


def _told_alone(done: RunDone, number: int, result: Result) -> None:
    done(number, (result,))


#: What look-ups told of a message: the position of the text that it refers to, and the policy's verdict, or where the
#: message is if it was stored before.
Prepared = tuple[str, Verdict | Appended]


@define(eq=False)
class _Waiting:
    message: Outgoing
    done: Done
    prepared: Deferred[Prepared] | None = None


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
        policy: IMessagePolicy | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._revision_ms = revision_seconds * 1000
        self._accounts = accounts
        self._store = store
        self._appender = appender
        self._delivery = delivery
        self._time = time
        self._metrics = metrics
        self._limits = limits
        self.full = FullConversations(clock)
        self._judging = Judging(policy, self._put, clock) if policy is not None else None
        self._ahead = AHEAD if policy is not None and not policy.at_once else 1
        #: Called with what was stored, and where; empty where nobody is told, so that nothing is paid for it.
        self.on_stored: list[Callable[[Outgoing, Appended], object]] = []
        # Messages that wait for a look-up, and those of the same author behind them, by conversation and author.
        self._waiting: dict[tuple[str, int], deque[_Waiting]] = {}

    def submit(self, message: Outgoing, done: Done, allowed: bool = False) -> None:
        """Send a message whose fields `native.check_send` has checked; `done` is called once with its fate.

        :param allowed: the limits were asked for it already
        """
        if message.send.user:
            self._delivery.prepare((message.send.user, message.author.id))
        if self._tracer is not None and message.trace:
            done = self._traced(self._tracer, message, done)
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
                waiting.append(_Waiting(message, done))
                if len(waiting) <= self._ahead:
                    self._begin(waiting)
        elif message.send.kind not in REVISIONS and (
            not message.send.user or self._accounts.at_hand(message.send.user) is not None
        ):
            verdict = message.verdict
            if verdict is None and self._judging is not None and self._is_judged(message):
                if not self._judging.is_quick:
                    self._wait(line, message, done)
                    return
                try:
                    verdict = self._judging.at_once(self._question(message))
                except Undecided as error:
                    self._told(message, done, error)
                    return
            self._append(message, done, message.send.ref, verdict or ALLOWED)
        else:
            self._wait(line, message, done)

    def submit_run(self, messages: Sequence[Outgoing], done: RunDone) -> None:
        """Send messages of one session into one conversation, each of which names the one before, as `submit` does.

        :param done: called with the number of one of them and its result, or with the results of several from that
            number on, all of which were stored as they were said
        """
        if not self._go_together(messages):
            for number, message in enumerate(messages):
                self.submit(message, partial(_told_alone, done, number))
            return
        author, now = messages[0].author, self._time.shown()
        if messages[0].send.user:
            self._delivery.prepare((messages[0].send.user, author.id))
        items = []
        for message in messages:
            send = message.send
            items.append(append_of(message, "", native.body_of(send, author.id, author.name, now), now))
        self._appender.put(items, partial(self._run_told, messages, done))

    def _go_together(self, messages: Sequence[Outgoing]) -> bool:
        """Return whether messages of one author may be appended together, and if so, take them from the limits."""
        first = messages[0]
        line = first.conversation, first.author.id
        receiver = first.send.user
        return (
            self._judging is None
            and line not in self._waiting
            and (not receiver or self._accounts.at_hand(receiver) is not None)
            and all(message.send.kind == TEXT for message in messages)
            and self._limits.takes_run(
                first.author.id, first.conversation, len(messages), sum([message.size for message in messages])
            )
        )

    def _run_told(self, messages: Sequence[Outgoing], done: RunDone, first: int, results: Sequence[Result]) -> None:
        """Tell the sender of a run what became of some of its messages, and push them.

        :param first: the number of the first of them
        """
        some = messages[first : first + len(results)]
        stored = [result for result in results if isinstance(result, Appended) and not result.repeated]
        # Of other members, others may read what was stored later.
        if len(stored) < len(some) or len(stored) == 1 or stored[0].version != stored[-1].version:
            for number, (message, result) in enumerate(zip(some, results, strict=True), first):
                with self._log.failuresHandled("the caller of a send failed"):
                    self._told(message, partial(_told_alone, done, number), result)
            return
        self._metrics.messages_in += len(stored)
        done(first, stored)
        self._push(some[0], run_of(some, stored), stored[-1].version)
        if self.on_stored:
            for message, appended in zip(some, stored, strict=True):
                with self._log.failuresHandled("the caller of a send failed"):
                    self._tell_listeners(message, appended)

    def _tell_listeners(self, message: Outgoing, appended: Appended) -> None:
        for listener in self.on_stored:
            listener(message, appended)

    def _is_judged(self, message: Outgoing) -> bool:
        """Return whether the policy is to decide on a message."""
        if self._judging is None or message.operator:
            return False
        if message.conversation == conversations.EVERYONE and message.send.kind != TEXT:  # refused whatever it says
            return False
        return self._judging.asks(message.send)

    @staticmethod
    def _traced(tracer: Tracer, message: Outgoing, done: Done) -> Done:
        """Begin the span of a message, under which all that follows is traced, and return what ends it, too."""
        span = tracer.publish(message.conversation, message.trace)
        if span is None:
            return done
        message.trace = span.trace

        def ended(result: Appended | CIMError) -> None:
            span.end(result if isinstance(result, CIMError) else None)
            done(result)

        return ended

    @staticmethod
    def _question(message: Outgoing) -> Question:
        return question_of(message.send, message.author.id, message.author.name, message.conversation, message.trace)

    def _wait(self, line: tuple[str, int], message: Outgoing, done: Done) -> None:
        """Have a message wait, with which its author's line in a conversation begins."""
        self._waiting[line] = deque((_Waiting(message, done),))
        working = Deferred.fromCoroutine(self._work(line))
        working.addErrback(lambda failure: self._log.failure("messages were not sent", failure))

    @staticmethod
    def _too_many(message: Outgoing, waiting: Iterable[_Waiting]) -> bool:
        """Return whether a message is one revision too many."""
        if message.send.kind not in REVISIONS:
            return False
        return sum(other.message.send.kind in REVISIONS for other in waiting) >= MAX_LOOKED_UP

    def _begin(self, waiting: Iterable[_Waiting]) -> None:
        """Begin to prepare the first messages of a line."""
        for one in islice(waiting, self._ahead):
            if one.prepared is None:
                one.prepared = Deferred.fromCoroutine(self._prepare(one.message))

    async def _work(self, line: tuple[str, int]) -> None:
        waiting = self._waiting[line]
        while waiting:
            self._begin(waiting)
            first = waiting[0]
            assert first.prepared is not None
            error: CIMError | None = None
            ref, verdict = "", None
            try:
                ref, verdict = await first.prepared
            except CIMError as refusal:
                error = refusal
            except Exception:
                self._log.failure("a message could not be sent")
                error = Unavailable()
            waiting.popleft()
            try:
                if isinstance(verdict, Verdict):
                    self._append(first.message, first.done, ref, verdict)
                elif verdict is not None:
                    self._told(first.message, first.done, compared(first.message, verdict))
                else:
                    self._told(first.message, first.done, error or Unavailable())
            except Exception:
                self._log.failure("the caller of a send failed")
        del self._waiting[line]

    async def _prepare(self, message: Outgoing) -> Prepared:
        """Do what takes time before a message can be appended: look up what its checks need, and ask the policy."""
        ref = await self._look_up(message)
        if message.verdict is not None:
            return ref, message.verdict
        if self._judging is None or not self._is_judged(message):
            return ref, ALLOWED
        asked = append_of(message, ref, b"", self._time.shown(), Fate.ASKED)
        return ref, await self._judging.verdict(self._question(message), asked)

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

    def _append(self, message: Outgoing, done: Done, ref: str, verdict: Verdict) -> None:
        send, author = message.send, message.author
        if message.conversation == conversations.EVERYONE and send.kind != TEXT:
            done(Forbidden("messages to everyone cannot be recalled, edited or reacted to"))
            return
        now = self._time.shown()
        if verdict.reason is not None:
            item = append_of(message, ref, verdict.reason.encode(), now, Fate.REFUSED)
        else:
            said = send if verdict.text is None else native.saying(send, verdict.text)
            item = append_of(message, ref, native.body_of(said, author.id, author.name, now), now)
        changed = verdict.text is not None

        def told(result: Appended | CIMError) -> None:
            if self._judging is not None and isinstance(result, Appended) and (changed or result.repeated):
                result = compared(message, result)
            self._told(message, done, result)

        self._put(item, told)

    def _put(self, item: Append, done: Done) -> None:
        self._appender.put((item,), lambda _, results: done(results[0]))

    def _told(self, message: Outgoing, done: Done, result: Appended | CIMError) -> None:
        """Tell the sender of a message what became of it, and push it."""
        if isinstance(result, Appended):
            self._metrics.messages_in += 1
            done(result)
            if message.push:
                self.push(message, result)
            self._tell_listeners(message, result)
        else:
            if isinstance(result, NoRoom):  # which cost the store something, so it counts
                self._metrics.refused(result.kind)
                if result.kind == "history-full":
                    self.full.note(message.conversation)
            elif isinstance(result, OutOfOrder | RateLimited | Undecided):
                self._give_back(message)
            done(result)

    def _give_back(self, message: Outgoing) -> None:
        """Give back what a message took that another bound refused, or that was out of order."""
        self._limits.give_back(message.payer or message.author.id, message.conversation, 1, message.size)

    def push(self, message: Outgoing, appended: Appended) -> None:
        """Push an appended message to its recipients."""
        self._push(message, push_of(message, appended), appended.version)

    def _push(self, message: Outgoing, push: Push, version: int) -> None:
        send = message.send
        if send.user:
            self._delivery.to_users(push, (send.user, message.author.id))
        elif send.group:
            self._delivery.to_group(push, send.group, version)
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

    async def judge(self, messages: Iterable[Outgoing]) -> None:
        """Have the policy decide on all messages of one call, none of which is stored if one is refused.

        :raises Refused: it refuses one
        :raises Undecided: it cannot decide now
        """
        judging = self._judging
        if judging is None:
            return

        async def judge(message: Outgoing) -> None:
            verdict = await judging.verdict(self._question(message))
            message.verdict = verdict if isinstance(verdict, Verdict) else None

        few = DeferredSemaphore(AHEAD)
        asked = [message for message in messages if self._is_judged(message)]
        await together([few.run(judge, message) for message in asked])
        for message in asked:
            if message.verdict is not None and message.verdict.reason is not None:
                raise Refused(message.verdict.reason)

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
