"""The interfaces between the parts of the client library and with applications (docs/client.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.client.client import Client
    from cim.client.client import Client as IClient
    from cim.client.values import Invitation, Members, Message, Mute, Presence, Receipt, Removed, State, Typing, Waiting

__all__ = ["IClient", "IHistory", "IListener"]


def __getattr__(name: str) -> object:
    """Return Client as `IClient`: programs import this name of a former interface for annotations."""
    if name == "IClient":
        from cim.client.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class IListener(Interface):
    """Handles what a client receives; all methods are optional.

    Exceptions from a method are logged and ignored. A listener that only wants messages provides IMessageListener.
    """

    def received(client: Client, message: Message) -> None:
        """A message has arrived, or the user's own was accepted."""

    def receipt(client: Client, receipt: Receipt) -> None:
        """Somebody has read a conversation up to a position."""

    def typing(client: Client, typing: Typing) -> None:
        """Somebody is typing."""

    def presence(client: Client, presence: Presence) -> None:
        """A watched user came or went."""

    def members(client: Client, members: Members) -> None:
        """Somebody came into a group, left it, or has another role, or the group has another name.

        It comes once and in the order of the group's messages.
        """

    def invited(client: Client, invitation: Invitation) -> None:
        """Somebody invites the user to a group; those that wait come again after each login."""

    def removed(client: Client, removed: Removed) -> None:
        """The user is no longer in a group.

        It comes at most once: whoever was not connected then learns it from the list of groups.
        """

    def muted(client: Client, mute: Mute) -> None:
        """The user has muted or unmuted a conversation, here or on another device."""

    def state(client: Client, state: State, reason: str) -> None:
        """The client has changed its state; `reason` can be shown to a user, and may be empty."""


class IHistory(Interface):
    """A client's history of its conversations; the client is its only user.

    Changes are on disk, if there is one, before their Deferred fires. Methods run in the order of their calls.
    """

    def open() -> Deferred[None]:
        """Open the history; called once, before any other method."""

    def close() -> Deferred[None]:
        """Write pending changes and close the history."""

    def places() -> Deferred[dict[str, str]]:
        """Return for each conversation the position up to which the application received everything."""

    def add(messages: Sequence[Message], places: dict[str, str]) -> Deferred[None]:
        """Store messages that are not there yet, and move places, in one transaction.

        A RECALL blanks the message it refers to, an EDIT replaces its text in searches and pages.
        """

    def page(conversation: str, before: str = "", limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages before a position, or the last ones, oldest first."""

    def search(text: str, limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages that literally contain a text, the latest first."""

    def waiting() -> Deferred[Sequence[Waiting]]:
        """Return the messages that were sent but not accepted yet, in order."""

    def put_waiting(message: Waiting) -> Deferred[None]:
        """Store a message to be sent until `drop_waiting`."""

    def drop_waiting(client_id: str) -> Deferred[None]:
        """Delete a message that was accepted or refused."""

    def facts() -> Deferred[dict[str, str]]:
        """Return the stored facts: the token, the `as_of` of the last Welcome, the account's id."""

    def set_fact(name: str, value: str) -> Deferred[None]:
        """Store a fact under a name."""
