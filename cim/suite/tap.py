"""`twistd cim`: a server and a route in one process, with no other software needed."""

from __future__ import annotations

import os
import random
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import quoteStringArgument
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure
from twisted.python.usage import UsageError

import cim
from cim.daemon.announcing import Stopping, advertised, port_of
from cim.daemon.certificates import BadCertificates
from cim.daemon.clock import time_of_day
from cim.daemon.config import positive_int
from cim.daemon.data_folder import DataFolder
from cim.daemon.endpoints import Endpoint, is_loopback_host
from cim.daemon.metrics import CountingErrors, Metrics
from cim.daemon.otlp import TraceOptions, traced_by
from cim.daemon.own_certificate import ensure_certificate
from cim.daemon.ports import Ports
from cim.daemon.proxies import ProxiesOptions, addresses_of
from cim.daemon.reactor import daemon_reactor
from cim.daemon.root import DaemonRoot
from cim.daemon.runtime import Exit, one_line_errors
from cim.errors import InvalidField
from cim.ids import token
from cim.invitation_codes import AccountPolicy, id_of, make_code
from cim.keys import derive_key, make_secret_file
from cim.link.memory import MemoryLinks
from cim.model import Health, LinkPeer
from cim.nodes import RouteAddress, ServerAddress, bracketed, host_and_ports
from cim.outgoing.options import OutgoingOptions
from cim.private_files import replace_private
from cim.registry.memory import MemoryRegistry
from cim.route.console.options import check_console
from cim.route.issuers.options import IssuerOptions
from cim.route.options import RouteRules, account_policy_of, retention_of, settings_of
from cim.route.policy.options import PolicyOptions
from cim.route.push.options import PushOptions
from cim.route.push.web_push import new_key
from cim.route.tap import add_engine, add_route, route_of
from cim.server.edge.http_api import ServerAPI
from cim.server.edge.http_socket import HTTPSockets
from cim.server.edge.websocket_options import WebSocketOptions, tls_name, websocket_url
from cim.server.service import Server
from cim.server.tap import SESSION_LIMITS, add_server, limits_of
from cim.store.choose import store_from
from cim.web.calling import JSONCalls
from cim.web.operations import Operations, located
from cim.web.origins import origins_of
from cim.wire.framing import DEFAULT_MAX_FRAME
from cim.wire.websocket_frames import PATH

#: To how many accounts, and for how many days, the invitation is good that a new suite shows.
FIRST_USES, FIRST_DAYS = 10, 7
_EVERYWHERE = ("", "0.0.0.0", "::", "localhost")


class Options(
    RouteRules,
    PushOptions,
    WebSocketOptions,
    ProxiesOptions,
    OutgoingOptions,
    PolicyOptions,
    TraceOptions,
    IssuerOptions,
):
    """Options of the suite."""

    daemon = "suite"
    synopsis = "[options]"
    longdesc = "A server and a route in one process: chat with nothing else installed."
    optParameters = [
        ["data", None, "./var", "Directory for accounts, the secret and an API key."],
        ["listen", None, None, "Endpoint for clients [default: port 11211, on loopback if --advertise is, else TLS]."],
        ["websocket", None, None, "Endpoint for WebSockets, empty for none [default: port 11212, likewise]."],
        ["http", None, None, "Endpoint for the API, /health and /metrics [default: port 8083, likewise]."],
        ["advertise", None, "127.0.0.1", "Host, or HOST:TCP:HTTP, at which clients reach this machine."],
        ["max-frame", None, DEFAULT_MAX_FRAME, "Largest frame that a client may send, bytes.", positive_int],
        ["idle-seconds", None, 33, "How long a client may be silent, seconds.", positive_int],
        ["max-connections", None, 1_000_000, "Most client connections; further ones are closed at once.", positive_int],
        *SESSION_LIMITS,
    ]

    def postOptions(self) -> None:
        """Fill in the defaults that depend on other options."""
        self["listen"] = self["listen"] or self._usual(11211)
        if self["websocket"] is None:
            self["websocket"] = self._usual(11212)
        self["http"] = self["http"] or self._usual(8083)
        advertised(self["advertise"], ((self["listen"], "listen"), (self["http"], "http")))
        websocket_url(self)
        tls_name(self)
        self["secret-file"] = str(self.data.secret)
        self["own-vapid-key"] = not self["vapid-key"]
        self["vapid-key"] = self["vapid-key"] or str(self.data.vapid_key)
        self["own-keys"] = not self["api-key-file"]
        self["api-key-file"] = self["api-key-file"] or str(self.data.api_keys)
        check_console(self)

    @property
    def host(self) -> str:
        """The host of `--advertise`."""
        return host_and_ports(self["advertise"])[0]

    @property
    def data(self) -> DataFolder:
        """The folder of `--data`."""
        return DataFolder(Path(self["data"]))

    @property
    def certified(self) -> bool:
        """Whether a port shows what is in that folder."""
        return any(map(self.shows_own, ("listen", "websocket", "http")))

    def shows_own(self, option: str) -> bool:
        """Return whether the port of an option shows what is in that folder."""
        endpoint = Endpoint.parse(self[option])
        return endpoint.tls and endpoint.arguments[:1] == (str(self.data.certificates),)

    def _usual(self, port: int) -> str:
        """Return where to listen unless an option says it: with TLS for other machines, if no proxy has it."""
        if is_loopback_host(self.host):
            return f"tcp:{port}:interface={quoteStringArgument(self.host)}"
        # At `::` a listener takes IPv4, too, unless the system says otherwise.
        everywhere = quoteStringArgument("::" if ":" in self.host else "0.0.0.0")
        if self["advertise-tls"] or self["advertise-websocket"]:
            return f"tcp:{port}:interface={everywhere}"
        # Clients of upstream, and those who know of no TLS, use the same ports.
        return f"tls:{quoteStringArgument(str(self.data.certificates))}:{port}:interface={everywhere}:plain=yes"


class Welcoming(Service):
    """Tells the user how to continue once the suite runs."""

    _log = Logger()

    def __init__(self, reactor: Any, lines: Callable[[], Awaitable[list[str]]]) -> None:
        self._reactor = reactor
        self._lines = lines

    def startService(self) -> None:
        """Print the welcome: every other service has started."""
        super().startService()
        self._reactor.callWhenRunning(lambda: Deferred.fromCoroutine(self._say()).addErrback(self._failed))

    def _failed(self, failure: Failure) -> None:
        self._log.failure("The welcome could not be shown", failure)

    async def _say(self) -> None:
        lines = await self._lines()
        if sys.__stdout__ is not None:
            sys.__stdout__.write("\n".join(lines) + "\n")
            sys.__stdout__.flush()


def welcome(
    options: Options, server: ServerAddress, pins: Sequence[str], *, guests: bool, invitation: str = ""
) -> list[str]:
    """Return what the user is told once the suite runs.

    :param pins: of the certificate of the suite's own, if a port shows it, and of the HTTP port's if that has another
    :param guests: whether guests are served
    :param invitation: the code of an invitation to show, if any
    """
    scheme = "https" if Endpoint.parse(options["http"]).tls else "http"
    route = f"{scheme}://{bracketed(server.host)}:{server.http_port}"
    client, make = f"{os.path.abspath(sys.argv[0])} cim-client --user alice", "make client NAME=alice"
    if route != "http://127.0.0.1:8083":
        client, make = f"{client} --route {route}", f"{make} ROUTE={route}"
    if pins:
        proof = "".join(f" --pin {pin}" for pin in pins)
        client, make = f"{client}{proof}", f"{make} PIN={pins[0] if len(pins) == 1 else shlex.quote(' '.join(pins))}"
    accounts = {
        AccountPolicy.OPEN: "anyone may make one (--accounts invited asks for invitations)",
        AccountPolicy.INVITED: f"by invitation; another one: {_inviting(options, route, pins)}",
        AccountPolicy.KEY: "made by back ends with an API key",
    }[account_policy_of(options)]
    return [
        "",
        f"CIM {cim.__version__} is ready.",
        f"  open:     {route} in a browser; the HTTP API is there, too",
        *(
            ["            (browsers ask about the certificate, which the suite has made)"]
            if options.shows_own("http")
            else []
        ),
        *([f"  console:  {_console(options)}, with an API key"] if options["console"] else []),
        f"  clients:  {bracketed(server.host)}:{server.tcp_port}",
        f"  accounts: {accounts}",
        "  guests:   served without a password (--no-guests closes this)"
        if guests
        else "  guests:   not served (make run ADVERTISE=... GUESTS=1, or --guests, serves clients of upstream)",
        f"  data:     {os.path.abspath(options['data'])}",
        "  chat, in another terminal, one for each user:",
        f"    {make}",
        f"  or from anywhere: {client}",
        # Not in the commands: every user of a machine sees the arguments of all programs.
        *(
            [f"  Clients ask for an invitation; this one is good for {FIRST_USES} accounts and {FIRST_DAYS} days:"]
            if invitation
            else []
        ),
        *([f"    {invitation}"] if invitation else []),
        "  Ctrl-C stops it.",
        "",
    ]


def _console(options: Options) -> str:
    """Return where operators find the console, as far as its endpoint tells."""
    endpoint = Endpoint.parse(options["console"])
    if endpoint.port is None:
        return str(options["console"])
    host = options.host if endpoint.interface in _EVERYWHERE else endpoint.interface
    return f"{'https' if endpoint.tls else 'http'}://{bracketed(host)}:{endpoint.port}"


def _inviting(options: Options, route: str, pins: Sequence[str]) -> str:
    """Return the command that makes an invitation on this machine.

    :param route: the URL for other machines
    :param pins: as for `welcome`
    """
    http = Endpoint.parse(options["http"])
    near, proof = route, f" --pin {pins[-1]}" if http.tls and pins else ""
    if http.proxied and not http.tls and not is_loopback_host(options.host):
        proof = " --insecure"
    if not http.proxied and (not http.tls or http.named.get("plain") == "yes"):
        everywhere = http.interface in _EVERYWHERE
        host = "127.0.0.1" if everywhere else bracketed(http.interface)
        near = f"http://{host}:{port_of(options['http'], 'http')}"
        # What goes to an address of this machine does not leave it.
        proof = "" if everywhere or http.loopback else " --insecure"
    keys = os.path.abspath(options["api-key-file"])
    if near == "http://127.0.0.1:8083" and keys == os.path.abspath("var/api-keys"):
        return "make invitation"
    admin = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "cim-admin")
    return f"{admin} invite --route {near} --api-key-file {keys}{proof}"


@one_line_errors
def makeService(options: Options, reactor: Any = None) -> IService:
    """Return the suite as a service; only its data directory and the secret in it are made before it is started."""
    reactor = reactor or daemon_reactor()
    metrics = Metrics("suite", cim.__version__)
    root = DaemonRoot(options, "suite", reactor, Exit(reactor))
    root.add(CountingErrors(metrics, globalLogPublisher))
    ports = Ports(reactor, lambda: datetime.now(UTC), metrics.refused)
    data = options.data
    try:
        data.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        secret = make_secret_file(options["secret-file"], os.urandom)
        if options["own-keys"]:
            make_secret_file(options["api-key-file"], os.urandom)
        if options["own-vapid-key"] and not data.vapid_key.exists():
            replace_private(data.vapid_key, new_key())
        fresh = not data.database.exists()
        store = store_from(f"sqlite:{data.database}", reactor, time_of_day=time_of_day, retention=retention_of(options))
    except OSError as error:
        raise UsageError(f"--data {data.path}: {error.strerror}")
    except InvalidField as error:
        raise UsageError(f"--data {data.path}: {error.message}")
    pins: list[str] = []
    try:
        if options.certified:
            ensure_certificate(data.certificates, options.host, datetime.now(UTC))
            pins.append(ports.certificates(str(data.certificates)).shown[0].pin)
            http_port = Endpoint.parse(options["http"])
            if http_port.tls and not options.shows_own("http"):
                # Who believes a pin believes nothing else.
                pins.append(ports.certificates(http_port.arguments[0]).shown[0].pin)
    except (BadCertificates, ValueError) as error:
        raise UsageError(f"--data {data.path}: {error}")
    except OSError as error:
        raise UsageError(f"--data {data.certificates}: {error.strerror}")
    try:
        settings = settings_of(options, secret, reactor.seconds)
    except InvalidField as error:
        raise UsageError(error.message)
    registry = MemoryRegistry(reactor)
    host, tcp, http = advertised(options["advertise"], ((options["listen"], "listen"), (options["http"], "http")))
    address = ServerAddress(host, tcp, http)
    own = LinkPeer(str(address), token(os.urandom), websocket_url(options), tls_name(options))
    # The route accepts no links over TCP here, but its name needs a port for them all the same.
    route_address = RouteAddress(host, http, port_of(options["http"], "http"))
    calls = JSONCalls(reactor)
    tracer = traced_by(root, options, reactor, metrics, own.name, "sqlite")
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
    route, settings = route_of(
        options,
        settings,
        address=route_address,
        store=store,
        registry=registry,
        reactor=reactor,
        metrics=metrics,
        root=root,
        post=calls.post,
        tracer=tracer,
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
    where = located(addresses_of(options, metrics.refused))
    sockets = HTTPSockets(server.gateway, origins_of(options), where, metrics)
    settings = evolve(settings, socket=PATH.decode())
    add_route(root, route, beside, health, options, settings, metrics, ports, reactor, others={PATH: sockets.render})

    async def welcoming() -> list[str]:
        code = ""
        if fresh and settings.accounts is AccountPolicy.INVITED:
            code = make_code(os.urandom)
            await store.invitation_codes.make(
                id_of(code), uses=FIRST_USES, seconds=FIRST_DAYS * 86400, note="shown at the first start"
            )
        return welcome(options, address, pins, guests=await route.door.look(), invitation=code)

    root.add(Welcoming(reactor, welcoming))
    return root
