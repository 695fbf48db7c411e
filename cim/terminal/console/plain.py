"""The terminal in a pipe or on a dumb terminal: the chat on standard output, the rest on standard error."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, DeferredQueue, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.client.client import Client
from cim.client.values import Kind, Message, State
from cim.errors import CIMError
from cim.plain import printable
from cim.terminal.console.chat import Chat
from cim.terminal.console.interpreter import Interpreter
from cim.terminal.console.look import plain
from cim.terminal.console.stage import TerminalRun
from cim.terminal.console.typed_names import typed_name
from cim.terminal.iconsole import Line
from cim.terminal.lines import MAX_LINE, LineReader

#: Input is paused when the first number of lines wait to be sent, and resumed at the second.
MANY_LINES, FEW_LINES = 64, 16

BANNER = (
    "type a line to say it to everyone, id;;text or @name text to say it to one user",
    ":olu lists who is online with their ids, :all lists the commands, :q! leaves",
)


class ErrorOutput(Protocol):
    """Where notices go."""

    def write(self, data: bytes) -> None:
        """Write bytes, or drop them when too many wait."""


class End(enum.Enum):
    """What follows the last line."""

    OF_INPUT = enum.auto()


@implementer(IHalfCloseableProtocol, IPushProducer)
class PlainTerminal(TwistedProtocol):
    """Executes its input line by line, each line once the one before is answered, and prints messages that arrive.

    A message is printed as one line: `name: text`, or `[group] name: text` in a group. While nobody reads standard
    output, nothing is read from the server. It ends when all of the input is answered, unless told to stay; when
    standard output is closed; or when the login is refused (status 1).

    :param chat: makes the chat for a given screen
    :param commands: the commands that lines starting with a colon can name
    :param leave: called with an exit status at the end
    :param interactive: somebody types, so say what can be typed
    """

    _log = Logger()
    transport: Any  # a StandardIO

    def __init__(
        self,
        chat: Callable[[Any], Chat],
        commands: Sequence[Any],
        errors: ErrorOutput,
        leave: Callable[[int], None],
        *,
        stay: bool = False,
        interactive: bool = False,
        banner: Sequence[str] = (),
        max_line: int = MAX_LINE,
    ) -> None:
        self.chat = chat(self)
        self._client = self.chat.client
        self._errors = errors
        self._run = TerminalRun(leave, self.notice)
        self._stay = stay
        self._interactive = interactive
        self._banner = banner
        self._max_line = max_line
        self._reader = LineReader(max_line)
        self._interpreter = Interpreter(self.chat, commands)
        #: Lines that were read and not executed yet; None stands for a line that was too long.
        self._lines: DeferredQueue[str | End | None] = DeferredQueue()
        self._working = Deferred.fromCoroutine(self._work()).addErrback(self._failed)
        #: Fires when the output is read again; None while it is being read.
        self._waiting_for_room: list[Deferred[None]] | None = None
        self._flushing: Deferred[None] | None = None
        self._client.add_listener(self)
        self._client.when_ready().addCallbacks(lambda _: self._ready(), lambda _: None)
        self._client.when_closed().addErrback(self._run.closed)

    # Called by the service

    def stop(self) -> None:
        """Execute no more lines; messages that arrive are still shown."""
        self._run.stop()
        self._working.cancel()
        unsent = [line for line in self._lines.pending if line is not End.OF_INPUT]
        if unsent:
            lines = "1 more line was" if len(unsent) == 1 else f"{len(unsent)} more lines were"
            self.notice(f"leaving: {lines} not sent")

    def flush(self) -> Deferred[None]:
        """Close standard input and output; fires when all output is written."""
        self.chat.close()
        if self.transport is None:
            return succeed(None)
        self._flushing = Deferred()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        return self._flushing

    # Called by the interpreter and the chat

    def show(self, lines: Sequence[Line]) -> Deferred[None]:
        """See Screen."""
        self._write("".join(f"{plain(line)}\n" for line in lines))
        if self._waiting_for_room is None:
            return succeed(None)
        room: Deferred[None] = Deferred()
        self._waiting_for_room.append(room)
        return room

    def notice(self, text: str) -> None:
        """Tell the user something on standard error, in one line whatever it quotes."""
        self._errors.write(f"* {printable(text)}\n".encode())

    def message(self, message: Message, *, own: bool) -> None:
        """Show a message from another user, or one's own from another device."""
        taken_back = message.kind in (Kind.TEXT, Kind.EDIT) and not (message.text or message.data)
        if (own and not message.by_operator) or taken_back:  # the recall says so
            return
        where = f"[{self.chat.title_of(message.conversation)}] " if message.group else ""
        said = f"{where}{typed_name(message.sender.name)}"
        if message.kind is Kind.TEXT:
            self._write(f"{printable(f'{said}: {message.text}')}\n")
        elif message.kind is Kind.EDIT:
            self._write(f"{printable(f'{said} (edited): {message.text}')}\n")
        elif message.by_operator:
            self.notice(f"an operator deleted what {said} said")
        else:
            self.notice(f"{said} took back a message" if message.kind is Kind.RECALL else f"{said}: {message.text}")

    def refresh(self) -> None:
        """Do nothing: there is nothing below the chat to redraw."""

    def leave(self) -> None:
        """End the program gracefully."""
        self._run.end(0)

    # Called by the client

    def state(self, client: Client, state: State, reason: str) -> None:
        """Tell the user about the login."""
        if reason and state is not State.CLOSED:
            self.notice(reason)

    def _ready(self) -> None:
        self._run.ready()
        if self._interactive:
            for line in (*self._banner, *BANNER):
                self.notice(line)

    # Called by standard input and output

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self._take(self._reader.feed(data))

    def readConnectionLost(self) -> None:
        """Note that the input has ended."""
        self._take([*self._reader.finish(), End.OF_INPUT])

    def writeConnectionLost(self) -> None:
        """End the program: nobody reads the output any more."""
        self._run.end(0)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport = None
        if self._flushing is not None:
            self._flushing.callback(None)
        else:
            self._run.end(0)

    def pauseProducing(self) -> None:
        """Stop reading from the server: nobody reads the output."""
        self._waiting_for_room = []
        self._client.pause_receiving()

    def resumeProducing(self) -> None:
        """Read from the server again: the output was read."""
        waiting, self._waiting_for_room = self._waiting_for_room or (), None
        self._client.resume_receiving()
        for room in waiting:
            room.callback(None)

    def stopProducing(self) -> None:
        """Do nothing: the output is gone, and `writeConnectionLost` follows."""

    # Working off lines

    def _take(self, lines: Sequence[str | End | None]) -> None:
        if self._run.over:
            return
        for line in lines:
            # At once: lines before it may wait for the login that waits for the answer.
            if not (isinstance(line, str) and self.chat.question.answer(line)):
                self._lines.put(line)
        if len(self._lines.pending) > MANY_LINES:
            self.transport.pauseProducing()

    async def _work(self) -> None:
        """Execute one line after another, until the input or the program ends."""
        while not self._run.over:
            line = await self._lines.get()
            if len(self._lines.pending) == FEW_LINES:
                self.transport.resumeProducing()
            if line is End.OF_INPUT:
                break
            if line is None:
                self.notice(f"a line longer than {self._max_line} bytes was not sent: split it into shorter ones")
            else:
                await self._interpreter.line(line)
        if not self._stay and not self._run.over:
            await self._client.when_ready()
            self._run.end(0)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError, CIMError):
            self._log.failure("The terminal failed", failure)

    def _write(self, text: str) -> None:
        if self.transport is not None:
            self.transport.write(text.encode())
