"""Starting and stopping in order, with deadlines (docs/architecture.md)."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure


def within(d: Deferred[Any], seconds: float, clock: IReactorTime, log: Logger, what: str) -> Deferred[bool]:
    """Wait for `d`, but at most `seconds`; never fails and never cancels `d`.

    A failure of `d`, in time or late, is logged with `what`.

    :returns: whether `d` fired in time, whatever its result
    """
    done: Deferred[bool] = Deferred()
    timer = clock.callLater(seconds, lambda: done.callback(False))

    def ended(result: Any) -> None:
        if isinstance(result, Failure):
            log.failure("{what} failed", result, what=what)
        if timer.active():
            timer.cancel()
            done.callback(True)

    d.addBoth(ended)
    return done


class OrderedService(MultiService):
    """A collection of services that starts them in the order in which they were added and stops them in reverse.

    Each child is stopped only after the one before it has stopped, has failed to stop (which is logged) or has used up
    its time. When the total time is used up the remaining children are told to stop and not waited for.
    A child that fails to start ends the start; `stopService` then stops those that had started.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, *, stop_timeout: float = 10.0, total: float = 30.0) -> None:
        """
        :param stop_timeout: seconds that a child may take to stop, unless `add` sets another limit
        :param total: seconds that all children together may take
        """
        super().__init__()
        self._clock = clock
        self._stop_timeout = stop_timeout
        self._total = total
        self._timeouts: dict[IService, float] = {}
        self._started: list[IService] = []
        self._stopping: list[Deferred[None]] | None = None

    def add(self, child: IService, stop_timeout: float | None = None) -> None:
        """Append a child; start it at once if the collection is running.

        :param stop_timeout: seconds that the child may take to stop
        """
        if stop_timeout is not None:
            self._timeouts[child] = stop_timeout
        child.setServiceParent(self)

    def addService(self, service: IService) -> None:
        """Add a child; its `setServiceParent` calls this."""
        super().addService(service)
        if self.running:
            self._note_started(service)

    def removeService(self, service: IService) -> Deferred[Any] | None:
        """Remove a child, stopping it if it is running; its `disownServiceParent` calls this."""
        self._timeouts.pop(service, None)
        if service in self._started:
            self._started.remove(service)
        removed: Deferred[Any] | None = super().removeService(service)
        return removed

    def _note_started(self, child: IService) -> None:
        if child not in self._started:
            self._started.append(child)

    def privilegedStartService(self) -> None:
        """Have the children start what needs privileges, in order."""
        for child in list(self):
            child.privilegedStartService()
            self._note_started(child)

    def startService(self) -> None:
        """Start the children, in order."""
        self.running = 1
        for child in list(self):
            child.startService()
            self._note_started(child)

    def stopService(self) -> Deferred[None]:
        """Stop the children, last first; fires when all have stopped or used up their time. Never fails."""
        done: Deferred[None] = Deferred()
        if self._stopping is not None:
            self._stopping.append(done)
            return done
        self._stopping = [done]
        Deferred.fromCoroutine(self._stop()).addErrback(
            lambda failure: self._log.failure("the services could not be stopped", failure)
        ).addBoth(lambda _: self._stopped())
        return done

    def _stopped(self) -> None:
        waiting, self._stopping = self._stopping or [], None
        for d in waiting:
            d.callback(None)

    async def _stop(self) -> None:
        self.running = 0
        end = self._clock.seconds() + self._total
        while self._started:
            child = self._started.pop()
            name = child.name or type(child).__name__
            left = max(0.0, min(self._timeouts.get(child, self._stop_timeout), end - self._clock.seconds()))
            if not await within(maybeDeferred(child.stopService), left, self._clock, self._log, f"stopping {name}"):
                self._log.warn("{name} did not stop within {seconds} s; going on", name=name, seconds=round(left, 3))
