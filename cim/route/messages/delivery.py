"""Decides which links carry a message: one frame per link, however many recipients it has."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property, partial

from attrs import evolve, frozen

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cim.errors import Unavailable
from cim.interfaces import RUNS, IGroups, ILink
from cim.model import Member
from cim.route.presence.calls import LinkCalls
from cim.route.presence.presence import Presence
from cim.route.presence.whereabouts import Whereabouts
from cim.traces import UNTRACED, Trace
from cim.wire import conversations, native, packed, positions
from cim.wire.link_pb2 import Deliver, Item, Outcome

#: Groups of up to this many members are addressed by user, larger ones by group.
BY_USER = 100
KEPT_GROUPS = 10_000
#: The most pushes that may wait for the members of one group.
MAX_WAITING = 1000


@frozen(slots=False)
class Push:
    """Something to push, without its recipients.

    :param origin: the link of the session that sent it
    :param session: that session, which does not get it
    :param repeated: the message was sent before
    :param batch: in a batch: how many of its messages are pushed from this one on
    :param reads: in a group: the position that members must be allowed to read to get it; others are told that they
        miss nothing
    :param members: whether it is of the kind MEMBERS, which not all clients know
    :param trace: that of the message, if it is traced
    :param more: the packets to push behind it, to the same sessions and on the same terms; servers of earlier releases
        get them one by one (`parts`)
    """

    packet: bytes
    origin: ILink | None = None
    session: str = ""
    repeated: bool = False
    batch: int = 0
    reads: str = ""
    members: bool = False
    trace: Trace = UNTRACED
    more: Sequence[bytes] = ()

    @cached_property
    def _common(self) -> bytes:
        return packed.pushed(self.packet, self.repeated, self.batch, self.trace, self.more)

    def parts(self, link: ILink) -> Sequence[Push]:
        """Return what to send over a link one after another: itself, or each of its packets."""
        return self._apart if self.more and link.version < RUNS else (self,)

    @cached_property
    def _apart(self) -> Sequence[Push]:
        return [evolve(self, packet=packet, more=()) for packet in (self.packet, *self.more)]

    def over(
        self,
        link: ILink,
        users: Iterable[int] = (),
        *,
        call: int = 0,
        group: int = 0,
        everyone: bool = False,
        except_user: int = 0,
    ) -> bytes:
        """Return the item to send over a link; a session's name is only valid on its own link."""
        return packed.deliver(
            self._common,
            users,
            call=call,
            group=group,
            everyone=everyone,
            except_user=except_user,
            except_session=self.session if link is self.origin else "",
            reads=self.reads if group else "",
            members=self.members,
        )


@frozen
class _Small:
    """The members of a small group.

    :param floors: the position up to which each may not read
    """

    users: tuple[int, ...]
    floors: tuple[positions.Position, ...]
    newest: positions.Position

    @classmethod
    def of(cls, members: Sequence[Member]) -> _Small:
        """Return the members in this form."""
        floors = tuple(positions.parse(member.floor) for member in members)
        return cls(tuple(member.user for member in members), floors, max(floors, default=positions.ZERO))


class Delivery:
    """Pushes to the recipients that presence and groups name."""

    _log = Logger()

    def __init__(self, presence: Presence, whereabouts: Whereabouts, groups: IGroups, calls: LinkCalls) -> None:
        self._presence = presence
        self._whereabouts = whereabouts
        #: Has it ready where users are; see Whereabouts.
        self.prepare = whereabouts.prepare
        self._groups = groups
        self._calls = calls
        # Members of small groups, by group, as of a version; None for a large group.
        self._members: OrderedDict[int, tuple[int, _Small | None]] = OrderedDict()
        self._asked: dict[int, list[tuple[Push, int]]] = {}

    def _by_link(self, push: Push, users: Iterable[int]) -> dict[ILink, list[int]]:
        links: dict[ILink, list[int]] = {}
        # Names of sessions are unique per server only.
        origin, session = push.origin, push.session
        for user in users:
            for online in self._whereabouts.of(user):
                link = online.host.link
                if link is None or (link is origin and online.session == session):
                    continue
                at = links.setdefault(link, [])
                if not at or at[-1] != user:
                    at.append(user)
        return links

    def to_watchers(self, packet: bytes, user: int, watched: int) -> None:
        """Push a packet to those sessions of a user that watch another one."""
        for link in self._by_link(Push(packet), (user,)):
            link.send(Item(deliver=Deliver(users=[user], packet=packet, watched=watched)))

    def to_users(self, push: Push, users: Iterable[int]) -> None:
        """Push to the sessions of these users."""
        for link, at in self._by_link(push, users).items():
            for part in push.parts(link):
                link.send_push(part, at)

    def ask_users(self, push: Push, users: Iterable[int]) -> list[Deferred[Outcome]]:
        """Push to the sessions of these users; each link's Outcome says how many sessions it was written to."""
        return [self.ask_server(link, push, at) for link, at in self._by_link(push, users).items()]

    def to_server(self, link: ILink, push: Push, users: Iterable[int]) -> None:
        """Push to the sessions that these users have at one server, whether or not this route knows of them."""
        link.send_packed(push.over(link, users), True)

    def ask_server(self, link: ILink, push: Push, users: Iterable[int]) -> Deferred[Outcome]:
        """Push as `to_server` does; the Outcome says how many sessions it was written to."""
        return self._calls.deliver(link, partial(push.over, link, users))

    def ask_everyone(self, push: Push, except_user: int = 0) -> list[tuple[ILink, Deferred[Outcome]]]:
        """Push to everyone online, and ask each server for an Outcome."""
        return [
            (link, self._calls.deliver(link, partial(push.over, link, everyone=True, except_user=except_user)))
            for link in self._presence.links()
        ]

    def to_conversation(self, push: Push, conversation: str, version: int) -> None:
        """Push to all who are in a conversation.

        :param version: in a group, of its members, as `Appended` has it
        """
        name = conversations.parse(conversation)
        if isinstance(name, conversations.PrivateConversation):
            self.to_users(push, (name.low, name.high))
        elif name.id:
            self.to_group(push, name.id, version)
        else:
            self.to_everyone(push)

    def to_everyone(self, push: Push) -> None:
        """Push to everyone online, without asking for Outcomes."""
        for link in self._presence.links():
            for part in push.parts(link):
                link.send_packed(part.over(link, everyone=True), True)

    def hint(self, push: Push, group: int, users: Iterable[int]) -> None:
        """Push to a group's members at the servers of these users, who may be no members any more: servers know."""
        for link in self._by_link(push, users):
            link.send_packed(push.over(link, group=group), True)

    def to_group(self, push: Push, group: int, version: int) -> None:
        """Push to the members of a group.

        :param version: of the group's members when the message was appended
        """
        waiting = self._asked.get(group)
        if waiting is not None:
            if len(waiting) < MAX_WAITING:
                waiting.append((push, version))
            else:
                self._push_group(push, group, None)
            return
        known = self._members.get(group)
        if known is None or known[0] < version:
            self._asked[group] = [(push, version)]
            reading = Deferred.fromCoroutine(self._read_members(group))
            reading.addErrback(lambda failure: self._log.failure("a group's message was not pushed", failure))
            return
        self._push_group(push, group, known[1])

    def _push_group(self, push: Push, group: int, members: _Small | None) -> None:
        if members is None:
            for link in self._presence.links():
                for part in push.parts(link):
                    link.send_packed(part.over(link, group=group), True)
        elif not push.reads or (position := positions.parse(push.reads)) > members.newest:
            self.to_users(push, members.users)
        else:
            floors = list(zip(members.users, members.floors, strict=True))
            self.to_users(push, [user for user, floor in floors if floor < position])
            # It is of no batch, of no kind and in no trace.
            packet, *more = map(native.skipped_packet, (push.packet, *push.more))
            skipped = Push(packet, push.origin, push.session, more=more)
            self.to_users(skipped, [user for user, floor in floors if floor >= position])

    async def _read_members(self, group: int) -> None:
        version = max(version for _, version in self._asked[group])
        # Otherwise rely on the servers' own index.
        members: _Small | None = None
        try:
            found = await self._groups.members(group, limit=BY_USER + 1)
            members = _Small.of(found) if len(found) <= BY_USER else None
            self._members[group] = (version, members)
            self._members.move_to_end(group)
            if len(self._members) > KEPT_GROUPS:
                self._members.popitem(last=False)
        except Unavailable:
            pass
        finally:
            for push, _ in self._asked.pop(group):
                self._push_group(push, group, members)

    def small_group(self, group: int) -> tuple[int, ...] | None:
        """Return the members of a small group if they are cached, else None."""
        known = self._members.get(group)
        return known[1].users if known is not None and known[1] is not None else None

    def forget_group(self, group: int) -> None:
        """Drop the cached members of a group: they have changed."""
        self._members.pop(group, None)

    def forget_all(self) -> None:
        """Drop the cached members of all groups: the store may have gone back."""
        self._members.clear()
