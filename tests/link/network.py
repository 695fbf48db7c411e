"""The two ends of a link under one clock, over simulated TCP connections or in memory."""

from __future__ import annotations

import random

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.test.iosim import ConnectionCompleter
from zope.interface import implementer

from cim.interfaces import ROUTES, ILinkUser
from cim.link.memory import connect
from cim.link.tcp import LinkAcceptor, LinkDialers
from cim.model import LinkPeer
from cim.registry.memory import MemoryRegistry
from cim.wire.link_pb2 import Deliver, Item, Opened

KEY = b"k" * 32
SERVER = LinkPeer("10.0.0.1:11211:8081", "server-run", "10.0.0.1:11212")
ROUTE = LinkPeer("10.0.0.9:8083:8084", "route-run")


def opened(user, padding=0):
    """Return a control item."""
    return Item(opened=Opened(user=user, name="x" * padding))


def deliver(call, padding=0):
    """Return an item that may be dropped for a slow peer."""
    return Item(deliver=Deliver(call=call, packet=bytes(padding)))


@implementer(ILinkUser)
class Recorder:
    """Records what it is told, and calls `on_up` and `on_item` with it."""

    def __init__(self):
        self.links = []
        self.items = []
        self.events = []
        self.on_up = lambda link: None
        self.on_item = lambda link, item: None

    def link_up(self, link):
        self.links.append(link)
        self.events.append(("up", link.peer))
        self.on_up(link)

    def link_received(self, link, item):
        self.items.append(item)
        self.on_item(link, item)

    def link_down(self, link, reason):
        self.links.remove(link)
        self.events.append(("down", link.peer, reason))

    @property
    def calls(self):
        return [item.deliver.call for item in self.items if not item.HasField("missed")]

    @property
    def users(self):
        return [item.opened.user for item in self.items if not item.HasField("missed")]


class Counted:
    """Counts the calls of the metrics callbacks."""

    def __init__(self):
        self.batches = []
        self.dropped = 0
        self.refused = 0

    def observe(self, direction, items, size):
        self.batches.append((direction, items, size))

    def drop(self):
        self.dropped += 1

    def refuse(self):
        self.refused += 1


def random_bytes(seed):
    return random.Random(seed).randbytes


#: What is said of a proof that does not fit.
WRONG = "the proof is wrong: the two ends have different secrets, or what they said was changed"


def constant(byte):
    """Random bytes that are all the same one."""
    return lambda count: byte * count


class Network:
    """A reactor whose connections are simulated."""

    def __init__(self):
        self.reactor = MemoryReactorClock()
        self.completer = ConnectionCompleter(self.reactor)
        self.pumps = []
        self.registry = MemoryRegistry(self.reactor)
        self.registry.startService()

    def route(self, user, peer=ROUTE, key=KEY, seed=1, **options):
        """Let a route accept links, and return its acceptor with a Counted as `counted`."""
        options.setdefault("time_of_day", self.reactor.seconds)
        counted = Counted()
        acceptor = LinkAcceptor(
            own=peer,
            key=key,
            user=user,
            reactor=self.reactor,
            random_bytes=random_bytes(seed),
            observe=counted.observe,
            dropped=counted.drop,
            refused=counted.refuse,
            **options,
        )
        acceptor.counted = counted
        self.reactor.listenTCP(int(peer.name.rpartition(":")[2]), acceptor)
        return acceptor

    def server(self, user, peer=SERVER, key=KEY, seed=2, jitter=0.0, registry=None, **options):
        """Return a server's running dialers with a Counted as `counted`."""
        options.setdefault("time_of_day", self.reactor.seconds)
        counted = Counted()
        dialers = LinkDialers(
            own=peer,
            key=key,
            user=user,
            registry=registry or self.registry,
            reactor=self.reactor,
            endpoint_for=self.endpoint_for,
            random=lambda: jitter,
            random_bytes=random_bytes(seed),
            observe=counted.observe,
            dropped=counted.drop,
            **options,
        )
        dialers.counted = counted
        dialers.startService()
        return dialers

    def endpoint_for(self, address):
        return TCP4ClientEndpoint(self.reactor, address.host, address.link_port)

    def list_route(self, peer=ROUTE):
        return self.registry.announce(ROUTES, peer.name, b"")

    def step(self):
        """Run one turn, in which what was written arrives; return whether anything happened."""
        self.reactor.advance(0)
        moved = False
        for at, connector in reversed(list(enumerate(self.reactor.connectors))):
            if connector.stoppedConnecting:
                del self.reactor.connectors[at], self.reactor.tcpClients[at]
        while True:
            pump = self.completer.succeedOnce(greet=False)
            if pump is None:
                break
            self.pumps.append(pump)
            moved = True
        while self.reactor.tcpClients:
            self.completer.failOnce(Failure(ConnectionRefusedError()))
            moved = True
        for pump in self.pumps:
            moved = pump.pump(advanceClock=False) or moved
        return moved

    def settle(self):
        """Run turns until nothing is under way."""
        while self.step() or any(call.getTime() <= self.reactor.seconds() for call in self.reactor.getDelayedCalls()):
            pass

    def pass_seconds(self, seconds):
        """Let that many seconds pass while the network works."""
        for _ in range(seconds):
            self.reactor.advance(1)
            self.settle()

    def stall_seconds(self, seconds):
        """Let that many seconds pass while nothing arrives."""
        self.reactor.pump([1] * seconds)


class TCPPair:
    """A server and a route that are about to be linked."""

    def __init__(self):
        self.at_server, self.at_route = Recorder(), Recorder()
        self.network = Network()
        self.network.list_route()
        self.acceptor = self.network.route(self.at_route)
        self.dialers = self.network.server(self.at_server)
        self.step = self.network.step
        self.settle = self.network.settle

    @property
    def dropped(self):
        return self.acceptor.counted.dropped + self.dialers.counted.dropped


class MemoryPair:
    """The same in memory."""

    def __init__(self):
        self.at_server, self.at_route = Recorder(), Recorder()
        self.clock = MemoryReactorClock()
        self.dropped = 0
        connect(self.clock, self.at_server, SERVER, self.at_route, ROUTE, dropped=self.drop)

    def drop(self):
        self.dropped += 1

    def step(self):
        self.clock.advance(0)

    def settle(self):
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
