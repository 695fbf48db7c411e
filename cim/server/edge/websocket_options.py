"""The options of servers and of the suite that say how clients reach a server, besides its address."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from twisted.python.usage import UsageError

from cim.daemon.announcing import port_of
from cim.daemon.endpoints import Endpoint
from cim.nodes import bracketed, host_and_ports
from cim.plain import quoted
from cim.web.origins import Origins, OriginsOptions, normal_origin
from cim.wire.websocket_frames import PATH


class WebSocketOptions(OriginsOptions):
    """Adds `--advertise-websocket` and `--advertise-tls`; each daemon has a `--websocket` with a default of its own."""

    optParameters = [
        [
            "advertise-tls",
            None,
            None,
            "Name that clients verify on the TCP port, which they use with TLS [default: the host of --advertise when"
            " --listen is tls:...].",
        ],
        ["advertise-websocket", None, None, "URL at which clients reach the WebSocket, if a proxy is in between."],
    ]


def websocket_url(options: Any) -> str:
    """Return the URL at which clients find the WebSocket; empty when there is none.

    :raises UsageError: the options do not say where it is, or say it in no usable form
    """
    description, url = options["websocket"], options["advertise-websocket"]
    if not description:
        return ""
    if url:
        if not url.startswith(("ws://", "wss://")):
            raise UsageError(
                f"--advertise-websocket must be like wss://chat.example.com{PATH.decode()}, not {quoted(url)}"
            )
        return str(url)
    try:
        port = port_of(description, "websocket")
    except UsageError:
        raise UsageError(f"--websocket {description} has no port number; give the URL with --advertise-websocket")
    host, _ = host_and_ports(options["advertise"])
    return f"{'wss' if Endpoint.parse(description).tls else 'ws'}://{bracketed(host)}:{port}{PATH.decode()}"


def websocket_origins(options: Any) -> Origins:
    """Return the web origins whose pages may connect: those of `--origins`, and that of the WebSocket's own URL.

    A page of the latter came from the same host and port, so a proxy is in between, and the page is the cluster's.
    """
    origins = set(options.get("origins") or ())
    with suppress(ValueError):  # no address that a browser could use
        own = urlsplit(websocket_url(options).replace("ws", "http", 1))
        origins.add(normal_origin(f"{own.scheme}://{own.netloc}"))
    return Origins(origins)


def tls_name(options: Any) -> str:
    """Return the name that clients verify on the TCP port; empty when they do not use TLS there.

    :raises UsageError: nothing can be verified by it
    """
    name: str = options["advertise-tls"] or ""
    if not name:
        return host_and_ports(options["advertise"])[0] if Endpoint.parse(options["listen"]).tls else ""
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", name):
        raise UsageError(f"--advertise-tls must be a name or an address in a certificate, is {quoted(name)}")
    return name
