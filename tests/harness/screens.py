"""A program on a terminal of its own, and the contents of its screen, for tests and for the pictures in docs."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyte

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

#: How long something may take to appear on the screen, seconds.
PATIENCE = 30.0


class ScreenProcess(ProcessProtocol):
    """Runs a program on a pseudo-terminal.

    :ivar screen: a pyte.Screen
    :ivar output: all that the program wrote
    """

    transport: IProcessTransport

    def __init__(self, reactor: Any, columns: int = 80, rows: int = 24) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.output = bytearray()
        self._stream = pyte.ByteStream(self.screen)
        self._reactor = reactor
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []
        self._master = -1
        self._exited: Deferred[int] = Deferred()

    def start(self, argv: Sequence[str], environment: Mapping[str, str], directory: str) -> None:
        """Start the program."""
        self._master, slave = pty.openpty()
        self._size(self.screen.columns, self.screen.lines)
        self._reactor.spawnProcess(
            self, argv[0], argv, environment, directory, usePTY=(self._master, slave, os.ttyname(slave))
        )

    def _size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        self.screen.resize(rows, columns)
        self._size(columns, rows)
        self.signal(signal.SIGWINCH)

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.transport.signalProcess(number)

    def type(self, text: str) -> None:
        """Press keys."""
        self.transport.write(text.encode())

    def paste(self, text: str) -> None:
        """Paste text as terminals do for programs that enabled bracketed paste."""
        self.type(f"\x1b[200~{text}\x1b[201~")

    @property
    def lines(self) -> list[str]:
        """Return the lines on the screen that are not empty."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def shows(self, *texts: str) -> bool:
        """Return whether all these texts are on the screen."""
        shown = "\n".join(self.lines)
        return all(text in shown for text in texts)

    def wait_for(self, *texts: str) -> Deferred[None]:
        """Fire when all these texts are on the screen."""
        return self.wait_until(lambda: self.shows(*texts), f"{texts} to be shown")

    def wait_until(self, condition: Callable[[], bool], what: str = "a condition") -> Deferred[None]:
        """Fire when a condition holds, checked whenever the screen changes; fail with what the screen shows."""
        waiting: Deferred[None] = Deferred()
        if condition():
            waiting.callback(None)
            return waiting
        self._waiting.append((condition, waiting))
        waiting.addTimeout(PATIENCE, self._reactor, lambda *_: self._never(what))
        return waiting

    def _never(self, what: str) -> Failure:
        return Failure(AssertionError(f"waited in vain for {what}:\n" + "\n".join(self.lines)))

    def outReceived(self, data: bytes) -> None:
        """Take what the program wrote."""
        self.output += data
        self._stream.feed(data)
        for pair in tuple(self._waiting):
            if pair[1].called:
                self._waiting.remove(pair)
            elif pair[0]():
                self._waiting.remove(pair)
                pair[1].callback(None)

    def wait_for_exit(self) -> Deferred[int]:
        """Fire with its exit status, once."""
        return self._exited.addTimeout(PATIENCE, self._reactor)

    def processEnded(self, reason: Failure) -> None:
        """Note that the program has ended."""
        self._exited.callback(reason.value.exitCode)  # type: ignore[union-attr]  # ProcessDone or ProcessTerminated

    async def stop(self) -> None:
        """End the program if it is still running."""
        if not self._exited.called:
            self.transport.signalProcess("KILL")
            try:
                await self._exited
            except CancelledError:
                pass
