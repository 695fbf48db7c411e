"""Tests of what every store promises about whom users block (cim.interfaces.IBlocks)."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import AccountMismatch, Conflict
from cim.interfaces import IBlocks
from cim.model import MAX_BLOCKED, Appended
from cim.wire import native
from tests.store.conversing import ALICE, BOB, CAROL, TALK, Conversing


class BlocksContract(Conversing):
    """Mix into a TestCase whose setUp makes `self.store`."""

    @property
    def blocks(self):
        return self.store.blocks

    async def refused(self, *args, **kwargs):
        refusal = await self.append(*args, **kwargs)
        self.assertIsInstance(refusal, AccountMismatch)
        self.assertEqual(str(refusal), str(AccountMismatch()))

    def test_it_is_a_store_of_blocks(self):
        self.assertTrue(verifyObject(IBlocks, self.blocks))

    async def test_blocking_and_unblocking(self):
        self.assertEqual(list(await self.blocks.blocked(ALICE)), [])
        for other in (CAROL, BOB, BOB):
            await self.blocks.block(ALICE, other)
        self.assertEqual(list(await self.blocks.blocked(ALICE)), [BOB, CAROL])
        self.assertEqual(list(await self.blocks.blocked(BOB)), [])
        self.assertTrue(await self.blocks.unblock(ALICE, BOB))
        self.assertFalse(await self.blocks.unblock(ALICE, BOB))
        self.assertEqual(list(await self.blocks.blocked(ALICE)), [CAROL])

    async def test_who_blocks_somebody(self):
        await gatherResults([self.blocks.block(user, BOB) for user in (ALICE, CAROL)])
        self.assertEqual(await self.blocks.blockers(BOB), {CAROL, ALICE})
        self.assertEqual(await self.blocks.blockers(CAROL), frozenset())
        await self.blocks.unblock(ALICE, BOB)
        self.assertEqual(await self.blocks.blockers(BOB), {CAROL})

    async def test_a_user_blocks_so_many_at_most(self):
        await gatherResults([self.blocks.block(ALICE, 2000 + number) for number in range(MAX_BLOCKED)])
        await self.assertFailure(self.blocks.block(ALICE, BOB), Conflict)
        await self.blocks.block(ALICE, 2000)  # one of them
        await self.blocks.unblock(ALICE, 2000)
        await self.blocks.block(ALICE, BOB)
        self.assertEqual(len(await self.blocks.blocked(ALICE)), MAX_BLOCKED)

    async def test_what_a_blocked_one_says_is_not_stored(self):
        (mine,) = await self.say("hello", sender=BOB)
        (hers,) = await self.say("hello", sender=ALICE)
        await self.blocks.block(ALICE, BOB)
        await self.refused("again", sender=BOB)
        for ref in (mine, hers):
            await self.refused("edited", sender=BOB, counts=False, refers=ref)
        await self.refused("hello", sender=BOB, client_id="client-1")
        await self.refused("again", sender=BOB, after="nothing")
        self.assertEqual(self.texts(await self.read()), ["hello", "hello"])
        # The other one, and the other's talks with others, are free.
        self.assertIsInstance(await self.append("you there?", sender=ALICE), Appended)
        self.assertIsInstance(await self.append("hello", sender=BOB, conversation=f"p:{BOB}:{CAROL}"), Appended)
        await self.blocks.unblock(ALICE, BOB)
        self.assertIsInstance(await self.append("again", sender=BOB), Appended)

    async def test_both_ways_and_whatever_the_order_of_their_ids(self):
        await self.blocks.block(ALICE, BOB)
        await self.blocks.block(BOB, ALICE)
        for sender in (ALICE, BOB):
            await self.refused("x", sender=sender)

    async def test_what_goes_past_blocks(self):
        (mine,) = await self.say("secret", sender=BOB)
        await self.blocks.block(ALICE, BOB)
        for item in ({"recalls": mine, "counts": False}, {}):
            self.assertIsInstance(await self.append("x", sender=BOB, past_blocks=True, **item), Appended)
        self.assertEqual(self.texts(await self.read())[0], "")
        # Once, so that nothing can be said by recalls.
        await self.refused("x", sender=BOB, past_blocks=True, recalls=mine, counts=False)

    async def test_a_recall_past_blocks_finds_nothing_but_what_is_there(self):
        """Whether there is such a user must not be seen by what is wrong with the recall."""
        await self.blocks.block(ALICE, BOB)
        for ref in ("1-1", "9999999999999-7"):
            await self.refused("x", sender=BOB, past_blocks=True, recalls=ref, counts=False)
        await self.blocks.unblock(ALICE, BOB)
        (mine,) = await self.say("secret", sender=BOB)
        await self.append("x", sender=BOB, recalls=mine, counts=False)
        (recall,) = await self.say("x", sender=BOB, counts=False)
        await self.blocks.block(ALICE, BOB)
        await self.refused("x", sender=BOB, past_blocks=True, recalls=recall, counts=False)

    async def test_a_group_knows_no_blocks(self):
        group = await self.store.groups.create(ALICE, "x", open=True, history=True)
        await self.store.groups.add(group.id, BOB, BOB)
        await self.blocks.block(ALICE, BOB)
        self.assertIsInstance(await self.append("x", sender=BOB, conversation=f"g:{group.id}"), Appended)

    async def test_a_blocked_one_finds_no_message_to_revise(self):
        (said,) = await self.say("hello", sender=BOB)
        await self.blocks.block(ALICE, BOB)
        self.assertIsNone(await self.conversations.entry(TALK, said, reader=BOB))
        for reader in (ALICE, 0):
            entry = await self.conversations.entry(TALK, said, reader=reader)
            self.assertEqual(native.parse_body(entry.body).text, "hello")

    async def test_the_blocks_of_an_account_go_with_it(self):
        account = await self.store.accounts.register("alice")
        await self.blocks.block(account.id, BOB)
        await self.store.credentials.delete(account.id)
        self.assertEqual(await self.blocks.blockers(BOB), frozenset())
        self.assertEqual(list(await self.blocks.blocked(account.id)), [])
