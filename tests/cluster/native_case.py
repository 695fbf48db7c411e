"""Native clients on a whole cluster."""

from __future__ import annotations

from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from cim.limits import Limit
from cim.model import LoginPolicy
from cim.server.edge.connection import Limits
from cim.wire import conversations
from tests.harness.cluster import Cluster


class NativeCase(SynchronousTestCase):
    """Two servers and two routes; round robin puts logins on the two servers in turn."""

    servers = 2
    routes = 2
    policy = LoginPolicy.MANY
    limits = Limits()
    #: Limits of messages that are not the usual ones, by name.
    message_limits: ClassVar[dict[str, Limit]] = {}
    #: Decides on messages.
    message_policy = None
    #: Makes the webhooks of a route.
    webhooks = staticmethod(lambda cluster: None)

    #: What traces.
    tracer = None

    def setUp(self):
        self.cluster = Cluster(
            self.servers,
            self.routes,
            policy=self.policy,
            limits=self.limits,
            message_limits=self.message_limits,
            message_policy=self.message_policy,
            tracer=self.tracer,
            webhooks=self.webhooks,
        )
        self.alice, self.bob, self.carol = (self.cluster.account(name) for name in ("alice", "bob", "carol"))
        self.conversation = conversations.private(self.alice.id, self.bob.id)

    def log_in(self, account, device="phone", **options):
        return self.cluster.native(account, device, **options)

    def turn(self):
        self.cluster.turn()

    def wait(self, seconds, *clients):
        """Let time pass for clients that are alive."""
        for second in range(seconds):
            if second % 10 == 0:
                for client in clients:
                    client.ping()
                    client._unread = [packet for packet in client.packets() if not packet.HasField("pong")]
            self.cluster.pass_seconds(1)

    def refused(self, kind):
        return self.cluster.metrics._refused[kind]

    def answer(self, client):
        """Run everything that is due, then take the one packet that arrived."""
        self.turn()
        (packet,) = client.packets()
        return getattr(packet, packet.WhichOneof("body"))

    def failure(self, client):
        """Take the one packet that arrived, a Failure, and return its code."""
        self.turn()
        (packet,) = client.packets()
        self.assertTrue(packet.HasField("failure"), packet)
        return packet.failure.code

    def accepted(self, client):
        """Take the one packet that arrived, an Accepted."""
        self.turn()
        (packet,) = client.packets()
        self.assertTrue(packet.HasField("accepted"), packet)
        return packet.accepted

    def page(self, client, conversation="", after="", **fields):
        """Sync, and return the texts and the Synced."""
        client.sync(conversation or self.conversation, after, **fields)
        self.turn()
        *delivers, last = client.packets()
        self.assertTrue(last.HasField("synced"), last)
        return [packet.deliver.text for packet in delivers], last.synced

    def goodbye(self, client):
        """Return the code of the Goodbye that arrived last on a closed connection."""
        self.turn()
        self.assertTrue(client.closed)
        packet = client.packets()[-1]
        self.assertTrue(packet.HasField("goodbye"), packet)
        return packet.goodbye.code
