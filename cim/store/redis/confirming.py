"""Waits until a majority of a Redis and its replicas has what was written and read (docs/redis-ha.md).

What a call found is told on only when a majority has all that the call may have seen: its own writes and those of
others. A question on the same connection does that for all calls before it: PUBLISH puts something into the stream to
the replicas, and WAIT is answered when enough of them have all of the stream up to there. One question is under way at
a time; the calls that are made meanwhile share the next.

All replicas that keep up are waited for, although fewer make a majority. For of two replicas that are nearly even,
Sentinels do not always promote the one that has more: they compare offsets that may be a second old. Who does not keep
up is waited for no longer, until it does again.

WAITAOF would ask whether they have it on disk. But replicas tell that once a second, so every answer would take that
long. With `appendfsync always` a replica answers WAIT only after it has written to disk, as a master answers a call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cim.errors import StoreUnavailable

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")

#: How long replicas may take, in ms.
CONFIRM_MS = 900
#: A replica that last answered so many seconds ago or less keeps up.
MOST_LAG = 1
#: A channel to which nobody listens.
CHANNEL = "cim.confirm"


class Confirming:
    """The questions on one connection whether a majority has everything.

    :param ask: sends a command behind all earlier ones; its Deferreds fail in their order when the connection is lost
    :param clock: has its later turn when a question may follow the calls of this one
    :param servers: of how many servers a majority must have it, the master and its replicas
    :param cut: called with a reason if they do not have it in time, and to end the connection
    :param traces: returns commands of which replicas get each that is not refused; one is enough
    """

    def __init__(
        self,
        ask: Callable[..., Deferred[Any]],
        clock: IReactorTime,
        servers: Callable[[], int],
        cut: Callable[[str], object],
        traces: Callable[[], Sequence[tuple[str, ...]]] = lambda: (("PUBLISH", CHANNEL, ""),),
    ) -> None:
        self._ask = ask
        self._traces = traces
        self._clock = clock
        self._servers = servers
        self._cut = cut
        self._waiting: list[Deferred[None]] = []
        self._asking = False
        #: How many replicas keep up.
        self._current = 0

    def expect(self, replication: bytes) -> None:
        """Note which replicas keep up, by the answer to `INFO replication`."""
        lags = re.findall(rb"^slave\d+:.*state=online.*lag=(\d+)", replication, re.MULTILINE)
        self._current = sum(int(lag) <= MOST_LAG for lag in lags)

    def confirmed(self) -> Deferred[None]:
        """Fire when a majority has what was asked before; fail with StoreUnavailable if that is not known in time."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if not self._asking:
            self._asking = True
            self._clock.callLater(0, self._question)
        return waiter

    def follow(self, reply: Deferred[T]) -> Deferred[T]:
        """Return the reply to what was just asked, once a majority has what it says; an error is passed on at once."""
        confirmed = self.confirmed()

        def answered(value: T) -> Deferred[T]:
            return confirmed.addCallback(lambda _: value)

        def refused(failure: Failure) -> Failure:
            confirmed.addErrback(lambda _: None)
            return failure

        return reply.addCallbacks(answered, refused)

    def _question(self) -> None:
        waiting, self._waiting = self._waiting, []
        servers = self._servers()
        needed = majority(servers)
        expected = max(needed, self._current)
        wrong: list[str] = []
        untraced: list[str] = []

        def refused(failure: Failure) -> None:
            wrong.append(failure.getErrorMessage())

        def refused_trace(failure: Failure) -> None:
            untraced.append(failure.getErrorMessage())

        def answered(replicas: Any) -> None:
            if len(untraced) == len(traces):
                wrong[:0] = untraced
            if not wrong and replicas >= needed:
                if replicas < expected:
                    self._current = replicas
                self._asking = bool(self._waiting)
                if self._asking:
                    self._question()
                for waiter in waiting:
                    waiter.callback(None)
                return
            self._asking = False
            waiting.extend(self._waiting)
            self._waiting = []
            if wrong:
                self._cut(f"it does not wait for its replicas ({wrong[0]})")
            else:
                confirm = "no replica confirms" if not replicas else f"only {replicas} of its replicas confirm"
                self._cut(f"{confirm} what is written, and a majority of {servers} takes {needed}")
            for waiter in waiting:
                waiter.errback(StoreUnavailable())

        traces = self._traces()
        try:
            for trace in traces:
                self._ask(*trace).addErrback(refused_trace)
            self._ask("WAIT", expected, CONFIRM_MS).addErrback(refused).addCallback(answered)
        except Exception:  # the connection was lost before
            refused(Failure())
            answered(None)


def majority(servers: int) -> int:
    """Return how many replicas make a majority of so many servers together with the master: at least one."""
    return max(1, servers // 2)
