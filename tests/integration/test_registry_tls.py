"""ZooKeeper over TLS."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import threading
from unittest import SkipTest

from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from cim.interfaces import SERVERS
from cim.registry.choose import registry_from
from cim.registry.kazoo_client import _Threads
from cim.registry.tls import tls_context
from tests.harness.certificates import certified
from tests.harness.processes import NETTY, ZooKeeperProcess
from tests.harness.spawning import free_port, private_file
from tests.integration.zookeeper_case import ZooKeeperCase

AUTHORITY = certified("an authority", ca=True)
OTHERS = certified("another authority", ca=True)
HOST = certified("127.0.0.1", signer=AUTHORITY)
CLIENT = certified("server-1", signer=AUTHORITY)


class TLSCase(ZooKeeperCase):
    """A ZooKeeper with a TLS port beside the plain one."""

    shown = HOST
    clients = "none"

    def file(self, pem):
        """A file with that, which only its owner can read."""
        path = os.path.abspath(self.mktemp()) + ".pem"
        private_file(path, pem.decode())
        return path

    async def setUp(self):
        super().setUp()
        missing = [jar for jar in NETTY if not os.path.exists(jar)]
        if missing:
            raise SkipTest(f"{missing[0]} is not installed: apt-get install libnetty-java")
        self.tls_port = free_port()
        self.ca = self.file(AUTHORITY.certificate_pem)
        self.process = ZooKeeperProcess(
            self.reactor,
            tempfile.mkdtemp(),
            settings={
                "secureClientPort": str(self.tls_port),
                "secureClientPortAddress": "127.0.0.1",
                "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
                "ssl.keyStore.location": self.file(self.shown.pem),
                "ssl.keyStore.type": "PEM",
                "ssl.trustStore.location": self.ca,
                "ssl.trustStore.type": "PEM",
                "ssl.clientAuth": self.clients,
            },
        )
        self.addCleanup(self.process.kill)
        await self.process.start()

    def registry(self, *, host="127.0.0.1", **options):
        """A registry over TLS as `--registry` makes it, started."""
        options.setdefault("ca", self.ca)
        text = f"zookeeper+tls:{host}:{self.tls_port}"
        registry = registry_from(text, self.reactor, session_timeout=5.0, **options)
        registry.startService()
        self.addCleanup(registry.stopService)
        return registry

    async def away(self, registry, *words):
        """Wait until the registry says that ZooKeeper is away, and all of these words."""
        await self.until(
            lambda: all(word in registry.health() for word in ("not connected to ZooKeeper", *words)),
            words,
        )


class ReadAlreadyTests(SynchronousTestCase):
    """A TLS proxy in front of ZooKeeper sends many answers in one record."""

    def test_what_tls_has_read_is_there_although_the_socket_says_nothing(self):
        pem = os.path.abspath(self.mktemp())
        private_file(pem, HOST.pem.decode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        ca = os.path.abspath(self.mktemp())
        private_file(ca, AUTHORITY.certificate_pem.decode())
        threads = _Threads(died=self.fail, refused=self.fail, tls=tls_context(ca, None))
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve():
                with context.wrap_socket(listening.accept()[0], server_side=True) as accepted:
                    accepted.sendall(b"one two ")
                    accepted.recv(1)

            serving = threading.Thread(target=serve)
            serving.start()
            self.addCleanup(serving.join)
            connection = threads.create_connection(
                address=listening.getsockname(), hostname="127.0.0.1", timeout=10, use_ssl=False
            )
            woken, waking = threads.create_socket_pair()
            with connection, woken, waking:
                self.assertEqual(threads.select([connection, woken], [], [], 10)[0], [connection])
                self.assertEqual(connection.recv(4), b"one ")
                self.assertEqual(threads.select([connection, woken], [], [], 0.1)[0], [connection])
                waking.send(b"x")
                self.assertEqual(threads.select([connection, woken], [], [], 0.1)[0], [connection, woken])
                self.assertEqual(connection.recv(4), b"two ")
                self.assertEqual(threads.select([connection], [], [], 0.1)[0], [])


class TLSTests(TLSCase):
    async def test_nodes_are_listed_over_it(self):
        one, other = self.registry(auth="cim:secret"), self.registry(auth="cim:secret")
        seen = []
        other.watch(SERVERS, lambda nodes: seen.append(dict(nodes)))
        one.announce(SERVERS, "10.0.0.1:1:2", b"data")
        await self.until(lambda: seen and seen[-1] == {"10.0.0.1:1:2": b"data"}, "it is listed")
        await self.until(lambda: not one.health() and not other.health(), "all is well")
        await self.process.kill()
        await self.away(one)
        await self.process.start()
        await self.until(lambda: not one.health() and not other.health(), "it is back")

    async def test_many_calls_at_once_and_a_large_answer(self):
        client = await self.connected(f"127.0.0.1:{self.tls_port}", tls=tls_context(self.ca, None))
        results = await gatherResults([client.exists("/zookeeper") for _ in range(2000)])
        self.assertEqual(len(results), 2000)
        await client.create("/large", bytes(900_000))
        self.assertEqual(len((await client.get("/large"))[0]), 900_000)

    async def test_a_certificate_of_an_authority_that_is_not_trusted(self):
        registry = self.registry(ca=self.file(OTHERS.certificate_pem))
        await self.away(registry, "TLS failed", "its certificate is not accepted")

    async def test_with_the_systems_authorities_alone(self):
        await self.away(self.registry(ca=None), "TLS failed", "its certificate is not accepted")

    async def test_a_certificate_for_another_host(self):
        await self.away(self.registry(host="localhost"), "TLS failed", "Hostname mismatch", "localhost")

    async def test_ports_the_wrong_way_round(self):
        plain = registry_from(f"zookeeper:127.0.0.1:{self.tls_port}", self.reactor, session_timeout=5.0)
        self.tls_port = self.process.port
        secured = self.registry()
        plain.startService()
        self.addCleanup(plain.stopService)
        await deferLater(self.reactor, 2, lambda: None)
        await self.away(plain)
        await self.away(secured)


class ExpiredTests(TLSCase):
    shown = certified("127.0.0.1", signer=AUTHORITY, days=-1)

    async def test_an_expired_certificate(self):
        await self.away(self.registry(), "TLS failed", "certificate has expired")


class ClientCertificateTests(TLSCase):
    """A ZooKeeper that wants to know who its clients are, as it does when nobody tells it otherwise."""

    clients = "need"

    async def test_whoever_has_one_is_let_in(self):
        registry = self.registry(certificate=self.file(CLIENT.pem))
        await self.until(lambda: not registry.health(), "it is connected")

    async def test_others_are_not(self):
        registry = self.registry()
        await deferLater(self.reactor, 2, lambda: None)
        await self.away(registry)
