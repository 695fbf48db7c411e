"""The commands about which talks the user mutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cim.model import FOREVER
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import Command, number
from cim.terminal.console.typed_names import is_number, split_name
from cim.terminal.iconsole import Line

#: The most hours that a talk is muted for: a year.
MAX_HOURS = 8766


class Silence(Command):
    words = (":silence",)
    usage = "[name] [hours]"
    summary = "mute a talk"
    help = "Its messages come and count, but notify nobody, on all your devices. Without hours, until :unsilence."
    completes = "talks"

    async def run(self, chat: Chat, rest: str) -> None:
        name, last = split_name(rest)
        if not last and is_number(name) and len(name) < 5:
            name, last = "", name
        talk = await chat.talk(name)
        hours = number(last, "the hours", MAX_HOURS) if last else 0
        until = int((chat.now() + hours * 3600) * 1000) if hours else FOREVER
        await chat.client.mute_conversation(talk.name, until)
        chat.screen.notice(f"{chat.in_words(talk)} is muted {_until(until)}")


class Unsilence(Command):
    words = (":unsilence",)
    usage = "[name]"
    summary = "unmute a talk"
    completes = "talks"

    async def run(self, chat: Chat, rest: str) -> None:
        talk = await chat.talk(rest)
        await chat.client.unmute_conversation(talk.name)
        chat.screen.notice(f"{chat.in_words(talk)} is no longer muted")


class Silenced(Command):
    words = (":silenced",)
    summary = "list which talks you mute"

    async def run(self, chat: Chat, rest: str) -> None:
        muted = await chat.client.muted_conversations()
        lines: list[Line] = [f"{chat.title_of(name)} {_until(until)}" for name, until in sorted(muted.items())]
        await chat.screen.show(lines or ["you mute nothing"])


def _until(until: int) -> str:
    """Say until when a talk is muted, ms since 1970."""
    if until == FOREVER:
        return "until you unmute it"
    return f"until {datetime.fromtimestamp(until / 1000).astimezone():%Y-%m-%d %H:%M}"


COMMANDS: Sequence[Command] = (Silence(), Unsilence(), Silenced())
