"""The interfaces at which the layers meet (DESIGN.md section 3). Each has a real implementation and a twin in memory.

Every Deferred fires in the reactor thread. Times are seconds on the injected clock unless a name says ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.model import Account, Candidate, LinkPeer, Place, SessionRecord
    from cim.wire.link_pb2 import Item

#: The folders of the registry: `/cim` is upstream's own.
SERVERS = "cim"
ROUTES = "cim-route"


class IAccounts(Interface):
    """Who can log in. Every method fails with StoreUnavailable when the store is away."""

    def register(name: str) -> Deferred[Account]:
        """Return the account of that name, made now when there is none; two calls at once make one account."""

    def account(user: int) -> Deferred[Account | None]:
        """Return the account with that id."""

    def named(name: str) -> Deferred[Account | None]:
        """Return the account with that name."""


class ISessions(Interface):
    """Who is logged in where, for all routes to see. Every method fails with StoreUnavailable when the store is away.

    A user has at most one record, a reservation or a live session, named by its owner token. Records of a dead
    server stay: a record counts only while its place is leased (DESIGN.md section 6).
    """

    def reserve(
        user: int, place: Place, owner: str, expected: str = "", *, seconds: float, live: bool = False
    ) -> Deferred[SessionRecord | None]:
        """Make a reservation that replaces any other, and return None; or return the live record that is in the way.

        :param expected: the owner of a live record that may be replaced nevertheless, known to be dead
        :param seconds: after that the reservation is gone
        :param live: make a live record at once: for servers of upstream, which never claim
        """

    def claim(user: int, place: Place, owner: str) -> Deferred[bool]:
        """Make the record live, or make a live one when there is none; False when another owner holds it.

        Claiming again with the same owner changes nothing and is True.
        """

    def release(user: int, owner: str) -> Deferred[bool]:
        """Remove the record if `owner` holds it; False when not. Counts as an end of that user (see `end`)."""

    def end(user: int) -> Deferred[SessionRecord | None]:
        """Remove the user's record, whoever holds it, and return it; None when there was none.

        Fails with RepeatedEnd, and removes nothing, when the record is under 1 s old and another end of that user
        was handled in the last 3 s: upstream's clients send /offLine two or three times (DESIGN.md section 7).
        """

    def session(user: int) -> Deferred[SessionRecord | None]:
        """Return the user's record."""

    def hold_lease(place: Place, route: str, seconds: float) -> Deferred[None]:
        """Say that `route` is linked to `place`, for that long from now."""

    def drop_lease(place: Place, route: str) -> Deferred[None]:
        """Say that `route` is not linked to `place` any more."""

    def leased(place: Place) -> Deferred[bool]:
        """Return whether any route is linked to `place`."""

    def users_at(server: str) -> Deferred[Sequence[int]]:
        """Return the users whose live records were made with `live=True` at that server: one of upstream's."""


class IStore(Interface):
    """Accounts and sessions in one place; a Service."""

    accounts: IAccounts = Attribute("The accounts.")
    sessions: ISessions = Attribute("The sessions.")

    def health() -> str:
        """Return "" when the store answers, else a sentence saying what is wrong."""

    def facts() -> Mapping[str, Any]:
        """Return what operators want to know, such as how safe an acknowledged write is."""

    def on_reconnect(listener: Callable[[], None]) -> None:
        """Have `listener` called whenever the store came back after being away."""

    def observe(latency: Callable[[str, float], None]) -> None:
        """Have `latency(operation, seconds)` called for every call that ended."""


class IRegistry(Interface):
    """The list of living servers and routes; a Service.

    A folder is SERVERS or ROUTES; a name in it is an address in text form.
    """

    def announce(folder: str, name: str, value: bytes) -> IAnnouncement:
        """Have `name` listed from now until it is withdrawn, again after every loss of the registry's session."""

    def watch(folder: str, listener: Callable[[Mapping[str, bytes]], None]) -> Callable[[], None]:
        """Call `listener(name -> value)` with the whole list whenever it changed, and soon with the present one.

        :returns: a function that ends it
        """

    def health() -> str:
        """Return "" when the registry answers, else a sentence saying what is wrong."""


class IAnnouncement(Interface):
    """A name that is kept in the registry."""

    def withdraw() -> Deferred[None]:
        """Remove it; fires when it is gone, or when that cannot be had within the registry's timeout. Never fails."""

    def listed() -> bool:
        """Return whether the registry confirmed it and has not lost it since."""


class ILink(Interface):
    """One end of a live link between a server and a route (DESIGN.md section 6)."""

    peer: LinkPeer = Attribute("Who is at the other end.")
    queued: int = Attribute("Bytes that were sent and wait for the peer's credit; 0 for a link in memory.")

    def send(item: Item) -> bool:
        """Send an item after all sent before; those of one reactor turn go in one batch.

        :returns: False when the queue to a slow peer is full and the item was dropped
        """

    def lose(reason: str) -> None:
        """End the link; what was sent is still tried. `link_down` follows in a later turn."""


class ILinkUser(Interface):
    """What a server or a route does with its links."""

    def link_up(link: ILink) -> None:
        """A link to a proven peer is there."""

    def link_received(link: ILink, item: Item) -> None:
        """An item came, in the order in which it was sent. Must not raise."""

    def link_down(link: ILink, reason: str) -> None:
        """The link is gone; nothing more comes from it."""


class IServerSelection(Interface):
    """Picks the server of a login. More of them can be added as Twisted plugins (docs/operations.md)."""

    name: str = Attribute("What --select calls it.")

    def select(candidates: Sequence[Candidate], user: int) -> Candidate:
        """Return one of the candidates (at least one, sorted by server name)."""


class IMessageListener(Interface):
    """What a client application does with what arrives. A listener that raises harms nobody else."""

    def received(client: IClient, message: Any) -> None:
        """A message came: a `cim.client.library.Message`."""


class IClient(Interface):
    """What front ends call (the terminal is one); a Service.

    Its Deferreds fail with a CIMError whose message can be shown.
    """

    def send_group(text: str) -> Deferred[None]:
        """Say something to everyone online; fires when the route has answered."""

    def send_private(receiver: int, text: str) -> Deferred[None]:
        """Say something to one user."""

    def online_users() -> Deferred[Sequence[Account]]:
        """Return who is online."""
