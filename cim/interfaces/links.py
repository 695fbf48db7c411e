"""Links between servers and routes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import Attribute, Interface

from cim.traces import UNTRACED, Trace

if TYPE_CHECKING:
    from cim.model import (
        LinkPeer,
    )
    from cim.wire.link_pb2 import Item


#: The version of the items from which on one may have several Sends, answers or packets to push.
RUNS = 3


class Asking(Protocol):
    """A session that asks something; these stay the same from its first request on.

    :ivar id: names it among the sessions of its server
    :ivar members: whether it gets messages of the kind MEMBERS
    """

    user: int
    name: str
    id: str
    device: str
    members: bool

    @property
    def asker(self) -> bytes:
        """These, as the serialized fields at the start of each of its requests."""


class Pushed(Protocol):
    """Something that is pushed, without its recipients (see Deliver in link.proto).

    :ivar origin: the link of the session that sent it
    :ivar session: that session, which does not get it
    """

    @property
    def packet(self) -> bytes:
        """The Packet."""

    @property
    def origin(self) -> ILink | None:
        """The link of the session that sent it."""

    @property
    def session(self) -> str:
        """That session, which does not get it."""

    @property
    def repeated(self) -> bool:
        """Whether the message was pushed before."""

    @property
    def batch(self) -> int:
        """In a batch: how many of its messages are pushed from this one on."""

    @property
    def members(self) -> bool:
        """Whether it is of the kind MEMBERS."""

    @property
    def trace(self) -> Trace:
        """That of the message, if it is traced."""

    @property
    def more(self) -> Sequence[bytes]:
        """The Packets to push behind it."""

    def over(self, link: Any, users: Iterable[int]) -> bytes:
        """Return the serialized item to send over a link."""


class ILink(Interface):
    """One end of a live link between a server and a route (docs/architecture.md, Links)."""

    peer: LinkPeer = Attribute("Who is at the other end.")
    version: int = Attribute("The version of the link's items: the highest that both ends speak.")
    queued: int = Attribute("Bytes sent that wait for the peer's credit; 0 for a link in memory.")

    def send(item: Item) -> bool:
        """Send an item after all earlier ones; the items of one reactor turn go in one batch.

        :returns: False if the item was dropped because the queue to a slow peer is full
        """

    def send_packed(item: bytes, droppable: bool) -> bool:
        """Send an already serialized item (see cim.wire.packed).

        :param droppable: whether it is a Deliver, which a full queue drops
        """

    # What is sent for every single message, by what it says, since not every link need serialize it.

    def send_request(
        call: int, asker: Asking, conversation: str, packet: bytes, after: str = "", trace: Trace = UNTRACED
    ) -> bool:
        """Send a Request that forwards a client's packet, as `send` does (see `cim.wire.packed.request`)."""

    def send_run(call: int, asker: Asking, conversation: str, packets: Sequence[bytes], after: str) -> bool:
        """Send a Request that forwards several Sends of a client into one conversation, as `send` does.

        Only from version RUNS on, as the next but one.

        :param call: the first one's; the others' are the numbers behind it
        :param after: the client_id of the Send that must be stored before the first; empty for none
        """

    def send_reply(call: int, packet: bytes) -> bool:
        """Send a Reply of one packet, as `send` does."""

    def send_replies(call: int, packets: Sequence[bytes]) -> bool:
        """Send a Reply to each of the calls from `call` on, of one packet each, as `send` does."""

    def send_push(push: Pushed, users: list[int]) -> bool:
        """Send a Deliver to users, as `send` does."""

    def lose(reason: str) -> None:
        """End the link, still trying to deliver what was sent. `link_down` follows in a later turn."""


class ILinkUser(Interface):
    """The server or route that uses links."""

    def link_up(link: ILink) -> None:
        """Take a new link to an authenticated peer."""

    def link_received(link: ILink, item: Item) -> None:
        """Take the next item, in the order of sending. Must not raise."""

    def link_down(link: ILink, reason: str) -> None:
        """Note that a link is gone; nothing more comes from it."""
