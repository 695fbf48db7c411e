"""The ports that a daemon listens on, and the certificates that they show (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from errno import EWOULDBLOCK
from pathlib import Path
from typing import Any

from attrs import evolve

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint, serverFromString, wrapServerTLS
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port, Server
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from zope.interface import implementer

from cim.daemon.certificates import BadCertificates, Certificates
from cim.daemon.endpoints import Endpoint
from cim.daemon.optional_tls import OptionalTLS
from cim.daemon.proxy_header import ProxyHeaderEndpoint
from cim.errors import CIMError
from cim.model import Health
from cim.plain import quoted

#: How many bytes of a connection are read at once.
READ_BYTES = 65536


class Ports:
    """Makes the services that listen at the endpoints in a daemon's options.

    :param reactor: listens, and is the clock
    :param now: the time of day
    :param refused: called with the kind of each connection that is refused
    """

    def __init__(self, reactor: Any, now: Callable[[], datetime], refused: Callable[[str], None]) -> None:
        self._reactor = reactor
        self._refused = refused
        self._now = now
        self._certificates: dict[tuple[Path, ...], Certificates] = {}

    def listening(self, option: str, description: str, factory: IProtocolFactory) -> IService:
        """Return a service that listens at an endpoint; if the port is busy, the daemon ends as it starts.

        :param option: the option that gave the description
        :raises UsageError: names the option and what is wrong with the description
        """
        said = Endpoint.parse(description)
        try:
            endpoint = self._endpoint(said, description)
        except (BadCertificates, ValueError, TypeError, KeyError, IndexError, OSError) as error:
            raise UsageError(f"--{option} {description}: {error}") from None
        if said.proxied or said.tls:
            factory = _Refusing(factory)
        return _Listening(f"--{option} {description}", endpoint, factory)

    def certificates(self, *paths: str) -> Certificates:
        """Return the certificates in PEM files or folders; ports with the same paths share one object.

        :raises BadCertificates: there are none
        """
        key = tuple(Path(path).absolute() for path in paths)
        if key not in self._certificates:
            self._certificates[key] = Certificates(key, self._reactor.seconds, self._now)
        return self._certificates[key]

    def healthy(self, health: Health) -> Health:
        """Return a daemon's health, with that of its certificates added if it has any."""
        if not self._certificates:
            return health
        troubles = [trouble for one in self._certificates.values() if (trouble := one.health())]
        until = min(shown.expires for one in self._certificates.values() for shown in one.shown)
        return evolve(
            health,
            parts={**health.parts, "certificates": "; ".join(troubles)},
            facts={**health.facts, "certificates_expire": f"{until:%Y-%m-%dT%H:%M:%SZ}"},
        )

    def _endpoint(self, said: Endpoint, description: str) -> IStreamServerEndpoint:
        if said.kind == "tls":
            return self._tls(said.proxied, *said.arguments, **said.named)
        if said.kind == "ssl" and said.named.keys().isdisjoint(("sslmethod", "dhParameters")):
            return self._ssl(said.proxied, *said.arguments, **said.named)
        if said.proxied:
            below = serverFromString(self._reactor, description.partition(":")[2])
            return ProxyHeaderEndpoint(below, self._refused)
        return serverFromString(self._reactor, description)

    def _tls(
        self,
        proxied: bool,
        path: str,
        port: str = "443",
        backlog: str = "50",
        interface: str = "::",
        plain: str = "no",
    ) -> IStreamServerEndpoint:
        if plain not in ("yes", "no"):
            raise ValueError(f"plain must be yes or no, is {quoted(plain, 40)}")
        below = TCP6ServerEndpoint(self._reactor, int(port), int(backlog), interface)
        return self._with_tls(below, proxied, self.certificates(path), plain == "yes")

    def _ssl(
        self,
        proxied: bool,
        port: str,
        privateKey: str = "server.pem",
        certKey: str = "",
        interface: str = "",
        backlog: str = "50",
        extraCertChain: str = "",
    ) -> IStreamServerEndpoint:
        """Serve `ssl:`, Twisted's former name for it; its other arguments are left to Twisted."""
        files = filter(None, (privateKey, certKey, extraCertChain))
        below = TCP4ServerEndpoint(self._reactor, int(port), int(backlog), interface)
        return self._with_tls(below, proxied, self.certificates(*files), False)

    def _with_tls(
        self, below: IStreamServerEndpoint, proxied: bool, certificates: Certificates, plain: bool
    ) -> IStreamServerEndpoint:
        if proxied:
            # Proxies send their header before TLS starts.
            below = ProxyHeaderEndpoint(below, self._refused)
        return (
            _OptionalTLS(below, certificates, self._reactor)
            if plain
            else wrapServerTLS(certificates, below, self._reactor)
        )


class _Refusing(Factory):
    """Closes a connection at once if the factory makes no protocol for it; Twisted's wrappers would fail."""

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory

    def startFactory(self) -> None:
        """See Factory."""
        self._factory.doStart()

    def stopFactory(self) -> None:
        """See Factory."""
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """See Factory."""
        return self._factory.buildProtocol(addr) or _Refused()


class _Refused(Protocol):
    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()


@implementer(IStreamServerEndpoint)
class _OptionalTLS:
    def __init__(self, below: IStreamServerEndpoint, certificates: Certificates, clock: Any) -> None:
        self._below = below
        self._certificates = certificates
        self._clock = clock

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen for both kinds of connections."""
        return self._below.listen(OptionalTLS(factory, self._certificates, self._clock))


class _Reading(Server):
    """A connection that is read READ_BYTES at a time, however many may wait to be written to it.

    Twisted has one number for both and makes room for so many with each read, which takes longer than the read.
    """

    def doRead(self) -> Any:
        """See IReadDescriptor."""
        try:
            data = self.socket.recv(READ_BYTES)
        except OSError as error:
            return None if error.errno == EWOULDBLOCK else CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def write_now(self, data: bytes) -> None:
        """Write without waiting for the end of the turn, unless something waits for that already."""
        sent = 0
        if self.connected and not (self.TLS or self._tempDataBuffer or self.dataBuffer):
            try:
                sent = self.socket.send(data)
            except OSError:
                pass  # it is tried again, and the reactor does what is to be done then
        if sent < len(data):
            self.write(data[sent:])


def _with_reading(port: IListeningPort) -> IListeningPort:
    if isinstance(port, Port):
        port.transport = _Reading
    return port


class _Listening(Service):
    """Listens while it runs.

    :param what: the option and its value, for errors
    """

    def __init__(self, what: str, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> None:
        self._what = what
        self._endpoint = endpoint
        self._factory = factory
        self._port: Deferred[IListeningPort | None] | None = None

    def privilegedStartService(self) -> None:
        """Listen while the process may still have the rights for it.

        :raises CIMError: names the option if it cannot listen
        """
        super().privilegedStartService()
        failures: list[Failure] = []
        self._port = self._endpoint.listen(self._factory).addCallbacks(_with_reading, failures.append)
        for failure in failures:
            failure.trap(CannotListenError)
            error = getattr(failure.value, "socketError", None)
            raise CIMError(f"{self._what}: cannot listen: {getattr(error, 'strerror', None) or error}")

    def startService(self) -> None:
        """Listen, unless it does so already."""
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None]:
        """Close the port, and fire when that is done; connections stay open."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port = await self._port if self._port is not None else None
        self._port = None
        if port is not None:
            stopping = port.stopListening()
            if stopping is not None:
                await stopping
