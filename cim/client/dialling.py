"""How a client connects to the server that a login named."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from attrs import frozen

from twisted.internet.endpoints import connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint

from cim.client.connection import ServerConnection
from cim.client.routes import check_place, is_loopback
from cim.client.trust import Verifier
from cim.client.websocket import WebSocketEndpoint, WebSocketURL
from cim.errors import CIMError, Insecure, NotSupported, Unavailable, Untrusted
from cim.web.calling import reason

#: Of so many servers it is remembered that they are to be had by WebSocket alone.
MAX_REMEMBERED = 1000


@frozen
class Entrance:
    """Where a server waits for a login.

    :param route: the URL of the route that told it
    :param tls_name: whom to verify on the TCP port; empty: that is used without TLS
    :param websocket: the URL of its WebSockets; empty when it takes none
    """

    route: str
    host: str
    port: int
    tls_name: str = ""
    websocket: str = ""

    @property
    def place(self) -> str:
        """What the server is called."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class Way:
    """One of the ways into a server.

    :param place: what it is called
    :param tls_name: whom to verify there; empty: without TLS
    :param url: of a WebSocket; None for TCP
    """

    place: str
    host: str
    port: int
    tls_name: str
    url: WebSocketURL | None = None


class Dialler:
    """Connects to servers: by TCP, and by WebSocket where the TCP port cannot be reached.

    Where a login told of TLS, it is never done without.

    :param reactor: the clock
    :param endpoint: from a host and a port to what connects there
    :param websocket: by WebSocket alone
    :param insecure: what is said may cross a network without TLS, though the login came with it
    :param random_bytes: returns that many bytes that nobody can foresee
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Callable[[str, int], IStreamClientEndpoint],
        verifier: Verifier,
        *,
        websocket: bool = False,
        insecure: bool = False,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._verifier = verifier
        self._websocket = websocket
        self._insecure = insecure
        self._random_bytes = random_bytes
        #: Servers that were reached by WebSocket when they were not by TCP.
        self._behind: set[str] = set()

    async def connect(self, entrance: Entrance, connection: ServerConnection) -> None:
        """Make a connection, and tell it where it leads.

        :raises Misdirected: the server is on another machine's loopback
        :raises Insecure: the login came with TLS, and the server has none
        :raises NotSupported: it takes no WebSockets, and by these alone it was to be reached
        :raises Untrusted: a proxy before it does not prove who it is
        :raises Unavailable: it cannot be reached
        """
        troubles: list[str] = []
        for way in self.ways(entrance):
            connection.place = way.place
            try:
                await connectProtocol(self._to(way), connection)
            except (ConnectError, DNSLookupError) as error:
                troubles.append(f"the server {way.place} cannot be reached: {reason(error)}")
            except Untrusted:
                raise
            except Unavailable as error:
                troubles.append(error.message)
            else:
                if way.url is not None and troubles and len(self._behind) < MAX_REMEMBERED:
                    self._behind.add(entrance.place)
                return
        self._behind.discard(entrance.place)
        raise Unavailable("; ".join(troubles))

    def ways(self, entrance: Entrance) -> list[Way]:
        """Return how the server may be connected to, the first to be tried first; see `connect`."""
        told = [] if self._websocket else [Way(entrance.place, entrance.host, entrance.port, entrance.tls_name)]
        if (url := WebSocketURL.parse(entrance.websocket)) is not None:
            told.append(Way(url.text, url.host, url.port, url.host if url.tls else "", url))
        if not told:
            raise NotSupported(f"the server {entrance.place} takes no WebSockets")
        if entrance.place in self._behind:
            told.reverse()
        found: list[Way] = []
        troubles: list[CIMError] = []
        for way in told:
            try:
                self._check(entrance, way)
                found.append(way)
            except CIMError as error:
                troubles.append(error)
        if not found:
            raise troubles[0]
        return found

    def _check(self, entrance: Entrance, way: Way) -> None:
        check_place(entrance.route, way.host)
        promised = entrance.route.startswith("https:") or bool(entrance.tls_name)
        if promised and not way.tls_name and not self._insecure and not is_loopback(way.host):
            raise Insecure(
                f"{entrance.route} has TLS, or says that its server has, but {way.place} has none: everybody on the way"
                " could read what you say. Have the server started with --listen tls:..., or say that this may be"
                " (--insecure, or Trust(insecure=True) in programs)"
            )

    def _to(self, way: Way) -> IStreamClientEndpoint:
        endpoint = self._endpoint(way.host, way.port)
        if way.tls_name:
            endpoint = wrapClientTLS(self._verifier.of(way.tls_name, way.place), endpoint, self._reactor)
        if way.url is not None:
            endpoint = WebSocketEndpoint(endpoint, way.url, self._reactor, self._random_bytes)
        return endpoint
