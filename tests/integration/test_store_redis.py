"""The Redis store on a real Redis: what every store promises, and the keys it shares with upstream."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from cim.errors import StoreUnavailable
from cim.model import GUEST, Account, LoginPolicy, Reserved
from tests.integration.redis_case import RedisCase
from tests.store.contract import HERE, JAVA, THERE, StoreContract
from tests.store.conversations_contract import ConversationsContract
from tests.store.conversing import RETENTION
from tests.store.credentials_contract import CredentialsContract
from tests.store.devices_contract import DevicesContract
from tests.store.groups_contract import GroupsContract
from tests.store.order_contract import OrderContract


class RedisStoreTests(StoreContract, DevicesContract, RedisCase):
    settings = {"appendonly": "no"}


class RedisConversationsTests(ConversationsContract, RedisCase):
    settings = {"appendonly": "no"}
    retention = RETENTION


class RedisOrderTests(OrderContract, RedisCase):
    settings = {"appendonly": "no"}
    retention = RETENTION

    async def setUp(self):
        await super().setUp()
        self.second = self.started()
        await self.until(lambda: not self.second.health())

    def other(self):
        return self.second


class RedisGroupsTests(GroupsContract, CredentialsContract, RedisCase):
    settings = {"appendonly": "no"}


class SharedKeysTests(RedisCase):
    async def keys(self):
        return sorted(key.decode() for key in await self.command("KEYS", "*"))

    async def test_accounts_have_upstreams_key_and_ours(self):
        alice = await self.store.accounts.register("alice %{}")
        self.assertEqual(await self.command("GET", f"cim-account:{alice.id}"), b"alice %{}")
        self.assertEqual(await self.command("GET", "cim-name:alice%20%25%7B%7D"), str(alice.id).encode())
        self.assertEqual(
            await self.keys(), sorted([f"cim-account:{alice.id}", "cim-name:alice%20%25%7B%7D", "cim:last-account-id"])
        )

    async def test_an_account_of_upstream_is_found_by_name_and_not_made_anew(self):
        await self.command("SET", "cim-account:1545574049323", "zhangsan")
        await self.command("SET", "zhangsan", "cim-account:1545574049323")
        before = await self.keys()
        zhangsan = Account(1545574049323, "zhangsan")
        self.assertEqual(await self.store.accounts.named("zhangsan"), zhangsan)
        self.assertEqual(await self.store.accounts.register("zhangsan"), zhangsan)
        self.assertEqual(await self.store.accounts.account(1545574049323), zhangsan)
        self.assertEqual(await self.keys(), before)

    async def test_a_bare_name_that_is_something_else_is_no_account(self):
        await self.command("SADD", "login-status", "5")
        await self.command("SET", "cim-route:1", "127.0.0.1:11211:8081")
        await self.command("SET", "counter", "17")
        await self.command("SET", "stranger", "cim-account:99")
        await self.command("SET", "long", "cim-account:" + "9" * 40)
        await self.command("SET", "zero", "cim-account:007")
        await self.command("SET", "cim-account:007", "zero")
        await self.command("HSET", "hash", "a", "b")
        before = {name: await self.command("DUMP", name) for name in ("login-status", "cim-route:1", "hash")}
        names = ["login-status", "cim-route:1", "counter", "stranger", "long", "zero", "hash"]
        for name in names:
            self.assertIsNone(await self.store.accounts.named(name), name)
        made = [await self.store.accounts.register(name) for name in names]
        self.assertEqual(len({account.id for account in made}), len(names))
        self.assertTrue(all(account.id > 10**12 for account in made), made)
        for name, dump in before.items():
            self.assertEqual(await self.command("DUMP", name), dump)

    async def test_an_id_in_use_is_skipped(self):
        await self.command("SET", "cim:last-account-id", "2000000000000")
        await self.command("SET", "cim-account:2000000000001", "taken")
        await self.command("SADD", "cim-account:2000000000002", "not even a name")
        self.assertEqual((await self.store.accounts.register("alice")).id, 2000000000003)
        self.assertEqual((await self.store.accounts.register("bob")).id, 2000000000004)
        self.assertIsNone(await self.store.accounts.account(2000000000002))

    async def test_what_upstream_wrote_over_our_keys_is_no_id(self):
        await self.command("SET", "cim-name:alice", "cim-account:5")
        await self.command("SET", "cim:last-account-id", "cim-account:5")
        self.assertIsNone(await self.store.accounts.named("alice"))
        alice = await self.store.accounts.register("alice")
        self.assertEqual(await self.store.accounts.named("alice"), alice)
        self.assertTrue(alice.id <= int(await self.command("GET", "cim:last-account-id")) < alice.id + 100)

    async def test_ids_are_the_time_in_ms(self):
        before = int(self.reactor.seconds() * 1000)
        alice = await self.store.accounts.register("alice")
        self.assertTrue(before - 1000 <= alice.id <= before + 10_000)

    async def test_two_routes_registering_one_name_make_one_account(self):
        other = self.started()
        found = await gatherResults([store.accounts.register("alice") for store in (self.store, other) * 250])
        self.assertEqual(len(set(found)), 1)
        self.assertEqual(len(await self.command("KEYS", "cim-account:*")), 1)

    async def shared(self, user=1):
        """What upstream sees of a user: the route, whether it expires, whether the user is online."""
        return (
            await self.command("GET", f"cim-route:{user}"),
            await self.command("PTTL", f"cim-route:{user}") > 0,
            await self.command("SISMEMBER", "login-status", user),
        )

    async def test_upstreams_keys_follow_a_session(self):
        sessions, nothing = self.store.sessions, (None, False, 0)
        await sessions.reserve(1, HERE, "a", seconds=30)
        self.assertEqual(await self.shared(), (HERE.server.encode(), True, 0))
        await sessions.claim(1, GUEST, HERE, "a")
        self.assertEqual(await self.shared(), (HERE.server.encode(), False, 1))
        await sessions.release(1, "x")
        self.assertEqual(await self.shared(), (HERE.server.encode(), False, 1))
        await sessions.reserve(1, THERE, "b", expected={"a"}, seconds=30)
        self.assertEqual(await self.shared(), (THERE.server.encode(), True, 0))
        await sessions.release(1, "b")
        self.assertEqual(await self.shared(), nothing)
        await sessions.claim(1, GUEST, HERE, "c")
        self.assertEqual(await self.shared(), (HERE.server.encode(), False, 1))
        await self.let_pass(10)
        await sessions.end(1)
        self.assertEqual(await self.shared(), nothing)
        await sessions.reserve(1, JAVA, "d", seconds=30, live=True)
        self.assertEqual(await self.shared(), (JAVA.server.encode(), False, 1))

    async def test_upstreams_keys_follow_the_newest_live_device(self):
        sessions, many = self.store.sessions, {"policy": LoginPolicy.MANY, "seconds": 30}
        await sessions.reserve(1, HERE, "a", device="phone", **many)
        await sessions.claim(1, "phone", HERE, "a")
        await self.let_pass(1)
        await sessions.reserve(1, THERE, "b", device="desk", **many)
        self.assertEqual(await self.shared(), (HERE.server.encode(), False, 1))
        await sessions.claim(1, "desk", THERE, "b")
        self.assertEqual(await self.shared(), (THERE.server.encode(), False, 1))
        await sessions.release(1, "b")
        self.assertEqual(await self.shared(), (HERE.server.encode(), False, 1))
        await sessions.reserve(1, THERE, "c", device="desk", **many)
        await sessions.release(1, "a")
        self.assertEqual(await self.shared(), (THERE.server.encode(), True, 0))
        self.assertTrue(0 < await self.command("PTTL", "cim:session:{1}") <= 30_000)
        await sessions.release(1, "c")
        self.assertEqual(await self.shared(), (None, False, 0))

    async def test_nothing_stays_of_a_session_but_the_end_for_three_seconds(self):
        await self.store.sessions.reserve(1, HERE, "a", seconds=30)
        await self.store.sessions.claim(1, GUEST, HERE, "a")
        await self.store.sessions.end(1)
        await self.store.sessions.reserve(2, JAVA, "a", seconds=30, live=True)
        await self.store.sessions.release(2, "a")
        self.assertEqual(await self.keys(), ["cim:ended:{1}", "cim:ended:{2}"])
        for key in await self.keys():
            self.assertTrue(0 < await self.command("PTTL", key) <= 3000)

    async def test_a_lease_leaves_nothing_behind(self):
        await self.store.sessions.hold_lease(HERE, "route-1", 30)
        self.assertTrue(0 < await self.command("PTTL", f"cim:lease:{{{HERE}}}") <= 30_000)
        await self.store.sessions.drop_lease(HERE, "route-1")
        self.assertEqual(await self.keys(), [])

    async def test_a_string_that_java_wrote_in_the_place_of_the_online_set_stops_no_session(self):
        await self.command("SET", "login-status", "cim-account:1")
        await self.store.sessions.reserve(1, HERE, "a", seconds=30)
        self.assertTrue(await self.store.sessions.claim(1, GUEST, HERE, "a"))
        self.assertTrue(await self.store.sessions.release(1, "a"))

    async def test_scripts_are_sent_once(self):
        async def calls(name):
            for line in (await self.command("INFO", "commandstats")).decode().splitlines():
                if line.startswith(f"cmdstat_{name}:"):
                    return int(line.split("calls=")[1].split(",")[0])
            return 0

        for user in range(1, 21):
            await self.store.sessions.reserve(user, HERE, "a", seconds=30)
        self.assertEqual(await calls("eval"), 1)
        # The first had to ask for Redis's time.
        self.assertEqual(await calls("evalsha"), 21)

    async def test_scripts_that_redis_forgot_are_sent_again(self):
        await self.store.sessions.reserve(1, HERE, "a", seconds=30)
        await self.command("SCRIPT", "FLUSH")
        self.assertEqual(await self.store.sessions.reserve(2, HERE, "a", seconds=30), Reserved())
        self.assertEqual((await self.store.sessions.sessions(2))[0].owner, "a")
        self.assertEqual(self.store.health(), "")


class DatabaseTests(RedisCase):
    async def test_the_database_that_was_asked_for_is_used(self):
        other = self.started(database=3)
        await other.accounts.register("alice")
        self.assertEqual(await self.command("DBSIZE"), 0)
        await self.command("SELECT", 3)
        self.assertEqual(await self.command("EXISTS", "cim-name:alice"), 1)

    async def test_a_database_that_is_not_there_is_said(self):
        other = self.started(database=1000)
        await self.until(lambda: "DB index" in other.health())


class FactsTests(RedisCase):
    settings = {"maxmemory-policy": "allkeys-lru", "appendfsync": "everysec"}

    async def test_settings_that_endanger_data_are_said(self):
        await self.store.accounts.register("alice")
        facts = self.store.facts()
        self.assertIn("everysec", facts["acknowledged"])
        self.assertIn("noeviction", facts["complaint"])
        self.assertEqual(self.store.health(), "")


class ForbiddenConfigTests(RedisCase):
    settings = {"rename-command": 'CONFIG ""'}

    async def test_a_redis_that_does_not_tell_its_settings_will_do(self):
        await self.store.accounts.register("alice")
        self.assertEqual(self.store.health(), "")
        self.assertIn("unknown", self.store.facts()["acknowledged"])


class RefusalTests(RedisCase):
    settings = {"maxmemory": "1"}

    async def test_a_redis_that_refuses_writes_is_not_healthy_until_it_takes_them_again(self):
        await self.assertFailure(self.store.accounts.register("alice"), StoreUnavailable)
        self.assertIn("OOM", self.store.health())
        await self.command("CONFIG", "SET", "maxmemory", "0")
        await self.store.accounts.register("alice")
        self.assertEqual(self.store.health(), "")
