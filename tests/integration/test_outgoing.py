"""Requests to strangers over real sockets, resolvers and TLS."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.internet.ssl import Certificate, PrivateCertificate
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.resource import Resource
from twisted.web.server import Site

from cim.errors import OutgoingRefused, Unreachable, Untrusted
from cim.outgoing.client import Outgoing
from cim.outgoing.guard import Guard
from tests.harness.certificates import certified


class Counting(Resource):
    isLeaf = True
    asked = 0

    def render(self, request):
        self.asked += 1
        return request.content.read()


class Policy(BrowserLikePolicyForHTTPS):
    """Notes for whom it was asked how to make sure of them."""

    def __init__(self, roots):
        super().__init__(roots)
        self.asked = []

    def creatorForNetloc(self, hostname, port):
        self.asked.append(hostname)
        return super().creatorForNetloc(hostname, port)


class OutgoingTests(TestCase):
    timeout = 30

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.resource = Counting()
        self.site = Site(self.resource, parsePOSTFormSubmission=False)
        self.site.log = lambda request: None

    def outgoing(self, *allowed, ca=None):
        roots = None if ca is None else Certificate.loadPEM(ca.certificate_pem)
        guard = Guard([ip_network(one) for one in allowed])
        self.policy = Policy(roots)
        outgoing = Outgoing(self.reactor, guard, policy=self.policy)
        self.addCleanup(outgoing.close)
        return outgoing

    def listen(self, *names, ca=None):
        if names:
            options = PrivateCertificate.loadPEM(certified(*names, signer=ca).pem).options()
            port = self.reactor.listenSSL(0, self.site, options, interface="127.0.0.1")
        else:
            port = self.reactor.listenTCP(0, self.site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return port.getHost().port

    async def test_loopback_by_every_name_is_refused(self):
        port = self.listen()
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"):
            with self.assertRaises(OutgoingRefused):
                await self.outgoing("10.0.0.0/8").request("POST", f"http://{host}:{port}/")
        self.assertEqual(self.resource.asked, 0)

    async def test_allowed(self):
        answer = await self.outgoing("127.0.0.0/8", "::1").request(
            "POST", f"http://localhost:{self.listen()}/", body=b"x"
        )
        self.assertEqual((answer.status, answer.body), (200, b"x"))

    async def test_tls(self):
        ca = certified("root", ca=True)
        port = self.listen("localhost", ca=ca)
        outgoing = self.outgoing("127.0.0.0/8", "::1", ca=ca)
        answer = await outgoing.request("POST", f"https://localhost:{port}/", body=b"x", https=True)
        self.assertEqual(answer.body, b"x")
        with self.assertRaises(Untrusted) as raised:
            await outgoing.request("POST", f"https://127.0.0.1:{port}/")
        self.assertIn("does not prove its name", raised.exception.message)
        with self.assertRaises(Untrusted):
            await self.outgoing("127.0.0.0/8", "::1").request("POST", f"https://localhost:{port}/")
        self.assertEqual(self.resource.asked, 1)

    async def test_requests_over_one_connection_share_its_context(self):
        ca = certified("root", ca=True)
        port = self.listen("localhost", ca=ca)
        outgoing = self.outgoing("127.0.0.0/8", "::1", ca=ca)
        for _ in range(3):
            await outgoing.request("POST", f"https://localhost:{port}/", body=b"x")
        self.assertEqual((self.resource.asked, self.policy.asked), (3, [b"localhost"]))

    async def test_names_that_do_not_resolve(self):
        with self.assertRaises(Unreachable):
            await self.outgoing().request("POST", "http://no-such-host.invalid/")
