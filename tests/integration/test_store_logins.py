"""What a login asks of a real Redis."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cim.model import LoginPolicy
from tests.harness.cluster import Cluster
from tests.integration.redis_case import RedisCase


class LoginTests(RedisCase):
    settings = {"appendonly": "no"}

    async def setUp(self):
        await super().setUp()
        self.commands = []
        protocol = self.store._connection._protocol
        ask = protocol.ask

        def asking(*words):
            self.commands.append(words[0])
            return ask(*words)

        protocol.ask = asking
        self.cluster = Cluster(2, 2, policy=LoginPolicy.MANY, store=self.store)

    async def soon(self, done):
        """Let the cluster go on until something is so."""

        async def turn():
            self.cluster.turn()
            await deferLater(self.reactor, 0.001)
            return done()

        await self.until(turn)

    async def log_in(self, account, device="phone", route=0, *, elsewhere=False):
        """Log a native client in, and count the commands from the login call to Welcome and shortly after.

        :param elsewhere: as if the route that opens the session were not the one that reserved it
        """
        await self.soon(lambda: not self.store._connection._unanswered)
        self.commands.clear()
        reserving = Deferred.fromCoroutine(self.cluster.routes[route].logins.login_native(account, device))
        await self.soon(lambda: reserving.called)
        admission = await reserving
        if elsewhere:
            self.store.sessions._written.clear()
        client = self.cluster.open_native(admission.place.server)
        client.hello(self.cluster.ticket(account, device, admission), device)
        await self.soon(client.begin)
        await self.soon(lambda: not self.store._connection._unanswered)
        return len(self.commands)

    async def test_a_native_login_is_four_commands_and_one_more_when_another_route_reserved_it(self):
        accounts = [await self.store.accounts.register(name) for name in ("alice", "bob", "carol")]
        await self.log_in(accounts[0])  # brings the scripts
        self.assertEqual(await self.log_in(accounts[1]), 4, self.commands)
        self.assertEqual(await self.log_in(accounts[2], elsewhere=True), 5, self.commands)

    async def test_one_beside_others_is_at_most_seven(self):
        alice = await self.store.accounts.register("alice")
        await self.log_in(alice)
        for number in range(3):
            self.assertTrue(
                3 < await self.log_in(alice, f"device-{number}", number % 2, elsewhere=True) <= 7, self.commands
            )
