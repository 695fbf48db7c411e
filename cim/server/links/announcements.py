"""Tells routes of sessions that open and close (docs/architecture.md, Who is told of whom).

Of a session hears the user's home, and routes of earlier releases; then those routes that the home names, which follow
the user. A native session waits until they have confirmed; for others it is found out when they have heard of it, and
then looked for news that was not pushed before.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from attrs import define, field

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from cim.interfaces import ILink
from cim.server.links.fences import Fences
from cim.server.links.rechecks import Rechecks
from cim.server.links.submissions import Submissions
from cim.server.links.views import Views
from cim.server.sessions.table import Session, Sessions
from cim.wire.link_pb2 import At, Closed, Fence, Item, Known, Opened, Tell


@define(eq=False)
class Confirming:
    """A session that has been reported to routes and is not confirmed by all of them.

    :ivar began: when it was opened, seconds on the clock
    :ivar calls: unconfirmed call -> its link
    """

    began: float
    calls: dict[int, ILink] = field(factory=dict)
    waiting: Deferred[bool] | None = None

    def confirmed(self, call: int) -> None:
        """Note that a route has confirmed; finish once all have: the home tells of others before it confirms."""
        if self.calls.pop(call, None) is not None and not self.calls:
            self.finish(True)

    def finish(self, complete: bool) -> None:
        """Tell whoever waits whether all routes have confirmed."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting.callback(complete)


class Announcements:
    """Announces sessions.

    :param links: the live links by the names of their routes
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        submissions: Submissions,
        links: Mapping[str, ILink],
        views: Views,
        fences: Fences,
        rechecks: Rechecks,
        clock: IReactorTime,
    ) -> None:
        self._sessions = sessions
        self._submissions = submissions
        self._links = links
        self._views = views
        self._fences = fences
        self._rechecks = rechecks
        self._clock = clock
        self._confirming: dict[Session, Confirming] = {}
        self._calls: dict[int, Confirming] = {}
        # Sessions of which their homes may not have heard, and when they were opened; nobody waits for that.
        self._unheard: dict[Session, float] = {}
        sessions.observers.append(self)

    def opened(self, session: Session) -> None:
        """Tell the routes whose user it is of a new session, and ask those that are to learn that shares move."""
        self._views.changed()
        now = self._clock.seconds()
        waits = session.waits_for_routes
        # The only route is asked for heads next, over the same link: when it answers, it knows of the session.
        confirming = Confirming(now) if waits and len(self._links) > 1 else None
        shares = self._views.shares
        home, told = shares.home(session.user), shares.told(session.user)
        for name, link in self._links.items():
            if name in told:
                item = opened_item(session, name == home)
            elif link in self._views.unaware:
                item = Item(fence=Fence())
            else:
                continue
            if confirming is not None:
                self._ask(confirming, link, item)
            elif name in told:
                link.send(item)
            if not waits:
                self._fences.after(link, partial(self._heard, session, now, name == home))
        if not waits:
            if home:
                self._unheard[session] = now
        elif confirming is not None and confirming.calls:
            self._confirming[session] = confirming

    def _ask(self, confirming: Confirming, link: ILink, item: Item) -> None:
        """Have a route confirm an item about a session."""
        kind = item.WhichOneof("item")
        assert kind is not None
        call = getattr(item, kind).call = self._submissions.next_call()
        confirming.calls[call] = link
        self._calls[call] = confirming
        link.send(item)

    def tell_followers(self, link: ILink, tell: Tell) -> None:
        """Tell routes that follow a user where it is; sessions that are being opened wait until these know it."""
        sessions = [session for session in self._sessions.of(tell.user) if session.announced]
        known = [Known(session=one.id, owner=one.owner, device=one.device) for one in sessions]
        waiting = [self._confirming[session] for session in sessions if session in self._confirming]
        for name in tell.routes:
            follower = self._links.get(name)
            if follower is None:
                continue
            item = Item(at=At(user=tell.user, sessions=known))
            if waiting:
                self._ask(waiting[-1], follower, item)
                for other in waiting[:-1]:
                    self._ask(other, follower, Item(fence=Fence()))
            else:
                follower.send(item)
            for session in sessions:
                since = self._unheard.get(session)
                if since is not None:
                    self._fences.after(follower, partial(self._heard, session, since, False))

    def _heard(self, session: Session, since: float, by_home: bool) -> None:
        """Check a session for what a route did not push before it heard of it, unless that was done already."""
        if by_home:
            # Whoever follows its user was named before.
            self._unheard.pop(session, None)
        if session in self._sessions and session.wants_news:
            self._rechecks.recheck(session, since)

    def confirmed(self, session: Session, seconds: float) -> Deferred[bool]:
        """Fire with True once all routes have confirmed that are to know of a session, with False if one is late.

        :param seconds: how long they may take
        """
        confirming = self._confirming.get(session)
        if confirming is None or not confirming.calls:
            self._confirming.pop(session, None)
            return succeed(True)
        waiting: Deferred[bool] = Deferred()
        confirming.waiting = waiting
        home = self._views.shares.home(session.user)

        def late() -> None:
            if session in self._sessions:
                self._unheard[session] = confirming.began
            for call, link in confirming.calls.items():
                self._calls.pop(call, None)
                self._fences.after(link, partial(self._heard, session, confirming.began, link.peer.name == home))
            confirming.finish(False)

        timer = self._clock.callLater(seconds, late)

        def done(complete: bool) -> bool:
            if timer.active():
                timer.cancel()
            if self._confirming.get(session) is confirming:
                del self._confirming[session]
            return complete

        return waiting.addCallback(done)

    def release(self, session: Session) -> None:
        """Release the record of a session that is already over: tell its home that it opened and closed."""
        home = self._submissions.home(session.user)
        if home is not None:
            home.send(opened_item(session, True))
            home.send(closed_item(session, True))

    def closed(self, session: Session) -> None:
        """Tell the routes whose user it is that a session has ended."""
        self._views.changed()
        self._confirming.pop(session, None)
        self._unheard.pop(session, None)
        shares = self._views.shares
        home = shares.home(session.user)
        for name in shares.told(session.user):
            link = self._links.get(name)
            if link is not None:
                if self._views.moving:
                    # It may not have heard of it yet, but its record must go.
                    link.send(opened_item(session, name == home, again=True))
                link.send(closed_item(session, name == home))

    def answered(self, call: int) -> bool:
        """Note that a route has confirmed; False if that was not about a session."""
        confirming = self._calls.pop(call, None)
        if confirming is None:
            return False
        confirming.confirmed(call)
        return True

    def link_down(self, link: ILink) -> None:
        """Wait no more for a lost link; all sessions are looked at then in any case."""
        self._unheard.clear()
        for call, confirming in list(self._calls.items()):
            if confirming.calls.get(call) is link:
                del self._calls[call]
                confirming.confirmed(call)


def opened_item(session: Session, home: bool, again: bool = False) -> Item:
    """Return what a route is told of a session.

    :param home: whether it is its home
    :param again: whether it was opened before
    """
    return Item(
        opened=Opened(
            user=session.user,
            name=session.name,
            session=session.id,
            owner=session.owner,
            home=home,
            device=session.device,
            again=again,
        )
    )


def closed_item(session: Session, home: bool) -> Item:
    """Return what a route is told of the end of a session."""
    return Item(
        closed=Closed(
            user=session.user,
            session=session.id,
            owner=session.owner,
            home=home,
            device=session.device,
        )
    )
