"""Messages on their way into the store: whatever waits goes in one call, at most two calls at a time (DESIGN.md 5).

A message waits for no timer: an idle appender calls the store in the next reactor turn. While two calls are under way
the others gather, so the busier it is the larger the batches are and the less each message costs.

Messages may belong to a *line*: what one session says in one conversation. When one of a line fails so that it may come
again, all behind it that are here fail the same way: those that wait are not stored any more, and of those in the other
call it is unknown, as the failure says. So whoever repeats them in their order has them stored in that order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable

from attrs import define

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.ecim import CIMError, RateLimited, StoreUnavailable, Unavailable
from cim.icim import IConversations
from cim.model import Append, Appended

#: Calls under way; the store takes them in order, so conversations keep theirs.
CALLS = 2
#: Messages and bytes of bodies in one call.
BATCH_ITEMS = 500
BATCH_BYTES = 1 << 20
#: Messages that may wait.
QUEUE = 20_000

#: Errors after which the same message may come again, while those behind it wait for that.
RETRYABLE = (Unavailable, RateLimited)

#: What is told of a message's fate.
Done = Callable[[Appended | CIMError], None]


@define(eq=False)
class _Waiting:
    item: Append
    done: Done
    line: Hashable


class Appender:
    """Appends messages in the order in which they are put."""

    _log = Logger()

    def __init__(self, conversations: IConversations, clock: IReactorTime) -> None:
        self._conversations = conversations
        self._clock = clock
        self._queue: deque[_Waiting] = deque()
        # Oldest first.
        self._calls: list[list[_Waiting]] = []
        self._scheduled = False
        self._calling = False
        # Something failed: what else is under way may fail with it, so nothing new begins before it has ended.
        self._holding = False
        self._idle: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: Append, done: Done, line: Hashable = None) -> None:
        """Append a message; `done` is called once, in a later turn unless too many wait.

        :param line: what fails together; None for a message that fails alone
        """
        if len(self._queue) >= QUEUE:
            done(RateLimited("too many messages wait for the store, please try again later"))
            return
        self._queue.append(_Waiting(item, done, line))
        if not self._scheduled and len(self._calls) < CALLS:
            self._scheduled = True
            self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._calling:
            return  # the loop below goes on
        self._holding = self._holding and bool(self._calls)
        if self._holding:
            return
        self._calling = True
        while self._queue and len(self._calls) < CALLS:
            batch = [self._queue.popleft()]
            size = len(batch[0].item.body)
            while self._queue and len(batch) < BATCH_ITEMS and size < BATCH_BYTES:
                batch.append(self._queue.popleft())
                size += len(batch[-1].item.body)
            self._calls.append(batch)
            appending = maybeDeferred(self._conversations.append, [waiting.item for waiting in batch])
            appending.addCallback(self._appended, batch).addErrback(self._failed, batch)
        self._calling = False

    def _appended(self, results: list[Appended | CIMError], batch: list[_Waiting]) -> None:
        if len(results) != len(batch):
            raise ValueError("the store answered for another number of messages")
        self._settle(batch, results)

    def _failed(self, failure: Failure, batch: list[_Waiting]) -> None:
        error = failure.value
        if not isinstance(error, CIMError):
            self._log.failure("the store failed to append", failure)
            error = StoreUnavailable()
        self._holding = True
        self._settle(batch, [error] * len(batch))

    def _settle(self, batch: list[_Waiting], results: list[Appended | CIMError]) -> None:
        at = next(at for at, call in enumerate(self._calls) if call is batch)
        later = self._calls[at + 1 :]
        del self._calls[at]
        failed: dict[Hashable, CIMError] = {}
        for waiting, result in zip(batch, results, strict=True):
            if failed and waiting.line in failed:
                result = failed[waiting.line]
            elif isinstance(result, RETRYABLE) and waiting.line and waiting.done is not _told:
                failed[waiting.line] = result
            self._tell(waiting, result)
        if failed:
            self._holding = True
            self._fail_behind(failed, later)
        self._turn()
        self._note_idle()

    def _fail_behind(self, failed: dict[Hashable, CIMError], later: list[list[_Waiting]]) -> None:
        """Tell what is behind something that failed that it failed too, and take out of the queue what is there."""
        queue, self._queue = self._queue, deque()
        behind = [waiting for call in later for waiting in call if waiting.line in failed]
        for waiting in queue:
            (behind if waiting.line in failed else self._queue).append(waiting)
        for waiting in behind:
            self._tell(waiting, failed[waiting.line])

    def _tell(self, waiting: _Waiting, result: Appended | CIMError) -> None:
        done, waiting.done = waiting.done, _told
        try:
            done(result)
        except Exception:
            self._log.failure("the fate of a message could not be told")

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


def _told(result: Appended | CIMError) -> None:
    """What was told of its fate is not told again."""
