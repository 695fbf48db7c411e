"""`twistd cim`: a server and a route in one process, with no other software needed."""

from __future__ import annotations

import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.application.service import IService, Service
from twisted.python.usage import UsageError

import cim
from cim.daemon.announcing import Stopping, advertised, port_of
from cim.daemon.config import positive_int
from cim.daemon.metrics import Metrics
from cim.daemon.ports import Ports
from cim.daemon.root import DaemonRoot
from cim.daemon.runtime import Exit, one_line_errors
from cim.errors import InvalidField
from cim.ids import token
from cim.keys import derive_key, make_secret_file
from cim.link.memory import MemoryLinks
from cim.model import Health, LinkPeer, LoginPolicy, RouteAddress, ServerAddress
from cim.registry.memory import MemoryRegistry
from cim.route.options import RouteRules, retention_of, settings_of
from cim.route.service import Route
from cim.route.tap import add_engine, add_route, selection
from cim.server.edge.http_api import ServerAPI
from cim.server.edge.websocket_options import WebSocketOptions, tls_name, websocket_url
from cim.server.service import Server
from cim.server.tap import add_server, limits_of
from cim.store.choose import store_from
from cim.web.calling import JSONCalls
from cim.web.operations import Operations, is_loopback
from cim.wire.framing import DEFAULT_MAX_FRAME


class Options(RouteRules, WebSocketOptions):
    """Options of the suite."""

    daemon = "suite"
    synopsis = "[options]"
    longdesc = "A server and a route in one process: chat with nothing else installed."
    optParameters = [
        ["data", None, "./var", "Directory for accounts and the secret."],
        ["listen", None, None, "Endpoint for clients [default: port 11211, on loopback if --advertise is]."],
        ["websocket", None, None, "Endpoint for WebSockets, empty for none [default: port 11212, likewise]."],
        ["http", None, None, "Endpoint for the API, /health and /metrics [default: port 8083, likewise]."],
        ["advertise", None, "127.0.0.1", "Host, or HOST:TCP:HTTP, at which clients reach this machine."],
        ["max-frame", None, DEFAULT_MAX_FRAME, "Largest frame that a client may send, bytes.", positive_int],
        ["idle-seconds", None, 33, "How long a client may be silent, seconds.", positive_int],
        ["max-connections", None, 1_000_000, "Most client connections; further ones are closed at once.", positive_int],
    ]

    def postOptions(self) -> None:
        """Fill in the defaults that depend on other options."""
        host = self["advertise"].split(":")[0]
        interface = f":interface={host}" if is_loopback(f"tcp:0:interface={host}") else ""
        self["listen"] = self["listen"] or f"tcp:11211{interface}"
        if self["websocket"] is None:
            self["websocket"] = f"tcp:11212{interface}"
        self["http"] = self["http"] or f"tcp:8083{interface}"
        advertised(self["advertise"], ((self["listen"], "listen"), (self["http"], "http")))
        websocket_url(self)
        tls_name(self)
        self["secret-file"] = os.path.join(self["data"], "secret")


class Welcoming(Service):
    """Tells the user how to continue once the suite runs."""

    def __init__(self, reactor: Any, lines: list[str]) -> None:
        self._reactor = reactor
        self._lines = lines

    def startService(self) -> None:
        """Print the welcome: every other service has started."""
        super().startService()
        self._reactor.callWhenRunning(self._say)

    def _say(self) -> None:
        if sys.__stdout__ is not None:
            sys.__stdout__.write("\n".join(self._lines) + "\n")
            sys.__stdout__.flush()


def _welcome(options: Options, server: ServerAddress) -> list[str]:
    route = f"http://{server.host}:{server.http_port}"
    usual = route == "http://127.0.0.1:8083"
    client = f"{os.path.abspath(sys.argv[0])} cim-client --user alice" + ("" if usual else f" --route {route}")
    make = "make client NAME=alice" + ("" if usual else f" ROUTE={route}")
    return [
        "",
        f"CIM {cim.__version__} is ready.",
        f"  clients:  {server.host}:{server.tcp_port}",
        *([f"  browsers: {websocket_url(options)}"] if options["websocket"] else []),
        f"  HTTP API: {route}",
        f"  data:     {os.path.abspath(options['data'])}",
        "  chat, in another terminal, one for each user:",
        f"    {make}",
        f"  or from anywhere: {client}",
        "  Ctrl-C stops it.",
        "",
    ]


@one_line_errors
def makeService(options: Options, reactor: Any = None) -> IService:
    """Return the suite as a service; only its data directory and the secret in it are made before it is started."""
    if reactor is None:
        from twisted.internet import reactor
    metrics = Metrics("suite", cim.__version__)
    root = DaemonRoot(options, "suite", reactor, Exit(reactor))
    ports = Ports(reactor, lambda: datetime.now(UTC))
    data = Path(options["data"])
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = make_secret_file(options["secret-file"], os.urandom)
        store = store_from(f"sqlite:{data / 'cim.db'}", reactor, retention=retention_of(options))
    except OSError as error:
        raise UsageError(f"--data {data}: {error.strerror}")
    except InvalidField as error:
        raise UsageError(f"--data {data}: {error.message}")
    try:
        settings = settings_of(options, secret)
    except InvalidField as error:
        raise UsageError(error.message)
    registry = MemoryRegistry(reactor)
    host, tcp, http = advertised(options["advertise"], ((options["listen"], "listen"), (options["http"], "http")))
    address = ServerAddress(host, tcp, http)
    own = LinkPeer(str(address), token(os.urandom), websocket_url(options), tls_name(options))
    # The route accepts no links over TCP here, but its name needs a port for them all the same.
    route_address = RouteAddress(host, http, port_of(options["http"], "http"))
    calls = JSONCalls(reactor)
    server = Server(
        own=own,
        reactor=reactor,
        registry=registry,
        metrics=metrics,
        limits=limits_of(options),
        max_connections=options["max-connections"],
        ticket_key=derive_key(secret, "ticket"),
        random=random.random,
    )
    route = Route(
        address=route_address,
        reactor=reactor,
        store=store,
        registry=registry,
        selection=selection(options["select"]),
        new_owner=lambda: token(os.urandom),
        post=calls.post,
        metrics=metrics,
        policy=LoginPolicy(options["login-policy"]),
        revision_seconds=options["revision-hours"] * 3600.0,
    )
    links = MemoryLinks(
        reactor,
        server.uplink,
        own,
        route.downlink,
        LinkPeer(str(route_address), own.incarnation),
        dropped=lambda: metrics.dropped("link"),
    )

    def health() -> Health:
        ours, theirs = route.health(), server.health()
        return ports.healthy(Health({**theirs.parts, **ours.parts}, {**theirs.facts, **ours.facts}))

    beside = (Operations(health, metrics), ServerAPI(server.sessions, metrics, options["max-frame"]))
    root.add(IService(registry))
    root.add(IService(store))
    add_engine(root, route)
    root.add(Stopping("calls to upstream's servers", calls.close))
    add_server(root, server, links, options, metrics, ports)
    add_route(root, route, beside, options, settings, metrics, ports, reactor)
    root.add(Welcoming(reactor, _welcome(options, address)))
    return root
