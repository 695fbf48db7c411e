"""A port that takes both TLS and plain connections."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from OpenSSL import SSL

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon import optional_tls
from cim.daemon.certificates import Certificates
from cim.daemon.optional_tls import UNDECIDED_SECONDS, OptionalTLS
from tests.harness.certificates import certified, put


class Transport(StringTransport):
    aborted = False

    def abortConnection(self):
        self.aborted = True
        self.protocol.connectionLost(Failure(ConnectionLost()))


class Echo(Protocol):
    lost = False

    def dataReceived(self, data):
        self.transport.write(b"heard " + data)

    def connectionLost(self, reason):
        self.lost = True


class EchoFactory(Factory):
    def __init__(self):
        self.made = []
        self.started = []

    def startFactory(self):
        self.started.append(True)

    def stopFactory(self):
        self.started.append(False)

    def buildProtocol(self, addr):
        self.made.append(Echo())
        return self.made[-1]


class OptionalTLSTests(SynchronousTestCase):
    def setUp(self):
        path = self.mktemp()
        put(path, certified("a.example").pem)
        self.clock = Clock()
        self.certificates = Certificates([Path(path)], self.clock.seconds, lambda: datetime.now(UTC))
        self.plain = EchoFactory()
        self.port = OptionalTLS(self.plain, self.certificates, self.clock)

    def connect(self, host=None):
        protocol = self.port.buildProtocol(IPv4Address("TCP", host, 1) if host is not None else None)
        transport = Transport()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return protocol, transport

    def test_plain(self):
        protocol, transport = self.connect()
        self.assertEqual(self.plain.made, [])
        protocol.dataReceived(b"h")
        protocol.dataReceived(b"i")
        self.assertEqual(transport.value(), b"heard hheard i")
        self.assertEqual(len(self.port.undecided), 0)
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertTrue(self.plain.made[0].lost)
        self.clock.advance(UNDECIDED_SECONDS)
        self.assertFalse(transport.aborted)

    def test_tls(self):
        for piece in (1, 1 << 20):
            protocol, transport = self.connect()
            client = SSL.Connection(SSL.Context(SSL.TLS_METHOD))
            client.set_connect_state()
            for _ in range(6):
                try:
                    client.do_handshake()
                    break
                except SSL.WantReadError:
                    pass
                data = client.bio_read(1 << 16)
                for at in range(0, len(data), piece):
                    protocol.dataReceived(data[at : at + piece])
                self.clock.advance(0)
                client.bio_write(transport.value())
                transport.clear()
            client.send(b"secret")
            protocol.dataReceived(client.bio_read(1 << 16))
            self.clock.advance(0)
            client.bio_write(transport.value())
            self.assertEqual(client.recv(100), b"heard secret")

    def test_what_begins_nearly_like_tls_is_plain(self):
        """A login of 22 bytes of upstream's clients."""
        protocol, transport = self.connect()
        protocol.dataReceived(b"\x16")
        self.assertEqual(self.plain.made, [])
        protocol.dataReceived(b"\x0a")
        self.assertEqual(transport.value(), b"heard \x16\x0a")

    def test_who_says_nothing(self):
        for said in (b"", b"\x16"):
            protocol, transport = self.connect()
            protocol.dataReceived(said) if said else None
            self.clock.advance(UNDECIDED_SECONDS - 0.1)
            self.assertFalse(transport.aborted)
            self.clock.advance(0.1)
            self.assertTrue(transport.aborted)
            self.assertEqual(len(self.port.undecided), 0)

    def test_who_leaves_early(self):
        protocol, _ = self.connect()
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((len(self.port.undecided), self.clock.getDelayedCalls()), (0, []))

    def test_too_many_who_say_nothing(self):
        self.patch(optional_tls, "MAX_UNDECIDED", 3)
        self.port = OptionalTLS(self.plain, self.certificates, self.clock)
        transports = [self.connect()[1] for _ in range(5)]
        self.assertEqual([transport.aborted for transport in transports], [True, True, False, False, False])
        self.assertEqual(len(self.port.undecided), 3)

    def test_too_many_of_one_address_shut_out_nobody_else(self):
        self.patch(optional_tls, "MAX_UNDECIDED", 3)
        self.port = OptionalTLS(self.plain, self.certificates, self.clock)
        slow = self.connect("198.51.100.7")[1]
        many = [self.connect("203.0.113.5")[1] for _ in range(10)]
        self.assertFalse(slow.aborted)
        self.assertEqual([transport.aborted for transport in many], [True] * 8 + [False] * 2)

    def test_the_factory_knows_when_it_is_served(self):
        self.port.doStart()
        self.port.doStop()
        self.assertEqual(self.plain.started, [True, False])
