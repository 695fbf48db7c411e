"""Which other routes hear of the users of whom servers tell this one (docs/architecture.md, Who is told of whom)."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from cim.errors import Unavailable
from cim.route.presence.peers import Peers, known
from cim.route.presence.presence import Online, Presence
from cim.supervision import Loop
from cim.wire.link_pb2 import Answer, Item, Tell, Where

#: How long a route hears of a user that it asked for, in seconds, and at most twice that; it asks again well before.
FOLLOWED_SECONDS = 300.0
#: The most users that are followed; nobody is told of others, so those who ask hear nothing.
MAX_FOLLOWED = 500_000


class Followers(Service):
    """Answers where users are, and has servers tell routes of the sessions of users whom these follow."""

    def __init__(self, presence: Presence, peers: Peers, clock: IReactorTime) -> None:
        self._presence = presence
        # The routes by user, as asked for in this period and in the last one.
        self._now: dict[int, tuple[str, ...]] = {}
        self._before: dict[int, tuple[str, ...]] = {}
        self._loop = Loop("forgetting who followed whom", self._turn_over, clock, every=FOLLOWED_SECONDS)
        presence.observers.append(self)
        peers.answering["where"] = self._answer

    def startService(self) -> None:
        """Start forgetting."""
        super().startService()
        self._loop.start(FOLLOWED_SECONDS)

    def stopService(self) -> None:
        """Stop forgetting."""
        super().stopService()
        self._loop.stop()

    def __len__(self) -> int:
        return len(self._now.keys() | self._before.keys())

    async def _answer(self, route: str, where: Where) -> Answer:
        answer = Answer()
        for user in where.users:
            if where.follow:
                self._follow(route, user)
            answer.sessions.extend(map(known, self._presence.of(user)))
        return answer

    def _follow(self, route: str, user: int) -> None:
        routes = self._now.get(user, ())
        if route not in routes:
            if len(self._now) >= MAX_FOLLOWED:
                raise Unavailable("too many users are followed")
            self._now[user] = (*routes, route)

    def _turn_over(self) -> None:
        self._before, self._now = self._now, {}

    def appeared(self, online: Online) -> None:
        """See PresenceObserver."""
        user = online.user
        if user in self._now or user in self._before:
            routes = dict.fromkeys((*self._now.get(user, ()), *self._before.get(user, ())))
            link = online.host.link
            if link is not None:
                link.send(Item(tell=Tell(user=user, routes=routes)))

    vanished = appeared

    def died(self, online: Online) -> None:
        """Do nothing: whoever follows the user finds out itself which servers are dead."""

    def moved(self, online: Online) -> None:
        """Do nothing: whoever follows the user hears that shares move, and asks again."""
