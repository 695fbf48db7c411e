"""The terminal as a service on this process's standard input, output and error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet import fdesc
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.client.library import Client
from cim.client.terminal import Terminal
from cim.web.calling import JSONCalls


@implementer(IPushProducer)
class ErrorStream(FileDescriptor):
    """Writes to standard error without ever blocking; drops what comes while too much waits to be written."""

    connected = 1

    def __init__(self, reactor: Any, descriptor: int = 2) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._full = False
        self._closing: Deferred[None] | None = None
        fdesc.setNonBlocking(descriptor)
        self.registerProducer(self, True)

    def fileno(self) -> int:
        return self._descriptor

    def writeSomeData(self, data: bytes) -> int | BaseException:
        """See FileDescriptor."""
        result: int | BaseException = fdesc.writeToFD(self._descriptor, data)
        return result

    def write(self, data: bytes) -> None:
        """Write, or drop."""
        if not self._full:
            super().write(data)

    def pauseProducing(self) -> None:
        """Too much waits."""
        self._full = True

    def resumeProducing(self) -> None:
        """There is room again."""
        self._full = False

    def stopProducing(self) -> None:
        """Nobody reads standard error any more."""

    def close(self) -> Deferred[None]:
        """Fire when all that was taken is written, or cannot be."""
        closing: Deferred[None] = Deferred()
        if not self.connected:
            closing.callback(None)
            return closing
        self._closing = closing
        self.unregisterProducer()
        self.loseConnection()
        return closing

    def connectionLost(self, reason: Failure) -> None:
        """See FileDescriptor."""
        super().connectionLost(reason)
        fdesc.setBlocking(self._descriptor)
        if self._closing is not None:
            self._closing.callback(None)


def _descriptor(number: int, stream: object) -> int:
    """Return a standard stream's descriptor; when it was closed its number may mean anything: then the null device."""
    return number if stream is not None else os.open(os.devnull, os.O_RDWR)


class TerminalService(Service):
    """Runs a client at the terminal: joins standard input and output while it runs, and closes the calls last.

    :param leave: ends the process with an exit status
    :param interactive: somebody types
    """

    _log = Logger()

    def __init__(
        self,
        client: Client,
        calls: JSONCalls,
        reactor: Any,
        leave: Callable[[int], None],
        *,
        stay: bool,
        interactive: bool,
    ) -> None:
        self._client = client
        self._calls = calls
        self._reactor = reactor
        self._leave = leave
        self._stay = stay
        self._interactive = interactive
        self._terminal: Terminal | None = None
        self._errors: ErrorStream | None = None

    def startService(self) -> None:
        super().startService()
        self._errors = ErrorStream(self._reactor, _descriptor(2, sys.__stderr__))
        self._terminal = Terminal(
            self._client, self._errors, self._leave, stay=self._stay, interactive=self._interactive
        )
        stdin, stdout = _descriptor(0, sys.__stdin__), _descriptor(1, sys.__stdout__)
        # mypy reads the signature that it has on Windows.
        StandardIO(self._terminal, stdin, stdout, self._reactor)  # type: ignore[call-arg]
        self._client.startService()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._terminal is not None:
            self._terminal.stop()
        await self._client.stopService()
        await self._calls.close()
        if self._terminal is not None:
            await self._terminal.flush()
        if self._errors is not None:
            await self._errors.close()
