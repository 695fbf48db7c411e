"""The server, put together from parts that it is given (DESIGN.md 9 has the order in which they start and stop)."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from cim.icim import IRegistry
from cim.metrics import Metrics
from cim.model import Health, LinkPeer
from cim.server.gateway import Gateway, Limits
from cim.server.sessions import Sessions
from cim.server.uplink import Uplink
from cim.server.wheel import TimerWheel


class Server:
    """All that a server knows and does, without the ports that it listens on.

    :param own: what it is called in the registry and on links
    :param limits: what one connection may cost
    """

    def __init__(
        self,
        own: LinkPeer,
        reactor: IReactorTime,
        registry: IRegistry,
        metrics: Metrics,
        limits: Limits,
        max_connections: int = 1 << 20,
    ) -> None:
        self.own = own
        self.registry = registry
        self.sessions = Sessions(reactor)
        self.wheel = TimerWheel(reactor)
        self.gateway = Gateway(self.sessions, self.wheel, metrics.refused, limits, max_connections)
        self.uplink = Uplink(self.sessions, reactor, limits.max_frame, metrics)

    def health(self) -> Health:
        """Return how the server's parts are."""
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
            },
        )
