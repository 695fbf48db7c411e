"""A base with clients of the library at a whole cluster, under one clock and over an in-memory network."""

from __future__ import annotations

import itertools
from typing import ClassVar

from argon2 import PasswordHasher

from twisted.internet.defer import execute
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from cim.client.client import Client
from cim.client.iclient import IListener
from cim.client.trust import Trust, Verifier
from cim.client.values import Password, State
from cim.invitation_codes import AccountPolicy
from cim.limits import Limit
from cim.model import LoginPolicy
from cim.route.http.api import Settings, api_resource, v1_of
from cim.route.http.passwords import Passwords
from cim.web.operations import internal_only
from cim.web.site import BoundedSite
from tests.client.network import Network
from tests.harness.cluster import Cluster

SECRET = "correct horse battery"


@implementer(IListener)
class Listener:
    """Remembers what it is told.

    :ivar messages: all, in order
    """

    def __init__(self):
        self.messages = []
        self.states = []
        self.receipts = []
        self.typings = []
        self.presences = []
        self.mutes = []
        self.invitations = []
        self.removals = []
        self.changes = []

    def received(self, client, message):
        self.messages.append(message)

    def receipt(self, client, receipt):
        self.receipts.append(receipt)

    def typing(self, client, typing):
        self.typings.append(typing)

    def presence(self, client, presence):
        self.presences.append(presence)

    def members(self, client, members):
        self.changes.append(members)

    def invited(self, client, invitation):
        self.invitations.append(invitation)

    def removed(self, client, removed):
        self.removals.append(removed)

    def muted(self, client, mute):
        self.mutes.append(mute)

    def state(self, client, state, reason):
        self.states.append((state, reason))

    @property
    def texts(self):
        return [message.text for message in self.messages]

    @property
    def others(self):
        """The texts from others."""
        return [message.text for message in self.messages if not message.mine]


class ClientCase(SynchronousTestCase):
    """A base with a cluster whose routes listen at 8083 and up; `turn` and `wait` advance it."""

    servers = 1
    routes = 1
    policy = LoginPolicy.MANY
    #: Limits of messages that are not the usual ones, by name.
    message_limits: ClassVar[dict[str, Limit]] = {}
    accounts = AccountPolicy.OPEN
    #: Decides on what people say and call themselves.
    message_policy = None

    def setUp(self):
        self.cluster = Cluster(
            self.servers,
            self.routes,
            policy=self.policy,
            message_limits=self.message_limits,
            message_policy=self.message_policy,
        )
        self.clock = self.cluster.clock
        self.network = Network(self.clock)
        self.ids = itertools.count(1)
        self.urls = []
        self.clients = []
        for route in self.cluster.routes:
            self.network.listen(route.address.http_port, self.site_of(route))
            self.urls.append(f"http://127.0.0.1:{route.address.http_port}")
        for server in self.cluster.servers:
            self.listen(server)
        self.addCleanup(self.finish)

    def listen(self, server):
        self.network.listen(int(server.own.name.split(":")[1]), server.gateway)

    def site_of(self, route):
        settings = Settings(self.cluster.ticket_key, b"k" * 32, accounts=self.accounts)
        passwords = Passwords(execute, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        metrics = self.cluster.metrics
        v1 = v1_of(route, passwords, settings, lambda: f"id-{next(self.ids)}", health=route.health, metrics=metrics)
        self.v1 = v1
        resource = api_resource(
            v1,
            route,
            settings,
            beside=(),
            cluster_only=internal_only(None, metrics),
            metrics=metrics,
        )
        site = BoundedSite(resource, self.clock, self.cluster.metrics)
        site.startFactory()
        return site

    def finish(self):
        for client in self.clients:
            closing = client.close()
            self.wait(3)
            self.successResultOf(closing)

    def turn(self):
        for _ in range(10):
            self.cluster.turn()

    def wait(self, seconds):
        for _ in range(int(seconds * 10)):
            self.clock.advance(0.1)
            self.cluster.turn()

    def make(self, name, credentials=None, **options):
        """Return a client that is not started, with its listener `heard`."""
        options.setdefault("random", lambda: 0.5)
        options.setdefault("new_id", lambda: f"{name}-{next(self.ids)}")
        client = Client(
            self.clock,
            options.pop("urls", self.urls),
            credentials or Password(name, SECRET, create=True),
            endpoint=self.network.endpoint,
            http=self.network.agent(Verifier(options.get("trust", Trust()))),
            **options,
        )
        client.heard = Listener()
        client.add_listener(client.heard)
        self.clients.append(client)
        return client

    def online(self, name, *args, **options):
        """Return a client that is READY."""
        client = self.make(name, *args, **options)
        client.startService()
        self.turn()
        self.assertIs(client.state, State.READY, client.heard.states)
        return client

    def result(self, deferred):
        self.turn()
        return self.successResultOf(deferred)

    def error(self, deferred, kind):
        self.turn()
        return self.failureResultOf(deferred, kind).value

    def wires_of(self, client):
        """Return the open connections to servers, the newest last."""
        return [wire for server in self.cluster.servers for wire in self.network.to(int(server.own.name.split(":")[1]))]
