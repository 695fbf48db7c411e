"""The server, assembled from its parts (docs/architecture.md, Starting and stopping)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.interfaces import IReactorTime

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.interfaces import IRegistry
from cim.model import Health, LinkPeer
from cim.server.edge.connection import Limits
from cim.server.edge.gateway import Gateway
from cim.server.edge.wheel import TimerWheel
from cim.server.guests.session import GuestSession
from cim.server.guests.side import GuestSide
from cim.server.links.deliveries import Deliveries
from cim.server.links.groups import GroupIndex
from cim.server.links.isolation import Isolation
from cim.server.links.rechecks import Rechecks
from cim.server.links.submissions import Submissions
from cim.server.links.uplink import Uplink
from cim.server.native.opening import Openings
from cim.server.native.receipts import NativeReceipts
from cim.server.native.session import NativeSide
from cim.server.sessions.ends import Ends
from cim.server.sessions.table import Sessions

#: When all sessions of this server end, so many clients come back in a second: about as many as other servers can take.
COME_BACK_RATE = 1000


class Server:
    """Everything that a server knows and does, without the ports that it listens on.

    :param own: its name in the registry and on links
    :param limits: what one connection may cost
    :param max_connections: the most connections
    :param address_of: see Gateway
    :param ticket_key: the key that tickets are signed with
    :param random: returns evenly distributed numbers from 0 to 1
    :param time_of_day: the time in seconds since 1970 by this machine
    :param tracer: None if nothing is traced
    :ivar gateway: accepts client TCP connections
    :ivar native: makes the sessions of native clients, for any kind of connection
    """

    def __init__(
        self,
        *,
        own: LinkPeer,
        reactor: IReactorTime,
        registry: IRegistry,
        metrics: Metrics,
        limits: Limits,
        max_connections: int = 1 << 20,
        address_of: Callable[[Any], str] = lambda peer: "",
        ticket_key: bytes,
        random: Callable[[], float],
        time_of_day: Callable[[], float],
        tracer: Tracer | None = None,
    ) -> None:
        self.own = own
        self.registry = registry
        self.metrics = metrics
        self.limits = limits
        self._random = random
        self.sessions = Sessions(reactor)
        self.wheel = TimerWheel(reactor)
        self.submissions = Submissions(reactor, metrics, tracer)
        self.rechecks = Rechecks(reactor, self.sessions, self.submissions)
        self.index = GroupIndex(self.sessions, reactor)
        self.deliveries = Deliveries(self.sessions, self.index, reactor, metrics, time_of_day)
        self.uplink = Uplink(
            sessions=self.sessions,
            submissions=self.submissions,
            index=self.index,
            rechecks=self.rechecks,
            deliveries=self.deliveries,
            clock=reactor,
            metrics=metrics,
            tracer=tracer,
        )
        self.openings = Openings(
            sessions=self.sessions,
            submissions=self.submissions,
            index=self.index,
            announcer=self.uplink.announcements,
            rechecks=self.rechecks,
            clock=reactor,
            random=random,
        )
        self.sessions.observers.append(self.deliveries)
        self.ends = Ends(self.sessions, reactor)
        self.guests = GuestSide(
            sessions=self.sessions,
            submissions=self.submissions,
            rechecks=self.rechecks,
            index=self.index,
            clock=reactor,
            metrics=metrics,
            max_frame=limits.max_frame,
            random=random,
        )
        self.native = NativeSide(
            ticket_key=ticket_key,
            place=own.place,
            clock=reactor,
            sessions=self.sessions,
            submissions=self.submissions,
            receipts=NativeReceipts(self.submissions, reactor),
            opening=self.openings,
            rechecks=self.rechecks,
            metrics=metrics,
            heartbeat_seconds=max(1, limits.native_idle // 3),
            max_packet=limits.max_frame,
        )
        self.gateway = Gateway(
            sessions=self.sessions,
            native=self.native.session,
            wheel=self.wheel,
            refused=metrics.refused,
            clock=reactor,
            limits=limits,
            max_connections=max_connections,
            retry_after=self.retry_after,
            address_of=address_of,
            guest=partial(GuestSession, self.guests),
        )
        self.isolation = Isolation(self.wheel, registry, lambda: len(self.uplink), self._send_away)

    def _send_away(self) -> None:
        self.sessions.end_all("draining", partial(self.retry_after, len(self.sessions)))

    def retry_after(self, sessions: int) -> int:
        """Return a random number of seconds for which one of so many sessions should stay away when this server stops.

        Clients add a random wait of up to half a second themselves.
        """
        return int(self._random() * sessions / COME_BACK_RATE)

    def health(self) -> Health:
        """Return the health of the server's parts."""
        return Health(
            {
                "registry": self.registry.health(),
                "links": "" if len(self.uplink) else "no route is linked",
            },
            {
                "server": self.own.name,
                "sessions": len(self.sessions),
                "reserved": self.sessions.reserved,
                "links": len(self.uplink),
                **({"routes_without_store": away} if (away := self.submissions.without_store()) else {}),
            },
        )
