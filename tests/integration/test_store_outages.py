"""Tests that the store recovers from any outage of Redis by itself, and that nobody waits long."""

from __future__ import annotations

from twisted.internet.defer import DeferredList, gatherResults
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogLevel, globalLogPublisher
from twisted.protocols.portforward import ProxyFactory, ProxyServer
from twisted.test.proto_helpers import EventLoggingObserver

from cim.errors import OutOfOrder, StoreUnavailable
from cim.model import GUEST, Append
from cim.store.redis.conversations import APPEND
from cim.wire import positions
from tests.integration.redis_case import RedisCase
from tests.store.contract import HERE


class Meddler(ProxyServer):
    """Passes on what a client sends to Redis, unless the factory's `meddle(server, data)` took care of it."""

    def connectionMade(self):
        self.factory.connections.append(self.factory.reactor.seconds())
        super().connectionMade()

    def dataReceived(self, data):
        if not self.factory.meddle(self, data):
            super().dataReceived(data)


class OutageCase(RedisCase):
    def setUp(self):
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        return super().setUp()

    def proxy(self, meddle=lambda server, data: False):
        """Start a proxy before Redis and return it; its `listens` is the port where it listens."""
        factory = ProxyFactory("127.0.0.1", self.redis.port)
        factory.protocol, factory.noisy = Meddler, False
        factory.reactor, factory.connections, factory.meddle = self.reactor, [], meddle
        listening = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        factory.listens = listening.getHost().port
        return factory

    def cutting(self, word, times):
        """A proxy that cuts the connection when `word` passes, the first `times` times."""

        def meddle(server, data):
            if word in data and cuts[0] < times:
                cuts[0] += 1
                server.transport.abortConnection()
                return True
            return False

        cuts = [0]
        proxy = self.proxy(meddle)
        proxy.cuts = cuts
        return proxy

    def said(self, port, word):
        return [
            event
            for event in self.logged
            if event["log_level"] in (LogLevel.warn, LogLevel.info)
            and event.get("address") == f"127.0.0.1:{port}"
            and word in event["log_format"]
        ]

    async def well(self, store):
        await self.until(lambda: not store.health())

    async def fails(self, call, within):
        """Expect StoreUnavailable, in time."""
        started = self.reactor.seconds()
        await self.assertFailure(call, StoreUnavailable)
        self.assertTrue(self.reactor.seconds() - started < within)


class RestartTests(OutageCase):
    async def test_what_was_acknowledged_is_there_after_redis_was_killed_amid_calls(self):
        back = []
        self.store.on_reconnect(lambda: back.append(self.store.health()))
        asked = [self.store.accounts.register(f"user-{number}") for number in range(2000)]
        await self.until(lambda: asked[100].called)
        await self.redis.kill()
        results = await DeferredList(asked, consumeErrors=True)
        made = [account for ok, account in results if ok]
        errors = [failure.type for ok, failure in results if not ok]
        self.assertTrue(made)
        self.assertEqual(set(errors) - {StoreUnavailable}, set())
        await self.until(self.store.health)
        self.assertEqual(back, [])
        await self.redis.start()
        await self.well(self.store)
        self.assertEqual(back, [""])
        found = await gatherResults([self.store.accounts.account(account.id) for account in made])
        self.assertEqual(found, made)
        again = await gatherResults([self.store.accounts.register(account.name) for account in made])
        self.assertEqual(again, made)

    async def test_calls_made_while_it_restarts_wait_for_it(self):
        await self.store.sessions.reserve(1, HERE, "a", seconds=30)
        await self.redis.kill()
        await self.until(self.store.health)
        claimed = self.store.sessions.claim(1, GUEST, HERE, "a")
        await self.redis.start()
        self.assertTrue(await claimed)

    async def test_appends_never_have_to_bring_their_script_however_often_redis_forgets_it(self):
        for _ in range(2):
            self.assertEqual(await self.command("SCRIPT", "EXISTS", APPEND.sha), [1])
            await self.redis.kill()
            await self.until(self.store.health)
            await self.redis.start()
            await self.well(self.store)
            await self.until(lambda: not self.raw.health())

    async def test_it_is_said_once_that_it_is_away_and_once_that_it_is_back(self):
        for times in (1, 2):
            await self.redis.kill()
            await self.fails(self.store.sessions.sessions(1), 4)
            await self.fails(self.store.sessions.sessions(1), 0.5)
            await self.redis.start()
            await self.well(self.store)
            await self.store.sessions.sessions(1)
            # The store's connection and the one that looks at keys.
            await self.until(lambda times=times: len(self.said(self.redis.port, "} is back")) == 2 * times)
            self.assertEqual(len(self.said(self.redis.port, "} is away")), 2 * times)

    async def test_a_listener_that_fails_harms_nobody(self):
        back = []

        def fails():
            raise ValueError("a listener's mistake")

        self.store.on_reconnect(fails)
        self.store.on_reconnect(lambda: back.append(True))
        await self.redis.restart()
        await self.until(lambda: back)
        await self.store.accounts.register("alice")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_connections_that_redis_closes_are_made_anew(self):
        for _ in range(3):
            await self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await self.until(self.store.health)
            await self.store.accounts.register("alice")
            await self.well(self.store)


class NotThereAtStartTests(OutageCase):
    async def test_it_is_used_when_it_comes(self):
        await self.redis.kill()
        store = self.started()
        back = []
        store.on_reconnect(lambda: back.append(True))
        await self.fails(store.accounts.register("alice"), 4)
        self.assertIn("away", store.health())
        await self.redis.start()
        await self.well(store)
        await store.accounts.register("alice")
        self.assertEqual(back, [True])

    async def test_being_there_at_once_is_no_return(self):
        store = self.started()
        back = []
        store.on_reconnect(lambda: back.append(True))
        await store.accounts.register("alice")
        self.assertEqual((back, store.health()), ([], ""))

    async def test_stopping_before_it_came(self):
        await self.redis.kill()
        store = self.started()
        await self.until(lambda: "refused" in store.health())
        await store.stopService()
        await self.fails(store.accounts.register("alice"), 0.5)

    async def test_a_name_that_does_not_resolve_is_said(self):
        store = self.started(host="redis.invalid")
        await self.until(lambda: "redis.invalid" in store.health() and "connected yet" not in store.health())


class FrozenTests(OutageCase):
    async def test_calls_to_a_frozen_redis_fail_in_time_and_it_heals(self):
        store = self.started(reply_timeout=0.3)
        await store.accounts.register("alice")
        self.redis.pause()
        self.addCleanup(self.redis.resume)
        asked = [store.accounts.named("alice") for _ in range(100)]
        for call in asked:
            await self.fails(call, 1.5)
        await self.until(lambda: "did not answer" in store.health())
        await self.fails(store.accounts.named("alice"), 4)
        await self.fails(store.accounts.named("alice"), 0.5)
        self.redis.resume()
        await self.well(store)
        self.assertEqual((await store.accounts.named("alice")).name, "alice")

    async def test_stopping_does_not_wait_for_a_frozen_redis(self):
        store = self.started()
        await store.accounts.register("alice")
        self.redis.pause()
        self.addCleanup(self.redis.resume)
        call = store.accounts.named("alice")
        started = self.reactor.seconds()
        stopping = store.stopService()
        self.assertTrue(store.health().endswith("is away: stopped"), store.health())
        await stopping
        self.assertTrue(self.reactor.seconds() - started < 3)
        await self.fails(call, 0.5)

    async def test_a_redis_that_still_loads_its_data_is_waited_for(self):
        def meddle(server, data):
            loading = b"PING" in data and len(pings) < 3
            if loading:
                pings.append(data)
                server.transport.write(b"-LOADING Redis is loading the dataset in memory\r\n")
            return loading

        pings = []
        proxy = self.proxy(meddle)
        store = self.started(port=proxy.listens)
        await self.until(lambda: "LOADING" in store.health())
        await store.accounts.register("alice")
        self.assertEqual(len(pings), 3)


class OrderTests(OutageCase):
    async def test_what_names_one_that_was_lost_with_its_connection_is_not_stored_before_it(self):
        """When a connection dies its calls fail one by one: who sends on after the first is not ahead of the second."""
        proxy = self.cutting(b"the second one", 1)
        store = self.started(port=proxy.listens)
        await self.well(store)
        fates = {}

        def append(name, after=""):
            item = Append("p:1:2", 1, name, b"digest", b"the %b one" % name.encode(), self.now(), after=after)
            fate = store.conversations.append([item])
            fate.addCallbacks(lambda results: results[0], lambda failure: failure.value)
            return fate.addCallback(lambda end: fates.__setitem__(name, end))

        first, second = append("first"), append("second", "first")
        third = first.addCallback(lambda _: append("third", "second"))
        await gatherResults([first, second, third])
        self.assertEqual(
            {name: type(end) for name, end in fates.items()},
            {"first": StoreUnavailable, "second": StoreUnavailable, "third": OutOfOrder},
        )
        for name, after in (("first", ""), ("second", "first"), ("third", "second")):
            await append(name, after)
        self.assertEqual(
            sorted(fates, key=lambda name: positions.parse(fates[name].position)), ["first", "second", "third"]
        )


class PasswordTests(OutageCase):
    password = "correct horse"

    async def test_a_connection_lost_during_auth_heals(self):
        proxy = self.cutting(b"AUTH", 3)
        store = self.started(port=proxy.listens)
        await self.well(store)
        self.assertEqual(proxy.cuts, [3])
        await store.accounts.register("alice")

    async def test_a_connection_lost_during_auth_after_it_was_well_heals(self):
        proxy = self.cutting(b"AUTH", 0)
        store = self.started(port=proxy.listens)
        await self.well(store)
        proxy.meddle = self.cutting(b"AUTH", 3).meddle
        await self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self.until(store.health)
        await self.well(store)
        self.assertEqual(len(proxy.connections), 5)

    async def test_a_connection_lost_during_select_heals(self):
        proxy = self.cutting(b"SELECT", 3)
        store = self.started(port=proxy.listens, database=2)
        await self.well(store)
        self.assertEqual(proxy.cuts, [3])

    async def test_a_redis_that_freezes_during_auth_heals(self):
        def meddle(server, data):
            return b"AUTH" in data and len(proxy.connections) < 3

        proxy = self.proxy(meddle)
        store = self.started(port=proxy.listens, reply_timeout=0.2)
        await self.well(store)
        self.assertEqual(len(proxy.connections), 3)

    async def test_a_wrong_password_is_said_without_telling_it_and_tried_with_moderation(self):
        proxy = self.proxy()
        store = self.started(port=proxy.listens, password="incorrect donkey")
        await self.until(lambda: len(proxy.connections) >= 5)
        self.assertIn("refuses the password", store.health())
        self.assertNotIn("donkey", store.health() + repr(store.facts()) + repr(list(self.logged)))
        first, *_, last = proxy.connections[:5]
        self.assertTrue(last - first > 0.75 * (0.1 + 0.2 + 0.4 + 0.8) - 0.05)
        self.assertEqual(len(self.said(proxy.listens, "} is away")), 1)
        await self.command("CONFIG", "SET", "requirepass", "incorrect donkey")
        await self.well(store)
        await store.accounts.register("alice")

    async def test_a_missing_password_is_said(self):
        store = self.started(password="")
        await self.until(lambda: "NOAUTH" in store.health())
        await self.command("CONFIG", "SET", "requirepass", "")
        await self.well(store)
        await store.accounts.register("alice")

    async def test_a_restart_heals(self):
        await self.store.accounts.register("alice")
        await self.redis.restart()
        await self.store.accounts.register("alice")
        await self.well(self.store)


class Stranger(Protocol):
    def dataReceived(self, data):
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class StrangerTests(OutageCase):
    async def test_something_that_is_not_redis_is_said_without_a_traceback(self):
        listening = self.reactor.listenTCP(0, Factory.forProtocol(Stranger), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        store = self.started(port=listening.getHost().port)
        await self.until(lambda: "does not answer like Redis" in store.health())
        await self.fails(store.accounts.register("alice"), 4)
        self.assertEqual(self.flushLoggedErrors(), [])
