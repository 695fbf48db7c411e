"""The WebSocket options of servers and of the suite."""

from __future__ import annotations

from typing import Any

from twisted.python.usage import UsageError

from cim.daemon.announcing import port_of
from cim.daemon.endpoints import Endpoint
from cim.plain import quoted
from cim.web.origins import OriginsOptions
from cim.wire.websocket_frames import PATH


class WebSocketOptions(OriginsOptions):
    """Adds `--advertise-websocket`; each daemon defines `--websocket` with a default of its own."""

    optParameters = [
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
    host = options["advertise"].split(":")[0]
    return f"{'wss' if Endpoint.parse(description).tls else 'ws'}://{host}:{port}{PATH.decode()}"
