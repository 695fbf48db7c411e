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
    """Have `IClient` be the Client: once there was an interface of that name, which programs import for annotations."""
    if name == "IClient":
        from cim.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class IListener(Interface):
    """What an application does with what comes.

    Every method may raise: that harms nobody else. A listener that wants only messages provides
    `cim.icim.IMessageListener`, which has `received` alone.
    """

    def received(client: Client, message: Message) -> None:
        """A message came, or one's own was accepted."""

    def receipt(client: Client, receipt: Receipt) -> None:
        """Somebody has read."""

    def typing(client: Client, typing: Typing) -> None:
        """Somebody is typing."""

    def presence(client: Client, presence: Presence) -> None:
        """A watched user came or went."""

    def state(client: Client, state: State, reason: str) -> None:
        """The client stands elsewhere; `reason` can be shown to a user, and may be empty."""


class IHistory(Interface):
    """What a client knows of its conversations; the client is its only user.

    Changes are on disk before their Deferred fires, where there is a disk. Methods are called in order and done in
    order.
    """

    def open() -> Deferred[None]:
        """Get ready; called once, before all else."""

    def close() -> Deferred[None]:
        """Write what waits and let go."""

    def places() -> Deferred[dict[str, str]]:
        """Return for each conversation the end of the contiguous prefix that was handed to the application."""

    def add(messages: Sequence[Message], places: dict[str, str]) -> Deferred[None]:
        """Keep messages (one that is there already is left) and move places, in one transaction.

        A RECALL blanks the message it refers to, an EDIT replaces its text in searches and pages.
        """

    def page(conversation: str, before: str = "", limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages before a position, or the last ones, oldest first."""

    def search(text: str, limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages that contain a text, the latest first; any text is a literal one."""

    def waiting() -> Deferred[Sequence[Waiting]]:
        """Return what was sent and not accepted yet, in order."""

    def put_waiting(message: Waiting) -> Deferred[None]:
        """Keep a message until `drop_waiting`."""

    def drop_waiting(client_id: str) -> Deferred[None]:
        """It was accepted or refused."""

    def facts() -> Deferred[dict[str, str]]:
        """Return small things that are kept: the token, `as_of` of the last Welcome, the account's id."""

    def set_fact(name: str, value: str) -> Deferred[None]:
        """Keep a small thing."""
