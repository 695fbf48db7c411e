"""How a client connects to the server that a login named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from cim.client.routes import is_loopback
from cim.client.trust import Verifier
from cim.errors import Insecure


@frozen
class Entrance:
    """Where a server waits for a login.

    :param route: the URL of the route that told it
    :param tls_name: whom to verify there; empty: the port is used without TLS
    """

    route: str
    host: str
    port: int
    tls_name: str = ""

    @property
    def place(self) -> str:
        """What the server is called."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Dialler:
    """Connects to servers, with TLS where that was told, and never without it then.

    :param reactor: the clock
    :param endpoint: from a host and a port to what connects there
    :param insecure: what is said may cross a network without TLS, though the login came with it
    """

    def __init__(
        self,
        reactor: Any,
        endpoint: Callable[[str, int], IStreamClientEndpoint],
        verifier: Verifier,
        *,
        insecure: bool = False,
    ) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        self._verifier = verifier
        self._insecure = insecure

    def to(self, entrance: Entrance) -> IStreamClientEndpoint:
        """Return what connects to a server.

        :raises Insecure: the login came with TLS, and the server is elsewhere and has none
        """
        endpoint = self._endpoint(entrance.host, entrance.port)
        if entrance.tls_name:
            return wrapClientTLS(self._verifier.of(entrance.tls_name, entrance.place), endpoint, self._reactor)
        if entrance.route.startswith("https:") and not self._insecure and not is_loopback(entrance.host):
            raise Insecure(
                f"{entrance.route} has TLS, but its server at {entrance.place} has none: everybody on the way could"
                " read what you say. Have the server started with --listen tls:..., or say that this may be"
                " (--insecure, or Trust(insecure=True) in programs)"
            )
        return endpoint
