"""The base of all commands, and the discovery of applications' own."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer

from cim.errors import CIMError
from cim.terminal.iconsole import ICommand

if TYPE_CHECKING:
    from cim.terminal.console.chat import Chat


#: Names that plugins written for the first release import, and where each lives now.
FORMER_NAMES = {
    "cim.client.iconsole": "cim.terminal.iconsole",
    "cim.client.console": "cim.terminal.console",
    "cim.client.console.commands": "cim.terminal.console.commands",
}


class Misuse(CIMError):
    """Raised when a command is used wrongly; its usage is shown after the message, which may be empty."""

    text = ""


@implementer(ICommand, IPlugin)
class Command:
    """A command; subclasses set its words and implement `run`."""

    words: Sequence[str] = ()
    usage = ""
    summary = ""
    help = ""
    completes = ""

    async def run(self, chat: Chat, rest: str) -> None:
        """See ICommand."""
        raise NotImplementedError


def number(text: str, what: str, most: int) -> int:
    """Parse a whole number.

    :raises Misuse: the text is not a number, or above `most`
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= most):
        raise Misuse(f"{what} must be a number up to {most}, not {text[:20]!r}")
    return int(text)


def all_commands() -> list[Any]:
    """Return the built-in commands followed by those found as Twisted plugins."""
    from cim.terminal.console import (
        basic_commands,
        block_commands,
        group_commands,
        message_commands,
        moderation_commands,
        mute_commands,
    )

    for former, name in FORMER_NAMES.items():
        sys.modules.setdefault(former, import_module(name))
    return [
        *basic_commands.COMMANDS,
        *message_commands.COMMANDS,
        *group_commands.COMMANDS,
        *moderation_commands.COMMANDS,
        *block_commands.COMMANDS,
        *mute_commands.COMMANDS,
        *getPlugins(ICommand),
    ]
