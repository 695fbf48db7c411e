"""The registry on an ensemble of three ZooKeeper servers, of which some die."""

from __future__ import annotations

import tempfile

from cim.interfaces import SERVERS
from cim.registry.choose import registry_from
from tests.harness.ensemble import Ensemble
from tests.integration.zookeeper_case import ZooKeeperCase


class EnsembleTests(ZooKeeperCase):
    timeout = 120

    def registry(self, address):
        registry = registry_from(f"zookeeper:{address}", self.reactor)
        registry.startService()
        self.addCleanup(registry.stopService)
        return registry

    async def test_it_goes_on_without_its_leader_and_waits_without_a_majority(self):
        ensemble = Ensemble(self.reactor, tempfile.mkdtemp())
        self.addCleanup(ensemble.stop)
        await ensemble.start()
        server, route = (self.registry(ensemble.address) for _ in range(2))
        seen = []
        route.watch(SERVERS, lambda names: seen.append(sorted(names)))

        async def announced(name, *names):
            announcement = server.announce(SERVERS, name, b"")
            await self.until(lambda: seen and seen[-1] == [*names, name], f"{name} on the list")
            return announcement

        first = await announced("a")
        leader = await ensemble.leader()
        await leader.kill()
        began = self.reactor.seconds()
        await announced("b", "a")
        self.assertLess(self.reactor.seconds() - began, 15.0)
        await ensemble.leader()
        self.assertTrue(first.listed())
        # A server alone is no majority: what was known last stays in use.
        other = next(voter for voter in ensemble.voters if voter.pid)
        await other.kill()
        await self.until(lambda: server.health() and route.health())
        self.assertEqual(seen[-1], ["a", "b"])
        await leader.start(60.0)
        await announced("c", "a", "b")
        await self.until(lambda: not server.health() and not route.health())
        self.assertTrue(first.listed())
