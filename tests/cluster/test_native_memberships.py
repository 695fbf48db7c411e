"""Servers' indexes of groups, while members come and go, links and servers fail, and the store goes back, at random."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import CIMError
from cim.model import LoginPolicy
from tests.harness.cluster import Cluster


class Weather:
    """A cluster with groups whose members change.

    :param seed: of everything that is random
    """

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.cluster = Cluster(servers=2, routes=2, policy=LoginPolicy.MANY)
        self.accounts = [self.cluster.account(f"user{number}") for number in range(6)]
        self.owner = self.accounts[0]
        grouping = self.cluster.routes[0].grouping
        self.groups = [
            self.cluster.result(grouping.create(self.owner.id, f"group {number}", open=True, history=True))
            for number in range(4)
        ]
        self.clients = {}
        self.faults = (
            (20, self.add),
            (20, self.remove),
            (3, self.cut),
            (6, self.mend),
            (8, self.drop),
            (12, self.log_in),
            (1, self.restart_server),
            (2, self.back_up),
            (1, self.restore),
        )
        self.go_back = self.cluster.store.copy()

    def change(self, kind):
        grouping = self.random.choice(self.cluster.routes).grouping
        user, group = self.random.choice(self.accounts[1:]), self.random.choice(self.groups)
        # The outcome is known later, or never.
        self.cluster.begin(getattr(grouping, kind)(group, self.owner.id, user.id)).addErrback(
            lambda failure: failure.trap(CIMError)
        )

    def add(self):
        self.change("add")

    def remove(self):
        self.change("remove")

    def links(self):
        return [(server, route) for server in self.cluster.servers for route in self.cluster.routes]

    def linked(self, server, route):
        return (server.own.name, str(route.address)) in self.cluster._links

    def cut(self):
        server, route = self.random.choice(self.links())
        if self.linked(server, route):
            self.random.choice(self.cluster._links.pop((server.own.name, str(route.address)))).lose("cut")

    def mend(self):
        server, route = self.random.choice(self.links())
        if not self.linked(server, route):
            self.cluster.link(server, route)

    def drop(self):
        if self.clients:
            self.clients.pop(self.random.choice(sorted(self.clients))).drop()

    def log_in(self):
        account, device = self.random.choice(self.accounts), self.random.choice(("phone", "tablet"))
        route = self.random.randrange(2)
        try:
            admission, ticket = self.cluster.admit(account, device, route)
        except (CIMError, IndexError):
            return
        client = self.cluster.open_native(admission.place.server)
        client.hello(ticket)
        self.clients[account.id, device] = client

    def restart_server(self):
        at = self.random.randrange(2)
        old = self.cluster.servers[at]
        self.cluster.kill(old)
        old.rechecks.stop()
        old.wheel.stopService()
        self.clients = {
            key: client for key, client in self.clients.items() if client.connection.gateway is not old.gateway
        }
        self.cluster.start_server(at)

    def back_up(self):
        self.go_back = self.cluster.store.copy()

    def restore(self):
        self.go_back()
        self.cluster.clock.advance(self.random.choice((0, 0.5)))
        self.cluster.store.begin_epoch()

    def rage(self, steps):
        """Make random changes and cause random faults."""
        weights = [weight for weight, _ in self.faults]
        for _ in range(steps):
            self.random.choices([fault for _, fault in self.faults], weights)[0]()
            self.cluster.clock.advance(self.random.choice((0, 0, 0, 0.1, 1.0)))
            for client in self.clients.values():
                if client.connection.session is not None and client.connection.session.live:
                    client.ping()

    def calm(self):
        """Repair everything, and let the indexes settle."""
        for server, route in self.links():
            if not self.linked(server, route):
                self.cluster.link(server, route)
        self.cluster.pass_seconds(20)


class MembershipTests(SynchronousTestCase):
    def weather(self, seed, steps=200):
        weather = Weather(seed)
        weather.rage(steps)
        weather.calm()
        groups = weather.cluster.store.groups
        sessions = 0
        for server in weather.cluster.servers:
            for session in server.sessions:
                found = self.successResultOf(groups.memberships(session.user))
                due = {member.group for member in found.members}
                self.assertEqual(set(session.groups), due, f"seed {seed}: groups of {session.name}")
                for group in weather.groups:
                    self.assertEqual(session in server.index.of(group), group in due, f"seed {seed}")
                sessions += 1
        return sessions

    def test_the_indexes_are_right_in_the_end(self):
        self.assertGreater(sum(self.weather(seed) for seed in range(15)), 15)
