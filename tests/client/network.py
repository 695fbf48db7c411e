"""An in-memory network under a clock: clients connect to factories by host and port, over two-ended transports."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint, ITransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


@implementer(ITransport)
class End:
    """One end of a connection; what is written arrives in a later turn of the clock."""

    def __init__(self, wire, protocol):
        self.wire = wire
        self.protocol = protocol
        self.peer = None
        self.arriving = b""
        self.open = True
        self.paused = False
        self.leaving = False
        self.disconnecting = False
        self.producer = None
        self.bufferSize = 0

    def write(self, data):
        if self.open and not self.leaving and self.peer.open and not (self.wire.lossy and self is self.wire.server):
            self.peer.arriving += data
            self.wire.stir()

    def writeSequence(self, parts):
        self.write(b"".join(parts))

    def loseConnection(self, *reason):
        self.leaving = self.disconnecting = True
        self.wire.stir()

    def abortConnection(self):
        # In a later turn, as TCP does it.
        self.disconnecting = True
        self.wire.clock.callLater(0, self.wire.cut, self)

    def pauseProducing(self):
        self.paused = True

    def resumeProducing(self):
        self.paused = False
        self.wire.stir()

    stopProducing = loseConnection

    def registerProducer(self, producer, streaming):
        self.producer = producer
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self):
        self.producer = None

    def setTcpNoDelay(self, enabled):
        pass

    setTcpKeepAlive = setTcpNoDelay

    def getPeer(self):
        return self.wire.address

    getHost = getPeer

    def lost(self, reason):
        if self.open:
            self.open = False
            self.disconnecting = True
            self.protocol.connectionLost(Failure(reason))


class Wire:
    """A connection.

    :ivar held: nothing arrives at either end, as on a cable that was pulled
    :ivar lossy: what the server writes is lost, whole writes of it, as a push is when a link overflows
    """

    def __init__(self, clock, port, client, server):
        self.clock = clock
        self.port = port
        self.address = IPv4Address("TCP", "127.0.0.1", port)
        self.client, self.server = End(self, client), End(self, server)
        self.client.peer, self.server.peer = self.server, self.client
        self.held = False
        self.lossy = False
        self._stirred = False

    @property
    def open(self):
        return self.client.open or self.server.open

    def stir(self):
        if not self._stirred:
            self._stirred = True
            self.clock.callLater(0, self._move)

    def release(self):
        self.held = False
        self.stir()

    def _move(self):
        self._stirred = False
        if self.held:
            return
        for end in (self.client, self.server):
            if end.open and end.arriving and not end.paused:
                data, end.arriving = end.arriving, b""
                end.protocol.dataReceived(data)
        for end in (self.client, self.server):
            if end.leaving and not (end.peer.open and end.peer.arriving):
                end.lost(ConnectionDone())
                end.peer.lost(ConnectionDone())

    def cut(self, by=None):
        """Lose the connection at both ends, and the data under way."""
        for end in (self.client, self.server):
            end.lost(ConnectionDone() if end is by else ConnectionLost())


class Network:
    """The listeners and all connections.

    :ivar down: ports at which nothing listens for now
    :ivar silent: ports that do not even refuse
    :ivar mute: ports that take connections, on which nothing arrives then
    """

    def __init__(self, clock):
        self.clock = clock
        self.factories = {}
        self.wires = []
        self.down = set()
        self.silent = set()
        self.mute = set()

    def listen(self, port, factory, certificates=None):
        """Have a factory serve a port, with TLS when there is something that shows certificates."""
        if certificates is not None:
            factory = TLSMemoryBIOFactory(certificates, False, factory, clock=self.clock)
        self.factories[port] = factory

    def endpoint(self, host, port):
        return _Endpoint(self, port)

    def to(self, port):
        """Return the open connections to a port."""
        return [wire for wire in self.wires if wire.port == port and wire.open]

    def agent(self, verifier=None):
        """Makes requests over this network.

        :param verifier: verifies those with TLS
        """
        return Agent.usingEndpointFactory(self.clock, _Endpoints(self, verifier))


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, network, port):
        self._network = network
        self._port = port

    def connect(self, factory):
        network = self._network
        if self._port in network.silent:
            return Deferred()
        if self._port in network.down or self._port not in network.factories:
            return fail(ConnectionRefusedError())
        client = factory.buildProtocol(None)
        server = network.factories[self._port].buildProtocol(None)
        wire = Wire(network.clock, self._port, client, server)
        wire.held = self._port in network.mute
        network.wires.append(wire)
        server.makeConnection(wire.server)
        client.makeConnection(wire.client)
        return succeed(client)


@implementer(IAgentEndpointFactory)
class _Endpoints:
    def __init__(self, network, verifier):
        self._network = network
        self._verifier = verifier

    def endpointForURI(self, uri):
        endpoint = self._network.endpoint(uri.host.decode(), uri.port)
        if uri.scheme == b"http":
            return endpoint
        return wrapClientTLS(self._verifier.creatorForNetloc(uri.host, uri.port), endpoint, self._network.clock)
