"""Calls that kazoo answers in its own threads and whose Deferreds fire in the reactor's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from attrs import define, field

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from cim.errors import RegistryUnavailable
from cim.registry.kazoo_client import converted
from cim.supervision import Loop

#: How many calls kazoo has at most. Each wakes it by a byte in a small buffer, which a few hundred would overflow.
WINDOW = 100


class ICallsReactor(IReactorTime, IReactorFromThreads):
    """What calls need of the reactor."""


@define(eq=False)
class _Call:
    """A call; `reply` returns its result or raises."""

    start: Callable[[], Any]
    deferred: Deferred[Any] = field(factory=Deferred)
    reply: Callable[[], Any] | None = None


class Calls:
    """Passes calls to kazoo, a bounded number at a time, and fires their Deferreds in the order of the calls.

    A call that is not answered in time fails with RegistryUnavailable, without waiting for its turn; if it was not
    passed on by then, it never is.

    :param timeout: seconds that each call may take
    """

    def __init__(self, reactor: ICallsReactor, timeout: float) -> None:
        self._reactor = reactor
        self._timeout = timeout
        self._waiting: deque[_Call] = deque()
        self._given: deque[_Call] = deque()
        self._open = 0
        self._round = 0
        self._firing = False
        self._going_on = Loop("calling ZooKeeper", self._go_on, reactor)

    def make(self, start: Callable[[], Any]) -> Deferred[Any]:
        """Make a call.

        :param start: passes it to kazoo and returns its IAsyncResult
        """
        call = _Call(start)
        call.deferred.addTimeout(self._timeout, self._reactor, self._no_answer)
        call.deferred.addBoth(self._ended)
        self._waiting.append(call)
        self._give()
        return call.deferred

    def fail(self, error: RegistryUnavailable) -> None:
        """Fail all calls under way; kazoo's answers to them are ignored from now on."""
        calls = [*self._given, *self._waiting]
        self._given.clear()
        self._waiting.clear()
        self._open = 0
        self._round += 1
        for call in calls:
            if not call.deferred.called:
                call.deferred.errback(error)

    def _no_answer(self, result: Any, seconds: float) -> None:
        raise RegistryUnavailable(f"ZooKeeper did not answer within {seconds:g} s")

    def _ended(self, result: Any) -> Any:
        self._fire()
        return result

    def _give(self) -> None:
        while self._waiting and self._open < WINDOW:
            call = self._waiting.popleft()
            if not call.deferred.called:
                self._open += 1
                self._given.append(call)
                self._start(call, self._round)

    def _start(self, call: _Call, this_round: int) -> None:
        def answered(done: Any) -> None:  # in one of kazoo's threads
            self._reactor.callFromThread(self._answered, call, this_round, done.get_nowait)

        try:
            call.start().rawlink(answered)
        except Exception as error:  # such as a path that kazoo does not accept
            self._open -= 1
            call.reply = partial(_raise, error)
            self._going_on.wake()

    def _answered(self, call: _Call, its_round: int, reply: Callable[[], Any]) -> None:
        if its_round == self._round and call.reply is None:
            self._open -= 1
            call.reply = reply
            self._fire()
            self._give()

    def _go_on(self) -> None:
        self._fire()
        self._give()

    def _fire(self) -> None:
        # kazoo passes the reply to `create` through two turns of its own, so a later call's may come first. And the
        # callbacks of one call may end another call, which must still wait until those callbacks have run.
        if self._firing:
            return
        self._firing = True
        try:
            while self._given and (self._given[0].deferred.called or self._given[0].reply is not None):
                call = self._given.popleft()
                if call.deferred.called or call.reply is None:
                    continue
                try:
                    result = call.reply()
                except Exception as error:
                    call.deferred.errback(converted(error))
                else:
                    call.deferred.callback(result)
        finally:
            self._firing = False


def _raise(error: Exception) -> NoReturn:
    raise error
