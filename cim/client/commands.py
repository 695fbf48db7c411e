"""What a typed line means (UPSTREAM.md section 6.2): a command, a private message, or a message to everyone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from attrs import frozen

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from cim.ecim import CIMError, InvalidField, Unavailable, Unreachable
from cim.icim import IClient
from cim.model import check_id

#: Between a receiver's id and the text of a private message.
PRIVATE = ";;"


class Screen(Protocol):
    """Where a line's answer goes."""

    def show(self, lines: Sequence[str]) -> Deferred[None]:
        """Put lines into the chat, made harmless; fires when there is room for more."""

    def notice(self, text: str) -> None:
        """Tell the user something beside the chat."""

    def leave(self) -> None:
        """End the program in good order."""


@frozen
class Command:
    """Something that a line starting with a colon asks for.

    :param words: what it is called by, the first being the usual one
    :param summary: what `:all` says of it
    :param run: is given the interpreter and the rest of the line; a CIMError is shown
    """

    words: tuple[str, ...]
    summary: str
    run: Callable[[Interpreter, str], Coroutine[Any, Any, None]]


class Interpreter:
    """Does what lines say, for any front end.

    :param commands: all that there are; of two with the same word the later one has it
    """

    _log = Logger()

    def __init__(self, client: IClient, screen: Screen, commands: Sequence[Command] | None = None) -> None:
        self.client = client
        self.screen = screen
        self.commands = tuple(COMMANDS if commands is None else commands)
        self._by_word = {word: command for command in self.commands for word in command.words}

    async def line(self, line: str) -> None:
        """Do what a line says and wait for the answer; whatever fails is told on the screen."""
        try:
            if not line.strip():
                self.screen.notice("a blank line is not sent")
            elif line.startswith(":"):
                await self._command(line)
            elif PRIVATE in line:
                await self._private(line)
            else:
                await self.client.send_group(line)
        except CancelledError:
            self.screen.notice(f"leaving before {_quoted(line)} was answered: it may or may not have been sent")
            raise
        except InvalidField as error:
            self.screen.notice(f"{_quoted(line)} was not sent: {error.message}")
        except Unavailable as error:
            fate = "was not sent" if isinstance(error, Unreachable) else "may or may not have been sent"
            self.screen.notice(f"{_quoted(line)} {fate}: {error.message}")
        except CIMError as error:
            self.screen.notice(f"{_quoted(line)} was not delivered: {error.message}")
        except Exception as error:
            self._log.failure("A line could not be done")
            self.screen.notice(f"{_quoted(line)} failed: {type(error).__name__}")

    async def _command(self, line: str) -> None:
        word, _, rest = line.strip().partition(" ")
        command = self._by_word.get(word)
        if command is None:
            self.screen.notice(f"{_quoted(word)} is no command, and nothing was sent; :all lists the commands")
            return
        await command.run(self, rest.strip())

    async def _private(self, line: str) -> None:
        head, _, text = line.partition(PRIVATE)
        number = head.strip()
        if not (number.isascii() and number.isdigit() and len(number) < 20):
            self.screen.notice(
                f"{_quoted(head)} is no user id, and nothing was sent: a private message is id{PRIVATE}text,"
                " and :olu lists the ids"
            )
            return
        receiver = check_id(int(number), "user id")
        if not text.strip():
            self.screen.notice("a blank message is not sent")
            return
        await self.client.send_private(receiver, text)


def _quoted(line: str) -> str:
    return f'"{line if len(line) <= 40 else line[:39] + "…"}"'


async def _leave(interpreter: Interpreter, rest: str) -> None:
    if rest:
        interpreter.screen.notice("to leave, type :q! or :q alone")
    else:
        interpreter.screen.leave()


async def _online(interpreter: Interpreter, rest: str) -> None:
    try:
        users = await interpreter.client.online_users()
    except CIMError as error:
        interpreter.screen.notice(f"who is online cannot be told: {error.message}")
        return
    lines = [f"{user.id} {user.name}" for user in sorted(users, key=lambda user: (user.name, user.id))]
    await interpreter.screen.show([*lines, f"{len(lines)} online"])


async def _list(interpreter: Interpreter, rest: str) -> None:
    width = max(len(" ".join(command.words)) for command in interpreter.commands)
    for command in interpreter.commands:
        interpreter.screen.notice(f"{' '.join(command.words):{width}}  {command.summary}")


COMMANDS: Sequence[Command] = (
    Command((":all",), "list the commands", _list),
    Command((":olu",), "list who is online, and how many", _online),
    Command((":q!", ":q"), "leave", _leave),
)
