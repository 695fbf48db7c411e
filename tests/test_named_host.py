"""Connections to hosts whose names the DNS cannot have."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cim.named_host import NamedHost
from cim.web.calling import HTTPCalls


@implementer(IHostnameResolver)
class Resolver:
    """Knows each host that it is asked for."""

    def __init__(self):
        self.asked = []

    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):
        self.asked.append(hostName)
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", "10.0.0.7", portNumber))
        receiver.resolutionComplete()
        return self


class NamedHostTests(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.resolver = Resolver()
        self.reactor.installNameResolver(self.resolver)

    def dialled(self, host):
        d = NamedHost(self.reactor, host, 6379).connect(Factory.forProtocol(Protocol))
        self.reactor.advance(0)
        d.addErrback(lambda failure: None)
        return self.resolver.asked, [client[:2] for client in self.reactor.tcpClients]

    def test_names_of_containers(self):
        for host in ("my_redis", "cim_route-1", "a_b.c_d", "_x"):
            self.setUp()
            self.assertEqual(self.dialled(host), ([host], [("10.0.0.7", 6379)]))

    def test_names_of_the_dns(self):
        for host, asked in (("redis.example", "redis.example"), ("b\u00fccher.example", "b\u00fccher.example")):
            self.setUp()
            self.assertEqual(self.dialled(host)[0], [asked])

    def test_addresses(self):
        for host in ("10.0.0.7", "::1"):
            self.setUp()
            self.assertEqual(self.dialled(host)[0], [host])

    def test_what_no_resolver_knows(self):
        for host in ("", "a b", "a/b", "a\nb", "\u202ex_y"):
            self.setUp()
            self.assertEqual(self.dialled(host), ([], []))

    def test_http(self):
        calls = HTTPCalls(self.reactor)
        calls.ask("GET", "http://cim_route:8083/health").addErrback(lambda failure: None)
        self.reactor.advance(0)
        self.assertEqual((self.resolver.asked, self.reactor.tcpClients[0][:2]), (["cim_route"], ("10.0.0.7", 8083)))
