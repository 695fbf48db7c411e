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
    """Something that a line starting with a colon asks for. Those of applications are found as Twisted plugins."""

    words: Sequence[str] = Attribute("What it is called by, each with its colon, the usual one first.")
    usage: str = Attribute("What stands behind the word, such as `<name> [number]`; may be empty.")
    summary: str = Attribute("What `:all` says of it: a few words.")
    help: str = Attribute("What `:help` says beyond that; may be empty.")
    completes: str = Attribute("What its argument may be: users, groups, talks, commands, files, or nothing.")

    def run(chat: Chat, rest: str) -> Awaitable[None]:
        """Do it; `rest` is the line behind the word. A CIMError is shown; cim.terminal.console.commands.Misuse, too."""


class IAnswerer(Interface):
    """Who answers while `:ai` is on."""

    greeting: str = Attribute("Shown when it is turned on.")
    farewell: str = Attribute("Shown when it is turned off.")

    def answer(text: str) -> str | Awaitable[str]:
        """Return the answer, now or later."""


class Screen(Protocol):
    """Where things are shown."""

    def show(self, lines: Sequence[Line]) -> Deferred[None]:
        """Put lines into the chat; fires when there is room for more."""

    def notice(self, text: str) -> None:
        """Tell the user something beside the chat."""

    def message(self, message: Message, *, own: bool) -> None:
        """Show what was said.

        :param own: it was typed here
        """

    def refresh(self) -> None:
        """Show anew what stands below the chat: something of it has changed."""

    def leave(self) -> None:
        """End the program in good order."""
