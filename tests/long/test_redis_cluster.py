"""The store on a real Redis Cluster: what every store promises, and what may happen to masters and slots meanwhile."""

from __future__ import annotations

from functools import partial

from attrs import evolve

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from cim.errors import Forbidden, StoreUnavailable
from cim.model import Appended
from cim.store.redis.buckets import BUCKETS, DIRECTORY, SLOTS_OF, TAGS, bucket_of
from cim.store.redis.cluster.copies import COPY, HELD
from cim.store.redis.keys import Key
from cim.store.space import Usage
from tests.integration import test_chaos
from tests.integration.redis_cluster_case import RedisClusterCase, ShardedCase, item
from tests.long import SKIP
from tests.store.blocks_contract import BlocksContract
from tests.store.contract import StoreContract
from tests.store.conversations_contract import ConversationsContract
from tests.store.conversing import RETENTION
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


class ClusterCase(RedisClusterCase):
    skip = SKIP


class TwoRoutes(ClusterCase):
    async def setUp(self):
        await super().setUp()
        self.second = self.started()
        await self.until(lambda: not self.second.health())

    def other(self):
        return self.second


class ClusterStoreTests(StoreContract, DevicesContract, ClusterCase):
    pass


class ClusterModerationTests(BlocksContract, ClusterCase):
    pass


class ClusterReportsTests(ReportsContract, ClusterCase):
    pass


class ClusterMutedUsersTests(MutedUsersContract, ClusterCase):
    async def kept_mutes(self):
        ends = await self.command("ZCARD", Key.MUTED_ENDS)
        kept = await self.command("HVALS", Key.MUTED)
        self.assertEqual(ends, sum(not one.startswith(b"0 ") for one in kept))
        return len(kept)


class ClusterMutesTests(MutesContract, ClusterCase):
    pass


class ClusterPushesTests(PushesContract, ClusterCase):
    pass


class ClusterInvitationsTests(InvitationsContract, ClusterCase):
    pass


class ClusterConversationsTests(ConversationsContract, ClusterCase):
    retention = RETENTION
    empty_pages = 0  # each bucket looks at as many as a single Redis does


class ClusterHistoryTests(HistoryContract, ClusterCase):
    retention = HISTORY

    async def setUp(self):
        await super().setUp()
        await self.until(lambda: self.store._space.usage)

    def fill(self, full):
        self.store._space.stopService()
        self.store._space._seen(Usage(95 if full else 50, 100))

    async def forget_counts(self):
        for key in [key for key in await self.keys() if key.startswith(Key.COUNTERS)]:
            for name in await self.command("HKEYS", key):
                if name in (b"held", b"bytes") or name.startswith(b"h:"):
                    await self.command("HDEL", key, name)


class ClusterRewritingTests(RewritingContract, ClusterCase):
    retention = RETENTION


class ClusterOrderTests(OrderContract, RefusalsContract, TwoRoutes):
    retention = RETENTION


class ClusterFollowersTests(FollowersContract, TwoRoutes):
    pass


class ClusterCodesTests(
    ExternalIdsContract,
    InvitationCodesContract,
    PageLoginsContract,
    ResetCodesContract,
    UserTokensContract,
    TwoRoutes,
):
    pass


class ClusterGroupModerationTests(GroupModerationContract, ClusterCase):
    pass


class ClusterGroupsTests(GroupsContract, CredentialsContract, ClusterCase):
    pass


class ClusterPeopleTests(PeopleContract, ClusterCase):
    async def made_earlier(self, name, id):
        self.skipTest("a cluster has nothing of earlier releases")


class ClusterCheckTests(ClusterCase):
    async def checked(self):
        """What is wrong, and how much there is."""
        check = self.store.check()
        self.assertTrue(await check.is_current())
        wrong = [one async for one in check.wrong()]
        counted = check.counted
        return wrong, (counted.accounts, counted.groups, counted.conversations, counted.messages)

    async def test_what_is_in_several_buckets(self):
        users = [(await self.store.credentials.create(f"user {number}", "hash")).id for number in range(5)]
        group = await self.store.groups.create(users[0], "friends", open=True, history=False)
        for user in users[1:]:
            await self.store.groups.add(group.id, user, user)
        await self.store.groups.mute(group.id, users[0], users[1], until=0)
        await self.store.blocks.block(users[2], users[3])
        await self.store.muted_users.mute(users[4])
        self.store.conversations.followed = True
        name = f"g:{group.id}"
        talk = f"p:{users[0]}:{users[1]}"
        for one in (item(name, users[0]), item(talk, users[1])):
            self.assertIsInstance((await self.store.conversations.append([one]))[0], Appended)
        self.assertEqual(await self.checked(), ([], (5, 1, 2, 2)))
        # Each is what a master may lose with its last moments.
        connection, bucket = self.store._connection, bucket_of(name)
        gone = ("HDEL", Key.MEMBERS.of(name), users[1]), ("HDEL", Key.GROUP.of(name), "version")
        await connection.commands_in("test", [(bucket, words) for words in gone])
        wrong, _ = await self.checked()
        self.assertEqual(
            wrong,
            [
                f"{name}: those who append do not know how the group is",
                f"{name}: those who append know 4 members of 5",
                f"{name}: those who append do not know what user {users[1]} is there",
            ],
        )
        await connection.commands_in("test", [(bucket_of(talk), ("DEL", Key.CHANGED))])
        self.assertIn(f"{talk}: that it has changed will be told to no webhook", (await self.checked())[0])

    async def test_a_late_copy_does_not_replace_a_later_one(self):
        alice, bob = [(await self.store.credentials.create(name, "hash")).id for name in ("alice", "bob")]
        group = await self.store.groups.create(alice, "friends", open=True, history=False)
        await self.store.groups.add(group.id, bob, bob)
        connection, name = self.store._connection, f"g:{group.id}"
        number, _ = await connection.evaluate_in("test", DIRECTORY, HELD, (Key.TODO,), ("u", group.id, bob))
        await self.store.groups.remove(group.id, bob, bob)
        late = (name, number, "u", group.id, bob, "=0 ", "")
        self.assertEqual(await connection.evaluate_in("test", bucket_of(name), COPY, (Key.COPIED,), late), 0)
        self.assertEqual(await self.checked(), ([], (2, 1, 0, 0)))


class FailoverTests(ShardedCase):
    skip = SKIP

    async def test_masters_are_killed_and_come_back(self):
        talks = self.talks()
        await self.go_on(talks)
        # That of the directory, and another one.
        for bucket in (DIRECTORY, BUCKETS - 1):
            before = self.store.epoch()
            master = await self.owner(bucket)
            await master.kill()
            await self.until(partial(self.is_replaced, bucket, master))
            await self.until(lambda: "no replica confirms what is written, and a majority of 2" in self.store.health())
            await master.start()
            await self.go_on(talks)
            await self.until(lambda before=before: self.store.epoch() == self.other.epoch() > before)
            await self.cluster.whole()
        await self.judged(talks)

    async def test_a_master_that_stood_still_is_left(self):
        talks = self.talks()
        await self.go_on(talks)
        master = await self.owner(bucket_of(talks[0].conversation))
        master.pause()
        self.addCleanup(master.resume)
        await self.until(partial(self.is_replaced, bucket_of(talks[0].conversation), master))
        master.resume()
        await self.go_on(talks)
        await self.judged(talks)

    async def test_a_replica_takes_over_as_it_is_told(self):
        talks = self.talks()
        await self.go_on(talks)
        for replica in self.cluster.nodes[self.cluster.masters :]:
            await self.cluster.failover(replica)
            await self.go_on(talks)
        await self.judged(talks)


class MovedTests(ShardedCase):
    skip = SKIP

    async def test_slots_move(self):
        talks = self.talks()
        await self.go_on(talks)
        epoch = self.store.epoch()
        buckets = dict.fromkeys([*(bucket_of(talk.conversation) for talk in talks), BUCKETS - 1])
        for bucket in buckets:
            source = await self.owner(bucket)
            target = next(node for node in await self.cluster.claims() if node is not source)
            await self.cluster.move(SLOTS_OF[bucket], source, target)
            await self.go_on(talks, more=3)
        await self.go_on(talks)
        await self.until(lambda: all(one.untold is None for one in self.store._connection.looks.buckets))
        self.assertEqual((self.store.epoch(), self.other.epoch()), (epoch, epoch))
        await self.judged(talks)

    async def test_nothing_is_done_in_a_bucket_that_is_on_its_way(self):
        """Half of its keys are on each node: no script may see one half."""
        one, two = item("p:1:2", 1), evolve(item("p:1:2", 2), client_id="2")
        (first,) = await self.store.conversations.append([one])
        bucket = bucket_of("p:1:2")
        source = await self.owner(bucket)
        target = next(node for node in await self.cluster.claims() if node is not source)
        move, slot = self.cluster.move, SLOTS_OF[bucket]
        await self.cluster.begin(slot, source, target)
        await self.cluster.carry(target, source, [TAGS[bucket] + Key.COUNTERS.of("p:1:2")])
        (refused,) = await self.other.conversations.append([two])
        self.assertIsInstance(refused, StoreUnavailable)
        with self.assertRaises(StoreUnavailable):
            await self.other.conversations.read("p:1:2", limit=10)
        self.assertEqual(self.said(" refused "), [])  # no script was begun, to fail in the middle
        await move(slot, source, target)
        (second,) = await self.other.conversations.append([two])
        self.assertEqual((second.previous, second.repeated), (first.position, False))

    async def test_the_directory_moves(self):
        talks = self.talks(3)
        alice = await self.store.credentials.create("alice", "hash")
        source = await self.owner(DIRECTORY)
        target = next(node for node in await self.cluster.claims() if node is not source)
        await self.cluster.move(SLOTS_OF[DIRECTORY], source, target)
        self.assertEqual(await self.other.accounts.named("alice"), alice)
        await self.go_on(talks)
        await self.judged(talks)

    async def test_what_a_route_left_to_copy_is_copied_by_others(self):
        alice, bob = [(await self.store.credentials.create(name, "hash")).id for name in ("alice", "bob")]
        copies = self.store._copying.copies
        copies.stop()
        carry, copies.carry = copies.carry, lambda notes: Deferred().addCallback(carry)  # it hangs there
        self.store.blocks.block(alice, bob)
        key, bucket = Key.BLOCKED.of(alice), bucket_of(f"p:{alice}:{bob}")

        async def is_copied():
            (there,) = await self.other._connection.commands_in("test", [(bucket, ("HEXISTS", key, bob))])
            return there

        self.assertFalse(await is_copied())
        await self.until(is_copied)
        await self.until(
            lambda: self.other._connection.command("test", "HKEYS", Key.TODO).addCallback(lambda left: left == [b"#"])
        )

    async def test_a_bucket_that_lost_what_was_copied(self):
        alice, bob = [(await self.store.credentials.create(name, "hash")).id for name in ("alice", "bob")]
        group = await self.store.groups.create(alice, "friends", open=True, history=False)
        await self.store.groups.add(group.id, bob, bob)
        name = f"g:{group.id}"
        lost = ("UNLINK", Key.GROUP.of(name), Key.MEMBERS.of(name))
        await self.store._connection.commands_in("test", [(bucket_of(name), lost)])
        for sender in (bob, alice):
            self.assertIsInstance((await self.other.conversations.append([item(name, sender)]))[0], Appended)
        (refused,) = await self.other.conversations.append([item(name, 7)])
        self.assertIsInstance(refused, Forbidden)

    async def test_conversations_begin_without_a_new_epoch_of_the_store(self):
        await self.until(lambda: all(one.untold is None for one in self.store._connection.looks.buckets))
        before = self.store.epoch()
        for number in range(50):
            (one,) = await self.store.conversations.append([item(f"p:1:{1000 + number}", 1)])
            self.assertIsInstance(one, Appended)
            await deferLater(self.reactor, 0.05)
        self.assertEqual((self.store.epoch(), self.other.epoch()), (before, before))


class ShardedChaosTests(test_chaos.ChaosTests):
    skip = SKIP
    timeout = 900
    seconds = 120
    faults = 25
    options = ("--sharded",)
