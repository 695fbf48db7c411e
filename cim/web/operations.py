"""What operators ask of a daemon: health and metrics (docs/operations.md)."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from cim.ecim import BadRequest
from cim.metrics import Metrics
from cim.model import Health
from cim.web import envelope
from cim.web.serving import Endpoint
from cim.web.site import respond

_PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
_GET = frozenset((b"GET",))


def is_loopback(description: str) -> bool:
    """Whether nobody but this machine reaches an endpoint, given its string: `tcp:8081:interface=127.0.0.1`, `unix:/x`.

    Behind `haproxy:` or `systemd:` one cannot know, so the answer is no.
    """
    parts = [part.replace("\\", "") for part in re.split(r"(?<!\\):", description)]
    kind, *arguments = parts
    if kind == "unix":
        return True
    if kind not in ("tcp", "tcp4", "tcp6", "tls", "ssl"):
        return False
    interface = next((value for key, _, value in (a.partition("=") for a in arguments) if key == "interface"), "")
    if not interface and kind in ("tcp", "tcp4", "tcp6") and len(arguments) > 1 and "=" not in arguments[1]:
        interface = arguments[1]
    try:
        return interface == "localhost" or ip_address(interface).is_loopback
    except ValueError:
        return False


def internal_only(key: str | None) -> Callable[[Any], None]:
    """Return a check for calls that are for the cluster alone.

    It raises BadRequest, 401 or 403, for a request without `Authorization: Bearer <key>`.

    :param key: None lets everyone in: for listeners that only this machine reaches
    """
    if key is None:
        return lambda request: None
    expected = key.encode()

    def check(request: Any) -> None:
        scheme, _, given = (request.getHeader(b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            request.setHeader(b"WWW-Authenticate", b"Bearer")
            raise BadRequest(401, "invalid argument: this call asks for the cluster's http key")
        if not hmac.compare_digest(given.strip(), expected):
            raise BadRequest(403, "invalid argument: the http key is wrong")

    return check


class _Health:
    label = "/health"
    methods = _GET

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health

    def serve(self, request: Any) -> None:
        health = self._health()
        parts = {name: reason or "ok" for name, reason in health.parts.items()}
        status = "ok" if health.ok else "failing"
        body = json.dumps({"status": status, "parts": parts, "facts": health.facts}, default=str)
        respond(request, 200 if health.ok else 503, body.encode())


class _Live:
    label = "/health/live"
    methods = _GET

    def serve(self, request: Any) -> None:
        respond(request, 200, b'{"status": "ok"}')


class _Metrics:
    label = "/metrics"
    methods = _GET

    def __init__(self, metrics: Metrics, check: Callable[[Any], None]) -> None:
        self._metrics = metrics
        self._check = check

    def serve(self, request: Any) -> None:
        try:
            self._check(request)
        except BadRequest as error:
            self._metrics.refused("http-key")
            respond(request, error.status, envelope.failure(error))
        else:
            respond(request, 200, self._metrics.render(), _PROMETHEUS)


def operations(health: Callable[[], Health], metrics: Metrics, check: Callable[[Any], None]) -> dict[str, Endpoint]:
    """Return the endpoints of `/health`, `/health/live` and `/metrics`.

    :param check: as `internal_only` makes it, for `/metrics`
    """
    return {"/health": _Health(health), "/health/live": _Live(), "/metrics": _Metrics(metrics, check)}
