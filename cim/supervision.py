"""Repeating steps that no exception ends: all that retries, polls or sweeps (docs/architecture.md, Loops)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from math import inf
from types import CoroutineType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

#: Seconds from a step that failed unexpectedly to the next: doubled with each failure in a row, and the most.
FIRST_RETRY = 0.25
MAX_RETRY = 5.0
#: How many kinds of failures are remembered, in order to log the traceback of each once.
KEPT_KINDS = 100

#: Returns the seconds until it is taken again; None if only when asked for.
Step = Callable[[], "float | Coroutine[Any, Any, float | None] | None"]


def _unspread() -> float:
    return 1.0


class Loop:
    """Takes a step, one at a time, when it is asked to and when the last one said so, until it is stopped.

    What a step should have handled and raises is logged, with its traceback once for each kind of failure. The step is
    taken again after a while that grows with each failure in a row; nothing makes it come sooner.

    :param what: its subject, for the log
    :param every: seconds from one step to the next for steps that return None; None if those end in rest
    :param random: returns a number from 0 to 1, which spreads retries; needed where many would retry at once
    """

    _log = Logger()

    __slots__ = (
        "_again",
        "_clock",
        "_every",
        "_failures",
        "_kinds",
        "_not_before",
        "_over",
        "_random",
        "_said",
        "_since",
        "_step",
        "_stepping",
        "_stopped",
        "_timer",
        "_under_way",
        "_what",
    )

    def __init__(
        self,
        what: str,
        step: Step,
        clock: IReactorTime,
        *,
        every: float | None = None,
        random: Callable[[], float] = _unspread,
    ) -> None:
        self._what = what
        self._step = step
        self._clock = clock
        self._every = every
        self._random = random
        self._timer: IDelayedCall | None = None
        self._stopped = False
        self._stepping = False
        #: When a step that was asked for during the present one is due, in seconds from its end.
        self._again = inf
        self._under_way: Deferred[None] | None = None
        self._over: list[Deferred[None]] | None = None
        self._failures = 0
        self._not_before = -inf
        #: When the present step, or the last one, was due.
        self._since = 0.0
        self._kinds: set[tuple[str, str, int]] | None = None
        self._said = False

    @property
    def due(self) -> float | None:
        """When the next step is due, in seconds on the clock; None if none is."""
        if self._timer is not None:
            return self._timer.getTime()
        return self._clock.seconds() + self._again if self._again < inf else None

    def start(self, after: float = 0.0) -> None:
        """Take steps, the first after so many seconds, or before this returns; also if it was stopped before."""
        self._stopped = False
        if after or self._stepping:
            self.wake(after)
        else:
            self._set(None)
            self._take()

    def wake(self, within: float = 0.0) -> None:
        """Take a step in so many seconds at the latest, unless it is stopped."""
        if self._stopped:
            return
        if self._stepping:
            self._again = min(self._again, within)
        else:
            self._set(within, sooner=True)

    def plan(self, after: float | None) -> None:
        """Take the next step in so many seconds and not before, or only when asked for, whatever was planned."""
        if self._stopped:
            return
        if self._stepping:
            self._again = inf if after is None else after
        else:
            self._set(after)

    def stop(self) -> Deferred[None]:
        """Take no more steps; fires when the one under way, if there is one, has ended."""
        self._stopped = True
        self._again = inf
        self._set(None)
        ended: Deferred[None] = Deferred()
        if self._stepping:
            self._over = [*(self._over or ()), ended]
        else:
            ended.callback(None)
        return ended

    def cancel(self) -> Deferred[None]:
        """Take no more steps, and cancel the one under way; fires when that has ended."""
        ended = self.stop()
        if self._under_way is not None:
            self._under_way.cancel()
        return ended

    def _set(self, after: float | None, *, sooner: bool = False) -> None:
        timer = self._timer
        if after is None:
            if timer is not None:
                self._timer = None
                timer.cancel()
            return
        if self._failures:
            after = max(after, self._not_before - self._clock.seconds())
        if timer is None:
            self._timer = self._clock.callLater(max(0.0, after), self._take)
        elif not sooner or timer.getTime() > self._clock.seconds() + after:
            timer.reset(max(0.0, after))

    def _take(self) -> None:
        self._since = self._clock.seconds() if self._timer is None else self._timer.getTime()
        self._timer = None
        self._stepping = True
        self._again = inf
        try:
            taken = self._step()
        except Exception:
            self._failed(Failure())
            return
        if isinstance(taken, CoroutineType):
            under_way: Deferred[Any] = Deferred.fromCoroutine(taken)
            if not under_way.called:
                self._under_way = under_way
            under_way.addCallbacks(self._taken, self._failed).addErrback(self._failed)
        else:
            self._taken(taken)  # type: ignore[arg-type]  # what is no coroutine is a number or None

    def _taken(self, pause: float | None) -> None:
        if self._failures:
            if self._said:
                self._said = False
                self._log.info("{what}: it works again", what=self._what)
            self._failures = 0
        if pause is None and self._every is not None:
            # By when it was due and not by when it was taken, or each would be later than the last.
            pause = self._every - (self._clock.seconds() - self._since) % self._every
        self._ended(pause)

    def _failed(self, failure: Failure) -> None:
        if self._stopped and failure.check(CancelledError):
            self._ended(None)
            return
        self._failures += 1
        frame = failure.frames[-1] if failure.frames else ("", "", 0)
        kind = (type(failure.value).__name__, str(frame[1]), int(frame[2]))
        if self._kinds is None:
            self._kinds = set()
        new = kind not in self._kinds
        if new and len(self._kinds) < KEPT_KINDS:
            self._kinds.add(kind)
        self._said = self._said or new
        level = LogLevel.critical if new else LogLevel.debug
        self._log.failure("{what} failed; it goes on", failure, level, what=self._what)
        wait = min(MAX_RETRY, FIRST_RETRY * 2.0 ** min(self._failures - 1, 10)) * (0.5 + self._random() / 2)
        wait = max(wait, self._every or 0.0)
        self._not_before = self._clock.seconds() + wait
        self._ended(wait)

    def _ended(self, pause: float | None) -> None:
        self._stepping = False
        self._under_way = None
        again, self._again = self._again, inf
        pause = min(again, inf if pause is None else pause)
        if pause < inf and not self._stopped:
            self._set(pause)
        over, self._over = self._over, None
        for ended in over or ():
            ended.callback(None)
