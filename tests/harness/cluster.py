"""A whole cluster under one Clock: servers, routes, links in memory, one store, clients on string transports."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.interfaces import IAnnouncement, IServerSelection
from cim.keys import derive_key
from cim.limits import Limit, defaults
from cim.link.handshake import HIGHEST_VERSION
from cim.link.memory import MemoryLink, connect
from cim.model import Account, LinkPeer, LoginPolicy, Retention
from cim.nodes import NodeData, RouteAddress, ServerAddress
from cim.registry.memory import MemoryRegistry
from cim.route.events.webhooks import Webhooks
from cim.route.front.login import Admission
from cim.route.guests.door import OPTION
from cim.route.messages.limits import MESSAGE_LIMITS
from cim.route.push.options import PushRules
from cim.route.service import Route
from cim.selection import RoundRobin
from cim.server.edge.connection import ClientConnection, Limits
from cim.server.edge.websocket import WebSocketPort
from cim.server.service import Server
from cim.store.pages import DEFAULT
from cim.tickets import Ticket, make_ticket
from cim.web.origins import Origins
from cim.wire.cim_pb2 import PING, Packet
from cim.wire.framing import FrameReader
from cim.wire.guests import Generation, encode_login, encode_ping, parse_pushed
from tests.harness.native_client import NativeClient, WebSocketClient
from tests.harness.store import MemoryStore


class ClientTransport(StringTransport):
    """A client's socket as the server sees it; the peer reads only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False
        self.bufferSize = 0

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As of TCP."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """As of TCP."""

    def abortConnection(self) -> None:
        """As of TCP."""
        self.aborted = True
        self.disconnecting = True


@define
class TestClient:
    """A guest's connection to a server, which collects the frames that it is sent."""

    connection: ClientConnection
    transport: ClientTransport
    generation: Generation
    _reader: FrameReader = field(factory=lambda: FrameReader(1 << 20))

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection."""
        return self.transport.disconnecting

    def send(self, data: bytes) -> None:
        """Send bytes to the server."""
        self.connection.dataReceived(data)

    def frames(self) -> list[Packet]:
        """Take the frames that arrived since the last call."""
        data = self.transport.value()
        self.transport.clear()
        return [parse_pushed(self.generation, body) for body in self._reader.feed(data)]

    def texts(self) -> list[str]:
        """Take the chat texts that arrived since the last call."""
        texts: list[str] = []
        for packet in self.frames():
            if packet.command != PING:
                texts += packet.batch or [packet.text]
        return texts

    def ping(self, user: int) -> None:
        """Send a ping."""
        self.send(encode_ping(self.generation, user))

    def drop(self) -> None:
        """Cut the connection."""
        from twisted.internet.error import ConnectionLost
        from twisted.python.failure import Failure

        self.connection.connectionLost(Failure(ConnectionLost()))


class Cluster:
    """Servers and routes, each server linked to each route.

    :param link_version: returns the version of the items that a new link speaks
    :param message_limits: message limits other than the defaults, by name
    :param retention: that of its store, if none is given
    :param push: how users are notified
    :param guests: whether guests are served, and why, at routes that are started from now on
    :param message_policy: decides on what people say and call themselves
    :param tracer: that of all servers and routes
    :param webhooks: makes those of a route
    :ivar clock: the reactor and clock; use `turn` to run what is due now
    """

    def __init__(
        self,
        servers: int = 1,
        routes: int = 1,
        selection: IServerSelection | None = None,
        limits: Limits | None = None,
        policy: LoginPolicy | None = None,
        store: Any = None,
        link_version: Callable[[], int] = lambda: HIGHEST_VERSION,
        upstream_servers: bool = False,
        message_limits: Mapping[str, Limit] | None = None,
        retention: Retention = DEFAULT,
        guests: tuple[bool | None, str] = (True, OPTION),
        message_policy: Any = None,
        tracer: Tracer | None = None,
        push: PushRules | None = None,
        webhooks: Callable[[Cluster], Webhooks | None] = lambda cluster: None,
    ) -> None:
        self._tracer = tracer
        self.link_version = link_version
        # Its sockets are used to probe upstream's servers.
        self.clock = MemoryReactorClock()
        # Far from 0, where a clock's first reading would look like "never".
        self.clock.advance(1_700_000_000)
        self.store: Any = MemoryStore(self.clock, retention) if store is None else store
        self.registry = MemoryRegistry(self.clock)
        self._announced: dict[str, IAnnouncement] = {}
        self.owners = (f"owner-{number}" for number in itertools.count(1))
        self.servers: list[Server] = []
        self.routes: list[Route] = []
        self.metrics = Metrics("test")
        self.ticket_key = derive_key(b"of the test cluster", "ticket")
        self.posted: list[tuple[str, Any]] = []
        #: Returns the answer to a POST; until it is replaced, none comes.
        self.answer: Callable[[str, Any], Deferred[Any]] = lambda url, obj: Deferred()
        self.limits = limits if limits is not None else Limits()
        self.guests = guests
        self._policy = policy
        self._push = push
        self._message_policy = message_policy
        self._webhooks = webhooks
        self._upstream_servers = upstream_servers
        self._message_limits = {**defaults(MESSAGE_LIMITS), **(message_limits or {})}
        self._selection = selection if selection is not None else RoundRobin()
        self._links: dict[tuple[str, str], tuple[MemoryLink, MemoryLink]] = {}
        for _ in range(servers):
            self.start_server()
        for _ in range(routes):
            self.start_route()
        self.turn()

    def turn(self) -> None:
        """Run everything that is due now."""
        for _ in range(20):
            self.clock.advance(0)

    def pass_seconds(self, seconds: int) -> None:
        """Let time pass, a second at a time."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.turn()

    def start_server(self, at: int | None = None) -> Server:
        """Start a server, or restart the one at index `at`; it is listed and linked to all routes."""
        index = len(self.servers) if at is None else at
        name = str(ServerAddress("127.0.0.1", 11211 + index, 8081 + 100 * index))
        server = Server(
            own=LinkPeer(name, f"run-{next(self.owners)}", f"ws://127.0.0.1:{11212 + 100 * index}/v1/socket"),
            reactor=self.clock,
            registry=self.registry,
            metrics=self.metrics,
            limits=self.limits,
            ticket_key=self.ticket_key,
            random=lambda: 0.5,
            time_of_day=self.clock.seconds,
            tracer=self._tracer,
        )
        if at is None:
            self.servers.append(server)
        else:
            self.servers[at] = server
        server.wheel.startService()
        if name in self._announced:
            self._announced[name].withdraw()
        self._announced[name] = self.registry.announce("cim", name, NodeData("test", server.own.incarnation).encode())
        for route in self.routes:
            self.link(server, route)
        return server

    def start_route(self) -> Route:
        """Start a route that is linked to all servers."""
        address = RouteAddress("127.0.0.1", 8083 + len(self.routes), 9083 + len(self.routes))
        route = Route(
            address=address,
            reactor=self.clock,
            store=self.store,
            registry=self.registry,
            selection=self._selection,
            new_owner=lambda: next(self.owners),
            post=self._post,
            metrics=self.metrics,
            policy=self._policy,
            upstream_servers=self._upstream_servers,
            limits=self._message_limits,
            guests=self.guests,
            push=self._push,
            message_policy=self._message_policy,
            tracer=self._tracer,
            webhooks=self._webhooks(self),
        )
        self.routes.append(route)
        route.leases.startService()
        route.recorder.startService()
        route.followers.startService()
        route.whereabouts.startService()
        route.receipts.startService()
        route.entries.startService()
        route.grouping.startService()
        route.store_watch.startService()
        if route.webhooks is not None:
            route.webhooks.startService()
        self.registry.watch("cim", route.directory.listed)
        self.registry.watch("cim-route", route.routes.update)
        for server in self.servers:
            self.link(server, route)
        return route

    def where(self, user: int, route: Route) -> list[tuple[str, str]]:
        """Return the servers and owners of a user's sessions as a route finds them."""
        asking = Deferred.fromCoroutine(route.whereabouts.sessions(user))
        self.turn()
        found: list[tuple[str, str]] = []
        asking.addCallback(lambda sessions: found.extend((one.host.place.server, one.owner) for one in sessions))
        return sorted(found)

    def _post(self, url: str, obj: Any) -> Deferred[Any]:
        self.posted.append((url, obj))
        return self.answer(url, obj)

    def link(self, server: Server, route: Route) -> None:
        """Link a server and a route."""
        peer = LinkPeer(str(route.address), "run")
        self._links[server.own.name, peer.name] = connect(
            self.clock, server.uplink, server.own, route.downlink, peer, version=self.link_version()
        )

    def cut(self, server: Server, route: Route) -> None:
        """Lose one link, at both ends."""
        self._links.pop((server.own.name, str(route.address)))[0].lose("cut")
        self.turn()

    def kill_route(self, route: Route) -> None:
        """Kill a route: what servers sent still arrives and is handled, but nothing that the route sends arrives."""
        for (_, name), (at_server, _) in list(self._links.items()):
            if name == str(route.address):
                at_server.lose("cut")
        self._links = {key: ends for key, ends in self._links.items() if key[1] != str(route.address)}

    def kill(self, server: Server) -> None:
        """Kill a server: its links are cut, but it stays listed."""
        for route in self.routes:
            if (server.own.name, str(route.address)) in self._links:
                self.cut(server, route)

    def account(self, name: str) -> Account:
        """Register an account."""
        found: list[Account] = []
        self.store.accounts.register(name).addCallback(found.append)
        return found[0]

    def connect(self, address: str, login: bytes = b"", generation: Generation = Generation.W2) -> TestClient:
        """Open a client's connection to the server of that name and send it these bytes."""
        server = next(server for server in self.servers if server.own.name == address)
        connection = server.gateway.buildProtocol(None)
        assert connection is not None
        transport = ClientTransport()
        connection.makeConnection(transport)
        client = TestClient(connection, transport, generation)
        if login:
            client.send(login)
        self.turn()
        return client

    def log_in(self, account: Account, route: int = 0, generation: Generation = Generation.W2) -> TestClient:
        """Log in through a route and connect to the server that it names."""
        found: list[Any] = []
        Deferred.fromCoroutine(self.routes[route].logins.login(account.id, account.name)).addBoth(found.append)
        self.turn()
        if not isinstance(found[0], Admission):
            found[0].raiseException()
        return self.connect(found[0].place.server, encode_login(generation, account.id, account.name), generation)

    def begin(self, coroutine: Any) -> Deferred[Any]:
        """Start a coroutine and run everything that is due."""
        started: Deferred[Any] = Deferred.fromCoroutine(coroutine)
        self.turn()
        return started

    def result(self, coroutine: Any) -> Any:
        """Return the result of a coroutine that ends at once, or raise its error."""
        found: list[Any] = []
        self.begin(coroutine).addBoth(found.append)
        if hasattr(found[0], "raiseException"):
            found[0].raiseException()
        return found[0]

    def admit(self, account: Account, device: str = "phone", route: int = 0) -> tuple[Admission, str]:
        """Reserve a native session; return where, and its ticket."""
        admission = self.result(self.routes[route].logins.login_native(account, device))
        return admission, self.ticket(account, device, admission)

    def ticket(self, account: Account, device: str, admission: Admission) -> str:
        """Return the ticket for a reservation."""
        ticket = Ticket(account.id, account.name, device, admission.owner)
        return make_ticket(self.ticket_key, ticket, admission.place, self.clock.seconds(), next(self.owners))

    def open_native(self, address: str, subprotocol: str = "") -> NativeClient:
        """Open a connection to the server of that name: over WebSocket if a subprotocol is given, else over TCP."""
        server = next(server for server in self.servers if server.own.name == address)
        port = WebSocketPort(server.gateway, Origins([])) if subprotocol else server.gateway
        connection = port.buildProtocol(None)
        assert connection is not None
        transport = ClientTransport()
        connection.makeConnection(transport)
        if subprotocol:
            return WebSocketClient(connection, transport, subprotocol)
        return NativeClient(connection, transport)

    def native(
        self,
        account: Account,
        device: str = "phone",
        route: int = 0,
        subprotocol: str = "",
        since: str = "",
        members: bool = False,
    ) -> NativeClient:
        """Log a native client in; it has its Welcome.

        :param members: whether it wants messages of the kind MEMBERS
        """
        admission, ticket = self.admit(account, device, route)
        client = self.open_native(admission.place.server, subprotocol)
        client.hello(ticket, device, since, members)
        self.turn()
        if not client.begin():
            raise AssertionError(f"no Welcome: {client.packets()}")
        return client
