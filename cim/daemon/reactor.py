"""The reactor of a daemon: Twisted's, which counts monotonically and polls only when a turn is over.

By itself Twisted writes to a socket only after the kernel has said that it can be written to: for each message that
goes out alone, two changes to what is polled and an event of its own. But nearly every socket can be written to at any
moment. So at the end of a turn, before it polls, the reactor writes once to each connection to which something was
said in the turn, and polls only those that did not take all of it.

Nor does it poll between what has come in a turn and what was put off to do it for all of that together.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.tcp import Connection
from twisted.logger import Logger

from cim.daemon.clock import monotonic_reactor


class WritesOfTurn:
    """Has a reactor of Twisted's write at the end of each turn what was written to its connections."""

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._poll, self._poll_no_more = reactor.addWriter, reactor.removeWriter
        self._run, self._timeout = reactor.runUntilCurrent, reactor.timeout
        # Connections that have something to write and were not asked yet to do it.
        self._due: dict[Any, None] = {}
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
            self._due[writer] = None

    def _remove(self, writer: Any) -> None:
        """See IReactorFDSet."""
        if writer is self._now:
            self._now = None
        elif writer in self._polled:
            self._polled.remove(writer)
            self._poll_no_more(writer)
        else:
            self._due.pop(writer, None)

    def _turn(self) -> None:
        self._run()
        if self._timeout() == 0:
            # What was put off until all of the turn is known, so that it goes together: it is.
            self._run()
        due = self._due
        if not due:
            return
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


def daemon_reactor() -> Any:
    """Return Twisted's reactor, which counts on the monotonic clock and writes within the turn from now on."""
    reactor = monotonic_reactor()
    # Others, such as that of asyncio, have turns of their own.
    if not reactor.running and type(reactor).run is ReactorBase.run:
        WritesOfTurn(reactor)
    return reactor
