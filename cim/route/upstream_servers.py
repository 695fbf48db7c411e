"""Servers that are upstream's: probed before they are picked, reached by POST /sendMsg (UPSTREAM.md section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import ClientFactory
from twisted.internet.protocol import Protocol as ConnectionProtocol

from cim.ecim import CIMError
from cim.model import ServerAddress

PROBE_SECONDS = 1


class _Probe(ConnectionProtocol):
    """Connects, and that is all."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class Post(Protocol):
    """Posts JSON and gives what was answered, as `web.calling.JSONCalls.post` does."""

    def __call__(self, url: str, obj: Any) -> Deferred[Any]: ...


class UpstreamServers:
    """Talks to upstream's servers.

    :param post: makes the HTTP calls
    """

    def __init__(self, reactor: IReactorTCP, post: Post) -> None:
        self._reactor = reactor
        self._post = post

    async def answers(self, server: str) -> bool:
        """Return whether its client port takes a connection within a second."""
        address = ServerAddress.parse(server)
        endpoint = TCP4ClientEndpoint(self._reactor, address.host, address.tcp_port, timeout=PROBE_SECONDS)
        try:
            await endpoint.connect(ClientFactory.forProtocol(_Probe))
        except Exception:
            return False
        return True

    async def send(
        self, server: str, receiver: int, sender: int, sender_name: str, texts: Sequence[str], *, batch: bool
    ) -> None:
        """Have a message pushed there.

        :raises CIMError: when the call failed; upstream's server says "done" also when it has no such user
        """
        address = ServerAddress.parse(server)
        body: dict[str, Any] = {
            "userId": receiver,
            "cmd": "MESSAGE",
            "properties": {
                "sendUserId": str(sender),
                "sendUserName": sender_name,
                "receiveUserId": str(receiver),
            },
        }
        if batch:
            body["batchMsg"] = list(texts)
        else:
            body["msg"] = texts[0]
        envelope = await self._post(f"http://{address.host}:{address.http_port}/sendMsg", body)
        if envelope.code != "9000":
            raise CIMError(envelope.message)
