"""Appends messages to the store in batches: everything that waits goes in one call, with few calls at a time.

A message waits for no timer: an idle appender calls the store in the next reactor turn. While as many calls, or as many
messages, are under way as serve the store best, others gather, so the busier it is, the larger the batches and the
cheaper each message. Senders take turns: a call has few messages of each, and half of it is first for those who say
little, so that nobody waits for what somebody else has said before. Nothing here ensures the order: the store does, by
what each message names as `after`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.daemon.tracing import Span, Tracer
from cim.errors import CIMError, RateLimited, StoreUnavailable
from cim.interfaces import IConversations
from cim.model import Append, Appended

#: The most messages, and bytes of bodies, in one call.
BATCH_ITEMS = 500
BATCH_BYTES = 1 << 20
#: The most messages of one sender in one call; when many wait they share it, down to the least.
BATCH_OF_ONE, LEAST_OF_ONE = 64, 32
#: Who says little: of such a sender at most so many messages wait, and an earlier call has left none of them.
FEW = 4
#: How many messages, and bytes of bodies, in one call are first of those who say little.
BATCH_OF_FEW, BYTES_OF_FEW = BATCH_ITEMS // 2, BATCH_BYTES // 2
#: How many messages are under way when no further call is made, as those who come later would wait behind them.
UNDER_WAY = 2 * BATCH_ITEMS
#: The most messages that may wait.
QUEUE = 20_000

#: Where a message is, or why it is not stored.
Result = Appended | CIMError
#: Called with the number of a message among those that were put together, and the results of it and the next ones.
Done = Callable[[int, Sequence[Result]], None]
#: A message that waits, its number among those that were put with it, and whom to tell of it.
_Waiting = tuple[Append, int, Done]
_R = TypeVar("_R")


def _traced(result: _R, span: Span) -> _R:
    """End the span of a call of the store, and return what it has led to."""
    span.end(result.value if isinstance(result, Failure) else None)
    return result


class Appender:
    """Appends messages, those of one sender in the order of `put` unless one fails."""

    _log = Logger()

    def __init__(self, conversations: IConversations, clock: IReactorTime, tracer: Tracer | None = None) -> None:
        self._conversations = conversations
        self._most = conversations.appends_at_once
        self._clock = clock
        self._tracer = tracer
        # What waits, by its sender; the sender whose turn is next is the first. Those who say much.
        self._waiting: OrderedDict[int, deque[_Waiting]] = OrderedDict()
        # Those who say little.
        self._few: OrderedDict[int, deque[_Waiting]] = OrderedDict()
        self._count = 0
        self._calls = 0
        self._under_way = 0
        self._scheduled = False
        self._calling = False
        self._idle: list[Deferred[None]] = []

    def __len__(self) -> int:
        return self._count

    def put(self, items: Sequence[Append], done: Done) -> None:
        """Append messages of one sender; `done` is called in later turns unless too many messages wait."""
        if self._count >= QUEUE:
            done(0, [RateLimited("too many messages are waiting for the store: try again later")] * len(items))
            return
        sender = items[0].sender
        waiting = self._waiting.get(sender)
        if waiting is None:
            waiting = self._few.get(sender)
            if waiting is None:
                waiting = self._few[sender] = deque()
            if len(waiting) + len(items) > FEW:
                self._waiting[sender] = self._few.pop(sender)
        for number, item in enumerate(items):
            waiting.append((item, number, done))
        self._count += len(items)
        if not self._scheduled and self._may_call():
            self._scheduled = True
            self._clock.callLater(0, self._turn)

    async def append(self, item: Append) -> Appended:
        """Append a message; return where it is.

        :raises CIMError: it is refused, or nobody knows
        """
        fate: Deferred[Result] = Deferred()
        self.put((item,), lambda _, results: fate.callback(results[0]))
        result = await fate
        if isinstance(result, CIMError):
            raise result
        return result

    def _may_call(self) -> bool:
        return self._calls < self._most and self._under_way < UNDER_WAY

    def _turn(self) -> None:
        self._scheduled = False
        if self._calling:
            return  # the loop below continues
        self._calling = True
        while self._count and self._may_call():
            items: list[Append] = []
            waiting: list[_Waiting] = []
            more: list[tuple[int, deque[_Waiting]]] = []
            size = 0
            share = max(LEAST_OF_ONE, BATCH_OF_ONE // (len(self._few) + len(self._waiting)))
            while (self._few or self._waiting) and len(items) < BATCH_ITEMS and size < BATCH_BYTES:
                few_first = self._few and len(items) < BATCH_OF_FEW and size < BYTES_OF_FEW
                sender, said = (self._few if few_first or not self._waiting else self._waiting).popitem(last=False)
                most = min(BATCH_ITEMS, len(items) + share)
                while said and len(items) < most and size < BATCH_BYTES:
                    one = said.popleft()
                    items.append(one[0])
                    waiting.append(one)
                    size += len(one[0].body)
                if said:
                    more.append((sender, said))
            # Their turn is behind all who wait.
            self._waiting.update(more)
            self._count -= len(items)
            self._calls += 1
            self._under_way += len(items)
            span = self._span(items) if self._tracer is not None else None
            appending = maybeDeferred(self._conversations.append, items)
            if span is not None:
                appending.addBoth(_traced, span)
            appending.addCallback(self._settle, waiting).addErrback(self._failed, waiting)
        self._calling = False

    def _span(self, items: Sequence[Append]) -> Span | None:
        traces = [item.trace for item in items if item.trace]
        return self._tracer.append(traces, len(items)) if traces and self._tracer is not None else None

    def _failed(self, failure: Failure, waiting: list[_Waiting]) -> None:
        error = failure.value
        if not isinstance(error, CIMError):
            self._log.failure("the store failed to append", failure)
            error = StoreUnavailable()
        self._settle([error] * len(waiting), waiting)

    def _settle(self, results: Sequence[Result], waiting: list[_Waiting]) -> None:
        if len(results) != len(waiting):
            raise ValueError("the store returned a different number of results than messages")
        self._calls -= 1
        self._under_way -= len(waiting)
        at = 0
        while at < len(waiting):
            first = at
            _, number, done = waiting[at]
            while at < len(waiting) and waiting[at][2] is done:
                at += 1
            try:
                done(number, results[first:at])
            except Exception:
                self._log.failure("the caller of an append failed")
        if self._count:
            self._turn()
        elif self._idle:
            self._note_idle()

    def _note_idle(self) -> None:
        if not self._count and not self._calls:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def settled(self) -> Deferred[None]:
        """Fire when nothing waits and nothing is under way."""
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        self._note_idle()
        return done
