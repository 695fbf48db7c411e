"""A server whose routes the test plays."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.metrics import Metrics
from cim.keys import derive_key
from cim.link.packing import Packing
from cim.model import LinkPeer
from cim.registry.memory import MemoryRegistry
from cim.server.edge.connection import Limits
from cim.server.service import Server
from cim.tickets import Ticket, make_ticket
from cim.wire.cim_pb2 import Head, Packet, Welcome
from cim.wire.guests import Generation, encode_login
from cim.wire.link_pb2 import (
    HEADS,
    Deliver,
    Item,
    OpenOutcome,
    Outcome,
    Reply,
    Reserve,
)
from tests.harness.cluster import ClientTransport, TestClient
from tests.harness.native_client import NativeClient

KEY = derive_key(b"of the test's server", "ticket")
START = 1_700_000_000


class Route(Packing):
    """A link to a route that sends what the test wants; it answers logins unless told not to."""

    def __init__(self, name):
        self.peer = LinkPeer(name, "run")
        self.queued = 0
        self.items = []
        self.server = None
        self.full = False
        self.groups = {}
        self.version = 0
        self.heads = {}
        self.silent = set()
        self.refusals = {}

    def send(self, item):
        if self.full:
            return False
        self.items.append(item)
        return True

    def send_packed(self, item, droppable):
        return self.send(Item.FromString(item))

    def lose(self, reason):
        pass

    def say(self, **item):
        self.server.uplink.link_received(self, Item(**item))

    def take(self, kind):
        """Take the items of one kind that were sent."""
        taken = [getattr(item, kind) for item in self.items if item.WhichOneof("item") == kind]
        self.items = [item for item in self.items if item.WhichOneof("item") != kind]
        return taken

    def requests(self):
        """Take the forwarded packets: (request, packet)."""
        return [(request, Packet.FromString(request.packet)) for request in self.take("request")]

    def reply(self, request, *packets, code=""):
        self.say(
            reply=Reply(
                call=request.call,
                code=code,
                packets=[p if isinstance(p, bytes) else p.SerializeToString() for p in packets],
            )
        )

    def answer(self):
        """Answer what a login needs; return whether there was anything to answer."""
        worked = False
        for item in list(self.items):
            kind = item.WhichOneof("item")
            if kind in self.silent:
                continue
            if kind == "open":
                code = self.refusals.get("open", "")
                groups = () if code else self.groups.get(item.open.user, ())
                floors = [""] * len(groups)
                outcome = OpenOutcome(
                    call=item.open.call, code=code, groups=groups, floors=floors, version=self.version
                )
                reply = {"open_outcome": outcome}
            elif kind == "fence":
                reply = {"outcome": Outcome(call=item.fence.call)}
            elif kind == "opened" and item.opened.call:
                reply = {"outcome": Outcome(call=item.opened.call)}
            elif kind == "request" and item.request.purpose == HEADS:
                if "heads" in self.silent:
                    continue
                code = self.refusals.get("heads", "")
                welcome = Welcome(heads=self.heads.get(item.request.user, ()), as_of=str(START * 1000))
                packets = () if code else (Packet(welcome=welcome).SerializeToString(),)
                reply = {"reply": Reply(call=item.request.call, code=code, packets=packets)}
            else:
                continue
            self.items.remove(item)
            self.say(**reply)
            worked = True
        return worked


class ServerCase(SynchronousTestCase):
    """One server under a Clock."""

    limits = Limits()

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(START)
        self.metrics = Metrics("test")
        self.server = Server(
            own=LinkPeer("127.0.0.1:11211:8081", "run-1"),
            reactor=self.clock,
            registry=MemoryRegistry(self.clock),
            metrics=self.metrics,
            limits=self.limits,
            ticket_key=KEY,
            random=lambda: 0.5,
            time_of_day=self.clock.seconds,
        )
        self.server.wheel.startService()
        self.routes = []

    def refused(self, kind):
        return self.metrics._refused[kind]

    def link(self, name="127.0.0.1:8083:8084"):
        """Link a route."""
        route = Route(name)
        route.server = self.server
        self.server.uplink.link_up(route)
        self.routes.append(route)
        return route

    def unlink(self, route):
        self.routes.remove(route)
        self.server.uplink.link_down(route, "cut")

    def turn(self):
        """Run everything that is due, including the routes' answers to logins."""
        for _ in range(20):
            self.clock.advance(0)
            # A list first, because every route must answer, not only those up to the first that does.
            answered = [route.answer() for route in self.routes]
            if not any(answered) and not self.clock.getDelayedCalls():
                break

    def pass_seconds(self, seconds):
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.turn()

    def reserve(self, user, name, owner, device="phone", beside=False, seconds=30):
        self.routes[0].say(
            reserve=Reserve(
                user=user, name=name, owner=owner, seconds=seconds, device=device, beside=beside, native=True
            )
        )

    def ticket(self, user, name, owner, device="phone", key=KEY, place=None, now=START):
        place = place if place is not None else self.server.own.place
        return make_ticket(key, Ticket(user, name, device, owner), place, now or self.clock.seconds(), owner)

    def connect(self):
        connection = self.server.gateway.buildProtocol(None)
        transport = ClientTransport()
        connection.makeConnection(transport)
        return NativeClient(connection, transport)

    def begin(self, user, name="", owner="", device="phone", beside=False, since=""):
        """Reserve and say Hello."""
        owner = owner or f"owner-{user}-{device}"
        name = name or f"user{user}"
        self.reserve(user, name, owner, device, beside)
        client = self.connect()
        client.hello(self.ticket(user, name, owner, device, now=self.clock.seconds()), device, since)
        return client

    def log_in(self, user, name="", owner="", device="phone", beside=False):
        """Log a native client in, and take what arrived up to its Welcome."""
        client = self.begin(user, name, owner, device, beside)
        self.turn()
        packets = client.packets()
        self.assertEqual([packet.WhichOneof("body") for packet in packets], ["welcome"])
        return client

    def guest(self, user, name="", generation=Generation.W2):
        """Log a guest in."""
        name = name or f"guest{user}"
        self.server.sessions.reserve(user, name, f"owner-{user}", 30)
        connection = self.server.gateway.buildProtocol(None)
        transport = ClientTransport()
        connection.makeConnection(transport)
        client = TestClient(connection, transport, generation)
        client.send(encode_login(generation, user, name))
        return client


def head(conversation, latest, **fields):
    return Head(conversation=conversation, latest=latest, **fields)


def deliver(text, conversation="", position="", previous="", **fields):
    """Return the Deliver of a message, for native sessions."""
    packet = Packet()
    packet.deliver.text = text
    if conversation:
        packet.deliver.conversation = conversation
        packet.deliver.position = position
        packet.deliver.previous = previous
    return Deliver(packet=packet.SerializeToString(), **fields)
