"""Health and metrics of a daemon, for operators (docs/operations.md)."""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable
from typing import Any

from cim.addresses import Addresses
from cim.daemon.endpoints import Endpoint
from cim.daemon.metrics import Metrics
from cim.errors import BadRequest
from cim.keys import derive_key, read_secret
from cim.model import Health
from cim.web.declaring import Call, Content, Gate, Who, http_call

#: Returns the address of a request's client, as limits count it.
Where = Callable[[Any], str]
_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"


def is_loopback(description: str) -> bool:
    """Return whether only this machine can reach an endpoint, given its description; see `Endpoint.loopback`."""
    return Endpoint.parse(description).loopback


def nowhere(request: Any) -> str:
    """Return no address: nothing counts by it."""
    return ""


def located(addresses: Addresses) -> Where:
    """Return what gives the address of a request's client."""

    def where(request: Any) -> str:
        return addresses.of(request.channel.transport, request.requestHeaders.getRawHeaders(b"x-forwarded-for") or ())

    return where


def cluster_only(options: Any, metrics: Metrics, where: Where = nowhere) -> Gate:
    """Return the gate of a daemon's calls, some of which are only for the cluster and the rest for anyone.

    The former need `Authorization: Bearer <http key>`, unless the listener is reachable only from this machine. Without
    a secret nobody has that key. The gate refuses callers with BadRequest, status 401 or 403. The caller of a call for
    anyone is its address.

    :param options: with `http` and `secret-file`
    :raises InvalidField: the secret cannot be read
    """
    if is_loopback(options["http"]):
        return internal_only(None, metrics, where)
    secret = read_secret(options["secret-file"]) if options["secret-file"] else os.urandom(32)
    return internal_only(derive_key(secret, "http").hex(), metrics, where)


def internal_only(key: str | None, metrics: Metrics, where: Where = nowhere) -> Gate:
    """Return the gate for an HTTP key; None lets everyone in."""
    expected = key.encode() if key is not None else None

    def admit(request: Any, call: Call) -> str:
        if call.who in (Who.ANYONE, Who.GUEST):
            return where(request)
        if call.who is Who.CLUSTER and expected is None:
            return ""
        scheme, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            request.setHeader(b"WWW-Authenticate", b"Bearer")
            metrics.refused("http-key")
            raise BadRequest(
                401, "invalid argument: this call needs the cluster's HTTP key, as `Authorization: Bearer`"
            )
        if call.who is not Who.CLUSTER or expected is None or not hmac.compare_digest(given.strip(), expected):
            metrics.refused("http-key")
            raise BadRequest(403, "invalid argument: the HTTP key is wrong")
        return ""

    return admit


class Operations:
    """The calls for the health and the metrics of a daemon; the metrics tell of its health, too.

    :param health: returns the present health of its parts
    """

    def __init__(self, health: Callable[[], Health], metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics
        metrics.parts = lambda: {name: not reason for name, reason in health().parts.items()}

    @http_call("GET /health", who=Who.ANYONE)
    def health(self, caller: str) -> Content:
        """Return the health of all parts: 200 if all are well, else 503."""
        health = self._health()
        parts = {name: reason or "ok" for name, reason in health.parts.items()}
        status = "ok" if health.ok else "failing"
        body = json.dumps({"status": status, "parts": parts, "facts": health.facts}, default=str)
        return Content(body.encode(), status=200 if health.ok else 503)

    @http_call("GET /health/live", who=Who.ANYONE)
    def live(self, caller: str) -> Content:
        """Return 200: the process runs."""
        return Content(b'{"status": "ok"}')

    @http_call("GET /metrics", who=Who.CLUSTER)
    def metrics(self, caller: str) -> Content:
        """Return the metrics in Prometheus' text format."""
        return Content(self._metrics.render(), _PROMETHEUS)
