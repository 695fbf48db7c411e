"""The commands for talks and messages, which upstream does not have."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from cim.client.values import Kind, Message
from cim.errors import NotSupported
from cim.terminal.console.address_book import EVERYONE
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import Command, Misuse, number
from cim.terminal.console.listing import online_users, show_found
from cim.terminal.console.typed_names import is_number, split_name, typed_name
from cim.terminal.iconsole import Line

#: The most messages that `:read` shows at once.
MAX_READ = 100
#: The largest file that can be sent, and the size of its parts, in bytes.
MAX_FILE, PART = 4 << 20, 16 << 10


class To(Command):
    words = (":to",)
    usage = "[name]"
    summary = "talk to a user or a group, or to everyone"
    completes = "talks"

    async def run(self, chat: Chat, rest: str) -> None:
        chat.go_to(await chat.talk(rest) if rest else EVERYONE)
        chat.screen.notice(f"you are now talking to {chat.in_words(chat.current)}")


class History(Command):
    words = (":history",)
    usage = "[name] [number]"
    summary = "show the last messages of a talk"
    help = "Without a name, shows the current talk. Use the numbers with :recall, :edit and :react."
    completes = "talks"

    async def run(self, chat: Chat, rest: str) -> None:
        name, last = split_name(rest)
        if not last and is_number(name) and len(name) < 4:
            name, last = "", name
        talk = await chat.talk(name)
        count = number(last or "20", "the number", 500)
        try:
            messages = await chat.client.history(talk.name, limit=count, revisions=False)
        except NotSupported:
            messages = chat.seen(conversation=talk.name)[-count:]
        await show_found(chat, messages)
        unread = chat.unread.get(talk.name, 0) - sum(not one.mine and one.kind is Kind.TEXT for one in messages)
        if unread > 0:
            chat.screen.notice(f"{unread} more are unread: :read {talk.title}")
        elif chat.unread.get(talk.name):
            chat.read(talk.name)


class Read(Command):
    words = (":read",)
    usage = "[name]"
    summary = "list unread talks, or read one"
    help = f"Of a talk it shows up to {MAX_READ} messages, from the first one that is unread; again, it goes on there."
    completes = "talks"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            lines: list[Line] = [
                [("warn", f"{count:4} "), ("", chat.label(name))] for name, count in chat.unread.items()
            ]
            await chat.screen.show(lines or ["nothing is unread"])
            return
        talk = await chat.talk(rest)
        found, left = await chat.read_on(talk, MAX_READ)
        await show_found(chat, found, none="nothing is unread")
        if left:
            chat.screen.notice(f"{left} more are unread: :read {talk.title} goes on")


class Recall(Command):
    words = (":recall",)
    usage = "[#n]"
    summary = "take back your last message, or #n"
    help = "#n is the number of a message in the last list that was shown."

    async def run(self, chat: Chat, rest: str) -> None:
        message = chat.said(rest, mine=True)
        await chat.client.recall(message.conversation, _position(message))


class Edit(Command):
    words = (":edit",)
    usage = "[#n] <text>"
    summary = "replace your last message, or #n"
    help = "#n is the number of a message in the last list that was shown."

    async def run(self, chat: Chat, rest: str) -> None:
        which, text = _which(rest)
        if not text:
            raise Misuse
        message = chat.said(which, mine=True)
        await chat.client.edit(message.conversation, _position(message), text)


class React(Command):
    words = (":react",)
    usage = "[#n] [emoji]"
    summary = "react to the last message here, or to #n"
    help = "#n is the number of a message in the last list that was shown. Without an emoji, takes your reaction back."

    async def run(self, chat: Chat, rest: str) -> None:
        from cim.terminal.console.emoji import emojize

        which, text = _which(rest)
        message = chat.said(which, mine=False)
        await chat.client.react(message.conversation, _position(message), emojize(text))


class Report(Command):
    words = (":report",)
    usage = "[#n] [reason]"
    summary = "report the last message here, or #n"
    help = "#n is the number of a message in the last list. Operators get a copy of what it says now."

    async def run(self, chat: Chat, rest: str) -> None:
        which, reason = _which(rest)
        message = chat.said(which, mine=False)
        new = await chat.client.report(message.conversation, _position(message), reason)
        who = typed_name(message.sender.name)
        chat.screen.notice(f"reported what {who} said" if new else f"you had reported that {who} said this")


class WhoIs(Command):
    words = (":who",)
    usage = "<name or id>"
    summary = "show who somebody is"
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        user = await chat.user(rest)
        users, _ = await online_users(chat, user.name, 100)
        online = any(one.id == user.id for one in users)
        await chat.screen.show([f"{user.id} {typed_name(user.name)} is {'online' if online else 'not online'}"])


class SendFile(Command):
    words = (":send",)
    usage = "<file>"
    summary = "send a text file, in parts"
    help = (
        f"The file goes to the current talk: UTF-8, up to {MAX_FILE >> 20} MiB, split at line ends ({PART >> 10} KiB)."
    )
    completes = "files"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        path = os.path.expanduser(rest)
        parts = _parts(_text_of(path))
        talk = chat.current
        told = -1
        for index, part in enumerate(parts):
            await chat.say(talk, part)
            percent = 100 * (index + 1) // len(parts)
            if len(parts) > 1 and (percent // 10 > told or percent == 100):
                told = percent // 10
                chat.screen.notice(f"{os.path.basename(path)}: {percent} %, {index + 1} of {len(parts)} parts")


def _text_of(path: str) -> str:
    try:
        # Non-blocking: opening or reading a FIFO might otherwise hang.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Misuse(f"{path} is not a regular file")
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Misuse(f"cannot read {path}: {error.strerror}")
    if len(raw) > MAX_FILE:
        raise Misuse(f"{path} is larger than {MAX_FILE >> 20} MiB")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Misuse(f"{path} is not UTF-8 text")
    if not text.strip():
        raise Misuse(f"{path} is empty")
    return text


def _parts(text: str) -> list[str]:
    """Split a text at line ends into parts; a line longer than a part is split, too."""
    parts, held, size = [], "", 0
    for line in text.splitlines(keepends=True):
        while line:
            piece, line = line[: PART // 4], line[PART // 4 :]
            length = len(piece.encode())
            if held and size + length > PART:
                parts.append(held)
                held, size = "", 0
            held, size = held + piece, size + length
    return [part.rstrip("\n") for part in [*parts, held] if part.strip()]


def _which(rest: str) -> tuple[str, str]:
    """Split a leading `#n` from a text."""
    first, _, text = rest.partition(" ")
    return (first, text.strip()) if first.startswith("#") and first[1:].isdigit() else ("", rest)


def _position(message: Message) -> str:
    if message.kind is not Kind.TEXT:
        return message.ref
    if not message.position:
        raise Misuse("on this server, single messages cannot be recalled, edited or reacted to")
    return message.position


COMMANDS: Sequence[Command] = (To(), History(), Read(), Recall(), Edit(), React(), Report(), WhoIs(), SendFile())
