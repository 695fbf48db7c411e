from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cim.errors import NoRoom, StoreUnavailable
from cim.model import GUEST, Appended, Charge, Fate
from cim.store.pages import ONCE_SECONDS
from cim.store.sqlite.checking import check
from cim.wire import conversations
from tests.harness.store import MemoryStore
from tests.store.blocks_contract import BlocksContract
from tests.store.clock_contract import ClockContract
from tests.store.contract import HERE, StoreContract
from tests.store.conversations_contract import ConversationsContract
from tests.store.conversing import ALICE, BOB, DAY, RETENTION
from tests.store.credentials_contract import CredentialsContract
from tests.store.devices_contract import DevicesContract
from tests.store.external_ids_contract import ExternalIdsContract
from tests.store.followers_contract import FollowersContract
from tests.store.groups_contract import GroupsContract
from tests.store.history_contract import HISTORY, HistoryContract
from tests.store.invitation_codes_contract import InvitationCodesContract
from tests.store.invitations_contract import ExpiringInvitationsContract
from tests.store.moderation_contract import GroupModerationContract
from tests.store.muted_users_contract import MutedUsersContract
from tests.store.mutes_contract import MutesContract
from tests.store.order_contract import Calls, OrderContract
from tests.store.page_logins_contract import PageLoginsContract
from tests.store.people_contract import PeopleContract
from tests.store.pushes_contract import PushesContract
from tests.store.refusals_contract import RefusalsContract
from tests.store.reports_contract import ReportsContract
from tests.store.reset_codes_contract import ResetCodesContract
from tests.store.rewriting_contract import RewritingContract
from tests.store.user_tokens_contract import UserTokensContract


def forget_counts(connection):
    """Leave a database as an earlier release does, which counted nothing."""
    connection.execute("UPDATE conversation SET accounted = NULL, entries = 0, bytes = 0, day = 0, today = 0")
    connection.execute("UPDATE reader SET entries = 0, bytes = 0, day = 0, behind_entries = 0, behind_bytes = 0")


class MemoryCase(TestCase):
    retention = RETENTION

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000.5)
        self.store = MemoryStore(self.clock, self.retention)
        self.peers = itertools.count(10_000)
        self.addCleanup(self.check)

    def check(self):
        """What a test left in the store fits, but for users of whom contracts make no accounts."""
        self.assertEqual([one for one in check(self.store.database) if not one.endswith("does not exist")], [])

    async def let_pass(self, seconds):
        self.clock.advance(seconds)

    def now(self):
        return int(self.clock.seconds() * 1000)


class MemoryPeopleTests(PeopleContract, MemoryCase):
    pass


class MemoryClockTests(ClockContract, MemoryCase):
    def setUp(self):
        super().setUp()
        self.jumped = 0.0
        self.store = MemoryStore(self.clock, self.retention, time_of_day=lambda: self.clock.seconds() + self.jumped)

    async def jump(self, seconds):
        self.clock.advance(1)
        self.jumped += seconds
        self.store.looking.look()


class MemoryStoreTests(StoreContract, DevicesContract, MemoryCase):
    pass


class MemoryBlocksTests(BlocksContract, MemoryCase):
    pass


class MemoryReportsTests(ReportsContract, MemoryCase):
    pass


class MemoryMutedUsersTests(MutedUsersContract, MemoryCase):
    async def kept_mutes(self):
        return self.store.database.execute("SELECT count(*) FROM muted_user").fetchone()[0]


class MemoryMutesTests(MutesContract, MemoryCase):
    pass


class MemoryPushesTests(PushesContract, MemoryCase):
    pass


class MemoryInvitationsTests(ExpiringInvitationsContract, MemoryCase):
    pass


class MemoryConversationsTests(ConversationsContract, MemoryCase):
    async def test_heads_say_when_they_were_read(self):
        self.assertEqual((await self.conversations.heads(1, "phone")).as_of, self.now())


class MemoryHistoryTests(HistoryContract, MemoryCase):
    retention = HISTORY

    def fill(self, full):
        self.store.full = full

    async def forget_counts(self):
        await self.store.conversations._sqlite.write("forget", forget_counts)

    async def rows(self, query):
        return await self.store.conversations._sqlite.read(
            "test", lambda connection: connection.execute(query).fetchall()
        )

    async def test_what_counts_nowhere_makes_nothing_be_counted_anew(self):
        group = await self.store.groups.create(ALICE, "x", open=True, history=True)
        name = conversations.group(group.id)
        await self.flood(80, conversation=name)
        await self.flood(5, conversation=name, charge=Charge.NONE, batch=1)
        self.assertEqual(await self.rows("SELECT accounted, total FROM conversation"), [(85, 85)])

    async def test_what_was_recalled_is_counted_without_its_text(self):
        read = await self.chat(70)
        said = await self.say(*["x" * 20_000] * 2)
        # So that it must be asked what is behind BOB's mark.
        await self.append("x" * 230_000)
        self.assertNotEqual(await self.rows(f"SELECT upto_n FROM reader WHERE user = {ALICE}"), [(0,)])
        for text in (read[-1], *said):
            await self.append("", counts=False, recalls=text)
        held = await self.rows("SELECT count(*), sum(length(body)) FROM message")
        self.assertEqual(await self.rows("SELECT entries, bytes FROM conversation"), held)
        self.assertEqual(await self.rows(f"SELECT entries, bytes FROM reader WHERE user = {ALICE}"), held)
        self.assertEqual(
            await self.rows(f"SELECT behind_entries, behind_bytes FROM reader WHERE user = {ALICE}"),
            await self.rows(
                "SELECT count(*), sum(length(body)) FROM message, reader WHERE message.conversation = "
                f"reader.conversation AND user = {ALICE} AND (message.epoch, message.n) > (upto_epoch, upto_n)"
            ),
        )

    async def test_a_recall_that_has_the_log_trimmed_is_counted(self):
        await self.chat(70)
        await self.let_pass(31 * DAY)
        said = await self.say("x" * 20_000, *["."] * 8)
        await self.append("", counts=False, recalls=said[0])
        held = await self.rows("SELECT count(*), sum(length(body)) FROM message")
        self.assertTrue(held[0][0] < 80, held)
        self.assertEqual(await self.rows("SELECT entries, bytes FROM conversation"), held)

    async def test_a_text_that_was_recalled_is_given_back_to_its_quota(self):
        texts = {}
        for number in range(100):
            talk = conversations.private(ALICE, 2000 + number)
            said = await self.append("x" * 40_000, conversation=talk)
            if isinstance(said, NoRoom):
                break
            texts[talk] = said.position
        self.assertIsInstance(said, NoRoom)
        for talk in list(texts)[:3]:
            await self.append("", conversation=talk, counts=False, recalls=texts[talk])
        self.assertIsInstance(await self.append("x" * 40_000), Appended)

    async def test_nothing_of_a_quota_is_left_of_a_deleted_account(self):
        account = await self.store.accounts.register("alice")
        talk = conversations.private(account.id, BOB)
        await self.append("x" * 40_000, sender=account.id, conversation=talk)
        self.assertEqual(len(await self.rows("SELECT user FROM stored")), 1)
        await self.store.credentials.delete(account.id)
        self.assertEqual(await self.rows("SELECT user FROM stored"), [])


class MemoryRewritingTests(RewritingContract, MemoryCase):
    pass


class MemoryOrderTests(OrderContract, RefusalsContract, MemoryCase):
    @settings(deadline=None)
    @given(st.randoms(use_true_random=False))
    def test_random_calls(self, chance):
        routes = [self.store.conversations, self.other().conversations]
        calls = Calls(chance, f"p:{ALICE}:{next(self.peers)}")
        self.successResultOf(Deferred.fromCoroutine(calls.run(self, routes)))

    async def test_refusals_are_forgotten_although_nothing_is_stored(self):
        for round in range(3):
            for number in range(40):
                await self.decide(self.item("a", client_id=f"{round}-{number}"), Fate.REFUSED, "no")
            self.clock.advance(ONCE_SECONDS + 1)
        kept = self.store.database.execute("SELECT count(*) FROM once WHERE refused IS NOT NULL").fetchone()[0]
        self.assertLessEqual(kept, 40)


class MemoryGroupModerationTests(GroupModerationContract, MemoryCase):
    pass


class MemoryGroupsTests(GroupsContract, CredentialsContract, MemoryCase):
    pass


class MemoryInvitationCodesTests(InvitationCodesContract, MemoryCase):
    def other(self):
        return self.store


class MemoryResetCodesTests(ResetCodesContract, MemoryCase):
    def other(self):
        return self.store


class MemoryFollowersTests(FollowersContract, MemoryCase):
    def other(self):
        return self.store


class MemoryPageLoginsTests(PageLoginsContract, MemoryCase):
    def other(self):
        return self.store


class MemoryOwnUsersTests(ExternalIdsContract, UserTokensContract, MemoryCase):
    def other(self):
        return self.store


class AwayTests(SynchronousTestCase):
    def setUp(self):
        self.store = MemoryStore(Clock())

    def test_calls_fail_while_it_is_away(self):
        self.store.available = False
        self.failureResultOf(self.store.accounts.register("alice"), StoreUnavailable)
        self.failureResultOf(self.store.sessions.claim(1, GUEST, HERE, "a"), StoreUnavailable)
        self.assertNotEqual(self.store.health(), "")
        self.store.available = True
        self.assertIsNone(self.successResultOf(self.store.accounts.named("alice")))
        self.assertEqual(self.successResultOf(self.store.sessions.sessions(1)), [])

    def test_listeners_hear_of_its_return(self):
        told = []
        self.store.on_reconnect(lambda: told.append(self.store.health()))
        self.store.available = True
        self.assertEqual(told, [])
        self.store.available = False
        self.store.available = True
        self.assertEqual(told, [""])
