"""What the terminal asks of its commands, its robot and its screen; the first two may be an application's own."""

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
#: A line to be shown. Its text is made harmless by the screen.
Line = str | Sequence[Span]


class ICommand(Interface):
    """What a line that starts with a colon asks for. Applications add theirs as Twisted plugins."""

    words: Sequence[str] = Attribute("Its names, each with its colon, the usual one first.")
    usage: str = Attribute("Its arguments, such as `<name> [number]`; may be empty.")
    summary: str = Attribute("A few words for `:all`.")
    help: str = Attribute("What `:help` adds; may be empty.")
    completes: str = Attribute("What completes its argument: users, groups, talks, commands, files, or nothing.")

    def run(chat: Chat, rest: str) -> Awaitable[None]:
        """Do it; `rest` is the line after the word. A CIMError is shown, such as console.commands.Misuse."""


class IAnswerer(Interface):
    """Who answers while `:ai` is on."""

    greeting: str = Attribute("Shown when it is turned on.")
    farewell: str = Attribute("Shown when it is turned off.")

    def answer(text: str) -> str | Awaitable[str]:
        """Return the answer, now or later."""


class Screen(Protocol):
    """Where things are shown."""

    def show(self, lines: Sequence[Line]) -> Deferred[None]:
        """Add lines to the chat; fires when there is room for more."""

    def notice(self, text: str) -> None:
        """Tell the user something that is not part of the chat."""

    def message(self, message: Message, *, own: bool) -> None:
        """Show a message.

        :param own: it was typed here
        """

    def refresh(self) -> None:
        """Redraw what stands below the chat."""

    def leave(self) -> None:
        """End the program in good order."""
