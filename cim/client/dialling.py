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
from cim.nodes import bracketed
from cim.web.calling import reason

#: For how many servers a client remembers that only their WebSocket can be reached.
MAX_REMEMBERED = 1000


@frozen
class Entrance:
    """A server, as a login names it.

    :param route: the URL of the route that answered the login
    :param tls_name: the name to verify on the TCP port; empty if that is used without TLS
    :param websocket: the URL of its WebSockets; empty if it has none
    """

    route: str
    host: str
    port: int
    tls_name: str = ""
    websocket: str = ""

    @property
    def place(self) -> str:
        """The server's name for users."""
        return f"{bracketed(self.host)}:{self.port}"


@frozen
class Way:
    """A way to connect to a server.

    :param place: its name for users
    :param tls_name: the name to verify; empty if it is used without TLS
    :param url: the URL of the WebSocket; None for TCP
    """

    place: str
    host: str
    port: int
    tls_name: str
    url: WebSocketURL | None = None


class Dialler:
    """Connects to servers by TCP, or by WebSocket if the TCP port cannot be reached.

    If a login came by TLS, or promised it, no connection to another machine goes without.

    :param reactor: the clock
    :param endpoint: makes the client endpoint for a host and a port
    :param websocket: connect by WebSocket only
    :param insecure: connect without TLS even then
    :param random_bytes: returns that many unpredictable bytes
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
        #: The servers that were reached by WebSocket after TCP had failed.
        self._behind: set[str] = set()

    async def connect(self, entrance: Entrance, connection: ServerConnection) -> None:
        """Connect to a server, and set the connection's `place`.

        :raises Misdirected: the server is on a loopback address, and the route is not
        :raises Insecure: the login came by TLS, or promised it, and the server has none
        :raises NotSupported: only WebSocket was allowed, and the server has none
        :raises Untrusted: what answers at the WebSocket is not believed
        :raises Unavailable: the server cannot be reached
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
                if way.url is None:
                    self._behind.discard(entrance.place)
                elif troubles and len(self._behind) < MAX_REMEMBERED:
                    self._behind.add(entrance.place)
                return
        raise Unavailable("; ".join(troubles))

    def ways(self, entrance: Entrance) -> list[Way]:
        """Return the ways to connect to the server, in the order in which to try them; raises as `connect` does."""
        told = [] if self._websocket else [Way(entrance.place, entrance.host, entrance.port, entrance.tls_name)]
        if (url := WebSocketURL.parse(entrance.websocket)) is not None:
            told.append(Way(url.text, url.host, url.port, url.host if url.tls else "", url))
        if not told:
            raise NotSupported(f"the server {entrance.place} has no WebSocket")
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
                f"{entrance.route} has TLS, or says that its server has, but {way.place} has none: anybody on the way"
                " could read your messages. Have the server started with --listen tls:..., or allow this"
                " (--insecure, or Trust(insecure=True) in programs)"
            )

    def _to(self, way: Way) -> IStreamClientEndpoint:
        endpoint = self._endpoint(way.host, way.port)
        if way.tls_name:
            endpoint = wrapClientTLS(self._verifier.of(way.tls_name, way.place), endpoint, self._reactor)
        if way.url is not None:
            endpoint = WebSocketEndpoint(endpoint, way.url, self._reactor, self._random_bytes)
        return endpoint
