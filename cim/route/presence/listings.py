"""Who is online: each route lists those of whom it is told (docs/architecture.md, Who is told of whom)."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from twisted.internet.defer import Deferred, DeferredList

from cim.errors import Unavailable
from cim.model import GUEST, Account
from cim.route.presence.blocks import Blocks
from cim.route.presence.online_names import OnlineNames
from cim.route.presence.peers import Peers, known
from cim.route.presence.presence import Presence
from cim.route.presence.whereabouts import Whereabouts
from cim.wire.link_pb2 import Answer, Known, Listing, Question

#: The most users in one answer, and the most sessions, but for those of its last user.
MOST = 1000
MOST_SESSIONS = 2000


@frozen
class Page:
    """Some users who are online.

    :param users: by the code points of their names
    :param total: how many there are, whatever page this is
    :param more: whether more follow
    """

    users: list[tuple[Account, list[Known]]]
    total: int
    more: bool


class Listings:
    """Lists who is online, and answers others that do."""

    def __init__(
        self, presence: Presence, whereabouts: Whereabouts, names: OnlineNames, blocks: Blocks, peers: Peers
    ) -> None:
        self._presence = presence
        self._whereabouts = whereabouts
        self._names = names
        self._blocks = blocks
        self._peers = peers
        peers.answering["listing"] = self._answer

    async def page(
        self, prefix: str = "", after: str = "", limit: int = MOST, *, viewer: int = 0, guests: bool = False
    ) -> Page:
        """Return users whose names begin with `prefix` and are behind `after`, with their sessions.

        :param viewer: users who block this one seem not to be there; 0 for nobody
        :param guests: only guests
        :raises Unavailable: another route does not answer
        """
        listing = Listing(prefix=prefix, after=after, limit=min(limit, MOST), viewer=viewer, guests=guests)
        routes = self._peers.names()
        try:
            answers = await self._gather(routes, listing)
        except Unavailable:
            # It may be that a route has gone, and its users are others' now.
            await self._whereabouts.steady()
            left = self._peers.names()
            if left == routes:
                raise
            answers = await self._gather(left, listing)
        found: dict[tuple[str, int], dict[tuple[str, str], Known]] = {}
        for answer in answers:
            for one in answer.sessions:
                sessions = found.setdefault((one.name, one.user), {})
                # Servers of earlier releases tell all routes of everyone.
                sessions[one.server, one.session] = one
        # Behind what the last of an answer is that is not all, that route may have others.
        lasts = [answer.sessions[-1] for answer in answers if answer.more and answer.sessions]
        ends = [(last.name, last.user) for last in lasts]
        there = sorted(key for key in found if not ends or key <= min(ends))
        users = [(Account(user, name), list(found[name, user].values())) for name, user in there]
        total = sum(answer.total for answer in answers)
        more = len(users) > listing.limit or any(answer.more for answer in answers)
        return Page(users[: listing.limit], total, more)

    async def _gather(self, routes: Sequence[str], listing: Listing) -> list[Answer]:
        """Return the answers of these routes and this one.

        :raises Unavailable: one does not answer
        """
        asked = [Deferred.fromCoroutine(self._peers.ask(route, Question(listing=listing))) for route in routes]
        answers = [await self._answer("", listing)]
        for well, answer in await DeferredList(asked, consumeErrors=True):
            if not well:
                raise Unavailable("another route does not answer: try again later")
            answers.append(answer)
        return answers

    async def total(self) -> int:
        """Return how many users are online.

        :raises Unavailable: another route does not answer
        """
        return (await self.page(limit=0)).total

    async def guests(self) -> list[Account]:
        """Return all guests who are online.

        :raises Unavailable: another route does not answer
        """
        found: list[Account] = []
        after = ""
        while True:
            page = await self.page(after=after, guests=True)
            found += [account for account, _ in page.users]
            if not page.more or not page.users:
                return found
            after = page.users[-1][0].name

    async def _answer(self, route: str, listing: Listing) -> Answer:
        hidden = await self._blocks.blockers(listing.viewer) if listing.viewer else frozenset()
        if listing.guests:
            return self._guests(listing)
        limit = min(listing.limit, MOST)
        users, total, more = self._names.page(listing.prefix, listing.after, limit, hidden)
        answer = Answer(total=total, more=more)
        for user in users:
            if len(answer.sessions) >= MOST_SESSIONS:
                answer.more = True
                break
            answer.sessions.extend(map(known, self._presence.of(user.id)))
        return answer

    def _guests(self, listing: Listing) -> Answer:
        answer, users = Answer(), 0
        for account in self._names.behind(listing.after):
            sessions = [online for online in self._presence.of(account.id) if online.device == GUEST]
            if sessions:
                if users == min(listing.limit, MOST):
                    answer.more = True
                    break
                users += 1
                answer.sessions.extend(map(known, sessions))
        return answer
