"""The interfaces of commands, robots and screens; applications may bring their own commands and robot."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.client.values import Message
    from cim.terminal.console.chat import Chat

#: A piece of a line: the name of a style (see cim.terminal.console.look) and its text.
Span = tuple[str, str]
#: A line to be shown. The screen replaces control characters in its text.
Line = str | Sequence[Span]


class ICommand(Interface):
    """A command, run by a line that starts with a colon. Applications add theirs as Twisted plugins."""

    words: Sequence[str] = Attribute("Its names, each with its colon, the main one first.")
    usage: str = Attribute("Its arguments, such as `<name> [number]`; may be empty.")
    summary: str = Attribute("A few words for `:all`.")
    help: str = Attribute("Further text for `:help`; may be empty.")
    completes: str = Attribute("What completes its argument: users, groups, talks, commands, files, or nothing.")

    def run(chat: Chat, rest: str) -> Awaitable[None]:
        """Run the command.

        :param rest: the line after the command's word
        :raises CIMError: its message is shown; console.commands.Misuse shows the usage, too
        """


class IAnswerer(Interface):
    """Who answers while `:ai` is on."""

    greeting: str = Attribute("Shown when it is turned on.")
    farewell: str = Attribute("Shown when it is turned off.")

    def answer(text: str) -> str | Awaitable[str]:
        """Return the answer, now or later."""


class Screen(Protocol):
    """What the user sees: the chat, and notices about it."""

    def show(self, lines: Sequence[Line]) -> Deferred[None]:
        """Add lines to the chat; fires when there is room for more."""

    def notice(self, text: str) -> None:
        """Tell the user something that is not part of the chat.

        :param text: one line: a line break in it is shown as a visible character, because it may quote what others say
        """

    def message(self, message: Message, *, own: bool) -> None:
        """Show a message.

        :param own: it was typed here
        """

    def refresh(self) -> None:
        """Redraw the rows below the chat."""

    def leave(self) -> None:
        """End the program gracefully."""
