"""Tells the other routes, through the store, which servers this route is linked to.

See docs/architecture.md, Presence and leases.

While any route holds a lease on a server, the records of its sessions are valid. When a route dies, its leases expire.
"""

from __future__ import annotations

from functools import partial

from attrs import define

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import Unavailable
from cim.interfaces import ISessions
from cim.route.presence.presence import Host, Presence
from cim.supervision import Loop

LEASE_SECONDS = 15.0
RENEW_SECONDS = 5.0
#: When a lost server is looked up, in seconds: soon at first, since the other routes lose it at the same time.
LOOK_AGAIN = (0.05, 0.1, 0.2, 0.5)
LOOK_AGAIN_THEN = 1.0


@define
class _Search:
    """How far one is in finding out whether a server is dead."""

    dropped: bool = False
    looks: int = 0


class Leases(Service):
    """Holds a lease on every linked server, and finds out when a lost server is dead.

    :param route: this route's own name among the lease holders
    """

    _log = Logger()

    def __init__(self, sessions: ISessions, presence: Presence, route: str, clock: IReactorTime) -> None:
        self._sessions = sessions
        self._presence = presence
        self._route = route
        self._clock = clock
        self._loop = Loop("renewing leases", self.renew, clock, every=RENEW_SECONDS)
        #: What finds out whether a lost server is dead, by the server's host.
        self._lost: dict[Host, Loop] = {}

    def startService(self) -> None:
        """Start renewing leases."""
        super().startService()
        self._loop.start(RENEW_SECONDS)

    def renew(self) -> None:
        """Renew all leases: periodically, and when the store is back."""
        for host in self._presence.hosts.values():
            if host.link is not None:
                self._tried(self._sessions.hold_lease(host.place, self._route, LEASE_SECONDS))

    def linked(self, host: Host) -> None:
        """Take a lease on a server that was linked."""
        self._forget(host)
        self._tried(self._sessions.hold_lease(host.place, self._route, LEASE_SECONDS))

    def lost(self, host: Host) -> None:
        """Drop the lease on a server whose link was lost, and find out whether the server is dead."""
        self._forget(host)
        what = f"finding out whether server {host.place.server} is dead"
        search = self._lost[host] = Loop(what, partial(self._find_out, host, _Search()), self._clock)
        search.start()

    def _forget(self, host: Host) -> None:
        search = self._lost.pop(host, None)
        if search is not None:
            search.stop()

    async def _find_out(self, host: Host, search: _Search) -> float | None:
        leased = True
        try:
            if not search.dropped:
                await self._sessions.drop_lease(host.place, self._route)
                search.dropped = True
            leased = await self._sessions.leased(host.place)
        except Unavailable:
            pass
        if host.link is not None or self._presence.hosts.get(host.place.server) is not host:
            self._forget(host)
            return None
        if leased:
            search.looks += 1
            wait = LOOK_AGAIN[search.looks - 1] if search.looks <= len(LOOK_AGAIN) else LOOK_AGAIN_THEN
            return wait if self.running else None
        self._forget(host)
        self._log.info(
            "server {server} is dead, {sessions} sessions with it",
            server=host.place.server,
            sessions=host.count,
        )
        self._presence.forget(host)
        return None

    def _tried(self, trying: Deferred[None]) -> None:
        # The store itself logs that it is away; the next renewal makes up for this failure.
        trying.addErrback(lambda failure: failure.trap(Unavailable) and None)
        trying.addErrback(lambda failure: self._log.failure("a lease was not written", failure))

    async def _drop_all(self) -> None:
        for host in list(self._presence.hosts.values()):
            if host.link is not None:
                await self._sessions.drop_lease(host.place, self._route)

    def stopService(self) -> Deferred[None]:
        """Drop all leases."""
        super().stopService()
        self._loop.stop()
        for search in self._lost.values():
            search.stop()
        dropping = Deferred.fromCoroutine(self._drop_all())
        dropping.addErrback(lambda failure: failure.trap(Unavailable) and None)
        return dropping
