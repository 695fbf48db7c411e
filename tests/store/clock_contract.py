"""Tests that a clock that jumps deletes and hides nothing in any store, to mix into a TestCase that supplies one."""

from __future__ import annotations

from tests.store.conversing import ALICE, BOB, DAY, TALK, Conversing

MINUTE, HOUR = 60, 3600
#: Enough for several looks at what has expired.
MANY = 40


class ClockContract(Conversing):
    """Mix into a TestCase whose store has RETENTION.

    `jump(seconds)` sets the store's clock, and returns when the store has looked at it.
    """

    def now(self):
        return self.store.clock.shown()

    async def all_said(self):
        """The texts of the conversation, as pages and heads show them."""
        self.assertEqual(len((await self.conversations.heads(BOB, "phone")).heads), 1)
        forward = self.texts(await self.read(limit=500))
        back = await self.read(before="9999999999999-1", limit=500)
        self.assertEqual(self.texts(back), forward)
        for entry in back.entries[::20]:
            self.assertEqual(await self.conversations.entry(TALK, entry.position), entry)
        return forward

    async def stays(self, *jumps):
        """What is said before jumps, between them and after them stays."""
        group = await self.store.groups.create(ALICE, "walkers", open=True, history=True)
        await self.store.invitations.invite(group.id, ALICE, BOB)
        await self.store.invitation_codes.make("code", uses=3, seconds=DAY, note="")
        said = [f"0-{number}" for number in range(MANY)]
        await self.say(*said)
        steady = self.store.clock.now()
        for at, jump in enumerate(jumps, 1):
            await self.jump(jump)
            texts = [f"{at}-{number}" for number in range(MANY)]
            await self.say(*texts)
            said += texts
            self.assertEqual(await self.all_said(), said, jump)
        self.assertLess(abs(self.store.clock.now() - steady), 10 * MINUTE * 1000)
        self.assertEqual([one.group for one in await self.store.invitations.waiting(BOB)], [group.id])
        self.assertIsNotNone(await self.store.invitation_codes.find("code"))
        self.assertEqual([one.id for one in await self.store.invitation_codes.listed()], ["code"])

    async def test_a_clock_that_goes_ahead(self):
        await self.stays(40 * DAY)

    async def test_a_clock_that_goes_back(self):
        await self.stays(-40 * DAY)

    async def test_a_clock_that_goes_ahead_and_comes_back(self):
        await self.stays(40 * DAY, -40 * DAY)
        self.assertLess(abs(self.store.clock.now() - self.store.clock.shown()), 10 * MINUTE * 1000)

    async def test_a_clock_that_goes_back_and_is_set_right(self):
        await self.stays(-40 * DAY, 40 * DAY)
        self.assertLess(abs(self.store.clock.now() - self.store.clock.shown()), 10 * MINUTE * 1000)

    async def test_a_clock_that_never_comes_to_rest(self):
        await self.stays(HOUR, -2 * HOUR, 400 * DAY, -100 * DAY, -3000 * DAY, 2700 * DAY)

    async def test_people_see_what_the_clock_shows(self):
        before = self.store.clock.shown()
        await self.jump(40 * DAY)
        self.assertLess(abs(self.store.clock.shown() - before - 40 * DAY * 1000), 10 * MINUTE * 1000)
        result = await self.append("a", sent_at=self.now())
        again = await self.append("a", client_id=f"client-{self.numbers}", sent_at=self.now())
        self.assertTrue(again.repeated)
        self.assertEqual(again.sent_at, result.sent_at)
        await self.jump(-80 * DAY)
        result = await self.append("b", sent_at=self.now())
        again = await self.append("b", client_id=f"client-{self.numbers}", sent_at=self.now())
        self.assertEqual(again.sent_at, result.sent_at)
        self.assertLess(again.sent_at, before - 39 * DAY * 1000)

    async def test_what_is_new_is_found_over_jumps(self):
        for jump in (40 * DAY, -80 * DAY, 40 * DAY):
            (position,) = await self.say("before")
            await self.received(position, BOB)
            since = (await self.conversations.heads(BOB, "phone")).as_of
            await self.jump(jump)
            (position,) = await self.say("after")
            news = await self.conversations.heads(BOB, "phone", since=since)
            self.assertEqual([head.latest for head in news.heads], [position], jump)

    async def test_the_order_of_conversations_comes_right_again(self):
        await self.jump(40 * DAY)
        await self.say("far ahead")
        await self.jump(-40 * DAY)
        await self.say("long ago")
        await self.say("now", sender=3, conversation=f"p:3:{BOB}")
        await self.jump(2 * MINUTE)
        await self.say("later")
        heads = (await self.conversations.heads(BOB, "phone")).heads
        self.assertEqual([head.conversation for head in heads], [TALK, f"p:3:{BOB}"])
        self.assertLess(max(head.active for head in heads), self.store.clock.shown() + 10 * MINUTE * 1000)

    async def test_health_tells_it(self):
        self.assertNotIn("store_clock", self.store.facts())
        await self.jump(40 * DAY + HOUR)
        self.assertIn("40 d ahead", self.store.facts()["store_clock"])
        await self.jump(-50 * DAY - 2 * HOUR)
        self.assertIn("10 d behind", self.store.facts()["store_clock"])
        await self.jump(10 * DAY + HOUR)
        self.assertNotIn("store_clock", self.store.facts())
