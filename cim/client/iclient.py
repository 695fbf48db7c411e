"""What the parts of the client library ask of each other, and applications of it (docs/client.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.client.client import Client
    from cim.client.client import Client as IClient
    from cim.client.values import Message, Presence, Receipt, State, Typing, Waiting

__all__ = ["IClient", "IHistory", "IListener"]


def __getattr__(name: str) -> object:
    """Return Client as `IClient`: programs import it by the name of a former interface, for annotations."""
    if name == "IClient":
        from cim.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class IListener(Interface):
    """What an application does with what a client hears; all methods are optional.

    What a method raises is logged and does no other harm. One that wants messages alone provides IMessageListener.
    """

    def received(client: Client, message: Message) -> None:
        """A message came, or the user's own was accepted."""

    def receipt(client: Client, receipt: Receipt) -> None:
        """Somebody has read a conversation up to a position."""

    def typing(client: Client, typing: Typing) -> None:
        """Somebody is typing."""

    def presence(client: Client, presence: Presence) -> None:
        """A watched user came or went."""

    def state(client: Client, state: State, reason: str) -> None:
        """The client changed its state; `reason` can be shown to a user, and may be empty."""


class IHistory(Interface):
    """What a client knows of its conversations; the client is its only user.

    Changes are on disk before their Deferred fires, where there is a disk. Methods are called in order and done in
    order.
    """

    def open() -> Deferred[None]:
        """Open the history; called once, before everything else."""

    def close() -> Deferred[None]:
        """Write what is waiting and close the history."""

    def places() -> Deferred[dict[str, str]]:
        """Return for each conversation the end of the contiguous prefix that was handed to the application."""

    def add(messages: Sequence[Message], places: dict[str, str]) -> Deferred[None]:
        """Keep messages, unless they are there already, and move places, in one transaction.

        A RECALL blanks the message it refers to, an EDIT replaces its text in searches and pages.
        """

    def page(conversation: str, before: str = "", limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages before a position, or the last ones, oldest first."""

    def search(text: str, limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages that contain a text literally, the latest first."""

    def waiting() -> Deferred[Sequence[Waiting]]:
        """Return the messages that were sent and not accepted yet, in order."""

    def put_waiting(message: Waiting) -> Deferred[None]:
        """Keep a message until `drop_waiting`."""

    def drop_waiting(client_id: str) -> Deferred[None]:
        """Forget a message that was accepted or refused."""

    def facts() -> Deferred[dict[str, str]]:
        """Return small things that are kept: the token, `as_of` of the last Welcome, the account's id."""

    def set_fact(name: str, value: str) -> Deferred[None]:
        """Keep a small thing under a name."""
