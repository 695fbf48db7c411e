"""Tells servers whether this route reaches its store, so that they choose others, and the store's epoch.

See docs/architecture.md, Links, and docs/architecture.md, Epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime

from cim.interfaces import ILink, IStore
from cim.supervision import Loop
from cim.wire.link_pb2 import Item, StoreState

#: How often the store's health is looked at, in seconds.
LOOK_SECONDS = 0.5


class StoreWatch(Service):
    """Tells all servers when the store is away, when it is back, and when it is in another epoch.

    :param links: returns the links to servers
    :ivar on_change: called with whether the store is away, when that has changed
    """

    def __init__(self, store: IStore, links: Callable[[], Iterable[ILink]], clock: IReactorTime) -> None:
        self._store = store
        self._links = links
        self._state = StoreState()
        self.on_change: list[Callable[[bool], None]] = []
        self._loop = Loop("looking at the state of the store", self.look, clock, every=LOOK_SECONDS)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._loop.start()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        self._loop.stop()

    def link_up(self, link: ILink) -> None:
        """Tell a new server."""
        if self._state.away or self._state.epoch:
            link.send(Item(store_state=self._state))

    def look(self) -> None:
        """Look at the store, and tell all servers if anything changed."""
        state = StoreState(away=bool(self._store.health()), epoch=self._store.epoch())
        if state != self._state:
            changed = state.away is not self._state.away
            self._state = state
            for link in self._links():
                link.send(Item(store_state=state))
            for tell in self.on_change if changed else ():
                tell(state.away)
