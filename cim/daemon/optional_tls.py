"""A port that takes TLS and plain connections: the first bytes of each say which it is.

A connection's life: accepted -> its first two bytes decide -> it is the TLS or the plain protocol's. One that says
nothing for UNDECIDED_SECONDS is closed, and so is the oldest of those when there are more than MAX_UNDECIDED.
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

UNDECIDED_SECONDS = 10.0
MAX_UNDECIDED = 1024
#: A TLS record of a handshake, and the major version that all records have (RFC 8446 section 5.1). No frame of CIM's
#: TCP port begins so: the second byte would be the tag of a field without number.
_HANDSHAKE = b"\x16\x03"


class OptionalTLS(Factory):
    """Makes plain connections of a factory, and TLS ones for clients that begin with that.

    :param plain: makes the protocols; it never refuses one
    """

    noisy = False

    def __init__(
        self, plain: IProtocolFactory, certificates: IOpenSSLServerConnectionCreator, clock: IReactorTime
    ) -> None:
        self.plain = plain
        self.tls = TLSMemoryBIOFactory(certificates, False, plain, clock=clock)
        self.clock = clock
        #: Those who have not said enough yet, the oldest first.
        self.undecided: dict[Undecided, None] = {}

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
    """Waits for the first bytes, and then hands on everything."""

    transport: Any

    def __init__(self, port: OptionalTLS, address: Any) -> None:
        self._port = port
        self._address = address
        self._data = b""
        self._late: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Begin to wait."""
        waiting = self._port.undecided
        if len(waiting) >= MAX_UNDECIDED:
            next(iter(waiting)).transport.abortConnection()
        waiting[self] = None
        self._late = self._port.clock.callLater(UNDECIDED_SECONDS, self._timed_out)

    def dataReceived(self, data: bytes) -> None:
        """Decide as soon as that is possible."""
        self._data += data
        if self._data != _HANDSHAKE[:1]:
            self._decided()
            factory = self._port.tls if self._data.startswith(_HANDSHAKE) else self._port.plain
            protocol: Any = factory.buildProtocol(self._address)
            # In our stead: nothing is left to do here for what comes from now on.
            self.dataReceived = protocol.dataReceived  # type: ignore[method-assign]
            self.connectionLost = protocol.connectionLost  # type: ignore[method-assign]
            data, self._data = self._data, b""
            protocol.makeConnection(self.transport)
            protocol.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It went before anything was decided."""
        self._decided()

    def _timed_out(self) -> None:
        self._late = None
        self.transport.abortConnection()

    def _decided(self) -> None:
        self._port.undecided.pop(self, None)
        if self._late is not None:
            self._late.cancel()
            self._late = None
