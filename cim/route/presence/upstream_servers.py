"""Servers that are upstream's: probed before they are picked, reached by POST /sendMsg (docs/http-api.md)."""

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
from cim.model import Place, ServerAddress
from cim.route.presence.directory import Directory

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

        :raises UserOffline: the server is not there, so nobody is connected to it
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
        try:
            envelope = await self._post(f"http://{address.host}:{address.http_port}/sendMsg", body)
        except Unreachable:
            raise UserOffline() from None
        if envelope.code != "9000":
            raise CIMError(envelope.message)


class UpstreamSessions:
    """Removes the sessions of upstream's servers that are listed no more.

    Such a server says nothing when it dies, and may come back under its name without them.
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
        """Remove what is left of those that went: when one goes, and when the store came back."""
        for server in sorted(self._gone):
            forgetting = Deferred.fromCoroutine(self._forget(server))
            # The store says for itself that it is away, and when it is back this is done again.
            forgetting.addErrback(lambda failure: failure.trap(Unavailable) and None)
            forgetting.addErrback(lambda failure: self._log.failure("sessions were not forgotten", failure))

    async def _forget(self, server: str) -> None:
        for user in await self._sessions.users_at(server):
            for record in await self._sessions.sessions(user):
                if server in self._directory.upstream:
                    # Back already: who is there now may have come anew.
                    self._gone.discard(server)
                    return
                if record.place == Place(server):
                    await self._sessions.release(user, record.owner)
        self._gone.discard(server)
