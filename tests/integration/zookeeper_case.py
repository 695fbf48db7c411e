"""What tests on a real ZooKeeper share."""

from __future__ import annotations

import tempfile

from kazoo.client import KazooClient

from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from cim.registry.kazoo_client import make_client
from cim.registry.zookeeper import ZooKeeper
from tests.harness.processes import ZooKeeperProcess, shared_zookeeper


class Client(ZooKeeper):
    """The bridge, with its kazoo client in sight, so that a test can take its session away."""

    kazoo = None

    def __init__(self, address, reactor, **options):
        def make(*arguments):
            self.kazoo = make_client(*arguments)
            return self.kazoo

        super().__init__(address, reactor, make=make, **options)


class ZooKeeperCase(TestCase):
    timeout = 60

    def setUp(self):
        from twisted.internet import reactor

        self.reactor = reactor

    async def shared(self):
        """The address of the ZooKeeper of the run, and a node of this test's own in it."""
        address, _, name = (await shared_zookeeper(self.reactor)).partition("/")
        return address, f"/{name}"

    async def own_zookeeper(self, *, start=True):
        process = ZooKeeperProcess(self.reactor, tempfile.mkdtemp())
        self.addCleanup(process.kill)
        if start:
            await process.start()
        return process

    def client(self, address, **options):
        client = Client(address, self.reactor, **{"session_timeout": 5.0, **options})
        self.addCleanup(client.stopService)
        return client

    async def connected(self, address, **options):
        client = self.client(address, **options)
        client.startService()
        await client.whenConnected()
        return client

    async def until(self, condition, what="", seconds=20.0):
        """Wait until `condition()` holds."""
        deadline = self.reactor.seconds() + seconds
        while not condition():
            self.assertLess(self.reactor.seconds(), deadline, f"in vain for {what or condition}")
            await deferLater(self.reactor, 0.01, lambda: None)

    async def take_session(self, address, kazoo):
        """End the session of a kazoo client from outside."""
        identity = kazoo.client_id

        def end():
            thief = KazooClient(address, client_id=identity, logger=kazoo.logger)
            thief.start(10)
            thief.stop()
            thief.close()

        await deferToThread(end)

    async def raw(self, address, act):
        """Do something with a kazoo client of its own, in a thread."""

        def with_client():
            client = KazooClient(address)
            client.start(10)
            try:
                return act(client)
            finally:
                client.stop()
                client.close()

        return await deferToThread(with_client)
