"""What listens at endpoint strings. Real sockets are in tests/integration/test_tls.py."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.haproxy._wrapper import HAProxyWrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.certificates import LOOK_SECONDS
from cim.daemon.optional_tls import OptionalTLS
from cim.daemon.ports import READ_BYTES, Ports
from cim.errors import CIMError
from cim.model import Health
from tests.harness.certificates import certified, put


class Noting(Protocol):
    """Notes what comes."""

    data = b""

    def dataReceived(self, data):
        self.data += data


class PortsCase(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.now = datetime.now(UTC)
        self.kinds = []
        self.ports = Ports(self.reactor, lambda: self.now, self.kinds.append)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.made = certified("a.example", now=self.now)
        put(self.folder / "a.pem", self.made.pem)
        self.factory = Factory()

    def listen(self, description):
        """Return port, factory and interface of what was listened on."""
        self.ports.listening("listen", description, self.factory).startService()
        port, factory, _, interface = self.reactor.tcpServers[-1]
        return port, factory, interface

    def wrapped(self, factory):
        """Return what makes the protocols in the end."""
        return factory._factory


class EndpointTests(PortsCase):
    def test_plain(self):
        service = self.ports.listening("http", "tcp:8083:interface=127.0.0.1", self.factory)
        self.assertEqual(self.reactor.tcpServers, [])
        service.startService()
        self.assertEqual(self.reactor.tcpServers[0][:2], (8083, self.factory))
        self.assertEqual(self.reactor.tcpServers[0][3], "127.0.0.1")

    def test_tls(self):
        for description, interface in (
            (f"tls:{self.folder}:8083", "::"),
            (f"tls:path={self.folder}:port=8083", "::"),
            (f"tls:{self.folder}/a.pem:8083:interface=127.0.0.1", "127.0.0.1"),
            (f"ssl:8083:privateKey={self.folder}/a.pem:interface=127.0.0.1", "127.0.0.1"),
        ):
            port, factory, where = self.listen(description)
            self.assertEqual((port, where), (8083, interface), description)
            self.assertIsInstance(factory, TLSMemoryBIOFactory)
            self.assertIs(self.wrapped(factory.wrappedFactory), self.factory)

    def test_the_port_of_tls_when_none_is_said(self):
        self.assertEqual(self.listen(f"tls:{self.folder}")[0], 443)

    def test_a_colon_in_a_folder(self):
        folder = self.folder / "a:b"
        folder.mkdir()
        os.rename(self.folder / "a.pem", folder / "a.pem")
        self.assertEqual(self.listen(f"tls:{self.folder}/a\\:b:8083")[0], 8083)

    def test_both_on_one_port(self):
        _, factory, _ = self.listen(f"tls:{self.folder}:8083:plain=yes")
        self.assertIsInstance(factory, OptionalTLS)
        self.assertIs(self.wrapped(factory.plain), self.factory)

    def test_a_proxy_says_who_comes_before_tls_begins(self):
        _, factory, _ = self.listen(f"haproxy:tls:{self.folder}:8083")
        self.assertIsInstance(factory, HAProxyWrappingFactory)
        self.assertIsInstance(factory.wrappedFactory, TLSMemoryBIOFactory)
        _, factory, _ = self.listen("haproxy:tcp:8083")
        self.assertIsInstance(factory, HAProxyWrappingFactory)
        self.assertIs(self.wrapped(factory.wrappedFactory), self.factory)

    def test_a_header_that_cannot_be_read_closes_and_is_not_logged(self):
        self.factory.protocol = Noting
        _, factory, _ = self.listen("haproxy:tcp:8083")
        for header in (
            b"PROXY TCP4 1.1.1.1 2.2.2.2 x y\r\n",
            b"PROXY TCP4 \xff\xfe 2.2.2.2 1 2\r\n",
            b"PROXY TCP4 1.1.1.1\r\n",
            b"PROXY \xff\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x01\x00",
        ):
            transport = StringTransport()
            protocol = factory.buildProtocol(None)
            protocol.makeConnection(transport)
            protocol.dataReceived(header)
            self.assertTrue(transport.disconnecting, header)
            protocol.dataReceived(header)
        self.assertEqual(self.kinds, ["bad-proxy-header"] * 6)
        self.assertEqual(self.flushLoggedErrors(), [])
        protocol = factory.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        protocol.dataReceived(b"PROXY TCP4 192.0.2.7 198.51.100.7 1 2\r\nhello")
        self.assertEqual((protocol.getPeer().host, protocol.wrappedProtocol.data), ("192.0.2.7", b"hello"))

    def test_what_is_no_endpoint(self):
        for description in (
            "foo:1",
            "tcp:x",
            "tcp",
            "tcp:1:nonsense=2",
            "",
            "ssl:1:privateKey=/nowhere",
            "tls:/nowhere:1",
            f"tls:{self.folder}:x",
            f"tls:{self.folder}:1:nonsense=2",
            f"tls:{self.folder}:1:plain=maybe",
        ):
            error = self.assertRaises(UsageError, self.ports.listening, "http", description, self.factory)
            self.assertIn(f"--http {description}: ", str(error))

    def test_a_connection_that_the_factory_refuses_is_closed_at_once(self):
        self.factory.buildProtocol = lambda addr: None
        for description in (f"tls:{self.folder}:1", "haproxy:tcp:1", f"haproxy:tls:{self.folder}:1"):
            _, factory, _ = self.listen(description)
            transport = StringTransport()
            transport.aborted = []
            transport.abortConnection = lambda: transport.aborted.append(True)  # noqa: B023
            factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)).makeConnection(transport)
            self.assertEqual(transport.aborted, [True], description)

    def test_a_port_that_is_taken(self):
        def taken(port, factory, backlog, interface):
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))

        self.reactor.listenTCP = taken
        service = self.ports.listening("listen", "tcp:1", self.factory)
        error = self.assertRaises(CIMError, service.startService)
        self.assertEqual(error.message, "--listen tcp:1: cannot listen: Address already in use")
        self.successResultOf(service.stopService())

    def test_stopping(self):
        service = self.ports.listening("listen", "tcp:1", self.factory)
        service.privilegedStartService()
        service.startService()
        self.assertEqual(len(self.reactor.tcpServers), 1)
        self.successResultOf(service.stopService())
        service.startService()
        self.assertEqual(len(self.reactor.tcpServers), 2)


class ReadingTests(PortsCase):
    """What is read of a connection at once, of one that may have much waiting to be written."""

    def setUp(self):
        super().setUp()
        made = []

        def listen(*what, **named):
            made.append(Port(*what, **named, reactor=self.reactor))
            return made[0]

        self.reactor.listenTCP = listen
        self.ports.listening("listen", "tcp:1", self.factory).startService()
        ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.addCleanup(ours.close)
        ours.setblocking(False)
        self.read = Noting()
        self.transport = made[0].transport(ours, self.read, ("127.0.0.1", 1), made[0], 1, self.reactor)
        self.transport.bufferSize = 1 << 20
        self.read.makeConnection(self.transport)

    def test_no_more_than_is_made_room_for(self):
        self.theirs.send(b"x" * (READ_BYTES + 10))
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(len(self.read.data), READ_BYTES)
        self.assertIsNone(self.transport.doRead())
        self.assertEqual(len(self.read.data), READ_BYTES + 10)
        self.assertIsNone(self.transport.doRead())

    def test_the_end(self):
        self.theirs.close()
        self.assertIs(self.transport.doRead(), CONNECTION_DONE)
        self.transport.socket.close()
        self.assertIs(self.transport.doRead(), CONNECTION_LOST)

    def test_what_is_written_at_once(self):
        self.transport.write_now(b"pong")
        self.assertEqual(self.theirs.recv(100), b"pong")
        self.assertEqual(self.reactor.getWriters(), [])

    def test_what_waits_to_be_written_goes_first(self):
        self.transport.write(b"first, ")
        self.transport.write_now(b"then")
        self.theirs.setblocking(False)
        self.assertRaises(BlockingIOError, self.theirs.recv, 100)
        self.transport.doWrite()
        self.assertEqual(self.theirs.recv(100), b"first, then")

    def test_what_the_kernel_does_not_take_at_once_waits(self):
        many = b"x" * 5_000_000
        self.transport.write_now(many)
        self.transport.write_now(b"end")
        read = b""
        while len(read) < len(many) + 3:
            read += self.theirs.recv(1 << 20)
            self.transport.doWrite()
        self.assertEqual(read, many + b"end")

    def test_nothing_is_written_to_one_that_is_lost(self):
        self.transport.connectionLost(Failure(ConnectionDone()))
        self.transport.write_now(b"late")
        self.assertEqual(self.theirs.recv(100), b"")


class HealthTests(PortsCase):
    def test_without_tls_there_is_nothing_to_say(self):
        health = Health({"links": ""}, {"sessions": 1})
        self.listen("tcp:1")
        self.assertEqual(self.ports.healthy(health), health)

    def test_until_when_certificates_are_good(self):
        self.now = datetime(2027, 3, 1, 12, tzinfo=UTC)
        for days in (90, 30):
            put(self.folder / f"{days}.pem", certified(f"{days}.example", now=self.now, days=days).pem)
        self.listen(f"tls:{self.folder}/90.pem:1")
        self.listen(f"tls:{self.folder}/30.pem:1")
        found = self.ports.healthy(Health({"links": ""}, {"sessions": 1}))
        self.assertEqual(found.parts, {"links": "", "certificates": ""})
        self.assertEqual(found.facts, {"sessions": 1, "certificates_expire": "2027-03-31T12:00:00Z"})

    def test_every_port_takes_the_new_one_and_says_what_is_wrong(self):
        for number, word in enumerate(("", ":plain=yes", ":interface=127.0.0.1")):
            self.listen(f"tls:{self.folder}:{1 + number}{word}")
        certificates = self.ports.certificates(str(self.folder))
        renewed = certified("a.example", now=self.now, days=9)
        put(self.folder / "a.pem", renewed.pem)
        self.reactor.advance(LOOK_SECONDS)
        self.assertEqual(self.ports.healthy(Health()).parts, {"certificates": ""})
        self.assertEqual([one.pin for one in certificates.shown], [renewed.pin])
        (self.folder / "a.pem").write_bytes(b"")
        self.now += timedelta(days=10)
        self.reactor.advance(LOOK_SECONDS)
        said = self.ports.healthy(Health()).parts["certificates"]
        self.assertIn("expired", said)
        self.assertIn("cannot be used", said)
