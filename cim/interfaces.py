"""The interfaces at which the rooms meet (docs/architecture.md). Each has a real implementation and a twin in memory.

Every Deferred fires in the reactor thread. Times are seconds on the injected clock unless a name says ms.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

from cim.model import GUEST, LoginPolicy

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cim.errors import CIMError
    from cim.model import (
        Account,
        Append,
        Appended,
        Candidate,
        Credential,
        Entry,
        Group,
        GroupChange,
        HeadsPage,
        LinkPeer,
        Mark,
        Member,
        Memberships,
        Page,
        Place,
        Reserved,
        Role,
        SessionRecord,
    )
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

    A user has at most one record for each device, a reservation or a live session, named by its owner token. Records
    of a dead server stay: a record counts only while its place is leased (docs/architecture.md, Presence and leases).
    """

    def reserve(
        user: int,
        place: Place,
        owner: str,
        *,
        device: str = GUEST,
        policy: LoginPolicy = LoginPolicy.REJECT,
        expected: Collection[str] = (),
        seconds: float,
        live: bool = False,
    ) -> Deferred[Reserved]:
        """Make a reservation, or change nothing when live records are in the way.

        A reservation of the same device is replaced, and so is its live record, unless the device is GUEST. Of the
        other devices (for GUEST: of all) REJECT lets reservations be replaced and live records be in the way, REPLACE
        replaces both, MANY leaves them; but when MAX_DEVICES others are there, all their live records are in the way,
        so that the dead among them can be told, and it fails with RateLimited when none of them is live.

        :param expected: owners of live records that are known to be dead: they are removed without a word
        :param seconds: after that the reservation is gone
        :param live: make a live record at once: for servers of upstream, which never claim
        """

    def claim(user: int, device: str, place: Place, owner: str) -> Deferred[bool]:
        """Make the record live, or make a live one when there is none; False when another owner holds the device.

        False also when there is none and another device's record was made under REJECT or REPLACE: that login is the
        newer one. Claiming again with the same owner changes nothing and is True.
        """

    def release(user: int, owner: str) -> Deferred[bool]:
        """Remove the record that `owner` holds; False when there is none. Counts as an end of that user (see `end`)."""

    def end(user: int) -> Deferred[Sequence[SessionRecord]]:
        """Remove the user's records, whoever holds them, and return them.

        Fails with RepeatedEnd, and removes nothing, when the newest record is under 1 s old and another end of that
        user was handled in the last 3 s: upstream's clients send /offLine two or three times.
        """

    def sessions(user: int) -> Deferred[Sequence[SessionRecord]]:
        """Return the user's records, the newest last."""

    def hold_lease(place: Place, route: str, seconds: float) -> Deferred[None]:
        """Say that `route` is linked to `place`, for that long from now."""

    def drop_lease(place: Place, route: str) -> Deferred[None]:
        """Say that `route` is not linked to `place` any more."""

    def leased(place: Place) -> Deferred[bool]:
        """Return whether any route is linked to `place`."""

    def users_at(server: str) -> Deferred[Sequence[int]]:
        """Return the users whose live records were made with `live=True` at that server: one of upstream's."""


class IStore(Interface):
    """All that is stored, in one place; a Service."""

    accounts: IAccounts = Attribute("The accounts.")
    sessions: ISessions = Attribute("The sessions.")
    conversations: IConversations = Attribute("The conversations.")
    groups: IGroups = Attribute("The groups.")
    credentials: ICredentials = Attribute("The credentials.")

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
    """One end of a live link between a server and a route (docs/architecture.md, Links)."""

    peer: LinkPeer = Attribute("Who is at the other end.")
    version: int = Attribute("The version of the link's items: the highest that both ends speak.")
    queued: int = Attribute("Bytes that were sent and wait for the peer's credit; 0 for a link in memory.")

    def send(item: Item) -> bool:
        """Send an item after all sent before; those of one reactor turn go in one batch.

        :returns: False when the queue to a slow peer is full and the item was dropped
        """

    def send_packed(item: bytes, droppable: bool) -> bool:
        """Send an item that is serialized already (see cim.wire.packed).

        :param droppable: whether it is a Deliver, which a full queue drops
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

    def received(client: Any, message: Any) -> None:
        """A message came, a `cim.client.Message`, at a `cim.client.Client`."""


class IConversations(Interface):
    """The logs of messages. Every method fails with StoreUnavailable when the store is away."""

    skipped: int = Attribute("How many stored messages and names could not be understood and were passed over.")

    def append(items: Sequence[Append]) -> Deferred[list[Appended | CIMError]]:
        """Append messages in their order; each has its own result, and one that fails harms no other.

        A message is checked, in this order, for its sender's rights, for being a repetition, for `after`, and for the
        text that it refers to or recalls; only what passes all of that changes anything.

        - The same client_id of the same sender in the conversation within 24 hours and the last 10,000 messages is the
          same message: it is answered as it was the first time, whatever else is wrong with it. Conflict when its
          digest is another.
        - With `after`, it is stored only if that message of the same sender is remembered as stored, for as long as
          repetitions are, or was stored by this very call before it: OutOfOrder otherwise.
        - A text that it refers to or recalls must be there: NotFound when it is gone, or was recalled and is referred
          to, and Forbidden when it is no text.
        - Forbidden when the sender is no member of the group, NotFound when there is no such group.

        In the same step: the participants' indexes of a `p:` conversation (time of last activity) and a group's time of
        last activity. A StoreUnavailable as an item's result, or of the whole, means unknown.
        Retention (age and count, set on the store) is applied as it writes.
        """

    def read(conversation: str, *, after: str = "", before: str = "", limit: int, floor: str = "") -> Deferred[Page]:
        """Return the messages after a position, or with `before` the last ones before it, oldest first.

        Nothing at or before `floor`, expired or undecodable is given; recalled texts are blanked. A page holds at
        most 512 KiB of bodies, unless its first message alone is more; it may be short or empty with `more` set.
        With `before`, `upto` is the last message's position.
        """

    def heads(user: int, device: str, *, after: str = "", since: int = 0, limit: int = 100) -> Deferred[HeadsPage]:
        """Return the user's conversations, with those of its groups, in which something is new to the device or unread.

        They come newest first, in pages.

        For the device of guests only those in which others said something that is new to it.

        Activity is told to the second: of what happened within one, any may come first.

        A page may be empty with `more` set: each looks at no more than 100 conversations.

        :param after: `more` of the page before; fails with InvalidField when it is none
        :param since: only conversations that were active at or after this, or in the second before, ms since 1970
        """

    def mark(marks: Sequence[Mark]) -> Deferred[list[str]]:
        """Move marks forward, never beyond the end, and return where each stands now; unmoved ones are no error."""

    def entry(conversation: str, position: str) -> Deferred[Entry | None]:
        """Return the message at a position, if it is still there."""


class IGroups(Interface):
    """Who is in which group. Every method fails with StoreUnavailable when the store is away.

    Methods that take an `actor` check its rights in the same step and fail with Forbidden or NotFound.
    """

    def create(owner: int, name: str, *, open: bool, history: bool) -> Deferred[Group]:
        """Make a group whose only member is its owner."""

    def group(id: int) -> Deferred[Group | None]:
        """Return a group."""

    def rename(id: int, actor: int, name: str) -> Deferred[Group]:
        """Give it another name: admins and the owner may."""

    def member(id: int, user: int) -> Deferred[Member | None]:
        """Return someone's membership."""

    def members(id: int, *, after: int = 0, limit: int = 1000) -> Deferred[list[Member]]:
        """Return members with ids above `after`, by id."""

    def memberships(user: int) -> Deferred[Memberships]:
        """Return the memberships of a user, by group, and the version of the change log that they are of."""

    def add(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """Make `user` a member: by oneself when the group is open, else by an admin or the owner; None when it was one.

        At most MAX_MEMBERS members a group and MAX_GROUPS groups a user: RateLimited beyond.
        """

    def remove(id: int, actor: int, user: int) -> Deferred[GroupChange | None]:
        """End a membership: one's own, or that of someone with a lower role; None when there was none.

        The last owner cannot leave while others are members: Conflict.
        """

    def set_role(id: int, actor: int, user: int, role: Role) -> Deferred[None]:
        """Give a member a role: the owner may; giving OWNER makes a further owner."""

    def changes(after: int, limit: int = 1000) -> Deferred[tuple[list[GroupChange], int, bool]]:
        """Return the change log after a version, the log's present version, and whether some were forgotten."""


class ICredentials(Interface):
    """Passwords and what voids tokens. Every method fails with StoreUnavailable when the store is away."""

    def credential(user: int) -> Deferred[Credential | None]:
        """Return an account's credential; None for a guest account."""

    def create(name: str, password: str) -> Deferred[Account]:
        """Make an account with a credential (its argon2 hash); Conflict when the name is taken."""

    def set_password(user: int, password: str, now: int) -> Deferred[bool]:
        """Replace the hash and void all tokens issued before `now` (ms); False when there is no such account."""

    def revoke(user: int, now: int) -> Deferred[None]:
        """Void all tokens issued before `now` (ms)."""

    def delete(user: int) -> Deferred[bool]:
        """Remove the account, its name, credential, memberships and indexes; its messages stay with the others."""
