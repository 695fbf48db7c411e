"""Tells servers whether this route reaches its store, so that they choose others (docs/architecture.md, Links)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from cim.interfaces import ILink
from cim.supervision import Loop
from cim.wire.link_pb2 import Item, StoreState

#: How often the store's health is looked at, in seconds.
LOOK_SECONDS = 0.5


class StoreWatch(Service):
    """Tells all servers when the store is away, and when it is back.

    :param health: returns what is wrong with the store; "" for nothing
    :param links: returns the links to servers
    """

    def __init__(self, health: Callable[[], str], links: Callable[[], Iterable[ILink]], clock: IReactorTime) -> None:
        self._health = health
        self._links = links
        self._away = False
        self._loop = Loop("looking at the health of the store", self._look, clock, every=LOOK_SECONDS)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._loop.start()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        self._loop.stop()

    def link_up(self, link: ILink) -> None:
        """Tell a new server, if the store is away."""
        if self._away:
            link.send(Item(store_state=StoreState(away=True)))

    def _look(self) -> None:
        away = bool(self._health())
        if away is not self._away:
            self._away = away
            for link in self._links():
                link.send(Item(store_state=StoreState(away=away)))
