"""The proxy of the chaos runs, on real sockets: it passes all, and cuts or mutes one connection and not the others."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from bench.proxy import HOST, Proxy


class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)


class Asker(Protocol):
    def __init__(self):
        self.came, self.closed, self._wanted = b"", Deferred(), []

    def ask(self, data):
        self.transport.write(data)
        done = Deferred()
        self._wanted.append((len(self.came) + len(data), done))
        return done

    def dataReceived(self, data):
        self.came += data
        while self._wanted and self._wanted[0][0] <= len(self.came):
            self._wanted.pop(0)[1].callback(None)

    def connectionLost(self, reason):
        self.closed.callback(None)


class ProxyTests(TestCase):
    timeout = 30

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor
        self.target = reactor.listenTCP(0, Factory.forProtocol(Echo), interface=HOST)
        self.addCleanup(self.target.stopListening)
        self.proxy = Proxy(reactor, "echo", 0, self.target.getHost().port)
        self.proxy.start()
        self.addCleanup(self.proxy.stop)

    async def asker(self):
        asker = Asker()
        await connectProtocol(TCP4ClientEndpoint(self.reactor, HOST, self.proxy.port), asker)
        self.addCleanup(lambda: asker.closed)
        self.addCleanup(asker.transport.abortConnection)
        return asker

    async def test_everything_passes(self):
        asker = await self.asker()
        data = bytes(range(256)) * 20_000
        await asker.ask(data)
        self.assertEqual(asker.came, data)

    async def test_one_is_cut(self):
        one, other = await self.asker(), await self.asker()
        await one.ask(b"x")
        await other.ask(b"x")
        next(iter(self.proxy.pairs)).cut()
        await one.closed
        await other.ask(b"y")
        self.assertEqual(len(self.proxy.pairs), 1)

    async def test_one_falls_silent_and_nothing_is_lost(self):
        one, other = await self.asker(), await self.asker()
        await one.ask(b"x")
        await other.ask(b"x")
        pair = next(iter(self.proxy.pairs))
        pair.mute(True)
        answer = one.ask(b"y" * 100_000)
        await other.ask(b"y")
        await deferLater(self.reactor, 0.05)
        self.assertFalse(answer.called)
        pair.mute(False)
        await answer

    async def test_new_ones_are_refused(self):
        asker = await self.asker()
        await asker.ask(b"x")
        self.proxy.refusing = True
        await (await self.asker()).closed
        await asker.ask(b"x")

    async def test_a_target_that_is_not_there(self):
        await self.target.stopListening()
        await (await self.asker()).closed
        self.assertEqual(list(self.proxy.pairs), [])

    async def test_what_a_caller_wrote_before_it_closed(self):
        came, ended = [], Deferred()

        class Sink(Protocol):
            def dataReceived(self, data):
                came.append(data)

            def connectionLost(self, reason):
                ended.callback(None)

        self.target.factory.protocol = Sink
        asker = await self.asker()
        asker.transport.write(b"last words")
        asker.transport.loseConnection()
        await ended
        self.assertEqual(b"".join(came), b"last words")
