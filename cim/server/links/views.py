"""Which routes are told of which sessions, and whether they know it (docs/architecture.md, Who is told of whom).

Each route is told of its share of the users. Before anybody's route is another one, all are told that shares move: then
they send what is for a user here in any case. When those to whom users moved were told of their sessions, all are told
the new shares.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from twisted.internet.interfaces import IReactorTime

from cim.interfaces import ILink
from cim.selection import SHARING, Shares
from cim.supervision import Loop
from cim.wire.link_pb2 import Item, Load, View

#: How often routes that do not know of all sessions are told how many there are, in seconds, if that has changed.
LOAD_SECONDS = 1.0


class Views:
    """Tells the routes whose share is which.

    :param links: the live links by the names of their routes
    :param next_call: returns an unused call number
    :param sessions: returns how many sessions there are
    :ivar shares: what is so now, whether or not all know it
    """

    def __init__(
        self,
        clock: IReactorTime,
        links: Mapping[str, ILink],
        next_call: Callable[[], int],
        sessions: Callable[[], int],
    ) -> None:
        self._links = links
        self._next_call = next_call
        self._sessions = sessions
        self.shares = Shares()
        # Links over which sessions are reported for the first time, each as often as that was begun.
        self._reporting: dict[ILink, int] = {}
        self._settled = True
        # The routes that may not know yet that shares move, by the call that they will answer.
        self._unaware: dict[int, ILink] = {}
        self._told_load = -1
        self._loop = Loop("telling routes how many sessions there are", self._tell_load, clock)

    @property
    def moving(self) -> bool:
        """Whether shares move."""
        return not self._settled

    @property
    def unaware(self) -> Collection[ILink]:
        """The links whose routes may still take the shares before for true."""
        return self._unaware.values()

    def move(self) -> Shares:
        """Take up that a link has come or gone; return the shares before. `reported` or `settle` ends it."""
        before = self.shares
        self.shares = Shares(
            tuple(sorted(name for name, link in self._links.items() if link.version >= SHARING)),
            tuple(sorted(name for name, link in self._links.items() if link.version < SHARING)),
        )
        self._settled = False
        self._unaware.clear()
        for name in self.shares.sharing:
            call = self._next_call()
            self._unaware[call] = link = self._links[name]
            link.send(self._view(call))
        return before

    def _view(self, call: int = 0) -> Item:
        shares = self.shares
        return Item(view=View(call=call, sharing=shares.sharing, others=shares.others, moving=bool(call)))

    def aware(self, call: int) -> None:
        """Note that a route has answered."""
        self._unaware.pop(call, None)

    def report(self, link: ILink) -> None:
        """Note that sessions are about to be reported over a link."""
        self._reporting[link] = self._reporting.get(link, 0) + 1

    def reported(self, link: ILink) -> None:
        """Note that its route has heard of those sessions."""
        left = self._reporting.get(link, 0) - 1
        if left > 0:
            self._reporting[link] = left
        else:
            self._reporting.pop(link, None)
        self.settle()

    def link_down(self, link: ILink) -> None:
        """Wait no more for a lost link."""
        self._reporting.pop(link, None)
        self._unaware = {call: other for call, other in self._unaware.items() if other is not link}

    def settle(self) -> None:
        """Tell all the shares, unless some are yet to hear of sessions that are theirs."""
        if self._settled or self._reporting:
            return
        self._settled = True
        for name in self.shares.sharing:
            self._links[name].send(self._view())
        self._told_load = -1
        self.changed()

    def changed(self) -> None:
        """Note that there are more sessions or fewer."""
        if len(self.shares.sharing) > 1 and self._loop.due is None:
            self._loop.wake(0 if self._told_load < 0 else LOAD_SECONDS)

    def _tell_load(self) -> None:
        load = self._sessions()
        if load != self._told_load:
            self._told_load = load
            for name in self.shares.sharing:
                self._links[name].send(Item(load=Load(sessions=load)))
