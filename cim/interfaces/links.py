"""Links between servers and routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from cim.model import (
        LinkPeer,
    )
    from cim.wire.link_pb2 import Item


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
