"""WebSockets on a port that also serves HTTP: the same as on a port of their own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.web.server import NOT_DONE_YET

from cim.daemon.metrics import Metrics
from cim.server.edge.gateway import Gateway
from cim.server.edge.websocket import WebSocketConnection
from cim.server.edge.websocket_upgrade import Asked, Refused, accept
from cim.web.operations import Where
from cim.web.origins import Origins, is_of_host
from cim.web.request import respond
from cim.wire.websocket_frames import PATH

#: The gateway has counted it.
_FULL = "there are too many connections: try again later"


class HTTPSockets:
    """Opens WebSockets; they count as connections of the gateway, and no more as those of the site.

    :param origins: the web origins whose pages may connect, besides that of the host which a request is for
    :param where: gives the address of a request's client
    """

    def __init__(self, gateway: Gateway, origins: Origins, where: Where, metrics: Metrics) -> None:
        self._gateway = gateway
        self._origins = origins
        self._where = where
        self._metrics = metrics

    def render(self, request: Any) -> int:
        """Answer a request."""
        try:
            self._open(request)
            status = HTTPStatus.SWITCHING_PROTOCOLS
        except Refused as refused:
            status = refused.status
            if refused.kind:
                self._gateway.refused(refused.kind)
            for name, value in refused.headers:
                request.setHeader(name.encode(), value.encode())
            respond(request, status, f"{refused.reason}\n".encode(), b"text/plain; charset=utf-8")
        self._metrics.http_request("GET", PATH.decode(), status)
        return NOT_DONE_YET

    def _open(self, request: Any) -> None:
        headers = {name.lower(): values for name, values in request.requestHeaders.getAllRawHeaders()}
        asked = Asked(request.method, request.uri, request.clientproto.removeprefix(b"HTTP/"), headers)
        accepted = accept(asked, lambda origin: self._origins.allows(origin) or is_of_host(origin, request))
        channel = request.channel
        address = channel.address or (self._where(request) if b"x-forwarded-for" in headers else "")
        connection = self._gateway.admitted(address, WebSocketConnection)
        if connection is None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, _FULL, ("Retry-After", "1"), kind="")
        channel.switch(connection)
        connection.opened(accepted)
