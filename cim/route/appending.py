"""Messages on their way into the store: whatever waits goes in one call, at most two calls at a time (DESIGN.md 5).

A message waits for no timer: an idle appender calls the store in the next reactor turn. While two calls are under way
the others gather, so the busier it is the larger the batches are and the less each message costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.ecim import CIMError, RateLimited, StoreUnavailable
from cim.icim import IConversations
from cim.model import Append, Appended

#: Calls under way; the store takes them in order, so conversations keep theirs.
CALLS = 2
#: Messages and bytes of bodies in one call.
BATCH_ITEMS = 500
BATCH_BYTES = 1 << 20
#: Messages that may wait.
QUEUE = 20_000

#: What is told of a message's fate.
Done = Callable[[Appended | CIMError], None]


@define(eq=False)
class _Waiting:
    item: Append
    done: Done


class Appender:
    """Appends messages in the order in which they are put."""

    _log = Logger()

    def __init__(self, conversations: IConversations, clock: IReactorTime) -> None:
        self._conversations = conversations
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        self._calls = 0
        self._scheduled = False
        self._idle: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: Append, done: Done) -> None:
        """Append a message; `done` is called once, in a later turn unless too many wait."""
        if len(self._queue) >= QUEUE:
            done(RateLimited("too many messages wait for the store, please try again later"))
            return
        self._queue.append(_Waiting(item, done))
        if not self._scheduled and self._calls < CALLS:
            self._scheduled = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        while self._queue and self._calls < CALLS:
            batch = [self._queue.popleft()]
            size = len(batch[0].item.body)
            while self._queue and len(batch) < BATCH_ITEMS and size < BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += len(batch[-1].item.body)
            self._calls += 1
            appending = self._conversations.append([waiting.item for waiting in batch])
            appending.addCallbacks(
                self._appended, self._failed, callbackArgs=(batch,), errbackArgs=(batch,)
            ).addErrback(lambda failure: self._log.failure("the fate of messages could not be told", failure))

    def _appended(self, results: list[Appended | CIMError], batch: list[_Waiting]) -> None:
        self._calls -= 1
        try:
            for waiting, result in zip(batch, results, strict=True):
                try:
                    waiting.done(result)
                except Exception:
                    self._log.failure("the fate of a message could not be told")
        finally:
            self._turn()
            self._note_idle()

    def _failed(self, failure: Failure, batch: list[_Waiting]) -> None:
        error = failure.value
        if not isinstance(error, CIMError):
            self._log.failure("the store failed to append", failure)
            error = StoreUnavailable()
        self._appended([error] * len(batch), batch)

    def _note_idle(self) -> None:
        if not self._queue and not self._calls:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def settled(self) -> Deferred[None]:
        """Fire when nothing waits and nothing is under way."""
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        self._note_idle()
        return done
