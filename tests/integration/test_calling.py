"""JSON calls over real sockets: connections are kept, counted and closed."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SkipTest, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from cim.errors import Unavailable, Unreachable
from cim.web.calling import JSONCalls


class Answer(Resource):
    isLeaf = True

    def render(self, request):
        return b'{"code":"9000","message":"Success","reqNo":null,"dataBody":7}'


class CountingSite(Site):
    """Keeps its connections, and tells when all of them are gone."""

    def __init__(self):
        super().__init__(Answer(), parsePOSTFormSubmission=False)
        self.connections = []
        self.open = 0
        self.empty = None

    def log(self, request):
        pass

    def buildProtocol(self, addr):
        channel = super().buildProtocol(addr)
        self.connections.append(channel)
        self.open += 1
        lost = channel.connectionLost

        def gone(reason):
            self.open -= 1
            lost(reason)
            if self.empty is not None and not self.open:
                self.empty.callback(None)

        channel.connectionLost = gone
        return channel


class Rude(Protocol):
    """Hangs up on whatever it is asked."""

    def dataReceived(self, data):
        self.transport.abortConnection()


class CallingTests(TestCase):
    timeout = 30

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.site = CountingSite()
        self.calls = JSONCalls(reactor)
        self.addCleanup(self.calls.close)

    def listen(self, factory, interface="127.0.0.1"):
        port = self.reactor.listenTCP(0, factory, interface=interface)
        self.addCleanup(port.stopListening)
        host = f"[{interface}]" if ":" in interface else interface
        return f"http://{host}:{port.getHost().port}/x"

    async def close(self):
        if self.site.open:
            self.site.empty = Deferred()
        await self.calls.close()
        if self.site.empty is not None:
            await self.site.empty

    async def test_one_connection_serves_many_calls_and_is_closed(self):
        url = self.listen(self.site)
        for _ in range(20):
            self.assertEqual((await self.calls.post(url, {})).data, 7)
        self.assertEqual(len(self.site.connections), 1)
        await self.close()

    async def test_calls_at_once_share_few_connections(self):
        url = self.listen(self.site)
        for _ in range(5):
            await gatherResults([self.calls.post(url, {}) for _ in range(20)])
        self.assertLessEqual(len(self.site.connections), 20)
        await self.close()

    async def test_ipv6(self):
        try:
            url = self.listen(self.site, "::1")
        except Exception as error:
            raise SkipTest(f"no IPv6 here: {error}")
        self.assertEqual((await self.calls.get(url)).code, "9000")
        await self.close()

    async def test_nobody_listens(self):
        port = self.reactor.listenTCP(0, self.site, interface="127.0.0.1")
        url = f"http://127.0.0.1:{port.getHost().port}/x"
        await port.stopListening()
        with self.assertRaises(Unreachable):
            await self.calls.post(url, {})

    async def test_hung_up_on(self):
        with self.assertRaises(Unavailable) as caught:
            await self.calls.post(self.listen(Factory.forProtocol(Rude)), {})
        self.assertNotIsInstance(caught.exception, Unreachable)
