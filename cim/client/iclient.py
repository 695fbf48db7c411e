"""What the parts of the client library ask of each other, and applications of it (docs/client.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.client.values import (
        Conversation,
        Group,
        Member,
        Message,
        Presence,
        Receipt,
        Sent,
        State,
        Typing,
        User,
        Waiting,
    )


class IListener(Interface):
    """What an application does with what comes.

    Every method may raise: that harms nobody else. A listener that wants only messages provides
    `cim.icim.IMessageListener`, which has `received` alone.
    """

    def received(client: IClient, message: Message) -> None:
        """A message came, or one's own was accepted."""

    def receipt(client: IClient, receipt: Receipt) -> None:
        """Somebody has read."""

    def typing(client: IClient, typing: Typing) -> None:
        """Somebody is typing."""

    def presence(client: IClient, presence: Presence) -> None:
        """A watched user came or went."""

    def state(client: IClient, state: State, reason: str) -> None:
        """The client stands elsewhere; `reason` can be shown to a user, and may be empty."""


class IClient(Interface):
    """One identity at one system; a Service.

    Deferreds fail with a CIMError whose message can be shown. With servers of upstream, what these do not have fails
    with NotSupported.
    """

    state: State = Attribute("Where it stands.")
    me: User | None = Attribute("Who it is, once that is known.")

    def add_listener(listener: object) -> None:
        """Have an IListener, or an IMessageListener, told of what comes, after those that were added before."""

    def remove_listener(listener: object) -> None:
        """Tell it no more."""

    def when_ready() -> Deferred[None]:
        """Fire at the first READY, or fail with why there will be none."""

    def when_closed() -> Deferred[None]:
        """Fire when the client is CLOSED after it was started, or fail with why it ended by itself."""

    def pause_receiving() -> None:
        """Read nothing from the server until `resume_receiving`, over reconnections too."""

    def resume_receiving() -> None:
        """Read from the server again."""

    def close() -> Deferred[None]:
        """End the session and the client; what waits unsent stays on disk when there is one."""

    def send(
        to: User | int | str, text: str, *, data: bytes = b"", content_type: str = "", client_id: str = ""
    ) -> Deferred[Sent]:
        """Say something; fires when it is stored, and fails when it was refused.

        :param to: a user, a user's id, or a conversation's name (`g:0` is everyone)
        """

    def recall(conversation: str, position: str) -> Deferred[Sent]:
        """Take back what one said."""

    def edit(conversation: str, position: str, text: str) -> Deferred[Sent]:
        """Replace what one said."""

    def react(conversation: str, position: str, text: str) -> Deferred[Sent]:
        """React to a message; an empty text takes the reaction back."""

    def mark_read(conversation: str, position: str = "") -> None:
        """Say that the user has read a conversation, up to its end without a position."""

    def typing(to: User | int | str) -> None:
        """Say that the user is typing; too often is left out."""

    def watch(users: Sequence[int]) -> None:
        """Hear of the presence of these users, at most 200, and of no others."""

    def conversations() -> Deferred[Sequence[Conversation]]:
        """List the conversations, the latest first."""

    def history(conversation: str, before: str = "", limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages before a position, or the last ones, oldest first."""

    def search(text: str, limit: int = 50) -> Deferred[Sequence[Message]]:
        """Return messages of the local history that contain a text, the latest first."""

    def user(who: str | int) -> Deferred[User]:
        """Look a user up by name or id."""

    def online(prefix: str = "", after: str = "", limit: int = 100) -> Deferred[tuple[Sequence[User], int]]:
        """Return who is online, by name, and how many there are in all."""

    def groups() -> Deferred[Sequence[Group]]:
        """List the groups that the user is in."""

    def create_group(name: str, *, open: bool = False, history: bool = False) -> Deferred[Group]:
        """Make a group, owned by the user."""

    def join(group: int) -> Deferred[None]:
        """Join an open group."""

    def leave(group: int) -> Deferred[None]:
        """Leave a group."""

    def invite(group: int, user: int, role: str = "member") -> Deferred[None]:
        """Make a user a member, or change its role."""

    def remove(group: int, user: int) -> Deferred[None]:
        """End somebody's membership."""

    def members(group: int) -> Deferred[Sequence[Member]]:
        """List the members of a group."""


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
