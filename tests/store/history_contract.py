"""Tests of what every store promises about history: nobody pushes out what others said (docs/limits.md, History)."""

from __future__ import annotations

from cim.errors import NoRoom, NotFound, OutOfOrder
from cim.model import GUEST, Appended, Charge, Retention
from cim.store.bounds import BLOCK, CONVERSATION_BYTES, MESSAGE_BYTES
from cim.wire import conversations
from cim.wire.positions import parse
from tests.store.conversing import ALICE, BOB, CAROL, DAY, TALK, Conversing

#: The retention that stores under this contract are made with.
HISTORY = Retention(days=30, count=100, bytes=256 * 1024, user_bytes=1 << 20)
#: By so many entries a conversation may be beyond its bound.
SLACK = 17


class HistoryContract(Conversing):
    """Mix into a TestCase as Conversing says, with HISTORY.

    `fill(full)` has the store believe that it has no space, or has it again, and `forget_counts()` leaves its data as
    an earlier release does, which counted nothing.
    """

    async def flood(self, times, *, sender=ALICE, conversation=TALK, batch=20, text=".", **more):
        """Say a lot, and return how much of it was stored and the first refusal."""
        stored, refusal = 0, None
        for _ in range(times // batch):
            items = [self.item(text, sender=sender, conversation=conversation, **more) for _ in range(batch)]
            for result in await self.conversations.append(items):
                if isinstance(result, Appended):
                    stored += 1
                else:
                    refusal = refusal or result
        return stored, refusal

    def assertRefused(self, result, kind):
        self.assertIsInstance(result, NoRoom)
        self.assertEqual(result.kind, f"history-{kind}")
        self.assertTrue(result.retry_after > 0, result.retry_after)

    async def held(self, conversation=TALK):
        """Return the positions of all that can be read."""
        return [entry.position for entry in (await self.read(conversation, limit=100_000)).entries]

    async def group_of(self, *users):
        group = await self.store.groups.create(users[0], "a group", open=True, history=False)
        for user in users[1:]:
            await self.store.groups.add(group.id, user, user)
        return group.id, conversations.group(group.id)

    # Private conversations

    async def test_what_is_unread_is_not_pushed_out(self):
        said = await self.say("a", "b", "c", sender=BOB)
        stored, refusal = await self.flood(400)
        self.assertTrue(90 <= stored <= 100 + SLACK, stored)
        self.assertRefused(refusal, "share")
        self.assertEqual((await self.held())[:3], said)
        # The other one goes on.
        self.assertEqual((await self.flood(40, sender=BOB))[0], 40)
        self.assertEqual((await self.held())[:3], said)

    async def test_what_was_read_makes_room(self):
        for number in range(40):
            sender, reader = ((ALICE, BOB), (BOB, ALICE))[number % 2]
            said = await self.say(*["."] * 20, sender=sender)
            await self.reads(said[-1], reader)
        self.assertTrue(100 <= len(await self.held()) <= 100 + SLACK)
        # So much is kept of a sender alone, too.
        for _ in range(20):
            said = await self.say(*["."] * 20)
            await self.reads(said[-1], BOB)
        self.assertTrue(100 <= len(await self.held()) <= 100 + SLACK)

    async def test_one_who_never_logs_in_keeps_what_came_first(self):
        said = await self.say("first")
        stored, refusal = await self.flood(400)
        self.assertTrue(stored <= 100 + SLACK, stored)
        self.assertRefused(refusal, "share")
        self.assertEqual((await self.held())[0], said[0])
        await self.let_pass(20 * DAY)
        self.assertRefused(await self.append("later"), "share")
        await self.let_pass(11 * DAY)
        self.assertIsInstance(await self.append("much later"), Appended)

    async def test_what_reached_a_device_of_one_who_never_reads_makes_room(self):
        for other, device in ((2000, GUEST), (2001, "robot")):
            talk = conversations.private(ALICE, other)
            for _ in range(20):
                said = await self.say(*["."] * 20, conversation=talk)
                await self.received(said[-1], other, device, talk)
            self.assertTrue(100 <= len(await self.held(talk)) <= 100 + SLACK)
            # What came since then has not.
            said = await self.say("unseen", conversation=talk)
            await self.flood(400, conversation=talk)
            self.assertIn(said[0], await self.held(talk))

    async def test_reading_what_the_other_one_said_does_not_let_one_push_it_out(self):
        said = await self.say(*["."] * 50, sender=BOB)
        await self.reads(said[-1])
        first = await self.say("hello")
        await self.reads(first[0], BOB)
        stored, refusal = await self.flood(400)
        self.assertRefused(refusal, "share")
        self.assertTrue(set(said) <= set(await self.held()), stored)

    async def hear_and_flood(self, mark, before=0, texts=True):
        """Have BOB say something that ALICE reads, and `mark` what she says first; she goes on until she is refused.

        :param before: how much was said once that expired since then: when it is trimmed depends on the number
        """
        for sender in (ALICE, BOB)[: bool(before) * 2]:
            await self.say(*["."] * (before // 2), sender=sender)
        await self.let_pass(31 * DAY)
        said = await self.say(*["."] * 50, sender=BOB)
        await self.reads(said[-1])
        first = await self.say("hello")
        if mark is not None:
            await mark(first[0], BOB)
        what = {} if texts else {"counts": False, "refers": said[0]}
        stored, refusal = await self.flood(400, batch=1, **what)
        self.assertTrue(stored <= 100 + SLACK, (before, stored))
        self.assertRefused(refusal, "share")
        self.assertTrue(set(said) <= set(await self.held()), (before, stored))
        self.assertEqual((await self.flood(20, sender=BOB, batch=1))[0], 20)

    async def test_what_is_unread_pushes_nothing_of_the_other_one_out(self):
        await self.hear_and_flood(self.reads)

    async def test_nor_does_it_when_the_log_is_trimmed_now_and_then(self):
        await self.hear_and_flood(self.reads, before=12)

    async def test_nor_if_the_other_one_marks_nothing(self):
        await self.hear_and_flood(None)

    async def test_nor_if_it_reached_the_other_ones_device(self):
        await self.hear_and_flood(self.received, before=12)

    async def test_nor_do_edits_and_reactions_that_were_not_read(self):
        await self.hear_and_flood(self.reads, before=12, texts=False)

    async def test_nor_do_unread_bytes_behind_many_small_messages_that_were_read(self):
        await self.chat(60)
        said = await self.say(*["."] * 20, sender=BOB)
        await self.reads(said[-1])
        stored, refusal = await self.flood(100, text="x" * 20_000, batch=1)
        self.assertTrue(11 <= stored <= 16, stored)
        self.assertRefused(refusal, "share")
        self.assertTrue(set(said) <= set(await self.held()), stored)
        # Once it is read she goes on.
        await self.reads((await self.held())[-1], BOB)
        self.assertEqual((await self.flood(5, text="x" * 20_000, batch=1))[0], 5)

    async def test_a_first_read_mark_behind_what_reached_a_device_counts(self):
        said = await self.say(*["."] * 60, sender=BOB)
        await self.reads(said[-1])
        mine = []
        for _ in range(6):
            mine += await self.say(*["."] * 10)
            await self.received(mine[-1], BOB)
        await self.reads(mine[0], BOB)
        held = await self.held()
        stored, refusal = await self.flood(400, batch=1)
        self.assertRefused(refusal, "share")
        self.assertTrue(set(held) & set(said) <= set(await self.held()), stored)

    async def test_two_who_do_not_read_have_half_of_it_each(self):
        for _ in range(30):
            for sender in (ALICE, BOB):
                await self.flood(20, sender=sender)
        self.assertTrue(100 <= len(await self.held()) <= 100 + SLACK)

    # Groups

    async def test_what_is_younger_than_a_day_is_not_pushed_out_of_a_group(self):
        _, name = await self.group_of(ALICE, BOB, CAROL)
        said = await self.say("a", "b", conversation=name, sender=BOB)
        await self.let_pass(3600)
        stored, refusal = await self.flood(400, conversation=name)
        self.assertTrue(stored <= 100 + SLACK, stored)
        self.assertRefused(refusal, "share")
        self.assertEqual((await self.held(name))[:2], said)
        # It takes until the oldest of it is a day old.
        self.assertTrue(DAY - 3700 < refusal.retry_after <= DAY - 3590, refusal.retry_after)
        for sender in (BOB, CAROL):
            self.assertEqual((await self.flood(20, conversation=name, sender=sender))[0], 20)
        await self.let_pass(refusal.retry_after - 60)
        self.assertRefused(await self.append(conversation=name), "share")
        self.assertEqual((await self.held(name))[:2], said)

    async def test_a_day_later_there_is_room(self):
        _, name = await self.group_of(ALICE, BOB)
        _, refusal = await self.flood(400, conversation=name)
        await self.let_pass(refusal.retry_after + 1)
        self.assertIsInstance(await self.append(conversation=name), Appended)
        self.assertTrue(90 <= len(await self.held(name)) <= 100 + SLACK)

    async def test_leaving_and_joining_again_does_not_help(self):
        id, name = await self.group_of(BOB, ALICE)
        said = await self.say("a", conversation=name, sender=BOB)
        stored = 0
        for _ in range(20):
            stored += (await self.flood(40, conversation=name))[0]
            await self.store.groups.remove(id, ALICE, ALICE)
            await self.store.groups.add(id, ALICE, ALICE)
        self.assertTrue(stored <= 100 + SLACK, stored)
        self.assertEqual((await self.held(name))[0], said[0])

    async def test_many_accounts_together_are_bounded_and_push_nothing_out(self):
        crowd = range(3000, 3100)
        _, name = await self.group_of(ALICE, BOB, *crowd)
        said = await self.say("a", "b", conversation=name, sender=BOB)
        refusals = set()
        for sender in crowd:
            _, refusal = await self.flood(20, conversation=name, sender=sender)
            refusals.add(refusal and refusal.kind)
        self.assertEqual(refusals, {None, "history-share", "history-full"})
        held = await self.held(name)
        self.assertTrue(400 <= len(held) <= 420, len(held))
        self.assertEqual(held[:2], said)
        refusal = await self.append(conversation=name)
        self.assertRefused(refusal, "full")
        await self.let_pass(refusal.retry_after + 1)
        self.assertIsInstance(await self.append(conversation=name), Appended)

    async def test_a_share_is_never_less_than_a_twentieth(self):
        crowd = range(3000, 3030)
        _, name = await self.group_of(*crowd)
        for sender in crowd:
            await self.flood(4, conversation=name, sender=sender, batch=4)
        self.assertEqual((await self.flood(10, conversation=name, sender=3000, batch=1))[0], 1)
        self.assertEqual((await self.flood(10, conversation=name, sender=3029, batch=1))[0], 1)

    async def test_senders_of_the_day_before_yesterday_take_no_share(self):
        _, name = await self.group_of(ALICE, BOB, *range(3000, 3020))
        for sender in range(3000, 3020):
            await self.append(conversation=name, sender=sender)
        await self.let_pass(2 * DAY)
        await self.append(conversation=name, sender=BOB)
        await self.flood(400, conversation=name)
        # There are two of them now, so that half of it is not too much.
        self.assertEqual((await self.flood(60, conversation=name, sender=BOB, batch=1))[0], 49)

    # What is counted

    async def test_bytes_are_bounded_like_messages(self):
        said = await self.say("a", sender=BOB)
        stored, refusal = await self.flood(40, text="x" * 20_000, batch=1)
        self.assertTrue(11 <= stored <= 16, stored)
        self.assertRefused(refusal, "share")
        self.assertEqual((await self.held())[0], said[0])
        self.assertIsInstance(await self.append("small", sender=BOB), Appended)

    async def test_bytes_are_bounded_whatever_came_first(self):
        said = await self.say(*["x" * 700] * 24, sender=BOB)
        stored, refusal = await self.flood(40, text="x" * 20_000, batch=1)
        self.assertTrue(10 <= stored <= 12, stored)
        self.assertRefused(refusal, "share")
        self.assertEqual((await self.held())[:24], said)

    async def test_bytes_that_were_read_make_room(self):
        for _ in range(60):
            said = await self.say("x" * 20_000)
            await self.reads(said[0], BOB)
        held = len(await self.held())
        self.assertTrue(11 <= held <= 30, held)

    async def test_a_message_larger_than_the_bound_of_bytes(self):
        await self.flood(20)
        self.assertIsInstance(await self.append("x" * 300_000, conversation="p:7:8", sender=7), Appended)

    async def test_recalls_are_always_possible_but_only_once(self):
        said = await self.say("a", sender=ALICE)
        await self.flood(400)
        self.assertRefused(await self.append("more"), "share")
        self.fill(True)
        self.assertIsInstance(await self.append("", counts=False, recalls=said[0]), Appended)
        for full in (True, False):
            self.fill(full)
            self.assertIsInstance(await self.append("", counts=False, recalls=said[0]), NotFound)
        self.assertEqual(self.texts(await self.read())[0], "")

    async def test_edits_and_reactions_count(self):
        (said,) = await self.say("a", sender=BOB)
        stored, refusal = await self.flood(400, counts=False, refers=said)
        self.assertTrue(stored <= 100 + SLACK, stored)
        self.assertRefused(refusal, "share")
        self.assertEqual((await self.held())[0], said)

    async def test_a_repetition_is_answered_whatever_is_full(self):
        item = self.item("one")
        (first,) = await self.conversations.append([item])
        await self.flood(400)
        self.fill(True)
        for _ in range(2):
            (again,) = await self.conversations.append([item])
            self.assertEqual((again.position, again.repeated), (first.position, True))
            self.fill(False)

    async def test_the_order_comes_first(self):
        await self.flood(400)
        self.assertIsInstance(await self.append("x", after="never"), OutOfOrder)

    async def test_what_back_ends_say_counts_in_conversations_alone(self):
        stored, refusal = await self.flood(400, charge=Charge.LOG)
        self.assertTrue(stored <= 100 + SLACK, stored)
        self.assertRefused(refusal, "share")
        for number in range(80):
            talk = conversations.private(ALICE, 2000 + number)
            said = await self.append("x" * 20_000, conversation=talk, charge=Charge.LOG)
            self.assertIsInstance(said, Appended)
        self.assertIsInstance(await self.append("x" * 20_000, conversation=conversations.private(ALICE, 9)), Appended)

    async def test_what_the_store_adds_counts_nowhere(self):
        _, name = await self.group_of(ALICE, BOB)
        said = await self.say("a", conversation=name, sender=BOB)
        self.assertEqual((await self.flood(300, conversation=name, counts=False, charge=Charge.NONE))[0], 300)
        self.assertEqual((await self.held(name))[0], said[0])
        self.assertEqual((await self.flood(80, conversation=name, sender=BOB))[0], 80)
        self.assertEqual((await self.flood(300, conversation=name, counts=False, charge=Charge.NONE))[0], 300)
        self.assertIn(said[0], await self.held(name))

    async def test_what_the_store_adds_goes_with_the_rest_and_makes_no_room(self):
        _, name = await self.group_of(ALICE, BOB)
        added = await self.say(*["+"] * 60, conversation=name, counts=False, charge=Charge.NONE)
        for _ in range(4):
            await self.flood(100, conversation=name)
            await self.let_pass(DAY + 1)
        held = await self.held(name)
        self.assertTrue(100 <= len(held) <= 100 + SLACK, len(held))
        self.assertNotIn(added[-1], held)

    async def test_a_sender_whose_messages_were_trimmed_has_room_again(self):
        _, name = await self.group_of(ALICE, BOB)
        await self.flood(90, conversation=name, batch=10)
        await self.let_pass(2 * DAY)
        await self.flood(80, conversation=name, sender=BOB)
        self.assertTrue((await self.flood(60, conversation=name, batch=1))[0] >= 50)

    async def test_a_quota_bounds_what_is_stored_of_a_user(self):
        # Three blocks, whatever the chance.
        beside = len(self.item("x" * 45_000).body) - 45_000 + MESSAGE_BYTES + CONVERSATION_BYTES
        large = "x" * (3 * BLOCK - beside)
        results = []
        for number in range(25):
            results.append(await self.append(large, conversation=conversations.private(ALICE, 2000 + number)))
        stored = [isinstance(one, Appended) for one in results]
        self.assertEqual(stored, [True] * 21 + [False] * 4)
        self.assertRefused(results[-1], "quota")
        # Within one call, too; others go on.
        names = [conversations.private(BOB, 2000 + number) for number in range(25)]
        results = await self.conversations.append([self.item(large, sender=BOB, conversation=name) for name in names])
        self.assertEqual([isinstance(one, Appended) for one in results], stored)
        self.assertIsInstance(await self.append(large, sender=CAROL), Appended)
        await self.let_pass(20 * DAY)
        self.assertRefused(await self.append(large), "quota")
        await self.let_pass(12 * DAY)
        self.assertIsInstance(await self.append(large), Appended)

    async def test_a_quota_pays_for_what_small_messages_take_too(self):
        items = [self.item(".", conversation=conversations.private(ALICE, 2000 + number)) for number in range(1500)]
        results = await self.conversations.append(items)
        stored = sum(isinstance(result, Appended) for result in results)
        # About 1.5 KiB each, at random.
        self.assertTrue(300 <= stored <= 1100, stored)
        # Once it is spent nothing is stored, whether it would have paid or not.
        self.assertTrue(all(isinstance(result, NoRoom) for result in results[stored:]), stored)
        self.assertRefused(results[-1], "quota")

    async def test_what_is_trimmed_is_given_back_to_its_quota(self):
        for _ in range(120):
            said = await self.say("x" * 20_000)
            await self.reads(said[0], BOB)
        self.assertIsInstance(await self.append("more"), Appended)

    async def test_a_repetition_is_not_paid_for(self):
        items = [self.item("x" * 20_000) for _ in range(10)]
        for item in items:
            for _ in range(10):
                self.assertIsInstance((await self.conversations.append([item]))[0], Appended)
        self.assertIsInstance(await self.append("x" * 20_000, conversation="p:7:1001"), Appended)

    async def test_everyone_is_another_matter(self):
        for sender in (ALICE, BOB):
            self.assertEqual((await self.flood(600, conversation="g:0", sender=sender))[0], 600)
        self.assertTrue(100 <= len(await self.held("g:0")) <= 350)

    async def test_no_space(self):
        self.fill(True)
        for conversation in (TALK, "g:0"):
            self.assertRefused(await self.append("a", conversation=conversation), "space")
        self.assertEqual(await self.held(), [])
        self.fill(False)
        self.assertIsInstance(await self.append("a"), Appended)

    async def test_a_refusal_changes_nothing(self):
        await self.flood(400)
        before = await self.held(), await self.unread(BOB)
        active = (await self.head(BOB)).active
        await self.let_pass(3600)
        await self.flood(40)
        self.assertEqual((await self.held(), await self.unread(BOB)), before)
        self.assertEqual((await self.head(BOB)).active, active)

    async def test_data_of_an_earlier_release_goes_on(self):
        said = await self.say(*["."] * 90, sender=BOB)
        await self.forget_counts()
        stored, refusal = await self.flood(400)
        self.assertTrue(10 <= stored <= 60, stored)
        self.assertRefused(refusal, "share")
        self.assertTrue(set(said) <= set(await self.held()))
        await self.forget_counts()
        self.assertTrue((await self.flood(400))[0] <= 16)
        self.assertTrue(set(said) <= set(await self.held()))
        positions = [parse(position) for position in await self.held()]
        self.assertEqual(positions, sorted(positions))
