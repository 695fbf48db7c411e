"""The terminal as a service on this process's standard input, output and error."""

from __future__ import annotations

import io
import os
import sys
import termios
from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen

from twisted.application.service import Service
from twisted.internet import fdesc
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.stdio import StandardIO
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.client import AccountsClosed, Client, DataDirectory, Forbidden, InvitationNeeded, Unauthorized, Untrusted
from cim.terminal.console.chat import Chat
from cim.terminal.console.plain import PlainTerminal
from cim.terminal.console.question import Question
from cim.terminal.iconsole import Screen


@implementer(IPushProducer)
class ErrorStream(FileDescriptor):
    """Writes to standard error without ever blocking; drops data while too much waits to be written."""

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
        """Write data, or drop it while too much waits."""
        if not self._full:
            super().write(data)

    def pauseProducing(self) -> None:
        """Start dropping data: too much waits."""
        self._full = True

    def resumeProducing(self) -> None:
        """Stop dropping data: there is room again."""
        self._full = False

    def stopProducing(self) -> None:
        """Stop writing: nobody reads standard error any more."""

    def close(self) -> Deferred[None]:
        """Write what was accepted, then stop; fires when that is done or has become impossible."""
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


class ErrorLines(io.TextIOBase):
    """Stands in for standard error: while a line editor owns the terminal, output becomes notices there."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._partial = ""
        self._screen: Screen | None = None

    def to_screen(self, screen: Screen) -> None:
        """Show lines on `screen` from now on."""
        self._screen = screen

    def to_stream(self) -> None:
        """Write lines to the stream again."""
        self._screen = None

    def write(self, text: str) -> int:
        """Write text to the stream, or show its complete lines on the screen."""
        if self._screen is None:
            return int(self._stream.write(text))
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            self._screen.notice(line)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def _descriptor(number: int, stream: object) -> int:
    """Return a standard stream's descriptor, or the null device if it was closed: its number may be reused by then."""
    return number if stream is not None else os.open(os.devnull, os.O_RDWR)


def _hide(hidden: bool) -> None:
    """Have the terminal not show what is typed, or show it again."""
    assert sys.__stdin__ is not None
    descriptor = sys.__stdin__.fileno()
    settings = termios.tcgetattr(descriptor)
    settings[3] = settings[3] & ~termios.ECHO if hidden else settings[3] | termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSADRAIN, settings)


@frozen
class Identity:
    """Who is at the terminal.

    :param facts: what `:info` shows about it
    :param banner: lines to show after the first login
    :param new: where the password that was just generated for a new user is kept; dropped if the login is refused
    :param untrusted: what to do about a server that does not prove that it is the right one
    :param question: asks the user for an invitation, if one is needed
    """

    client: Client
    name: str
    facts: Sequence[tuple[str, str]] = ()
    banner: Sequence[str] = ()
    new: DataDirectory | None = None
    untrusted: str = ""
    question: Question = field(factory=Question)


@frozen
class Look:
    """How the terminal is used.

    :param editing: use a line editor instead of reading lines as they arrive
    :param interactive: somebody types
    :param colour: whether the editor uses colours
    :param where: the system's name in the status line
    :param errors: stands in for standard error, where the log goes
    :param typed: the file that keeps typed lines; empty for none
    """

    editing: bool = False
    interactive: bool = False
    colour: bool = True
    where: str = ""
    typed: str = ""
    term: str = ""
    errors: ErrorLines | None = None


class TerminalService(Service):
    """Runs a client at the terminal, connected to standard input and output.

    :param identity: makes the client when the service starts; a CIMError ends the process
    :param chat: makes the chat of a client on a screen
    :param leave: ends the process with an exit status
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        identity: Callable[[], Identity],
        chat: Callable[[Identity, Screen], Chat],
        commands: Sequence[Any],
        leave: Callable[[int], None],
        stay: bool,
        look: Look,
    ) -> None:
        self._identity = identity
        self._chat = chat
        self._commands = commands
        self._reactor = reactor
        self._leave = leave
        self._stay = stay
        self._look = look
        self._client: Client | None = None
        self._terminal: Any = None
        self._errors: ErrorStream | None = None
        self._question: Question | None = None

    def startService(self) -> None:
        super().startService()
        identity = self._identity()
        self._client = identity.client
        if self._look.editing:
            self._terminal = self._editor(identity)
        else:
            self._errors = ErrorStream(self._reactor, _descriptor(2, sys.__stderr__))
            if self._look.interactive:
                identity.question.hide = _hide
            self._terminal = PlainTerminal(
                lambda screen: self._chat(identity, screen),
                self._commands,
                self._errors,
                self._leave,
                stay=self._stay,
                interactive=self._look.interactive,
                banner=identity.banner,
            )
            stdin, stdout = _descriptor(0, sys.__stdin__), _descriptor(1, sys.__stdout__)
            # mypy reads the Windows signature.
            StandardIO(self._terminal, stdin, stdout, self._reactor)  # type: ignore[call-arg]
        self._question = identity.question
        self._client.when_ready().addErrback(self._refused, identity)
        self._client.startService()

    def _editor(self, identity: Identity) -> Any:
        # Imported late: it imports asyncio, which a pipe does not need.
        from cim.terminal.console.editing import editor

        made = editor(
            lambda screen: self._chat(identity, screen),
            self._commands,
            self._reactor,
            self._leave,
            colour=self._look.colour,
            where=self._look.where,
            typed=self._look.typed,
            term=self._look.term,
            banner=identity.banner,
        )
        made.run()
        if self._look.errors is not None:
            self._look.errors.to_screen(made)
        return made

    def _refused(self, failure: Failure, identity: Identity) -> None:
        if failure.check(Untrusted) and identity.untrusted:
            self._terminal.notice(identity.untrusted)
        if failure.check(Unauthorized, Forbidden) and identity.new is not None:
            identity.new.drop_password()
        if failure.check(InvitationNeeded):
            self._terminal.notice("give the code of an invitation with --invitation CODE")
        elif failure.check(Unauthorized, Forbidden) and not failure.check(AccountsClosed) and identity.new is not None:
            self._terminal.notice(
                f"the name {identity.name} is taken: choose another, give its password with --password-file FILE,"
                " or try --guest"
            )

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._question is not None:
            self._question.close()
        if self._terminal is not None:
            self._terminal.stop()
        if self._client is not None:
            await self._client.stopService()
        if self._look.errors is not None:
            self._look.errors.to_stream()
        if self._terminal is not None:
            await self._terminal.flush()
        if self._errors is not None:
            await self._errors.close()
