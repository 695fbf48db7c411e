"""`twistd cim-server`: its options, and the service made from them."""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from twisted.application.service import IService
from twisted.logger import globalLogPublisher
from twisted.python.usage import UsageError

import cim
from cim.daemon.announcing import Announcing, Caution, Stopping, advertised
from cim.daemon.clock import time_of_day
from cim.daemon.config import positive_int
from cim.daemon.endpoints import is_loopback_host
from cim.daemon.metrics import CountingErrors, Metrics
from cim.daemon.otlp import TraceOptions, traced_by
from cim.daemon.ports import Ports
from cim.daemon.proxies import ProxiesOptions, addresses_of
from cim.daemon.reactor import daemon_reactor
from cim.daemon.root import DaemonRoot
from cim.daemon.runtime import Exit, one_line_errors
from cim.daemon.skew import ClockSkews
from cim.errors import InvalidField
from cim.ids import token
from cim.interfaces import SERVERS
from cim.keys import NO_SECRET, derive_key, read_secret
from cim.limits import count, limit
from cim.link.options import CAUTION, LinkOptions, accepts_unsealed
from cim.link.tcp import LinkDialers
from cim.model import Health, LinkPeer
from cim.named_host import NamedHost
from cim.nodes import NodeData, RouteAddress, ServerAddress
from cim.registry.options import RegistryOptions, chosen_registry
from cim.server.edge.connection import ADDRESS_CONNECTS, ADDRESS_UNPROVEN, SESSION_FRAMES, UNPROVEN, Limits
from cim.server.edge.http_api import ServerAPI
from cim.server.edge.websocket import WebSocketPort
from cim.server.edge.websocket_options import WebSocketOptions, tls_name, websocket_origins, websocket_url
from cim.server.service import Server
from cim.web.envelope import Envelopes
from cim.web.hosts import hosts_of
from cim.web.operations import Operations, cluster_only
from cim.web.serving import CallResource
from cim.web.site import BoundedSite, HTTPService
from cim.wire.framing import DEFAULT_MAX_FRAME
from cim.wire.guests import Generation

#: The options of servers and of the suite about what one session may do.
SESSION_LIMITS = [
    ["limit-session-frames", None, SESSION_FRAMES, "RATE/BURST of frames of one session; 0 for no limit.", limit],
    [
        "limit-connections",
        None,
        UNPROVEN,
        "Most connections without a login; 0 for no limit.",
        count,
    ],
    [
        "limit-address-connects",
        None,
        ADDRESS_CONNECTS,
        "RATE/BURST of connections from one address that end without a login; 0 for no limit.",
        limit,
    ],
    [
        "limit-address-connections",
        None,
        ADDRESS_UNPROVEN,
        "Most connections without a login from one address; 0 for no limit.",
        count,
    ],
]


class Options(RegistryOptions, LinkOptions, WebSocketOptions, ProxiesOptions, TraceOptions):
    """Options of a server."""

    daemon = "server"
    synopsis = "[options]"
    longdesc = "Holds clients' connections and pushes messages to them."
    optParameters = [
        ["listen", None, "tcp:11211", "Endpoint for clients."],
        ["websocket", None, "tcp:11212", "Endpoint for clients that use WebSocket; empty for none."],
        ["http", None, "tcp:8081:interface=127.0.0.1", "Endpoint for /sendMsg, /health and /metrics."],
        ["advertise", None, "127.0.0.1", "Host, or HOST:TCP:HTTP, at which clients and routes reach this server."],
        ["secret-file", None, None, "File with the cluster's secret; without it links go only to loopback."],
        ["max-frame", None, DEFAULT_MAX_FRAME, "Largest frame that a client may send, bytes.", positive_int],
        ["idle-seconds", None, 33, "How long a client may be silent, seconds.", positive_int],
        ["max-connections", None, 1_000_000, "Most client connections; further ones are closed at once.", positive_int],
        *SESSION_LIMITS,
    ]

    def postOptions(self) -> None:
        """Check what depends on several options."""
        advertised(self["advertise"], ((self["listen"], "listen"), (self["http"], "http")))
        websocket_url(self)
        tls_name(self)


def limits_of(options: Any) -> Limits:
    """Return the limits of one connection from a daemon's options."""
    idle = options["idle-seconds"]
    return Limits(
        frames=options["limit-session-frames"],
        connects=options["limit-address-connects"],
        unproven=options["limit-connections"],
        address_unproven=options["limit-address-connections"],
        max_frame=options["max-frame"],
        idle={Generation.W1: max(130, idle), Generation.W2: idle},
        native_idle=idle,
    )


def add_server(root: DaemonRoot, server: Server, links: IService, options: Any, metrics: Metrics, ports: Ports) -> None:
    """Add a server's services except HTTP to `root`, in the order in which they start."""
    metrics.sessions = lambda: Counter(session.protocol for session in server.sessions)
    metrics.gauge("reservations", "Logins whose client has not connected yet.", lambda: server.sessions.reserved)
    metrics.gauge("connections", "Client connections.", lambda: len(server.gateway.connections))
    root.add(links, stop_timeout=5.0)
    root.add(server.wheel)
    root.add(server.isolation)
    metrics.gauge("requests", "Unanswered requests to routes.", lambda: len(server.submissions))
    metrics.gauge("rechecks", "Sessions waiting to be checked for missed messages.", lambda: len(server.rechecks))
    root.add(Stopping("clients' connections", server.gateway.drain), stop_timeout=6.0)
    root.add(ports.listening("listen", options["listen"], server.gateway))
    if options["websocket"]:
        port = WebSocketPort(server.gateway, websocket_origins(options))
        root.add(ports.listening("websocket", options["websocket"], port))
    own = server.own
    value = NodeData(cim.__version__, own.incarnation, own.websocket, own.tls_name).encode()
    root.add(Announcing(server.registry, SERVERS, server.own.name, value))


@one_line_errors
def makeService(options: Options, reactor: Any = None) -> IService:
    """Return the server as a service; nothing happens before it is started."""
    reactor = reactor or daemon_reactor()
    metrics = Metrics("server", cim.__version__)
    root = DaemonRoot(options, "server", reactor, Exit(reactor))
    root.add(CountingErrors(metrics, globalLogPublisher))
    ports = Ports(reactor, lambda: datetime.now(UTC), metrics.refused)
    try:
        registry = chosen_registry(options, reactor)
        secret = read_secret(options["secret-file"]) if options["secret-file"] else NO_SECRET
    except InvalidField as error:
        raise UsageError(error.message)
    name = ServerAddress(*advertised(options["advertise"], ((options["listen"], "listen"), (options["http"], "http"))))
    own = LinkPeer(str(name), token(os.urandom), websocket_url(options), tls_name(options))
    tracer = traced_by(root, options, reactor, metrics, own.name)
    server = Server(
        own=own,
        reactor=reactor,
        registry=registry,
        metrics=metrics,
        limits=limits_of(options),
        max_connections=options["max-connections"],
        address_of=addresses_of(options, metrics.refused).at,
        ticket_key=derive_key(secret, "ticket"),
        random=random.random,
        time_of_day=time_of_day,
        tracer=tracer,
    )

    def endpoint_for(route: RouteAddress) -> NamedHost:
        if not options["secret-file"] and not is_loopback_host(route.host):
            raise InvalidField("secret-file", f"is needed for a link to {route.host}, which is not loopback")
        return NamedHost(reactor, route.host, route.link_port, timeout=3)

    links = LinkDialers(
        own=own,
        key=derive_key(secret, "link"),
        user=server.uplink,
        registry=registry,
        reactor=reactor,
        endpoint_for=endpoint_for,
        random=random.random,
        random_bytes=os.urandom,
        observe=metrics.link_batch,
        dropped=lambda: metrics.dropped("link"),
        accept_unsealed=accepts_unsealed(options),
        time_of_day=time_of_day,
    )
    skews = ClockSkews(links.skews, reactor)
    metrics.clock_skews = skews.ahead
    root.add(skews)
    if options["accept-unsealed-links"]:
        root.add(Caution(CAUTION))
    metrics.gauge("links", "Links to routes.", lambda: len(server.uplink))
    metrics.gauge("links_unsealed", "Links that are not sealed.", lambda: len(links.unsealed()))

    def health() -> Health:
        return ports.healthy(server.health().with_facts({**links.facts(), **skews.facts()}))

    operations = Operations(health, metrics)
    apis = (ServerAPI(server.sessions, metrics, options["max-frame"]), operations)
    resource = CallResource({Envelopes(cluster_only(options, metrics)): apis}, metrics, tracer)
    site = BoundedSite(resource, reactor, metrics, hosts=hosts_of(options))
    root.add(IService(registry))
    root.add(HTTPService(ports.listening("http", options["http"], site), site, reactor))
    add_server(root, server, links, options, metrics, ports)
    return root
