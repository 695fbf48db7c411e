"""Decides who may read what of a conversation, and reads pages of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from twisted.internet.interfaces import IReactorTime

from cim.cache import Cache
from cim.errors import Forbidden, InvalidField
from cim.interfaces import IConversations, IGroups
from cim.model import GUEST, HeadsPage, Member, Page
from cim.route.messages.inviting import Inviting
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import EDIT, MEMBERS, RECALL, Deliver, Head, Welcome
from cim.wire.native import MAX_PAGE, PAGE

#: The most bytes of a page where it goes, so that it fits into one item of a link, or an answer.
PAGE_BYTES = 512 * 1024
HEADS = 100
#: How long a membership is cached, in seconds; a removal drops it at once (`forget`).
MEMBER_SECONDS = 5.0
KEPT_MEMBERS = 100_000
#: What is left out of pages for those who do not know it; and for those who want texts alone, which are as they stand.
NO_MEMBERS = frozenset({MEMBERS})
NO_REVISIONS = frozenset({MEMBERS, EDIT, RECALL})


class Reading:
    """Reads conversations on behalf of users."""

    def __init__(self, store: IConversations, groups: IGroups, inviting: Inviting, clock: IReactorTime) -> None:
        self._store = store
        self._inviting = inviting
        self._groups = groups
        self._members: Cache[tuple[int, int], Member] = Cache(clock.seconds, MEMBER_SECONDS, KEPT_MEMBERS)

    async def floor(self, user: int, conversation: str, *, anew: bool = False) -> str:
        """Return the position after which `user` may read; "" for all.

        :param anew: as the store has it now, whatever is cached
        :raises InvalidField: not the name of a conversation
        :raises Forbidden: the user is not part of it
        """
        name = conversations.parse(conversation)
        if isinstance(name, conversations.PrivateConversation):
            if not name.involves(user):
                raise Forbidden("you are not part of this conversation")
            return ""
        if conversation == conversations.EVERYONE:
            return ""
        return (await self.member(name.id, user, anew=anew)).floor

    async def member(self, group: int, user: int, *, anew: bool = False) -> Member:
        """Return a membership, cached for a few seconds.

        :param anew: as the store has it now
        :raises Forbidden: there is none
        """
        kept = None if anew else self._members.get((group, user))
        return kept or await self._members.look_up((group, user), self._look_up)

    async def _look_up(self, key: tuple[int, int]) -> Member:
        member = await self._groups.member(*key)
        if member is None:
            raise Forbidden("you are not in this group")
        return member

    def forget(self, group: int, user: int) -> None:
        """Drop a cached membership: it has changed."""
        self._members.forget((group, user))

    def forget_all(self) -> None:
        """Drop all cached memberships: the store may have gone back."""
        self._members.clear()

    async def page(
        self,
        user: int,
        conversation: str,
        after: str = "",
        before: str = "",
        limit: int = 0,
        *,
        without: frozenset[int] = NO_MEMBERS,
        size_of: Callable[[bytes], int] = lambda body: len(body) + 128,
    ) -> Page:
        """Return messages after a position, or the last ones before one, oldest first, as many as fit into PAGE_BYTES.

        Texts are as they stand: recalled ones are blank, edited ones are marked and have the content of the last edit.

        :param limit: 0 means PAGE; more than MAX_PAGE means MAX_PAGE
        :param without: kinds of messages that are left out
        :param size_of: returns how many bytes a message with a body has where it goes
        :raises InvalidField: an invalid position or limit
        :raises Forbidden: the user is not part of the conversation
        """
        if limit < 0:
            raise InvalidField("limit", "must not be negative")
        if after and before:
            raise InvalidField("before", "cannot be combined with `after`")
        positions.parse(after, "after")
        positions.parse(before, "before")
        floor = await self.floor(user, conversation)
        limit = min(limit or PAGE, MAX_PAGE)
        while True:
            page = await self._read(conversation, without, after=after, before=before, limit=limit, floor=floor)
            while before and page.more and not page.positions:
                # The next page begins before the first message of this one, so there must be one.
                # Many are read at once, for nobody knows how many of those are left out.
                page = await self._read(conversation, without, before=page.upto, limit=MAX_PAGE, floor=floor)
            # Only now is it certain that the user might read what was there: the floor may be a cached one.
            now = await self.floor(user, conversation, anew=True)
            if now == floor:
                return _bounded(page, limit, size_of, backwards=bool(before))
            floor = now

    async def _read(self, conversation: str, without: frozenset[int], **where: Any) -> Page:
        page = await self._with_edits(conversation, await self._store.read(conversation, **where))
        return _leave_out(page, without, where.get("before", ""))

    async def _with_edits(self, conversation: str, page: Page) -> Page:
        """Blank the edits of recalled texts, and have texts reflect those edits that earlier releases stored.

        The store does what else there is to do; but it cannot find the edits by routes of earlier releases.
        """
        edits = _of_kind(page.bodies, EDIT)
        if not edits:
            return page
        there = {position: at for at, position in enumerate(page.positions)}
        bodies = list(page.bodies)
        refs = dict.fromkeys(said.ref for said in edits.values())
        texts = {ref: native.parse_body(bodies[there[ref]]) for ref in refs if ref in there}
        standing = {ref for ref, said in texts.items() if said.text or said.data}
        # Most are in the page itself; the others are looked up together.
        asked = [ref for ref in refs if ref not in there]
        if asked:
            standing.update(await self._store.standing(conversation, asked))
        for at, said in edits.items():
            if said.ref not in standing:
                bodies[at] = native.blank(bodies[at])
            elif said.ref in texts and not texts[said.ref].edited:
                text = there[said.ref]
                bodies[text] = native.edited(page.bodies[text], bodies[at])
        return evolve(page, bodies=bodies)

    async def packets(
        self, user: int, conversation: str, after: str, before: str, limit: int, *, members: bool = False
    ) -> list[bytes]:
        """Return a page as the packets that a client gets: Deliver packets, then Synced."""
        without = frozenset() if members else NO_MEMBERS
        page = await self.page(user, conversation, after, before, limit, without=without)
        packets = native.deliver_packets(conversation, page.before, page.positions, page.bodies)
        if before:
            # Whatever was asked for, nothing before the first message of the page was sent.
            after = page.before if page.positions else page.upto
        packets.append(native.synced_packet(conversation, after, page.upto, page.more, page.reset))
        return packets

    async def heads(self, user: int, device: str, after: str = "", since: int = 0, limit: int = HEADS) -> HeadsPage:
        """Return the user's conversations that have something new, newest first."""
        return await self._store.heads(user, device, after=after, since=since, limit=min(limit, HEADS))

    async def welcome(self, user: int, device: str, after: str = "", since: int = 0) -> bytes:
        """Return a Welcome packet with heads, more, as_of and invitations; the server adds the rest."""
        page = await self._store.heads(user, device, after=after, since=since, limit=HEADS)
        if since > page.as_of:  # of a store, or a clock, that has gone back since
            page = await self._store.heads(user, device, after=after, limit=HEADS)
        invited = await self._inviting.shown(page.invited) if device != GUEST else ()
        welcome = Welcome(heads=heads_of(page), more=page.more, as_of=str(page.as_of), invited=invited)
        return native.packet(welcome=welcome)

    async def news(self, user: int, device: str, after: str) -> bytes:
        """Return the next page of heads as a News packet."""
        page = await self.heads(user, device, after)
        return native.news_packet(heads_of(page), page.more)


def heads_of(page: HeadsPage) -> list[Head]:
    """Return heads in the form that clients get."""
    heads: list[Head] = []
    for head in page.heads:
        name, latest, received, read = head.conversation, head.latest, head.received, head.read
        heads.append(Head(conversation=name, latest=latest, received=received, read=read, unread=head.unread))
    return heads


def _leave_out(page: Page, kinds: frozenset[int], before: str) -> Page:
    """Return a page without messages of some kinds: they do not exist for this reader."""
    left_out = {at for kind in kinds for at in _of_kind(page.bodies, kind)}
    if not left_out:
        return page
    kept = [at for at in range(len(page.bodies)) if at not in left_out]
    places = [page.positions[at] for at in kept]
    # What is left out at the beginning of a page that goes back is before it; else it was asked for.
    first = page.positions[kept[0] - 1] if before and kept and kept[0] else page.before
    upto = page.upto
    if before:
        upto = places[-1] if places else page.positions[0] if page.more else ""
    return evolve(page, before=first, positions=places, bodies=[page.bodies[at] for at in kept], upto=upto)


def _of_kind(bodies: Sequence[bytes], kind: int) -> dict[int, Deliver]:
    """Return the messages of a kind that is not 0, by their index; most bodies need not be parsed for that."""
    field = bytes((Deliver.KIND_FIELD_NUMBER << 3, kind))
    # Most pages have none.
    together = b"".join(bodies)
    if field[:1] not in together or field not in together:
        return {}
    parsed = {at: native.parse_body(body) for at, body in enumerate(bodies) if field in body}
    return {at: said for at, said in parsed.items() if said.kind == kind}


def _bounded(page: Page, limit: int, size_of: Callable[[bytes], int], *, backwards: bool) -> Page:
    bodies = page.bodies
    if len(bodies) <= limit and sum(map(size_of, bodies)) <= PAGE_BYTES:
        return page
    size = 0
    kept = 0
    for body in reversed(bodies) if backwards else bodies:
        size += size_of(body)
        if kept == limit or (size > PAGE_BYTES and kept):
            break
        kept += 1
    left = len(bodies) - kept
    if not left:
        return page
    if backwards:
        return Page(page.positions[left - 1], page.positions[left:], bodies[left:], page.upto, True, page.reset)
    return Page(page.before, page.positions[:kept], bodies[:kept], page.positions[kept - 1], True, page.reset)
