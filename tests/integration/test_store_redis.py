"""The Redis store on a real Redis: what every store promises, and the keys it shares with upstream."""

from __future__ import annotations

import os
from typing import ClassVar
from urllib.parse import quote

from attrs import evolve

from twisted.internet.defer import Deferred, gatherResults

from cim.daemon.clock import time_of_day
from cim.errors import Conflict, NoRoom, StoreUnavailable
from cim.model import GUEST, Account, Appended, Credential, LoginPolicy, Registration, Reserved, Retention, Sanction
from cim.store.redis import edits
from cim.store.redis.changing import Changing
from cim.store.redis.edits import note_all_edits
from cim.store.redis.keys import Key
from cim.store.redis.names import INDEXED, STEP
from cim.store.redis.people import STEP as PEOPLE_STEP
from cim.store.redis.schema import NEWEST, RedisSchema
from cim.store.rules.followers import IDLE_MS
from cim.store.rules.pushes import MOST
from cim.store.space import Usage
from cim.wire import native, positions
from cim.wire.cim_pb2 import EDIT, REACTION, TEXT, Send
from tests.integration.redis_case import RedisCase
from tests.store.blocks_contract import BlocksContract
from tests.store.contract import HERE, JAVA, THERE, StoreContract
from tests.store.conversations_contract import ConversationsContract
from tests.store.conversing import ALICE, BOB, RETENTION, TALK, Conversing
from tests.store.credentials_contract import CredentialsContract
from tests.store.devices_contract import DevicesContract
from tests.store.external_ids_contract import ExternalIdsContract
from tests.store.followers_contract import FollowersContract
from tests.store.groups_contract import GroupsContract
from tests.store.history_contract import HISTORY, HistoryContract
from tests.store.invitation_codes_contract import InvitationCodesContract
from tests.store.invitations_contract import InvitationsContract
from tests.store.moderation_contract import GroupModerationContract
from tests.store.muted_users_contract import MutedUsersContract
from tests.store.mutes_contract import MutesContract
from tests.store.order_contract import OrderContract
from tests.store.page_logins_contract import PageLoginsContract
from tests.store.people_contract import PeopleContract
from tests.store.pushes_contract import PushesContract
from tests.store.refusals_contract import RefusalsContract
from tests.store.reports_contract import ReportsContract
from tests.store.reset_codes_contract import ResetCodesContract
from tests.store.rewriting_contract import RewritingContract
from tests.store.user_tokens_contract import UserTokensContract


class RedisStoreTests(StoreContract, DevicesContract, RedisCase):
    settings = {"appendonly": "no"}


class RedisBlocksTests(BlocksContract, RedisCase):
    pass


class RedisReportsTests(ReportsContract, RedisCase):
    settings = {"appendonly": "no"}

    async def test_nothing_is_left_of_removed_ones(self):
        made = await self.make()
        await self.reports.close(made.id, "", "")
        await self.make(2)
        await self.reports.forget_said(BOB)
        self.assertEqual(await self.command("KEYS", "cim:reports*"), [])


class RedisMutedUsersTests(MutedUsersContract, RedisCase):
    settings = {"appendonly": "no"}

    async def kept_mutes(self):
        ends = await self.command("ZCARD", Key.MUTED_ENDS)
        kept = await self.command("HVALS", Key.MUTED)
        self.assertEqual(ends, sum(not one.startswith(b"0 ") for one in kept))
        return len(kept)


class RedisMutesTests(MutesContract, RedisCase):
    pass


class RedisPushesTests(PushesContract, RedisCase):
    async def test_an_address_that_goes_leaves_nothing(self):
        alice, _ = await self.users()
        for number in range(MOST + 5):
            await self.pushes.register(Registration(alice, "fcm", f"token-{number}", "phone"))
        owners = Key.PUSH_OWNER.of("*")
        self.assertEqual(len(await self.raw.command("", "KEYS", owners)), MOST)


class RedisInvitationsTests(InvitationsContract, RedisCase):
    pass


class RedisConversationsTests(ConversationsContract, RedisCase):
    settings = {"appendonly": "no"}
    retention = RETENTION


class RedisHistoryTests(HistoryContract, RedisCase):
    settings = {"appendonly": "no"}
    retention = HISTORY

    async def setUp(self):
        await super().setUp()
        await self.until(lambda: self.store._space.usage)

    def fill(self, full):
        self.store._space.stopService()
        self.store._space._seen(Usage(95 if full else 50, 100))

    async def forget_counts(self):
        for key in await self.command("KEYS", "cim:n:*"):
            for name in await self.command("HKEYS", key):
                if name in (b"held", b"bytes") or name[:2] == b"h:":
                    await self.command("HDEL", key, name)

    async def test_a_long_log_is_counted_in_steps(self):
        self.store.conversations._retention = Retention(days=30, count=10_000, bytes=1 << 30)
        said = await self.say(*["x" * 40_000] * 191)
        self.store.conversations._retention = evolve(HISTORY, user_bytes=0)
        counted = []
        for _ in range(3):
            self.assertIsInstance(await self.append("."), Appended)
            held = await self.command("HGET", f"cim:n:{{{TALK}}}", "held")
            counted.append(int(held.split(b" ")[1]))
        self.assertEqual(counted, [50, 100, 150])
        self.assertRefused(await self.append("."), "share")
        # What was read goes, once it is known, in steps too.
        await self.reads(said[-1], BOB)
        for _ in range(20):
            self.assertIsInstance(await self.append("."), Appended)
        self.assertTrue(len(await self.held()) < 60)

    async def test_what_an_earlier_release_trimmed_and_appended_is_counted(self):
        said = await self.say(*["."] * 80, sender=BOB)
        await self.flood(400)
        stream = f"cim:c:{{{TALK}}}"
        last = (await self.held())[-1]
        epoch, n = positions.parse(last)
        # It trims by count alone, and appends what nobody counts.
        self.assertTrue(await self.command("XTRIM", stream, "MAXLEN", 20))
        body = self.item("by another").body
        position = f"{epoch}-{n + 1}"
        await self.command("XADD", stream, position, "s", BOB, "w", self.now(), "t", 999, "b", body)
        await self.command("HSET", f"cim:n:{{{TALK}}}", "log", f"{position} 999 999 {self.now()}")
        self.assertNotIn(said[-1], await self.held())
        stored, _ = await self.flood(400)
        self.assertEqual(len(await self.held()), 21 + stored)
        self.assertTrue(80 <= stored <= 96, stored)


class RedisMemoryTests(Conversing, RedisCase):
    settings = {"appendonly": "no", "maxmemory": "8mb"}

    async def fill(self):
        """Say something large again and again until it is refused."""
        for number in range(2000, 3000):
            result = await self.append("x" * 40_000, conversation=f"p:{ALICE}:{number}")
            if not isinstance(result, Appended):
                return result
            await self.store._space._once()  # as it looks every two seconds
        self.fail("it is never full")

    async def test_senders_are_refused_before_logins_are_until_there_is_space_again(self):
        refusal = await self.fill()
        self.assertIsInstance(refusal, NoRoom)
        self.assertEqual(refusal.kind, "history-space")
        self.assertTrue(0.9 <= self.store.used() < 1, self.store.used())
        self.assertIn("Redis' memory is 9", self.store.facts()["space"])
        self.assertEqual(self.store.health(), "")
        await self.store.accounts.register("alice")
        self.assertEqual((await self.store.sessions.reserve(1, HERE, "a", seconds=30)).in_the_way, ())
        for key in await self.command("KEYS", "cim:c:*"):
            await self.command("DEL", key)
        await self.until(lambda: "space" not in self.store.facts())
        self.assertTrue(self.store.used() < 0.9)
        self.assertIsInstance(await self.append("hello"), Appended)


class RedisRewritingTests(RewritingContract, RedisCase):
    retention = RETENTION


class RedisOrderTests(OrderContract, RefusalsContract, RedisCase):
    settings = {"appendonly": "no"}
    retention = RETENTION

    async def setUp(self):
        await super().setUp()
        self.second = self.started()
        await self.until(lambda: not self.second.health())

    def other(self):
        return self.second


class RedisFollowersTests(FollowersContract, RedisCase):
    settings = {"appendonly": "no"}

    async def setUp(self):
        await super().setUp()
        self.second = self.started()
        await self.until(lambda: not self.second.health())

    def other(self):
        return self.second

    async def test_a_route_that_does_not_know_the_time_yet(self):
        """What it asks waits until it does, or all would be forgotten."""
        await self.begin()
        await self.say("one")
        given = await self.follow()
        late = self.started()
        self.assertEqual(late.clock.now(), 0)
        self.assertEqual(await self.follow(owner="late", store=late), {})
        self.assertEqual(await self.follow(), {})
        self.assertEqual(await self.followers.place("hook", TALK), given[TALK])
        self.assertLess(abs(float(await self.command("ZSCORE", "cim:followers", "hook")) - self.now()), 10_000)

    async def test_what_it_leaves(self):
        """Nothing, an hour after the last message."""
        await self.begin()
        [one] = await self.say("one")
        await self.settle((await self.follow())[TALK], one)
        await self.let_pass(IDLE_MS / 1000 + 1)
        await self.follow()
        self.assertEqual([key for key in await self.keys() if key.startswith(("cim:f", "cim:ch"))], ["cim:followers"])


class RedisCodesTests(
    ExternalIdsContract,
    InvitationCodesContract,
    PageLoginsContract,
    ResetCodesContract,
    UserTokensContract,
    RedisCase,
):
    settings = {"appendonly": "no"}

    async def setUp(self):
        await super().setUp()
        self.second = self.started()
        await self.until(lambda: not self.second.health())

    def other(self):
        return self.second


class RedisGroupModerationTests(GroupModerationContract, RedisCase):
    settings = {"appendonly": "no"}


class RedisGroupsTests(GroupsContract, CredentialsContract, RedisCase):
    settings = {"appendonly": "no"}

    async def test_who_was_blocked_by_an_earlier_release_is_banned_for_good(self):
        alice = await self.credentials.create("alice", "one")
        await self.command("HSET", Key.CREDENTIAL.of(alice.id), "suspended", "1")
        self.assertEqual((await self.credentials.credential(alice.id)).ban, Sanction())
        self.assertTrue(await self.credentials.unban(alice.id))
        self.assertIsNone((await self.credentials.credential(alice.id)).ban)

    async def test_deleting_one_that_joins_a_group_when_it_has_left_all(self):
        alice, bob = [await self.credentials.create(name, "one") for name in ("alice", "bob")]
        group = await self.store.groups.create(alice.id, "friends", open=True, history=False)
        leave_all, left = self.store.groups.leave_all, []

        async def and_join(user):
            await leave_all(user)
            left.append(user)
            if len(left) == 1:
                await self.store.groups.add(group.id, user, user)

        self.patch(self.store.groups, "leave_all", and_join)
        await self.credentials.delete(bob.id)
        self.assertEqual([one.user for one in await self.store.groups.members(group.id)], [alice.id])


class RedisPeopleTests(PeopleContract, RedisCase):
    settings = {"appendonly": "no"}

    async def made_earlier(self, name, id):
        """Make an account as a route of an earlier release does."""
        await self.command("SET", f"cim-account:{id}", name)
        await self.command("SET", f"cim-name:{quote(name, safe='')}", id)
        await self.command("SET", f"cim:form:{{{name.lower()}}}", id)
        await self.command("HSET", f"cim:auth:{{{id}}}", "password", "hash", "valid_from", 0)

    async def test_those_who_are_there_are_put_in_by_a_step(self):
        await self.store.stopService()
        await self.command("FLUSHALL")
        for number in range(PEOPLE_STEP + 50):
            await self.made_earlier(f"User {number}", 1700000000000 + number)
        await self.command("SET", "cim-account:5", "Usertha, who is a guest")
        stores = [self.started() for _ in range(2)]
        for self.store in stores:
            await self.until(lambda: self.store.facts().get("schema") == NEWEST)
            self.assertEqual(len(await self.people("user ")), PEOPLE_STEP + 50)
        self.assertEqual(await self.command("ZCARD", Key.PEOPLE), PEOPLE_STEP + 50)

    async def test_who_is_made_by_an_earlier_release_later_is_found_from_the_first_login_on(self):
        await self.made_earlier("Alice", 1700000000001)
        self.assertEqual(await self.people("ali"), [])
        await self.credentials.credential(1700000000001)
        self.assertEqual(await self.people("ali"), ["Alice"])

    async def test_a_guest_who_gets_a_password_by_an_earlier_release_is_too(self):
        guest = await self.store.accounts.register("Alice")
        await self.command("HSET", f"cim:auth:{{{guest.id}}}", "password", "hash", "valid_from", 0)
        await self.credentials.credential(guest.id)
        self.assertEqual(await self.people("ali"), ["Alice"])

    async def test_who_is_deleted_by_an_earlier_release_is_not_found(self):
        alice, _ = await self.person("alice"), await self.person("alina")
        await self.command("DEL", f"cim-account:{alice.id}", f"cim-name:{alice.name}", f"cim:auth:{{{alice.id}}}")
        self.assertEqual(await self.people("ali"), ["alina"])
        self.assertEqual(await self.command("ZCARD", Key.PEOPLE), 1)

    async def test_who_is_deleted_while_the_step_goes_on_stays_deleted(self):
        await self.made_earlier("Alice", 1700000000001)
        people = self.store.credentials._people
        await gatherResults([Deferred.fromCoroutine(people.put_all()), self.credentials.delete(1700000000001)])
        self.assertEqual(await self.people("ali"), [])
        self.assertEqual(await self.command("EXISTS", Key.PEOPLE, "cim:auth:{1700000000001}"), 0)

    async def test_a_login_does_not_fail_with_what_lists_people(self):
        await self.made_earlier("Alice", 1700000000001)
        await self.command("SET", Key.PEOPLE, "something else")
        self.assertEqual(await self.credentials.credential(1700000000001), Credential("hash", 0))
        self.flushLoggedErrors()

    @property
    def credentials(self):
        return self.store.credentials


class SharedKeysTests(RedisCase):
    async def test_accounts_have_upstreams_key_and_ours(self):
        alice = await self.store.accounts.register("alice %{}")
        self.assertEqual(await self.command("GET", f"cim-account:{alice.id}"), b"alice %{}")
        self.assertEqual(await self.command("GET", "cim-name:alice%20%25%7B%7D"), str(alice.id).encode())
        self.assertEqual(
            await self.keys(),
            sorted(
                [
                    f"cim-account:{alice.id}",
                    "cim-name:alice%20%25%7B%7D",
                    "cim:form:{alice%20%25%7B%7D}",
                    "cim:guests",
                    "cim:last-account-id",
                ]
            ),
        )

    async def test_accounts_from_before_may_be_guests(self):
        """As a route of an earlier release left them, or a route of upstream."""
        await self.store.credentials.create("alice", "one")
        await self.command("DEL", "cim:guests")
        self.assertTrue(await self.store.accounts.guests())
        await self.store.credentials.create("bob", "one")
        self.assertTrue(await self.store.accounts.guests())
        await self.command("FLUSHDB")
        self.assertFalse(await self.store.accounts.guests())
        await self.command("SADD", "login-status", "5")
        self.assertTrue(await self.store.accounts.guests())

    async def test_an_account_of_upstream_is_found_by_name_and_not_made_anew(self):
        await self.command("SET", "cim-account:1545574049323", "zhangsan")
        await self.command("SET", "zhangsan", "cim-account:1545574049323")
        before = await self.keys()
        zhangsan = Account(1545574049323, "zhangsan")
        self.assertEqual(await self.store.accounts.named("zhangsan"), zhangsan)
        self.assertEqual(await self.store.accounts.register("zhangsan"), zhangsan)
        self.assertEqual(await self.store.accounts.account(1545574049323), zhangsan)
        # Only who may not be confused with it is noted.
        self.assertEqual(await self.keys(), sorted([*before, "cim:form:{zhangsan}"]))

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
        before = int(time_of_day() * 1000)
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

        await self.until(lambda: self.store.facts().get("schema") == NEWEST)
        before = await calls("evalsha")
        for user in range(1, 21):
            await self.store.sessions.reserve(user, HERE, "a", seconds=30)
        self.assertEqual(await calls("eval"), 1)
        # Two connections look at the epoch meanwhile.
        self.assertIn(await calls("evalsha") - before, range(20, 24))

    async def test_scripts_that_redis_forgot_are_sent_again(self):
        await self.store.sessions.reserve(1, HERE, "a", seconds=30)
        await self.command("SCRIPT", "FLUSH")
        self.assertEqual(await self.store.sessions.reserve(2, HERE, "a", seconds=30), Reserved())
        self.assertEqual((await self.store.sessions.sessions(2))[0].owner, "a")
        self.assertEqual(self.store.health(), "")


class OldNamesTests(RedisCase):
    """Accounts that an earlier release made have their names, and no forms."""

    settings = {"appendonly": "no"}
    #: Name -> id, in no order: alice and her twins, two that look like nothing now, and one of upstream's.
    there: ClassVar[dict[str, int]] = {
        "ALICE": 1700000000003,
        "alice": 1700000000001,
        "Alice": 1700000000002,
        "al\u200bice": 1700000000000,
        "\u2028": 1700000000004,
        **{f"User {number}": 1700000001000 + number for number in range(2 * STEP)},
    }

    async def setUp(self):
        await super().setUp()
        await self.store.stopService()
        await self.command("FLUSHALL")
        for name, id in self.there.items():
            await self.command("SET", f"cim-account:{id}", name)
            await self.command("SET", f"cim-name:{quote(name, safe='')}", id)
        await self.command("SET", "cim-account:1545574049323", "zhangsan")
        await self.command("SET", "zhangsan", "cim-account:1545574049323")
        await self.command("SADD", "cim-account:5", "not a name")
        await self.command("SET", "cim-account:x", "nor an account")

    async def holder(self, form):
        return (await self.command("GET", f"cim:form:{{{form}}}") or b"").split(b" ")[0]

    async def test_they_get_their_forms_when_routes_start_however_many_do(self):
        stores = [self.started() for _ in range(4)]
        made = await gatherResults([store.accounts.register("new") for store in stores])
        self.assertEqual(len(set(made)), 1)
        self.assertEqual(await self.holder("alice"), b"1700000000001")
        self.assertEqual(await self.holder("zhangsan"), b"1545574049323")
        forms = await self.command("KEYS", "cim:form:*")
        self.assertEqual(len(forms), 2 * STEP + 3)
        for store in stores:
            for name in ("aLICE", "user 7", "USER 199", "Zhangsan"):
                await self.assertFailure(store.accounts.register(name), Conflict)
            # All keep their names, and log in by them.
            for name, id in list(self.there.items())[:10]:
                self.assertEqual(await store.accounts.known_as(name), Account(id, name))
            self.assertEqual((await store.accounts.known_as("aLiCe")).name, "alice")

    async def test_no_account_is_made_before_they_have_them(self):
        store = self.started()
        waits = store.accounts.register("aLICE")
        await self.assertFailure(waits, Conflict)
        self.assertGreaterEqual(int(await self.command("GET", Key.SCHEMA)), INDEXED)

    async def test_it_is_done_once(self):
        await self.started().accounts.register("new")
        await self.command("DEL", "cim:form:{user%207}")
        await self.started().accounts.register("newer")
        self.assertEqual(await self.holder("user%207"), b"")

    async def test_one_that_is_made_by_an_earlier_release_later_gets_its_form_when_it_is_looked_up(self):
        store = self.started()
        await store.accounts.register("new")
        for name, id in (("Late", 1700000000007), ("late", 1700000000006)):
            await self.command("SET", f"cim-account:{id}", name)
            await self.command("SET", f"cim-name:{name}", id)
            self.assertEqual(await store.accounts.known_as(name), Account(id, name))
            # The older one holds it.
            self.assertEqual(await self.holder("late"), str(id).encode())
        self.assertEqual((await store.accounts.named("Late")).id, 1700000000007)
        self.assertEqual(await self.holder("late"), b"1700000000006")

    async def test_the_form_of_one_that_an_earlier_release_deleted_is_free(self):
        store = self.started()
        await store.accounts.register("new")
        await self.command("DEL", "cim-account:1700000001007", "cim-name:User%207")
        made = await store.accounts.register("uSER 7")
        self.assertEqual(await self.holder("user%207"), str(made.id).encode())

    async def test_when_its_holder_is_deleted_the_form_goes_to_the_next(self):
        store = self.started()
        for id in (1700000000001, 1700000000000, 1700000000003):
            await self.assertFailure(store.accounts.register("aLICE"), Conflict)
            await store.credentials.delete(id)
        self.assertEqual((await store.accounts.known_as("aLiCe")).id, 1700000000002)
        await self.assertFailure(store.accounts.register("aLICE"), Conflict)
        await store.credentials.delete(1700000000002)
        self.assertEqual((await store.accounts.register("aLICE")).name, "aLICE")

    async def test_a_new_account_does_not_wait_for_ever(self):
        store = self.started()
        await store.accounts.register("new")
        store._schema._steps = (Deferred,)  # it never ends
        await self.command("DEL", Key.SCHEMA)
        await self.until(lambda: not store._schema._taken)
        error = await self.assertFailure(store.accounts.register("newest"), StoreUnavailable)
        self.assertIn("try again in a moment", error.message)
        self.assertEqual((await store.accounts.known_as("alice")).name, "alice")

    async def test_redis_comes_back_with_other_data(self):
        store = self.started()
        await store.accounts.register("new")
        for change in (("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), ("PING",)):
            await self.command("DEL", Key.SCHEMA, "cim:form:{alice}")
            await self.command(*change)
            await self.until(lambda: self.command("EXISTS", Key.SCHEMA))
            self.assertEqual(await self.holder("alice"), b"1700000000001")

    async def test_a_release_before_numbered_schemas_has_indexed_them(self):
        await self.command("SET", Key.NAMES_INDEXED, 1)
        await self.started().accounts.register("new")
        self.assertEqual(await self.holder("alice"), b"")
        self.assertGreaterEqual(int(await self.command("GET", Key.SCHEMA)), INDEXED)


class SchemaTests(RedisCase):
    """What is newer than this release."""

    settings: ClassVar[dict[str, str]] = {"appendonly": "no"}

    async def test_a_route_that_starts_is_told_to_end(self):
        await self.command("SET", Key.SCHEMA, NEWEST + 1)
        refused = Deferred()
        connection = self.connection(refuse=lambda reason: refused.called or refused.callback(reason))
        connection.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(connection.stop()))
        self.assertEqual(
            await refused,
            f"Redis at 127.0.0.1:{self.redis.port} cannot be used: it has schema {NEWEST + 1}, and this release knows "
            f"schemas up to {NEWEST}: use the release that changed it, or a copy from before",
        )

    async def test_one_that_runs_stops_within_about_a_second_and_goes_on_when_it_can(self):
        alice = await self.store.accounts.register("alice")
        await self.command("SET", Key.SCHEMA, NEWEST + 1)
        changed = self.reactor.seconds()
        await self.until(self.store.health)
        self.assertLess(self.reactor.seconds() - changed, 1.5)
        self.assertIn(f"it has schema {NEWEST + 1}, and this release knows", self.store.health())
        await self.assertFailure(self.store.accounts.register("bob"), StoreUnavailable)
        await self.command("SET", Key.SCHEMA, NEWEST)
        await self.until(lambda: not self.store.health())
        self.assertEqual(await self.store.accounts.named("alice"), alice)
        self.assertIsNone(await self.store.accounts.named("bob"))

    async def test_steps_are_taken_in_order_and_again_after_a_failure(self):
        await self.store.stopService()
        await self.command("DEL", Key.SCHEMA)
        done = []

        async def first():
            done.append(1)
            if len(done) == 1:
                raise StoreUnavailable()

        async def second():
            done.append((2, await self.command("GET", Key.SCHEMA)))

        changing = Changing(self.raw, self.clock, self.random.random)
        schema = RedisSchema(self.raw, changing, (first, second), self.clock)
        schema.start()
        self.addCleanup(schema.stop)
        await self.assertFailure(Deferred.fromCoroutine(schema.reached(1)), StoreUnavailable)
        await schema.reached(2)
        await schema.stop()
        self.assertEqual(done, [1, 1, (2, b"1")])
        self.assertEqual(await self.command("GET", Key.SCHEMA), b"2")

    async def test_the_number_never_goes_back(self):
        await self.until(lambda: self.command("EXISTS", Key.SCHEMA))
        await self.command("SET", Key.SCHEMA, NEWEST + 1)
        await self.store._schema._raise(NEWEST)
        self.assertEqual(await self.command("GET", Key.SCHEMA), b"%d" % (NEWEST + 1))

    async def test_its_number_is_a_fact(self):
        await self.until(lambda: self.store.facts().get("schema") == NEWEST)

    async def test_what_upstream_wrote_at_its_key_is_no_number(self):
        for words in (("SET", Key.SCHEMA, "cim-account:1545574049323"), ("SADD", Key.SCHEMA, "7")):
            await self.command("DEL", Key.SCHEMA)
            await self.command(*words)
            store = self.started()
            await self.until(lambda store=store: store.facts().get("schema") == NEWEST)
            self.assertEqual(await self.command("GET", Key.SCHEMA), b"%d" % NEWEST)


class OldEditsTests(RedisCase):
    """Edits that an earlier release stored, and did not note."""

    settings: ClassVar[dict[str, str]] = {"appendonly": "no"}

    async def say(self, n, kind=TEXT, ref=""):
        send = Send(client_id=f"c{n}", text=f"text {n}", kind=kind, ref=ref and f"5-{ref}")
        body = native.body_of(send, ALICE, "alice", self.now())
        await self.command("XADD", f"cim:c:{{{TALK}}}", f"5-{n}", "s", ALICE, "w", self.now(), "t", n, "b", body)

    async def noted(self):
        places = [place.decode().split(" ") for place in await self.command("ZRANGE", f"cim:e:{{{TALK}}}", 0, -1)]
        return [(int(text.split("-")[1]), edit) for text, edit in places]

    async def test_the_last_edit_of_each_text_that_stands_is_noted_however_often(self):
        self.patch(edits, "MESSAGES", 3)
        for n in range(1, 6):
            await self.say(n)
        await self.command("ZADD", f"cim:x:{{{TALK}}}", 0, f"{5:020}-{3:020}")
        for n, ref in ((6, 1), (7, 2), (8, 1), (9, 3), (10, 99)):
            await self.say(n, EDIT, ref)
        await self.say(11, REACTION, 4)
        await self.command("XADD", "cim:c:{g:7}", "5-1", "strange", "entry")
        for _ in range(2):
            await gatherResults([Deferred.fromCoroutine(note_all_edits(self.raw)) for _ in range(2)])
            self.assertEqual(await self.noted(), [(1, "5-8"), (2, "5-7")])

    async def test_what_a_route_notes_meanwhile_stays(self):
        await self.say(1)
        await self.say(2, EDIT, 1)
        await self.command("ZADD", f"cim:e:{{{TALK}}}", 0, f"{5:020}-{1:020} 5-10")
        await note_all_edits(self.raw)
        self.assertEqual(await self.noted(), [(1, "5-10")])


class DatabaseTests(RedisCase):
    async def test_the_database_that_was_asked_for_is_used(self):
        other = self.started(database=3)
        await other.accounts.register("alice")
        self.assertEqual(await self.command("EXISTS", "cim-name:alice"), 0)
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
    """A Redis that refuses writes is not healthy until it takes them, whatever can be read meanwhile."""

    settings = {"save": "3600 1000000", "stop-writes-on-bgsave-error": "yes"}

    async def refused(self, code):
        """See that nothing is stored, that /health says so although reads go well, and without being asked to write."""
        await self.until(lambda: code in self.store.health(), 2)
        for _ in range(3):
            self.assertEqual((await self.store.accounts.named("alice")).name, "alice")
            self.assertIn("takes no writes, though it can be read", self.store.health())
        await self.assertFailure(self.store.accounts.register("bob"), StoreUnavailable)
        self.assertEqual(self.store.health().count(code), 1)

    async def taken_again(self):
        await self.until(lambda: not self.store.health(), 2)
        await self.store.accounts.register(f"carol {self.reactor.seconds()}")

    async def test_out_of_memory(self):
        await self.store.accounts.register("alice")
        await self.command("CONFIG", "SET", "maxmemory", "1")
        await self.refused("OOM")
        await self.command("CONFIG", "SET", "maxmemory", "0")
        await self.taken_again()

    async def test_without_replicas(self):
        await self.store.accounts.register("alice")
        await self.command("CONFIG", "SET", "min-replicas-to-write", "1")
        await self.refused("NOREPLICAS")
        await self.command("CONFIG", "SET", "min-replicas-to-write", "0")
        await self.taken_again()

    async def test_it_cannot_save(self):
        await self.store.accounts.register("alice")
        directory = (await self.command("CONFIG", "GET", "dir"))[1].decode()
        in_the_way = os.path.join(directory, "dump.rdb")
        os.mkdir(in_the_way)
        await self.command("BGSAVE")
        await self.refused("MISCONF")
        os.rmdir(in_the_way)
        await self.command("BGSAVE")
        await self.taken_again()
