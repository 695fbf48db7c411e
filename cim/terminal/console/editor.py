"""The terminal with a line editor: the input line at the bottom, the chat scrolling above it.

prompt_toolkit does the editing, as it does for IPython and the database shells: it handles wide characters, bracketed
paste and completion menus, which Twisted's own terminal support does not. It needs an asyncio loop, and uses that of
Twisted's asyncio reactor. The chat goes into the terminal's own scrollback, so the terminal does the scrolling,
searching and copying; only what may still change (unsent messages, the input line, the status line) is redrawn below.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, completion_is_selected, has_focus
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import ConditionalProcessor, PasswordProcessor
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.widgets import SearchToolbar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cim.client.values import Message
from cim.errors import CIMError
from cim.plain import printable
from cim.terminal.console import look
from cim.terminal.console.address_book import EVERYONE
from cim.terminal.console.below import UNSENT_ROWS, state_row, unsent_rows
from cim.terminal.console.chat import Chat
from cim.terminal.console.completion import offers
from cim.terminal.console.emoji import emojize
from cim.terminal.console.interpreter import Interpreter
from cim.terminal.console.listing import message_spans
from cim.terminal.console.menus import STYLE, Offers
from cim.terminal.console.stage import Stage, TerminalRun
from cim.terminal.console.typed_names import typed_name
from cim.terminal.console.wrapping import wrapped
from cim.terminal.iconsole import Line

#: How long output is gathered before it is drawn, in seconds: a flood is drawn about twenty times a second.
GATHER = 0.05
#: Reading from the server stops while this many lines wait to be shown.
MANY_LINES = 5000
#: The longest text of a message, in bytes; the protocol allows 48 KiB for the text and everything around it.
MAX_TEXT = 48_000
#: Rows for the input line, and for completions.
INPUT_ROWS, MENU_ROWS = 8, 8
#: Begins the further rows of a message or notice; nothing else on the screen begins so.
CONTINUED = "      │ "
BANNER = (
    "a line goes to everyone, @name text to one user; :to <name> stays in one talk",
    "Tab completes, Up finds earlier lines, :all lists the commands, :q! leaves",
)


class Editor:
    """A Screen on a terminal.

    :param chat: makes the chat for a given screen
    :param leave: called with an exit status at the end
    :param output: where to draw; must not ask the terminal for the cursor's position
    :param colour: whether to use colours
    :param where: the route's name in the status line
    :param banner: lines to show at the start
    """

    _log = Logger()

    def __init__(
        self,
        chat: Callable[[Any], Chat],
        commands: Sequence[Any],
        clock: Any,
        leave: Callable[[int], None],
        *,
        input: Input,
        output: Output,
        history: History,
        colour: bool,
        where: str,
        banner: Sequence[str] = (),
    ) -> None:
        self.chat = chat(self)
        self._client = self.chat.client
        self._interpreter = Interpreter(self.chat, commands)
        self._clock = clock
        self._run = TerminalRun(leave, self.notice)
        self._colour = colour
        self._where = where
        self._banner = banner
        self._queue: list[str] = []
        self._queued: IDelayedCall | None = None
        self._rooms: list[Deferred[None]] = []
        self._day: date | None = None
        self._running: Deferred[None] | None = None
        self._buffer = Buffer(
            completer=Offers(self.chat),
            complete_while_typing=Condition(self._offers_by_itself),
            history=history,
            enable_history_search=True,
            multiline=True,
            accept_handler=self._accept,
            on_text_changed=lambda _: self._typed(),
        )
        self.app: Application[None] = self._application(input, output)
        self._client.when_ready().addCallbacks(lambda _: self._ready(), lambda _: None)
        self._client.when_closed().addErrback(self._run.closed)

    def _application(self, input: Input, output: Output) -> Application[None]:
        search = SearchToolbar(ignore_case=True)
        typed = Window(
            BufferControl(
                self._buffer,
                input_processors=[ConditionalProcessor(PasswordProcessor(), Condition(lambda: self._secret))],
                search_buffer_control=search.control,
                preview_search=True,
            ),
            height=Dimension(min=1, max=INPUT_ROWS),
            dont_extend_height=True,
            wrap_lines=True,
            get_line_prefix=self._prefix,
        )
        unsent = Window(
            FormattedTextControl(self._unsent), dont_extend_height=True, height=Dimension(max=UNSENT_ROWS + 1)
        )
        state = Window(FormattedTextControl(self._state), height=1, style="class:bar", wrap_lines=False)
        menu = Float(CompletionsMenu(max_height=MENU_ROWS, scroll_offset=1), xcursor=True, ycursor=True)
        # Room for the completion menu, which is drawn over other rows.
        room = ConditionalContainer(
            Window(height=self._menu_rows), Condition(lambda: self._buffer.complete_state is not None)
        )
        below = HSplit(
            [
                ConditionalContainer(unsent, Condition(lambda: bool(self.chat.unsent))),
                typed,
                search,
                room,
                state,
            ]
        )
        return Application(
            Layout(FloatContainer(below, [menu]), focused_element=typed),
            style=STYLE,
            key_bindings=self._keys(),
            editing_mode=EditingMode.EMACS,
            color_depth=None if self._colour else ColorDepth.DEPTH_1_BIT,
            input=input,
            output=output,
            min_redraw_interval=0.02,
            erase_when_done=True,
        )

    # Called by the service

    def run(self) -> None:
        """Take over the terminal."""
        running = asyncio.ensure_future(self.app.run_async(handle_sigint=False, set_exception_handler=False))
        self._running = Deferred.fromFuture(running).addBoth(self._ended)

    def _ended(self, result: Any) -> None:
        if isinstance(result, Failure) and not result.check(EOFError, CancelledError, asyncio.CancelledError):
            self._log.failure("The line editor failed", result)
            self._run.end(1)
        self._run.end(0)

    def stop(self) -> None:
        """Accept no more lines; messages that arrive are still shown."""
        self._run.stop()
        if self.chat.unsent:
            many = len(self.chat.unsent)
            messages, they = ("1 message is", "it is") if many == 1 else (f"{many} messages are", "they are")
            kept = f"; {they} kept and sent next time" if self.chat.keeps else ""
            self.notice(f"leaving: {messages} not accepted yet{kept}")
        self._run.stop(left=True)

    def flush(self) -> Deferred[None]:
        """Show the remaining output and restore the terminal; fires when that is done."""
        self.chat.close()
        if self._queued is not None:
            self._queued.cancel()
        self._draw()
        if self._running is None or not self.app.is_running:
            return succeed(None)
        self.app.exit()
        return self._running

    # Called by the interpreter and the chat

    def show(self, lines: Sequence[Line]) -> Deferred[None]:
        """See Screen."""
        for line in lines:
            self._put_line(line)
        room: Deferred[None] = Deferred()
        self._rooms.append(room)
        if not lines:
            self._put_rooms()
        return room

    def notice(self, text: str) -> None:
        """See Screen."""
        if self._run.stage is Stage.LEFT:
            return  # the notice about unsent messages was already shown
        self._put_line([("warn", printable(f"* {text}"))])

    def message(self, message: Message, *, own: bool) -> None:
        """See Screen."""
        day = datetime.fromtimestamp(message.sent_at / 1000 if message.sent_at else self.chat.now()).astimezone().date()
        if day != self._day:
            today = datetime.fromtimestamp(self.chat.now()).astimezone().date()
            if self._day is not None or day != today:
                self._put_line([("dim", f"── {day:%A %d %B %Y} ──")])
            self._day = day
        self._put_line(message_spans(self.chat, message))

    def refresh(self) -> None:
        """See Screen."""
        self.app.invalidate()

    def leave(self) -> None:
        """See Screen."""
        self._run.end(0)

    def _put_line(self, line: Line) -> None:
        rows = wrapped(line, self.app.output.get_size().columns, CONTINUED)
        self._queue.append(look.styled(rows, colour=self._colour, indent=CONTINUED))
        if self._queued is None:
            self._queued = self._clock.callLater(GATHER, self._draw)
        if len(self._queue) == MANY_LINES:
            self._client.pause_receiving()

    def _draw(self) -> None:
        """Write the gathered output above the input line."""
        self._queued = None
        lines, self._queue = self._queue, []
        if lines:
            output = self.app.output
            if self.app.is_running:
                self.app.renderer.erase()
            output.write_raw("".join(f"{line}\r\n" for line in lines))
            if not self.app.is_running:
                output.flush()
            self.app.invalidate()
        if len(lines) >= MANY_LINES:
            self._client.resume_receiving()
        self._put_rooms()

    def _put_rooms(self) -> None:
        rooms, self._rooms = self._rooms, []
        for room in rooms:
            room.callback(None)

    # The rows below the chat

    def _prefix(self, line: int, wrap: int) -> StyleAndTextTuples:
        prompt = "AI> " if self.chat.answering else f"{printable(self.chat.label(self.chat.current.name))[:30]}> "
        if self._secret:
            prompt = "password> "
        if line or wrap:
            return [("", "  ")]
        return [("class:prompt", prompt)]

    def _unsent(self) -> StyleAndTextTuples:
        return [("class:dim", "\n".join(unsent_rows(self.chat)))]

    def _state(self) -> StyleAndTextTuples:
        return [("", state_row(self.chat, self._where, "" if self._secret else self._buffer.text))]

    def _menu_rows(self) -> Dimension:
        state = self._buffer.complete_state
        return Dimension.exact(min(MENU_ROWS, len(state.completions) if state is not None else 0))

    # Input

    @property
    def _secret(self) -> bool:
        return self.chat.question.secret

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        secret = Condition(lambda: self._secret)
        typing = has_focus(self._buffer)

        @keys.add("enter", filter=typing & ~completion_is_selected)
        def _(event: KeyPressEvent) -> None:
            self._buffer.validate_and_handle()

        @keys.add("enter", filter=typing & completion_is_selected)
        def _(event: KeyPressEvent) -> None:
            self._buffer.complete_state = None

        @keys.add("tab", filter=typing & ~secret)
        def _(event: KeyPressEvent) -> None:
            buffer = self._buffer
            found = [] if buffer.complete_state else offers(self.chat, buffer.document.text_before_cursor)
            if buffer.complete_state:
                buffer.complete_next()
            elif len(found) == 1:
                [(text, length, _)] = found
                buffer.delete_before_cursor(length)
                buffer.insert_text(text)
            elif found:
                buffer.start_completion(select_first=True)

        @keys.add("escape", "enter", filter=typing & ~secret)
        def _(event: KeyPressEvent) -> None:
            lines = [line for line in self._buffer.text.split("\n") if line.strip()]
            self._buffer.reset(append_to_history=True)
            self._do(lines)

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            if self._buffer.text:
                self._buffer.reset()
            else:
                self.notice("to leave, type :q! or press Ctrl-D")

        @keys.add("c-d", filter=Condition(lambda: not self._buffer.text))
        def _(event: KeyPressEvent) -> None:
            self._run.end(0)

        @keys.add("c-z")
        def _(event: KeyPressEvent) -> None:
            event.app.suspend_to_background()

        @keys.add(Keys.BracketedPaste, filter=typing)
        def _(event: KeyPressEvent) -> None:
            self._buffer.insert_text(event.data.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n"))

        return keys

    def _offers_by_itself(self) -> bool:
        text = "" if self._secret else self._buffer.text
        return (text.startswith(":") and " " not in text and len(text) > 1) or (
            text.startswith("@") and " " not in text
        )

    def _typed(self) -> None:
        if self._secret:
            return
        self.chat.attend()
        text = self._buffer.text
        if text and text[0] not in ":@" and self.chat.current != EVERYONE and not self.chat.answering:
            self._client.typing(self.chat.current.to)

    def _accept(self, buffer: Buffer) -> bool:
        text = buffer.text.rstrip("\n")
        if self._secret:
            buffer.reset()  # so that it is not kept among the lines that were typed
            self.chat.question.answer(text)
            return True
        if len(text.encode("utf-8", "replace")) > MAX_TEXT:
            self.notice(f"a message has at most {MAX_TEXT} bytes: Alt-Enter sends each line, :send sends a file")
            return True
        self._do([text])
        return False

    def _do(self, lines: Sequence[str]) -> None:
        """Run these lines one after another, concurrently with lines entered before."""
        if self._run.over or (len(lines) == 1 and self.chat.question.answer(lines[0])):
            return
        Deferred.fromCoroutine(self._work(lines)).addErrback(self._failed)

    async def _work(self, lines: Sequence[str]) -> None:
        for line in lines:
            line = line.encode("utf-8", "replace").decode()
            if line.startswith(":") or self.chat.answering:
                self._put_line([("dim", line.split("\n")[0])])
                await self._interpreter.line(line)
            else:
                await self._interpreter.line(emojize(line))

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError, CIMError):
            self._log.failure("The terminal failed", failure)

    # Start and end

    def _ready(self) -> None:
        self._run.ready()
        me = self._client.me
        who = (
            f"you are {typed_name(me.name)} (id {me.id}) at {self._where}"
            if me is not None
            else f"you are at {self._where}"
        )
        for line in (who, *self._banner, *BANNER):
            self.notice(line)
