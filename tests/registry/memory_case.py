"""The base of tests on the ZooKeeper in memory."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.test.proto_helpers import EventLoggingObserver
from twisted.trial.unittest import SynchronousTestCase

from cim.nodes import NodeData
from tests.harness.zookeeper import MemoryEnsemble, MemoryZooKeeper

OURS = NodeData("0.1", "run-1").encode()
BEFORE = NodeData("0.1", "run-0").encode()


def retry(failures):
    return 1.0


class MemoryCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.ensemble = MemoryEnsemble()
        self.asked = []
        self.ensemble.before = lambda operation, path: self.asked.append((operation, path))
        self.log = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def client(self, **options):
        client = MemoryZooKeeper(self.ensemble, self.clock, **options)
        self.addCleanup(client.stopService)
        return client

    def connected(self):
        client = self.client()
        client.startService()
        self.settle()
        return client

    def settle(self):
        """Run everything that needs no time."""
        for _ in range(100):
            self.clock.advance(0)

    def said(self):
        return [event["log_format"].split("{")[0] or event["log_format"] for event in self.log]

    def node(self, path):
        return self.ensemble.nodes.get(path)
