"""The registry in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.registry.memory import MemoryRegistry
from tests.registry.registry_contract import RegistryContract


class MemoryRegistryTests(RegistryContract, SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.registry = MemoryRegistry(self.clock)
        self.registry.startService()
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def settle(self):
        self.clock.advance(0)
