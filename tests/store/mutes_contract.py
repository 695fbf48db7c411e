"""Tests of what every store promises about muted conversations (cim.interfaces.IMutes)."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict
from cim.interfaces import IMutes
from cim.model import FOREVER, MAX_MUTED_CONVERSATIONS
from tests.store.conversing import ALICE, BOB, CAROL, TALK


class MutesContract:
    """Mix into a TestCase whose setUp makes `self.store`, with `let_pass` and `now`."""

    @property
    def mutes(self):
        return self.store.mutes

    def test_it_is_a_store_of_mutes(self):
        self.assertTrue(verifyObject(IMutes, self.mutes))

    async def test_muting_and_unmuting(self):
        self.assertEqual(await self.mutes.muted(ALICE), {})
        await self.mutes.mute(ALICE, TALK, FOREVER)
        await self.mutes.mute(ALICE, "g:7", FOREVER - 1)
        await self.mutes.mute(ALICE, "g:7", FOREVER)
        self.assertEqual(await self.mutes.muted(ALICE), {TALK: FOREVER, "g:7": FOREVER})
        self.assertEqual(await self.mutes.muted(BOB), {})
        self.assertTrue(await self.mutes.unmute(ALICE, TALK))
        self.assertFalse(await self.mutes.unmute(ALICE, TALK))
        self.assertFalse(await self.mutes.unmute(BOB, "g:7"))
        self.assertEqual(await self.mutes.muted(ALICE), {"g:7": FOREVER})

    async def test_who_mutes_a_conversation(self):
        self.assertEqual(await self.mutes.who_mutes("g:7", ()), frozenset())
        await gatherResults([self.mutes.mute(user, "g:7", FOREVER) for user in (ALICE, CAROL)])
        await self.mutes.mute(BOB, TALK, FOREVER)
        self.assertEqual(await self.mutes.who_mutes("g:7", (BOB, CAROL)), {CAROL})
        self.assertEqual(await self.mutes.who_mutes(TALK, (ALICE, BOB, CAROL)), {BOB})

    async def test_a_mute_is_over_at_its_end(self):
        now = self.store.clock.now()
        await self.mutes.mute(ALICE, TALK, now - 1)
        self.assertEqual(await self.mutes.muted(ALICE), {})
        self.assertEqual(await self.mutes.who_mutes(TALK, (ALICE,)), frozenset())
        self.assertFalse(await self.mutes.unmute(ALICE, TALK))
        await self.mutes.mute(ALICE, TALK, now + 60_000)
        self.assertEqual(await self.mutes.muted(ALICE), {TALK: now + 60_000})

    async def test_a_user_mutes_so_many_at_most(self):
        await self.mutes.mute(ALICE, "g:1", self.store.clock.now() - 1)  # is over, and in nobody's way
        for number in range(MAX_MUTED_CONVERSATIONS):
            await self.mutes.mute(ALICE, f"g:{2000 + number}", FOREVER)
        await self.assertFailure(self.mutes.mute(ALICE, TALK, FOREVER), Conflict)
        await self.mutes.mute(ALICE, "g:2000", FOREVER)  # one of them
        await self.mutes.unmute(ALICE, "g:2000")
        await self.mutes.mute(ALICE, TALK, FOREVER)
        self.assertEqual(len(await self.mutes.muted(ALICE)), MAX_MUTED_CONVERSATIONS)

    async def test_the_mutes_of_an_account_go_with_it(self):
        account = await self.store.accounts.register("alice")
        await self.mutes.mute(account.id, TALK, FOREVER)
        await self.store.credentials.delete(account.id)
        self.assertEqual(await self.mutes.muted(account.id), {})
        self.assertEqual(await self.mutes.who_mutes(TALK, (account.id,)), frozenset())
