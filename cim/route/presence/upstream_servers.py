"""Upstream's servers: probed before they are chosen, called by POST /sendMsg (docs/http-api.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import ClientFactory
from twisted.internet.protocol import Protocol as ConnectionProtocol
from twisted.logger import Logger

from cim.errors import CIMError, Unavailable, Unreachable, UserOffline
from cim.interfaces import ISessions
from cim.model import Place
from cim.nodes import ServerAddress, bracketed
from cim.route.presence.directory import Directory

PROBE_SECONDS = 1


class _Probe(ConnectionProtocol):
    """A protocol that does nothing but connect."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


class Post(Protocol):
    """Posts JSON and returns the answer, as `web.calling.JSONCalls.post` does."""

    def __call__(self, url: str, obj: Any) -> Deferred[Any]: ...


class UpstreamServers:
    """Calls upstream's servers.

    :param post: makes the HTTP calls
    """

    def __init__(self, reactor: IReactorTCP, post: Post) -> None:
        self._reactor = reactor
        self._post = post

    async def answers(self, server: str) -> bool:
        """Return whether a server's client port accepts a connection within a second."""
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
        """Push a message through a server.

        :raises UserOffline: the server is gone, so nobody is connected to it
        :raises CIMError: the call failed; upstream's server reports success even if it has no such user
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
        try:
            envelope = await self._post(f"http://{bracketed(address.host)}:{address.http_port}/sendMsg", body)
        except Unreachable:
            raise UserOffline() from None
        if envelope.code != "9000":
            raise CIMError(envelope.message)


class UpstreamSessions:
    """Removes the sessions of upstream's servers that are no longer listed.

    Such a server sends nothing when it dies, and may come back under the same name without them.
    """

    _log = Logger()

    def __init__(self, sessions: ISessions, directory: Directory) -> None:
        self._sessions = sessions
        self._directory = directory
        self._gone: set[str] = set()
        directory.on_upstream_gone.append(self._server_gone)

    def _server_gone(self, server: str) -> None:
        self._gone.add(server)
        self.forget()

    def forget(self) -> None:
        """Remove the sessions of servers that are gone: when one goes, and when the store is back."""
        for server in sorted(self._gone):
            forgetting = Deferred.fromCoroutine(self._forget(server))
            # The store itself logs that it is away, and this runs again when it is back.
            forgetting.addErrback(lambda failure: failure.trap(Unavailable) and None)
            forgetting.addErrback(lambda failure: self._log.failure("sessions were not forgotten", failure))

    async def _forget(self, server: str) -> None:
        for user in await self._sessions.users_at(server):
            for record in await self._sessions.sessions(user):
                if server in self._directory.upstream:
                    # It is back already, and its users may have logged in again.
                    self._gone.discard(server)
                    return
                if record.place == Place(server):
                    await self._sessions.release(user, record.owner)
        self._gone.discard(server)
