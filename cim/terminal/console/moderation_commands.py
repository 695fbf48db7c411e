"""The commands with which owners and admins keep a group in order. They are about the group that one is talking to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from cim.client.values import Ban
from cim.terminal.console.chat import Chat
from cim.terminal.console.commands import Command, Misuse
from cim.terminal.console.typed_names import split_name, typed_name
from cim.terminal.iconsole import Line

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_EVERYBODY = "all"


def seconds_of(text: str) -> int | None:
    """Return how long `10m`, `2h` or `1d` is; None for no text.

    :raises Misuse: it is no such time
    """
    if not text:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if found is None:
        raise Misuse("a time is a number and s, m, h or d, such as 30m")
    return int(found[1]) * _SECONDS[found[2]]


def until_in_words(until: int) -> str:
    """Return until when something lasts; ms since 1970, 0 until somebody ends it."""
    if not until:
        return "until somebody ends it"
    return f"until {datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M} UTC"


class Mute(Command):
    words = (":mute",)
    usage = "<user>|all [time]"
    summary = "mute a member, or all but admins"
    help = "The time is such as 30m, 2h or 7d; without one, it lasts until somebody ends it."
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        name, time = split_name(rest)
        if not name:
            raise Misuse
        seconds, group = seconds_of(time), await chat.group("")
        user = await chat.user(name) if name != _EVERYBODY else None
        until = await chat.client.mute(group, user.id if user is not None else 0, seconds)
        who = typed_name(user.name) if user is not None else "whoever is no admin"
        chat.screen.notice(f"{who} writes nothing here {until_in_words(until)}")


class Unmute(Command):
    words = (":unmute",)
    usage = "<user>|all"
    summary = "let a member, or all, write again"
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        group = await chat.group("")
        user = await chat.user(rest) if rest != _EVERYBODY else None
        await chat.client.unmute(group, user.id if user is not None else 0)
        who = typed_name(user.name) if user is not None else "everybody"
        chat.screen.notice(f"{who} may write here again")


class Remove(Command):
    words = (":remove",)
    usage = "<user>"
    summary = "remove a member from the group"
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        group, user = await chat.group(""), await chat.user(rest)
        await chat.client.remove(group, user.id)
        chat.screen.notice(f"{typed_name(user.name)} is not in {chat.title_of(f'g:{group}')} any more")


class BanUser(Command):
    words = (":ban",)
    usage = "<user>"
    summary = "remove a user from the group for good"
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        group, user = await chat.group(""), await chat.user(rest)
        await chat.client.ban(group, user.id)
        chat.screen.notice(f"{typed_name(user.name)} is banned from {chat.title_of(f'g:{group}')}")


class UnbanUser(Command):
    words = (":unban",)
    usage = "<user>"
    summary = "let a banned user come back to the group"
    completes = "users"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse
        group, user = await chat.group(""), await chat.user(rest)
        await chat.client.unban(group, user.id)
        chat.screen.notice(f"{typed_name(user.name)} may come back to {chat.title_of(f'g:{group}')}")


class Bans(Command):
    words = (":bans",)
    summary = "list who is banned from the group"

    async def run(self, chat: Chat, rest: str) -> None:
        group = await chat.group("")
        lines: list[Line] = [_ban(one) for one in await chat.client.bans(group)]
        await chat.screen.show(lines or [f"nobody is banned from {chat.title_of(f'g:{group}')}"])


def _ban(one: Ban) -> str:
    by = typed_name(one.by.name) if one.by is not None else "an operator"
    return f"{one.user.id} {typed_name(one.user.name)}, by {by}"


class Setting(Command):
    words = (":group",)
    usage = "<setting>"
    summary = "change who may join, and read"
    help = (
        "Settings are open (anyone may join), closed, history (who joins from now on may read what is said from now on "
        "before that) and nohistory. What was said before stays as it was."
    )
    _OPEN = {"open": True, "closed": False}
    _HISTORY = {"history": True, "nohistory": False}

    async def run(self, chat: Chat, rest: str) -> None:
        if rest not in (*self._OPEN, *self._HISTORY):
            raise Misuse
        id = await chat.group("")
        group = await chat.client.edit_group(id, open=self._OPEN.get(rest), history=self._HISTORY.get(rest))
        who = "anyone may join" if group.open else "whoever joins is invited"
        what = "may" if group.history else "may not"
        chat.screen.notice(f"{who}, and new members {what} read what is said before they join")


class Dissolve(Command):
    words = (":dissolve",)
    usage = "<group id>"
    summary = "end a group that you own"

    async def run(self, chat: Chat, rest: str) -> None:
        if not rest:
            raise Misuse("give the id of the group, so that it is the right one; :groups lists them")
        id = await chat.group(rest)
        title = chat.title_of(f"g:{id}")
        await chat.client.dissolve(id)
        chat.gone(id)
        chat.screen.notice(f"{title} is dissolved; you are now talking to {chat.in_words(chat.current)}")


COMMANDS: Sequence[Command] = (
    Mute(),
    Unmute(),
    Remove(),
    BanUser(),
    UnbanUser(),
    Bans(),
    Setting(),
    Dissolve(),
)
