"""What a typed line means (docs/terminal.md): a command, a private message, or a message to the current talk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, maybeDeferred
from twisted.logger import Logger

from cim.errors import CIMError, InvalidField, NotFound, Unavailable, Unreachable
from cim.model import check_id
from cim.terminal.console.address_book import EVERYONE, Talk
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import Misuse
from cim.terminal.console.typed_names import split_name

#: Separates a receiver's id from the text of a private message.
PRIVATE = ";;"
#: What other programs take for a command, such as `/join #x password`; a path such as `/etc/hosts` is a text.
_SLASHED = re.compile(r"/([a-z]+)(?: .*)?", re.DOTALL)
#: Commands of theirs that have other names here.
_THEIRS = {"quit": ":q!", "exit": ":q!", "msg": "@name text", "query": ":to", "names": ":members", "part": ":leave"}


class Interpreter:
    """Executes typed lines, on any screen.

    :param commands: all commands; when two share a word, the later one wins
    """

    _log = Logger()

    def __init__(self, chat: Chat, commands: Sequence[Any]) -> None:
        self._chat = chat
        self._by_word = {word: command for command in commands for word in command.words}
        chat.commands = tuple(dict.fromkeys(self._by_word.values()))

    async def line(self, line: str) -> None:
        """Execute a line and wait for the answer; show failures on the screen."""
        notice = self._chat.screen.notice
        try:
            if not line.strip():
                notice("a blank line is not sent")
            elif line.startswith(":"):
                await self._command(line)
            elif self._chat.answering:
                await self._answer(line)
            elif slashed := _SLASHED.fullmatch(line):
                self._not_ours(slashed[1])
            elif PRIVATE in line:
                await self._private(line)
            elif line.startswith("@"):
                await self._named(line)
            else:
                await self._chat.say(self._chat.current, line)
        except CancelledError:
            notice(f"leaving before {quoted(line)} was answered: it may or may not have been sent")
            raise
        except InvalidField as error:
            notice(f"{quoted(line)} was not sent: {error.message}")
        except Unavailable as error:
            fate = "was not sent" if isinstance(error, Unreachable) else "may or may not have been sent"
            notice(f"{quoted(line)} {fate}: {error.message}")
        except CIMError as error:
            notice(f"{quoted(line)} was not delivered: {error.message}")
        except Exception as error:
            self._log.failure("A typed line failed")
            notice(f"{quoted(line)} failed: {type(error).__name__}; the log has the details")

    async def _command(self, line: str) -> None:
        notice = self._chat.screen.notice
        word, _, rest = line.strip().partition(" ")
        command = self._by_word.get(word)
        if command is None:
            # `:smile: hello` is a text, not a command.
            if word.endswith(":") and len(word) > 2 and " " not in word:
                await self._chat.say(self._chat.current, line)
                return
            notice(f"{quoted(word)} is not a command, so nothing was sent; :all lists the commands")
            return
        try:
            await maybeDeferred(_awaited, command, self._chat, rest.strip())
        except Misuse as error:
            usage = f"{command.words[0]} {command.usage}".rstrip()
            notice(f"{error.message} (usage: {usage})" if error.args[0] else f"usage: {usage}: {command.summary}")
        except Unavailable as error:
            notice(f"{word}: not possible at the moment: {error.message}")
        except CIMError as error:
            notice(f"{word}: {error.message}")

    def _not_ours(self, word: str) -> None:
        ours = _THEIRS.get(word, f":{word}" if f":{word}" in self._by_word else "")
        what = f"that is {ours} here" if ours else "commands begin with a colon here, and :all lists them"
        self._chat.screen.notice(f"/{word} was not sent: {what}; to say it, put a space before it")

    async def _answer(self, line: str) -> None:
        answer = await maybeDeferred(self._chat.answerer.answer, line)
        if not isinstance(answer, str):
            answer = await answer
        self._chat.screen.show([[("bold", "AI: "), ("hit", answer)]])

    async def _private(self, line: str) -> None:
        head, _, text = line.partition(PRIVATE)
        number = head.strip()
        if not (number.isascii() and number.isdigit() and len(number) < 20):
            self._chat.screen.notice(
                f"{quoted(head)} is not a user id, so nothing was sent; a private message is id{PRIVATE}text,"
                " and :olu lists the ids"
            )
            return
        receiver = check_id(int(number), "user id")
        if not text.strip():
            self._chat.screen.notice("a blank message is not sent")
            return
        me = self._chat.client.me
        name = f"p:{min(me.id, receiver)}:{max(me.id, receiver)}" if me is not None else ""
        await self._chat.say(Talk(name, self._chat.name_of(receiver), receiver), text)

    async def _named(self, line: str) -> None:
        notice = self._chat.screen.notice
        try:
            name, text = split_name(line[1:])
            if not name or not text:
                notice("a blank message is not sent; to write to one user, type @name text")
                return
            talk = EVERYONE if name == EVERYONE.title else self._chat.private(await self._chat.user(name))
        except Misuse as error:
            notice(f"nothing was sent: {error.message}")
            return
        except NotFound as error:
            notice(
                f"{error.message}, so nothing was sent; a name with spaces is typed in quotes; to send the line as it"
                f" is, put a space before {quoted('@' + name)}"
            )
            return
        await self._chat.say(talk, text)


async def _awaited(command: Any, chat: Chat, rest: str) -> None:
    await command.run(chat, rest)


def quoted(line: str) -> str:
    """Return the beginning of a line in quotation marks."""
    return f'"{line if len(line) <= 40 else line[:39] + "…"}"'
