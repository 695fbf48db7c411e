"""Links over real sockets."""

from __future__ import annotations

import datetime
import os
import random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from cim.interfaces import ROUTES
from cim.link.tcp import LinkAcceptor, LinkDialers
from cim.registry.memory import MemoryRegistry
from tests.link.network import KEY, ROUTE, SERVER, Recorder, deliver, opened

COUNT = 3000


def self_signed(host):
    """A certificate for that host, with its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateCertificate.loadPEM(certificate.public_bytes(Encoding.PEM) + pem)


class RealLinkTests(TestCase):
    timeout = 30

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.at_route, self.at_server = Recorder(), Recorder()
        self.up = Deferred()
        self.at_server.on_up = self.up.callback
        self.acceptor = LinkAcceptor(own=ROUTE, key=KEY, user=self.at_route, reactor=reactor, random_bytes=os.urandom)

    async def link(self, factory=None, wrap=lambda endpoint: endpoint):
        port = await TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1").listen(factory or self.acceptor)
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        registry = MemoryRegistry(self.reactor)
        registry.startService()
        self.addCleanup(registry.stopService)
        registry.announce(ROUTES, ROUTE.name, b"")
        self.dialers = LinkDialers(
            own=SERVER,
            key=KEY,
            user=self.at_server,
            registry=registry,
            reactor=self.reactor,
            endpoint_for=lambda address: wrap(TCP4ClientEndpoint(self.reactor, "127.0.0.1", number)),
            random=random.random,
            random_bytes=os.urandom,
        )
        self.dialers.startService()
        self.addCleanup(self.acceptor.lose_all, "the test ends")
        self.addCleanup(self.stop_dialers)
        return await self.up

    async def stop_dialers(self):
        if self.dialers.running:
            await self.dialers.stopService()

    async def test_what_was_sent_arrives_though_the_other_end_keeps_talking(self):
        server = await self.link()
        talking = []

        def talk():
            for link in self.at_route.links:
                link.send(deliver(1, 20_000))
                talking.append(self.reactor.callLater(0, talk))

        self.at_route.on_item = lambda link, item: talking or talk()
        server.send(opened(0))
        while not self.at_server.items:
            turn = Deferred()
            self.reactor.callLater(0, turn.callback, None)
            await turn
        for number in range(1, COUNT):
            server.send(opened(number, 1000))
        await self.dialers.stopService()
        await self.acceptor.lose_all("the test ends")
        self.assertEqual(self.at_route.users, list(range(COUNT)))
        self.assertEqual([event[0] for event in self.at_route.events], ["up", "down"])
        self.assertEqual([event[0] for event in self.at_server.events], ["up", "down"])
        for call in talking:
            if call.active():
                call.cancel()

    async def test_small_items_do_not_wait_for_large_packets_and_dead_peers_are_noticed(self):
        link = await self.link()
        self.assertTrue(link.transport.getTcpNoDelay())
        self.assertTrue(link.transport.getTcpKeepAlive())

    async def test_over_tls(self):
        certificate = self_signed("route.example")
        options = optionsForClientTLS("route.example", trustRoot=Certificate(certificate.original))
        server = await self.link(
            TLSMemoryBIOFactory(certificate.options(), False, self.acceptor),
            lambda endpoint: wrapClientTLS(options, endpoint),
        )
        for number in range(COUNT):
            server.send(opened(number, 100))
        await self.dialers.stopService()
        await self.acceptor.lose_all("the test ends")
        self.assertEqual(self.at_route.users, list(range(COUNT)))
