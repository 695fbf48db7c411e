"""Endpoints on which a PROXY header names the peer of each connection, before anything else."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory
from zope.interface import implementer


class _Connection(HAProxyProtocolWrapper):
    """A connection that is closed, and not told in the log, if its header cannot be read."""

    factory: _Connections

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport."""
        if self._proxyInfo is not None:
            self.wrappedProtocol.dataReceived(data)
        elif not self.disconnecting:
            self._read_header(data)

    def _read_header(self, data: bytes) -> None:
        try:
            super().dataReceived(data)
        except (ValueError, IndexError):
            if self._proxyInfo is not None:
                raise  # not from the header, which is complete
            self.loseConnection()
        if self._proxyInfo is None and self.disconnecting:
            self.factory.refused("bad-proxy-header")


class _Connections(HAProxyWrappingFactory):
    protocol = _Connection  # type: ignore[assignment]  # Twisted means it to be replaced

    def __init__(self, wrapped: IProtocolFactory, refused: Callable[[str], None]) -> None:
        super().__init__(wrapped)
        self.refused = refused


@implementer(IStreamServerEndpoint)
class ProxyHeaderEndpoint:
    """An endpoint behind proxies that say for whom they connect.

    Twisted's own, `proxyEndpoint`, writes a traceback for each header that is not what it expects.

    :param below: where proxies connect
    :param refused: called with the kind of each refusal
    """

    def __init__(self, below: IStreamServerEndpoint, refused: Callable[[str], None]) -> None:
        self._below = below
        self._refused = refused

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See IStreamServerEndpoint."""
        return self._below.listen(_Connections(factory, self._refused))
