"""Where users are, whoever keeps them (docs/architecture.md, Who is told of whom).

Each server tells a route of its share of the users. Of others the route asks whoever is told of them, and follows those
to whom it sends something: it hears of each change from the server at which it happens, over that server's own link. A
server of which it does not know for certain whether a user is there is sent what is for that user in any case, and
drops it if the user is not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from attrs import define, field

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import Unavailable
from cim.interfaces import ILink
from cim.model import Place
from cim.route.presence.peers import Peers
from cim.route.presence.presence import Host, Online, Presence
from cim.supervision import Loop
from cim.wire.link_pb2 import At, Item, Known, Outcome, Question, Where

#: For how long a user is followed, in seconds, and at most twice that; well below how long a keeper remembers it.
KEPT_SECONDS = 120.0
#: The most users that are followed for so long; those of the time before are forgotten when there are more.
MAX_KEPT = 100_000
#: How long to wait at most until no shares move, in seconds.
STEADY_SECONDS = 2.0
#: So many pushes to servers that may have nobody cost as much as a question to another route and its answer, which pass
#: a server each; after so many for a user it is asked for.
ASK_AFTER = 8
#: How many users one question is about.
TOGETHER = 500
#: After how many seconds another route that did not answer is asked again, if need be.
RETRY_SECONDS = 1.0


@define(eq=False)
class _Kept:
    """What is known of a user.

    :ivar sessions: those of which this route is not told by itself
    :ivar number: that of Presence; what changed at a server later makes it uncertain whether the user is there
    :ivar followed: whether it comes from another route, so that it must be asked again in time
    """

    sessions: tuple[Online, ...]
    number: int
    followed: bool


@define(eq=False)
class _Asked:
    """A user about whom others are being asked.

    :ivar number: that of Presence when it was last found out at which servers the user may be
    :ivar unsure: a session without an id for each of these
    :ivar heard: what servers said meanwhile, which is newer than any answer
    """

    number: int = -1
    unsure: tuple[Online, ...] = ()
    heard: dict[Host, tuple[Online, ...]] = field(factory=dict)
    waiting: list[Deferred[None]] = field(factory=list)


class Whereabouts(Service):
    """Knows where to push what is for a user.

    :ivar pins: the users that are followed for good, by id
    :ivar observers: called with a user of whom something was heard from others, or has become uncertain
    """

    _log = Logger()

    def __init__(self, presence: Presence, peers: Peers, clock: IReactorTime) -> None:
        self._presence = presence
        self._peers = peers
        self._clock = clock
        self._kept: dict[int, _Kept] = {}
        self._former: dict[int, _Kept] = {}
        self._asked: dict[int, _Asked] = {}
        # By user that is not followed, how much was pushed blindly.
        self._blind: dict[int, int] = {}
        self._wanted: dict[int, None] = {}
        self._failed: set[int] = set()
        # Who waits until no shares move.
        self._unsteady: list[Deferred[None]] = []
        self._asking = Loop("asking where users are", self._ask, clock)
        self._turning = Loop("forgetting where users are", self._turn_over, clock, every=KEPT_SECONDS)
        self._pinning = Loop("asking where watched users are", self._ask_pinned, clock)
        self.pins: Mapping[int, object] = {}
        # Those that are still to be asked for in this round.
        self._pinned: Iterator[int] = iter(())
        self.observers: list[Callable[[int], None]] = []
        presence.on_change.append(self._changed)

    def startService(self) -> None:
        """Start forgetting."""
        super().startService()
        self._turning.start(KEPT_SECONDS)

    def stopService(self) -> None:
        """Stop."""
        super().stopService()
        for loop in (self._asking, self._turning, self._pinning):
            loop.stop()

    def __len__(self) -> int:
        return len(self._kept) + len(self._former)

    def of(self, user: int) -> tuple[Online, ...]:
        """Return the sessions of a user, and one without an id for each server that may have further ones."""
        presence = self._presence
        if presence.agreed:
            told = presence.of(user)
            if told or presence.whole:
                return told
        kept = self._kept.get(user)
        if kept is not None and kept.number >= presence.number:
            told = presence.of(user)
            return (*told, *kept.sessions) if told else kept.sessions
        asked = self._asked.get(user)
        if asked is not None and asked.number == presence.number:
            told = presence.of(user)
            kept = kept or self._former.get(user)
            return (*told, *kept.sessions, *asked.unsure) if kept is not None else (*told, *asked.unsure)
        return self._look(user)

    def prepare(self, users: Iterable[int]) -> None:
        """Ask where users are for whom there will be something soon, if asking costs less than a blind push."""
        if not self._presence.whole and len(self._presence.hosts) >= ASK_AFTER:
            for user in users:
                self.of(user)

    def _look(self, user: int, ask: bool = False) -> tuple[Online, ...]:
        presence = self._presence
        told = presence.of(user)
        kept = self._kept.get(user)
        current = kept is not None
        if kept is None:
            kept = self._former.get(user)
        number = kept.number if kept is not None else -1
        unsure = [host for host in self._linked() if self._unsure(host, user, number)]
        if kept is not None and kept.sessions:
            kept.sessions = tuple(one for one in kept.sessions if not presence.is_told(one.host, user))
        nowhere = tuple(Online(user, "", "", "", False, "", host) for host in unsure)
        if unsure or (kept is not None and kept.followed and not current):
            if (not all(host.moving for host in unsure) or not unsure) and (
                ask or kept or self._is_worth(user, unsure)
            ):
                asked = self._follow(user)
                asked.number, asked.unsure = presence.number, nowhere
        elif kept is None:
            self._keep(user, _Kept((), presence.number, False))
        else:
            kept.number = presence.number
            if not current:
                self._keep(user, kept)
        known = (*told, *kept.sessions) if kept is not None else told
        return (*known, *nowhere) if nowhere else known

    def _find(self, user: int) -> None:
        """Ask where a user is unless that is known."""
        if any(not online.session for online in self.of(user)):
            self._look(user, ask=True)

    def _unsure(self, host: Host, user: int, number: int) -> bool:
        """Return whether a user may be at a server for all that is known."""
        if host.moving:
            return True
        if host.shares is None or host.since <= number:
            return False
        return host.shares.keeper(user) != self._presence.route

    def _is_worth(self, user: int, unsure: Collection[Host]) -> bool:
        """Return whether as much was pushed blindly to a user as it costs to ask for it."""
        blind = self._blind.pop(user, 0) + len(unsure)
        if blind >= ASK_AFTER:
            return True
        if len(self._blind) < MAX_KEPT:
            self._blind[user] = blind
        return False

    def _keep(self, user: int, kept: _Kept) -> None:
        if len(self._kept) >= MAX_KEPT:
            self._turn_over()
        self._kept[user] = kept

    def _turn_over(self) -> None:
        self._former, self._kept = self._kept, {}
        self._blind.clear()
        self._pinning.wake()

    def _changed(self) -> None:
        if self._unsteady and not any(host.moving for host in self._linked()):
            unsteady, self._unsteady = self._unsteady, []
            for steady in unsteady:
                steady.callback(None)
        self._pinned = iter(())
        if self.pins:
            self._pinning.wake()

    def _ask_pinned(self) -> float | None:
        some = list(islice(self._pinned, TOGETHER))
        if not some:
            self._pinned = iter(tuple(self.pins))
            some = list(islice(self._pinned, TOGETHER))
        for user in some:
            self._find(user)
            self._tell(user)
        return 0.0 if len(some) == TOGETHER else None

    def _tell(self, user: int) -> None:
        for observer in self.observers:
            observer(user)

    def is_online(self, user: int) -> bool | None:
        """Return whether a user is online; None if that is not known at the moment."""
        unknown = False
        hosts = self._presence.hosts
        for online in self.of(user):
            if not online.session:
                unknown = True
            elif hosts.get(online.host.place.server) is online.host:
                return True
        return None if unknown else False

    # What others know.

    def _follow(self, user: int) -> _Asked:
        asked = self._asked.get(user)
        if asked is None:
            asked = self._asked[user] = _Asked()
            self._wanted[user] = None
            self._asking.wake()
        return asked

    def _ask(self) -> None:
        wanted, self._wanted = self._wanted, {}
        number = self._presence.number
        for keepers, users in self._by_keepers(wanted).items():
            for at in range(0, len(users), TOGETHER):
                some = users[at : at + TOGETHER]
                following = Deferred.fromCoroutine(self._ask_keepers(keepers, some, number))
                following.addErrback(lambda failure: self._log.failure("users were not followed", failure))

    def _by_keepers(self, users: Iterable[int]) -> dict[tuple[str, ...], list[int]]:
        """Return users by the other routes that are told of them: one, unless servers disagree."""
        route = self._presence.route
        shares = {host.shares for host in self._linked() if not host.moving}
        found: dict[tuple[str, ...], list[int]] = {}
        for user in users:
            keepers = {one.keeper(user) for one in shares if one is not None} - {route}
            found.setdefault(tuple(sorted(keepers)), []).append(user)
        return found

    async def _ask_keepers(self, keepers: Iterable[str], users: Sequence[int], number: int) -> None:
        known: list[Known] = []
        try:
            for keeper in keepers:
                answer = await self._peers.ask(keeper, Question(where=Where(users=users, follow=True)))
                known.extend(answer.sessions)
        except Unavailable:
            # Until then what is for them is sent to all servers.
            self._failed.update(users)
            self._clock.callLater(RETRY_SECONDS, self._forgive, users)
            for user in users:
                self._answered(self._asked[user])
            return
        sessions: dict[int, list[Online]] = {user: [] for user in users}
        for one in known:
            host = self._presence.hosts.get(one.server)
            if (
                host is not None
                and host.place.incarnation == one.incarnation
                and not self._presence.is_told(host, one.user)
            ):
                sessions.setdefault(one.user, []).append(_online(one.user, one, host))
        for user in users:
            asked = self._asked.pop(user)
            found = [online for online in sessions[user] if online.host not in asked.heard]
            for heard in asked.heard.values():
                found += heard
            self._former.pop(user, None)
            self._keep(user, _Kept(tuple(found), number, True))
            self._answered(asked)
            self._tell(user)

    def _forgive(self, users: Iterable[int]) -> None:
        for user in users:
            del self._asked[user]
        self._failed.difference_update(users)
        if self.pins:
            self._pinning.wake()

    @staticmethod
    def _answered(asked: _Asked) -> None:
        waiting, asked.waiting = asked.waiting, []
        for one in waiting:
            one.callback(None)

    def told(self, host: Host, link: ILink, at: At) -> None:
        """Take what a server says of a user whom this route follows, or did."""
        user = at.user
        told = self._presence.is_told(host, user)  # by now, so that this is old
        sessions = () if told else tuple(_online(user, one, host) for one in at.sessions)
        asked = self._asked.get(user)
        if asked is not None:
            asked.heard[host] = sessions
        kept = self._kept.get(user) or self._former.get(user)
        if kept is not None:
            kept.sessions = (*(online for online in kept.sessions if online.host is not host), *sessions)
            self._tell(user)
        if at.call:
            link.send(Item(outcome=Outcome(call=at.call)))

    async def steady(self) -> None:
        """Return once no shares move, or after a while."""
        if any(host.moving for host in self._linked()):
            steady: Deferred[None] = Deferred()
            self._unsteady.append(steady)
            await steady.addTimeout(STEADY_SECONDS, self._clock, lambda result, seconds: None)

    async def known(self, users: Iterable[int]) -> None:
        """Return once it is known where users are, or their keepers do not answer."""
        await self.steady()
        for user in users:
            self._find(user)
            asked = self._asked.get(user)
            if asked is not None and user not in self._failed:
                waiting: Deferred[None] = Deferred()
                asked.waiting.append(waiting)
                await waiting

    async def sessions(self, user: int) -> tuple[Online, ...]:
        """Return the sessions of a user, asking others if need be; those that are known if they do not answer."""
        return (await self.sessions_of((user,)))[user]

    async def certain(self, user: int) -> tuple[Online, ...]:
        """Return the sessions of a user.

        :raises Unavailable: that depends on others, who do not answer
        """
        return (await self._found((user,), certain=True))[user]

    async def sessions_of(self, users: Collection[int]) -> Mapping[int, tuple[Online, ...]]:
        """Return the sessions of users, asking others if need be; those that are known if they do not answer."""
        return await self._found(users, certain=False)

    async def _found(self, users: Collection[int], *, certain: bool) -> dict[int, tuple[Online, ...]]:
        found: dict[int, tuple[Online, ...]] = {}
        unknown: list[int] = []
        for user in users:
            known = self.of(user) if user in self._kept else self._presence.of(user)
            found[user] = tuple(online for online in known if online.session)
            if len(found[user]) < len(known) or (user not in self._kept and not self._is_told(user)):
                unknown.append(user)
        for keepers, some in self._by_keepers(unknown).items():
            for keeper in keepers:
                for at in range(0, len(some), TOGETHER):
                    where = Where(users=some[at : at + TOGETHER])
                    try:
                        answer = await self._peers.ask(keeper, Question(where=where))
                    except Unavailable:
                        if certain:
                            raise
                        continue
                    for one in answer.sessions:
                        self._add(found, one)
        return found

    def _add(self, found: dict[int, tuple[Online, ...]], known: Known) -> None:
        host = self._presence.hosts.get(known.server)
        place = Place(known.server, known.incarnation)
        if host is None or host.place != place:
            host = Host(place, None)
        if all((one.host.place, one.session) != (place, known.session) for one in found[known.user]):
            found[known.user] = (*found[known.user], _online(known.user, known, host))

    def _is_told(self, user: int) -> bool:
        """Return whether this route is told of a user by all servers."""
        return not any(self._unsure(host, user, -1) for host in self._linked())

    def _linked(self) -> Iterator[Host]:
        return (host for host in self._presence.hosts.values() if host.link is not None)


def _online(user: int, known: Known, host: Host) -> Online:
    return Online(user, known.name, known.session, known.owner, False, known.device, host)
