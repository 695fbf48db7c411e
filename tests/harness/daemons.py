"""CIM's daemons as real processes, for tests, measurements and `make cluster`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cim.route.front.rates import RATE_LIMITS
from cim.route.http.attempts import PASSWORD_LIMITS
from cim.route.messages.limits import MESSAGE_LIMITS
from tests.harness.asking import ask
from tests.harness.spawning import THIS_MACHINE, DaemonProcess, Machine

ROOT = Path(__file__).resolve().parent.parent.parent
#: Several daemons on one machine cannot have the same port, so by default these accept no WebSockets.
QUIET = {"CIM_SERVER_WEBSOCKET": "", "CIM_SUITE_WEBSOCKET": ""}
#: Options of a route or a suite whose users may say as much as they like, and are not asked before they are in a group:
#: load generators.
UNLIMITED = (
    "--group-consent=direct",
    *(f"--limit-{name}=0" for name in (*MESSAGE_LIMITS, *RATE_LIMITS, *PASSWORD_LIMITS)),
    *("--limit-address-http=0", "--limit-address-http-connects=0", "--limit-user-http=0"),
    *("--limit-http-bytes=0", "--limit-party-http-bytes=0", "--limit-user-stored-bytes=0"),
    *("--retention-count=100000000", "--retention-bytes=1000000000000"),
)
#: Options of a server, and of a suite, whose sessions may say it as fast as they can.
UNLIMITED_SESSIONS = tuple(
    f"--limit-{name}=0" for name in ("session-frames", "connections", "address-connects", "address-connections")
)
#: What `on_line` is called with: the process's name, and the line.
OnLine = Callable[[str, str], None]


def twistd(*arguments: str) -> list[str]:
    """Return the command that runs twistd from the environment that this process runs in."""
    return [sys.executable, str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", *arguments]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which twistd finds this checkout, without any CIM options from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CIM_")}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, **QUIET, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(extra or {})}


def loopback(port: int) -> str:
    """Return the endpoint description of a port that only this machine can reach."""
    return THIS_MACHINE.endpoint(port)


class Daemon(DaemonProcess):
    """A `twistd cim-...` that is ready when its `/health` says so.

    :param http_port: where it answers HTTP
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        http_port: int,
        arguments: Sequence[str],
        directory: str,
        on_line: OnLine | None,
        machine: Machine = THIS_MACHINE,
    ) -> None:
        os.makedirs(directory, exist_ok=True)
        super().__init__(
            reactor,
            twistd(*arguments),
            environment(),
            directory,
            name=name,
            on_line=None if on_line is None else lambda line, error: on_line(name, line),
            machine=machine,
        )
        self.http_port = http_port

    @property
    def url(self) -> str:
        """The base URL of its HTTP API."""
        return f"http://{self.machine.address}:{self.http_port}"

    async def health(self) -> tuple[int, Any]:
        """Return the HTTP status and body of `/health`; the status is 0 if it does not answer."""
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await ask(self.reactor, self.machine.control, self.http_port, request)
        head, _, body = answer.partition(b"\r\n\r\n")
        words = head.split(b" ", 2)
        if len(words) < 2 or not words[1].isdigit():
            return 0, None
        try:
            # The body may come in chunks; the object is what is between the outer braces.
            return int(words[1]), json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
        except ValueError:
            return int(words[1]), None

    async def _answers(self) -> bool:
        return (await self.health())[0] == 200

    def linked(self, servers: int, timeout: float = 20.0) -> Deferred[None]:
        """Fire when this route can send logins to that many servers; fail with ProcessFailed when not in time."""

        async def asking() -> None:
            while len(((await self.health())[1] or {}).get("facts", {}).get("servers", ())) < servers:
                await deferLater(self.reactor, 0.03, lambda: None)

        return self._bounded(Deferred.fromCoroutine(asking()), timeout, f"was not linked to {servers} servers")
