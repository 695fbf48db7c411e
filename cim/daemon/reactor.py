"""The reactor of a daemon: Twisted's, which counts monotonically and polls only when a turn is over.

By itself Twisted writes to a socket only after the kernel has said that it can be written to: for each message that
goes out alone, two changes to what is polled and an event of its own. But nearly every socket can be written to at any
moment. So at the end of a turn, before it polls, the reactor writes once to each connection to which something was
said in the turn, and polls only those that did not take all of it.

Nor does it poll between what has come in a turn and what was put off to do it for all of that together.

A server of idle clients wakes for each Ping alone, with cold caches, so what counts is how little code a turn runs.
On epoll a daemon therefore has a main loop of its own, which looks for timed calls only when one is due, and reads what
can be read without the context that Twisted makes for its former way of logging.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python import log

from cim.daemon.clock import monotonic_reactor

#: How many events are taken at once; the interpreter makes room for so many each time.
POLLED = 1024
#: The longest pause, seconds: the kernel counts it in 31 bits of milliseconds.
_LONGEST = 2_000_000.0


class WritesOfTurn:
    """Has a reactor of Twisted's write at the end of each turn what was written to its connections."""

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._poll, self._poll_no_more = reactor.addWriter, reactor.removeWriter
        self._run, self._timeout = reactor.runUntilCurrent, reactor.timeout
        #: Connections that have something to write and were not asked yet to do it.
        self.due: dict[Any, None] = {}
        # Those that the kernel did not take all from, and what else is polled.
        self._polled: set[Any] = set()
        self._writing = False
        self._now: Any = None
        reactor.addWriter, reactor.removeWriter = self._add, self._remove
        reactor.runUntilCurrent = self._turn

    def _add(self, writer: Any) -> None:
        """See IReactorFDSet."""
        if writer in self._polled:
            return
        # While they write, others must have their turn, whoever has always more to say.
        if self._writing or not isinstance(writer, Connection) or not writer.connected:
            self._polled.add(writer)
            self._poll(writer)
        else:
            self.due[writer] = None

    def _remove(self, writer: Any) -> None:
        """See IReactorFDSet."""
        if writer is self._now:
            self._now = None
        elif writer in self._polled:
            self._polled.remove(writer)
            self._poll_no_more(writer)
        else:
            self.due.pop(writer, None)

    def _turn(self) -> None:
        self._run()
        if self._timeout() == 0:
            # What was put off until all of the turn is known, so that it goes together: it is.
            self._run()
        if self.due:
            self.write()

    def write(self) -> None:
        """Have all that are due write."""
        due = self.due
        self._writing = True
        for writer in list(due):
            if writer not in due:  # another one has ended it
                continue
            del due[writer]
            self._now = writer
            try:
                failed = writer.doWrite()
            except Exception:
                self._log.failure("a connection could not be written to")
                self._now = None
                writer.abortConnection()
                continue
            left, self._now = self._now, None
            if left is not None or failed is not None:
                # What has failed fails again when it is polled, and the reactor does what is to be done then.
                self._add(writer)
        self._writing = False


class EpollLoop:
    """Has Twisted's reactor on epoll do no more in a turn than there is to do.

    It relies on names that are Twisted's own: `_poller`, `_selectables`, `_doReadOrWrite`, `_disconnectSelectable`,
    `_started`, `_justStopped`, `_newTimedCalls` and `_pendingTimedCalls`.

    :param writes: of the same reactor
    """

    _log = Logger()

    def __init__(self, reactor: Any, writes: WritesOfTurn) -> None:
        self._reactor = reactor
        self._writes = writes
        self._poll = reactor._poller.poll
        self._selectables = reactor._selectables
        reactor.doIteration = self._iterate
        reactor.mainLoop = self._loop

    def _loop(self) -> None:
        reactor, writes, seconds = self._reactor, self._writes, self._reactor.seconds
        while reactor._started:
            try:
                timed = reactor._pendingTimedCalls
                if (
                    reactor._newTimedCalls
                    or reactor.threadCallQueue
                    or (timed and timed[0].time <= seconds())
                    or reactor._justStopped
                ):
                    reactor.runUntilCurrent()
                elif writes.due:
                    writes.write()
                timed = reactor._pendingTimedCalls
                if reactor._newTimedCalls or not timed or not reactor.running:
                    self._iterate(reactor.running and reactor.timeout())
                else:
                    self._iterate(min(max(timed[0].time - seconds(), 0.0), _LONGEST))
            except BaseException:
                # As Twisted's own main loop does: whatever it is, the daemon goes on.
                self._log.failure("the reactor failed; it goes on")

    def _iterate(self, timeout: float | None) -> None:
        """Wait for events for so many seconds, None for as long as it takes, and handle them."""
        selectables = self._selectables
        for fd, event in self._poll(-1 if timeout is None else timeout, POLLED):
            one = selectables.get(fd)
            if one is None:  # another one has ended it
                continue
            if event != select.EPOLLIN or one.fileno() == -1:
                log.callWithLogger(one, self._reactor._doReadOrWrite, one, fd, event)
                continue
            try:
                why = one.doRead()
            except BaseException as error:
                log.callWithLogger(one, log.err)
                why = error
            if why:
                log.callWithLogger(one, self._reactor._disconnectSelectable, one, why, True)


def daemon_reactor() -> Any:
    """Return Twisted's reactor, which counts on the monotonic clock and writes within the turn from now on."""
    reactor = monotonic_reactor()
    # Others, such as that of asyncio, have turns of their own.
    if not reactor.running and type(reactor).run is ReactorBase.run:
        writes = WritesOfTurn(reactor)
        if isinstance(getattr(reactor, "_poller", None), getattr(select, "epoll", ())):
            EpollLoop(reactor, writes)
    return reactor
