"""A port for connections with and without TLS: the first bytes of each decide.

A connection's life: accepted -> its first two bytes decide -> the TLS protocol or the plain one has it. A connection
that sends nothing for UNDECIDED_SECONDS is closed; so is the oldest of the address that has the most of these, if there
are more than MAX_UNDECIDED.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from cim.addresses import counted
from cim.limits import Waiting

UNDECIDED_SECONDS = 10.0
MAX_UNDECIDED = 1024
#: The type of a TLS handshake record, and the major version of all records (RFC 8446 section 5.1). No frame on CIM's
#: TCP port starts like that: the second byte would be the tag of a field without a number.
_HANDSHAKE = b"\x16\x03"


class OptionalTLS(Factory):
    """Serves a factory's protocols without TLS, and with TLS to clients that start it.

    :param plain: makes the protocols; must not refuse a connection
    """

    noisy = False

    def __init__(
        self, plain: IProtocolFactory, certificates: IOpenSSLServerConnectionCreator, clock: IReactorTime
    ) -> None:
        self.plain = plain
        self.tls = TLSMemoryBIOFactory(certificates, False, plain, clock=clock)
        self.clock = clock
        #: The connections that have not sent enough yet.
        self.undecided: Waiting[Undecided] = Waiting(MAX_UNDECIDED)

    def startFactory(self) -> None:
        """See Factory."""
        self.plain.doStart()

    def stopFactory(self) -> None:
        """See Factory."""
        self.plain.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Undecided:
        """See Factory."""
        return Undecided(self, addr)


class Undecided(Protocol):
    """Waits for the first bytes, and then passes everything on."""

    transport: Any

    def __init__(self, port: OptionalTLS, address: Any) -> None:
        self._port = port
        self._address = address
        self._data = b""
        self._late: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start to wait."""
        oldest = self._port.undecided.put(self, counted(getattr(self._address, "host", "")))
        if oldest is not None:
            oldest.transport.abortConnection()
        self._late = self._port.clock.callLater(UNDECIDED_SECONDS, self._timed_out)

    def dataReceived(self, data: bytes) -> None:
        """Decide as soon as possible."""
        self._data += data
        if self._data != _HANDSHAKE[:1]:
            self._decided()
            factory = self._port.tls if self._data.startswith(_HANDSHAKE) else self._port.plain
            protocol: Any = factory.buildProtocol(self._address)
            # From now on the other protocol is called directly.
            self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
            self.connectionLost = protocol.connectionLost  # type: ignore[method-assign]
            data, self._data = self._data, b""
            protocol.makeConnection(self.transport)
            protocol.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget a connection that ended undecided."""
        self._decided()

    def _timed_out(self) -> None:
        self._late = None
        self.transport.abortConnection()

    def _decided(self) -> None:
        self._port.undecided.remove(self)
        if self._late is not None:
            self._late.cancel()
            self._late = None
