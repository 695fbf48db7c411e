"""Tests of what every store promises about conversations (cim.interfaces.IConversations)."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict, Forbidden, InvalidField, NotFound
from cim.interfaces import IConversations
from cim.model import GUEST, Appended, Mark, Member, Role
from cim.store.pages import EVERYONE_KEPT, PAGE_BYTES
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import TEXT
from tests.store.conversing import ALICE, BOB, CAROL, DAY, RETENTION, TALK, Conversing
from tests.store.looking import end_of, marks_of


def flat(lists):
    return [item for one in lists for item in one]


class ConversationsContract(Conversing):
    #: How many pages are empty if a user has marked all but the oldest three of 230 conversations.
    empty_pages = 2

    def test_it_is_a_store_of_conversations(self):
        self.assertTrue(verifyObject(IConversations, self.conversations))
        self.assertEqual(self.conversations.skipped, 0)

    async def test_heads_say_when_they_were_read(self):
        self.assertTrue(abs((await self.conversations.heads(ALICE, "phone")).as_of - self.now()) < 60_000)

    # Appending

    async def test_positions_count_up_and_name_their_predecessor(self):
        item = self.item("one")
        first = (await self.conversations.append([item]))[0]
        self.assertEqual(first, Appended(first.position, "", item.sent_at, item.body))
        second, third = await self.conversations.append([self.item("two"), self.item("three", sender=BOB)])
        epoch, n = positions.parse(first.position)
        self.assertEqual((second.position, second.previous), (f"{epoch}-{n + 1}", first.position))
        self.assertEqual((third.position, third.previous), (f"{epoch}-{n + 2}", second.position))
        self.assertTrue(0 < epoch < 10**14)

    async def test_nothing_to_append(self):
        self.assertEqual(await self.conversations.append([]), [])

    async def test_conversations_do_not_touch_each_other(self):
        other = conversations.private(ALICE, CAROL)
        await self.conversations.append(
            [
                self.item("one"),
                self.item("two", conversation=other),
                self.item("three"),
                self.item("to all", conversation="g:0"),
            ]
        )
        self.assertEqual(self.texts(await self.read()), ["one", "three"])
        self.assertEqual(self.texts(await self.read(other)), ["two"])
        self.assertEqual(self.texts(await self.read("g:0")), ["to all"])
        names = (TALK, conversations.private(BOB, CAROL), other, "g:0", "g:77")
        latest = [await end_of(self.store, name) for name in names]
        self.assertEqual([bool(position) for position in latest], [True, False, True, True, False])
        self.assertEqual(latest[0], (await self.read()).upto)

    async def test_any_bytes_are_stored(self):
        texts = ["", "\0", "\n\t \r", "张三 👩‍👩‍👧", "x" * 49_000]
        items = [self.item(text, client_id=f"{number} \n\0 é {text[:4]}") for number, text in enumerate(texts)]
        await self.conversations.append(items)
        self.assertEqual([entry.body for entry in (await self.read()).entries], [item.body for item in items])
        again = await self.conversations.append(items)
        self.assertEqual([result.repeated for result in again], [True] * 5)

    async def test_concurrent_appends_keep_their_order(self):
        calls = [
            self.conversations.append([self.item(f"{call}-{number}") for number in range(10)]) for call in range(20)
        ]
        results = flat(await gatherResults(calls))
        self.assertEqual([one.position for one in results[:-1]], [two.previous for two in results[1:]])
        expected = [f"{call}-{number}" for call in range(20) for number in range(10)]
        self.assertEqual(self.texts(await self.read(limit=1000)), expected)

    # Repetitions

    async def test_the_same_client_id_is_the_same_message(self):
        item = self.item("one", client_id="x")
        first = (await self.conversations.append([item]))[0]
        await self.say("two")
        await self.let_pass(3600)
        again = await self.append("one", client_id="x", sent_at=self.now() + 5000)
        self.assertEqual(again, Appended(first.position, "", item.sent_at, item.body, True))
        self.assertEqual(self.texts(await self.read()), ["one", "two"])
        third, fourth = await self.conversations.append([self.item("three", client_id="y")] * 2)
        self.assertEqual((fourth.position, fourth.previous), (third.position, third.previous))
        self.assertEqual((third.repeated, fourth.repeated), (False, True))
        self.assertNotEqual(third.previous, "")

    async def test_the_same_client_id_with_other_content_is_a_conflict_that_affects_no_other(self):
        await self.append("one", client_id="x")
        results = await self.conversations.append(
            [self.item("two"), self.item("one!", client_id="x"), self.item("three")]
        )
        self.assertIsInstance(results[1], Conflict)
        self.assertEqual(results[2].previous, results[0].position)
        self.assertEqual(self.texts(await self.read()), ["one", "two", "three"])

    async def test_client_ids_of_other_senders_and_conversations_are_distinct(self):
        results = await self.conversations.append(
            [
                self.item("one", client_id="x"),
                self.item("two", client_id="x", sender=BOB),
                self.item("three", client_id="x", conversation=conversations.private(ALICE, CAROL)),
            ]
        )
        self.assertEqual([result.repeated for result in results], [False] * 3)

    async def test_a_client_id_is_remembered_for_a_day(self):
        await self.append("one", client_id="x")
        await self.let_pass(DAY - 60)
        self.assertTrue((await self.append("one", client_id="x")).repeated)
        await self.let_pass(120)
        self.assertFalse((await self.append("another", client_id="x")).repeated)

    async def test_a_client_id_is_remembered_for_ten_thousand_messages(self):
        everyone = {"conversation": "g:0"}
        await self.append("one", client_id="x", **everyone)
        for _ in range(10):
            await self.say(*["."] * 999, **everyone)
        self.assertTrue((await self.append("one", client_id="x", **everyone)).repeated)
        await self.say(*["."] * 20, **everyone)
        self.assertFalse((await self.append("one", client_id="x", **everyone)).repeated)

    async def test_a_repetition_of_a_trimmed_message_keeps_its_position(self):
        item = self.item("one", client_id="x")
        first = (await self.conversations.append([item]))[0]
        await self.chat(2 * RETENTION.count)
        self.assertIsNone(await self.conversations.entry(TALK, first.position))
        self.assertEqual(
            (await self.conversations.append([item]))[0],
            Appended(first.position, "", item.sent_at, item.body, True),
        )

    async def test_a_hundred_repetitions_at_once_are_one_message(self):
        calls = [self.conversations.append([self.item("one", client_id="x")]) for _ in range(100)]
        results = flat(await gatherResults(calls))
        self.assertEqual(len({result.position for result in results}), 1)
        self.assertEqual([result.repeated for result in results].count(False), 1)
        self.assertEqual(self.texts(await self.read()), ["one"])

    # Reading

    async def test_an_empty_conversation(self):
        for where in ({}, {"before": "5-5"}, {"floor": ""}):
            page = await self.read(**where)
            self.assertEqual((page.entries, page.upto, page.more, page.reset), ((), "", False, False))

    async def test_pages_forward(self):
        said = await self.say(*"abcdefg")
        page = await self.read(limit=3)
        self.assertEqual((self.texts(page), page.upto, page.more, page.reset), ([*"abc"], said[2], True, False))
        page = await self.read(after=page.upto, limit=3)
        self.assertEqual((self.texts(page), page.upto, page.more, page.reset), ([*"def"], said[5], True, False))
        page = await self.read(after=page.upto, limit=1)
        self.assertEqual((self.texts(page), page.upto, page.more, page.reset), (["g"], said[6], False, False))
        page = await self.read(after=page.upto, limit=3)
        self.assertEqual((self.texts(page), page.upto, page.more, page.reset), ([], said[6], False, False))

    async def test_pages_backward(self):
        said = await self.say(*"abcdefg")
        page = await self.read(before=said[6], limit=3)
        self.assertEqual((self.texts(page), page.upto, page.more), ([*"def"], said[5], True))
        self.assertEqual([entry.previous for entry in page.entries], said[2:5])
        page = await self.read(before=page.entries[0].position, limit=3)
        self.assertEqual((self.texts(page), page.upto, page.more), ([*"abc"], said[2], False))
        self.assertEqual([entry.previous for entry in page.entries], ["", said[0], said[1]])
        page = await self.read(before="9999999999999-1", limit=2)
        self.assertEqual(self.texts(page), [*"fg"])
        page = await self.read(before=said[6], floor=said[3], limit=10)
        self.assertEqual((self.texts(page), page.more), ([*"ef"], False))

    async def test_messages_of_a_page_are_chained(self):
        said = await self.say(*"abcd")
        page = await self.read(after=said[0])
        self.assertEqual([entry.position for entry in page.entries], said[1:])
        self.assertEqual([entry.previous for entry in page.entries], said[:3])

    async def test_a_page_is_bounded_in_bytes(self):
        large = "x" * (PAGE_BYTES // 5)
        said = await self.say(*[large] * 12)
        seen, after, pages = [], "", 0
        while True:
            page = await self.read(after=after)
            seen += [entry.position for entry in page.entries]
            self.assertTrue(sum(len(entry.body) for entry in page.entries) <= PAGE_BYTES)
            after, pages = page.upto, pages + 1
            if not page.more:
                break
        self.assertEqual((seen, pages), (said, 3))
        page = await self.read(before=said[11])
        self.assertEqual([entry.position for entry in page.entries], said[7:11])
        self.assertTrue(page.more)

    async def test_a_floor_hides_earlier_messages(self):
        said = await self.say(*"abcde")
        page = await self.read(floor=said[1])
        self.assertEqual((self.texts(page), page.upto, page.reset), ([*"cde"], said[4], True))
        page = await self.read(after=said[2], floor=said[1])
        self.assertEqual((self.texts(page), page.reset), ([*"de"], False))
        page = await self.read(floor=said[4])
        self.assertEqual((self.texts(page), page.upto, page.more, page.reset), ([], said[4], False, True))

    async def test_a_position_beyond_the_end_is_reset_to_it(self):
        said = await self.say(*"abc")
        epoch, n = positions.parse(said[2])
        for beyond in (f"{epoch}-{n + 1}", f"{epoch + 1}-1", f"{(1 << 62)}-{1 << 62}"):
            page = await self.read(after=beyond)
            self.assertEqual((page.entries, page.upto, page.more, page.reset), ((), said[2], False, True))
        page = await self.read(conversations.private(BOB, CAROL), after=said[2])
        self.assertEqual((page.entries, page.upto, page.more, page.reset), ((), "", False, True))

    async def test_invalid_positions_are_refused(self):
        for where in ({"after": "5"}, {"before": "-"}, {"floor": "1-2-3"}, {"after": "01-1"}, {"after": "+"}):
            await self.assertFailure(self.read_later(**where), InvalidField)
        await self.assertFailure(self.conversations.entry(TALK, "$"), InvalidField)
        await self.assertFailure(self.conversations.mark([Mark(ALICE, None, TALK, "*")]), InvalidField)

    def read_later(self, **where):
        return self.conversations.read(TALK, limit=5, **where)

    async def test_one_message(self):
        said = await self.say("one", "two")
        entry = await self.conversations.entry(TALK, said[1])
        self.assertEqual((entry.position, entry.previous), (said[1], said[0]))
        self.assertEqual(native.parse_body(entry.body).text, "two")
        self.assertEqual((await self.conversations.entry(TALK, said[0])).previous, "")
        epoch, n = positions.parse(said[1])
        for other in (f"{epoch}-{n + 1}", "1-1", ""):
            self.assertIsNone(await self.conversations.entry(TALK, other))
        self.assertIsNone(await self.conversations.entry(conversations.private(BOB, CAROL), said[0]))

    # Recalling

    async def test_a_recalled_text_is_blank_wherever_it_is_read(self):
        item = self.item("secret", client_id="x")
        (first, *_) = await self.conversations.append([item, self.item("two")])
        await self.append("", counts=False, recalls=first.position)
        await self.say("three")
        self.assertEqual(self.texts(await self.read()), ["", "two", "", "three"])
        self.assertEqual(self.texts(await self.read(before="9999999999999-1")), ["", "two", "", "three"])
        blanked = (await self.conversations.entry(TALK, first.position)).body
        self.assertNotIn(b"secret", blanked)
        self.assertEqual(native.parse_body(blanked).sender, ALICE)
        self.assertEqual((await self.conversations.append([item]))[0].body, blanked)

    async def test_an_edited_text_is_read_as_its_last_edit(self):
        said = await self.say("a", "b")
        for text in "12":
            await self.append(text, counts=False, ref=said[0], refers=said[0], edits=True)
        await self.append("👍", counts=False, refers=said[1])
        for where in {"limit": 1}, {"before": said[1]}:
            [entry] = (await self.read(**where)).entries
            read = native.parse_body(entry.body)
            self.assertEqual((read.text, read.kind, read.edited, read.client_id), ("2", TEXT, True, "client-1"))
        self.assertEqual(self.texts(await self.read()), ["2", "b", "1", "2", "👍"])
        # As it was said, for who may revise it, and for who says it again.
        self.assertEqual(native.parse_body((await self.conversations.entry(TALK, said[0])).body).text, "a")
        again = await self.append("a", client_id="client-1")
        self.assertEqual((again.repeated, native.parse_body(again.body).text), (True, "a"))
        await self.append("", counts=False, recalls=said[0])
        self.assertEqual(self.texts(await self.read(limit=2)), ["", "b"])

    async def test_a_page_is_bounded_by_what_edits_say(self):
        said = await self.say(*["."] * 20)
        for position in said:
            await self.append("x" * 40_000, counts=False, ref=position, refers=position, edits=True)
        page = await self.read()
        self.assertTrue(page.more)
        self.assertLess(sum(len(entry.body) for entry in page.entries), 512 * 1024)

    async def test_a_repeated_edit_of_a_recalled_text_is_blank(self):
        (said,) = await self.say("text")
        edit = self.item("secret", counts=False, refers=said, ref=said)
        await self.conversations.append([edit])
        (again,) = await self.conversations.append([edit])
        self.assertEqual(again.body, edit.body)
        await self.append("", counts=False, recalls=said)
        (again,) = await self.conversations.append([edit])
        self.assertEqual((again.repeated, again.body), (True, native.blank(edit.body)))

    async def test_a_repeated_edit_of_a_text_that_is_gone_is_blank(self):
        (said,) = await self.say("text")
        await self.let_pass(RETENTION.days * DAY - 60)
        edit = self.item("secret", counts=False, refers=said, ref=said)
        await self.conversations.append([edit])
        await self.let_pass(120)
        (again,) = await self.conversations.append([edit])
        self.assertEqual((again.repeated, again.body), (True, native.blank(edit.body)))

    async def test_which_texts_still_stand(self):
        said = await self.say(*"abcde")
        await self.append("", counts=False, recalls=said[1])
        epoch, n = positions.parse(said[4])
        standing = await self.conversations.standing(TALK, [*said, f"{epoch}-{n + 7}", "1-1", ""])
        self.assertEqual(set(standing), {said[0], *said[2:]})
        self.assertEqual(set(await self.conversations.standing(TALK, [said[1]])), set())
        self.assertEqual(set(await self.conversations.standing(conversations.private(BOB, CAROL), said)), set())
        await self.assertFailure(self.conversations.standing(TALK, ["$"]), InvalidField)
        await self.let_pass(31 * DAY)
        self.assertEqual(set(await self.conversations.standing(TALK, said)), set())

    # What a member may not read

    async def test_who_may_not_read_a_text_learns_nothing_of_it_and_cannot_revise_it(self):
        group = await self.store.groups.create(ALICE, "x", open=True, history=False)
        name = conversations.group(group.id)
        (old,) = await self.say("secret", conversation=name)
        await self.store.groups.add(group.id, BOB, BOB)
        floor = (await self.store.groups.member(group.id, BOB)).floor
        self.assertEqual(floor, old)
        (new,) = await self.say("hello", conversation=name)
        for ref in (old, new):
            edited = await self.append("edited", conversation=name, counts=False, refers=ref, ref=ref)
        self.assertEqual(self.texts(await self.read(name)), ["secret", "hello", "edited", "edited"])
        page = await self.read(name, floor=floor)
        self.assertEqual((self.texts(page), page.upto), (["hello", "edited"], edited.position))
        self.assertEqual([entry.previous for entry in page.entries], [old, new])
        skipped = self.conversations.skipped
        page = await self.read(name, before="9999999999999-1", floor=floor, limit=2)
        self.assertEqual((self.texts(page), page.more), (["edited"], True))
        page = await self.read(name, before=edited.position, floor=floor, limit=1)
        self.assertEqual((page.entries, page.upto, page.more), ((), edited.previous, True))
        page = await self.read(name, before=page.upto, floor=floor, limit=1)
        self.assertEqual((self.texts(page), page.more), (["hello"], False))
        self.assertEqual(self.conversations.skipped, skipped)
        for reader, positions_read in ((ALICE, {old, new}), (BOB, {new}), (CAROL, set()), (0, {old, new})):
            found = [await self.conversations.entry(name, position, reader=reader) for position in (old, new)]
            self.assertEqual({entry.position for entry in found if entry is not None}, positions_read)
        self.assertIsNotNone(await self.conversations.entry(TALK, (await self.say("p"))[0], reader=CAROL))
        for revises in ("refers", "recalls"):
            refusal = await self.append("x", sender=BOB, conversation=name, counts=False, **{revises: old})
            self.assertIsInstance(refusal, NotFound)
            missing = await self.append("x", sender=BOB, conversation=name, counts=False, **{revises: "1-1"})
            self.assertEqual(str(refusal), str(missing))
            done = await self.append("x", sender=BOB, conversation=name, counts=False, **{revises: new})
            self.assertIsInstance(done, Appended)

    # Retention

    async def test_the_oldest_messages_are_trimmed_when_there_are_too_many(self):
        said = await self.chat(4 * RETENTION.count)
        page = await self.read(limit=100_000)
        self.assertTrue(RETENTION.count <= len(page.entries) <= RETENTION.count + 150, len(page.entries))
        kept = said[-len(page.entries) :]
        self.assertEqual([entry.position for entry in page.entries], kept)
        self.assertEqual((page.entries[0].previous, page.reset), (said[-len(kept) - 1], True))
        self.assertFalse((await self.read(after=said[-len(kept) - 1])).reset)
        self.assertTrue((await self.read(after=said[-len(kept) - 2])).reset)
        self.assertEqual(await end_of(self.store, TALK), said[-1])
        self.assertIsNone(await self.conversations.entry(TALK, said[0]))
        page = await self.read(before=kept[2])
        self.assertEqual([entry.position for entry in page.entries], kept[:2])
        self.assertFalse(page.more)

    async def test_few_messages_to_everyone_are_kept(self):
        said = await self.say(*["."] * 600, conversation="g:0")
        page = await self.read("g:0", limit=10_000)
        self.assertTrue(EVERYONE_KEPT <= len(page.entries) <= EVERYONE_KEPT + 150, len(page.entries))
        self.assertEqual(page.entries[-1].position, said[-1])

    async def test_messages_that_are_too_old_are_not_read(self):
        old = await self.say("old", "older")
        await self.let_pass(29 * DAY)
        await self.say("young")
        self.assertEqual(self.texts(await self.read()), ["old", "older", "young"])
        await self.let_pass(2 * DAY)
        page = await self.read()
        self.assertEqual((self.texts(page), page.reset), (["young"], True))
        page = await self.read(after=old[1])
        self.assertEqual((self.texts(page), page.reset), (["young"], False))
        page = await self.read(before="9999999999999-1")
        self.assertEqual((self.texts(page), page.more), (["young"], False))
        self.assertIsNone(await self.conversations.entry(TALK, old[0]))
        await self.let_pass(30 * DAY)
        page = await self.read(after=old[1])
        self.assertEqual((page.entries, page.more, page.reset), ((), False, True))
        self.assertEqual(page.upto, await end_of(self.store, TALK))

    async def test_positions_continue_when_all_messages_are_too_old(self):
        old = await self.say(*["."] * 40)
        await self.let_pass(31 * DAY)
        young = await self.say(*["!"] * 40)
        self.assertEqual((await self.read(after=old[-1])).entries[0].previous, old[-1])
        self.assertTrue(positions.parse(young[0]) > positions.parse(old[-1]))
        self.assertEqual(await self.unread(BOB), 40)

    # Marks

    async def test_marks_only_move_forward(self):
        said = await self.say(*"abcde")
        self.assertEqual(await self.received(said[2]), said[2])
        self.assertEqual(await self.received(said[1]), said[2])
        self.assertEqual(await self.received(said[3]), said[3])
        self.assertEqual(await self.reads(said[1]), said[1])
        self.assertEqual(await self.reads(said[0]), said[1])
        self.assertEqual(await marks_of(self.store, ALICE, "phone", TALK), (said[3], said[1]))
        self.assertEqual(await marks_of(self.store, ALICE, "phone", "g:9"), ("", ""))
        self.assertEqual(await marks_of(self.store, ALICE, "desk", TALK), ("", said[1]))
        self.assertEqual(await marks_of(self.store, BOB, "phone", TALK), ("", ""))

    async def test_marks_are_clamped_to_the_end(self):
        said = await self.say(*"abc")
        for beyond in ("9999999999999-1", f"{(1 << 63) - 1}-{(1 << 63) - 1}"):
            self.assertEqual(await self.received(beyond), said[2])
            self.assertEqual(await self.reads(beyond), said[2])
        nothing = conversations.private(BOB, CAROL)
        self.assertEqual(await self.received(said[1], BOB, conversation=nothing), "")
        self.assertEqual(await self.reads(said[1], BOB, conversation=nothing), "")
        self.assertEqual(await marks_of(self.store, BOB, "phone", nothing), ("", ""))

    async def test_marks_start_at_the_floor(self):
        said = await self.say(*"abc")
        self.assertEqual(await self.received(said[0], floor=said[1]), said[1])
        self.assertEqual(await self.reads(said[0], floor=said[1]), said[1])

    async def test_many_marks_in_one_call(self):
        said = await self.say(*"abc")
        marks = [
            Mark(ALICE, "phone", TALK, said[1]),
            Mark(ALICE, None, TALK, said[0]),
            Mark(BOB, "phone", TALK, said[2]),
            Mark(ALICE, "phone", TALK, said[0]),
        ]
        self.assertEqual(await self.conversations.mark(marks), [said[1], said[0], said[2], said[1]])
        self.assertEqual(await self.conversations.mark([]), [])

    async def test_devices_that_stay_away_for_long_are_forgotten(self):
        said = await self.say("a")
        await self.received(said[0])
        await self.received(said[0], device="desk")
        for _ in range(2):
            await self.let_pass(60 * DAY)
            await self.conversations.heads(ALICE, "phone")
        self.assertEqual(await marks_of(self.store, ALICE, "phone", TALK), (said[0], ""))
        self.assertEqual(await marks_of(self.store, ALICE, "desk", TALK), ("", ""))

    # Unread

    async def test_unread_counts_others_messages_after_the_read_mark(self):
        said = []
        for number in range(6):
            said += await self.say("a", sender=(ALICE, BOB)[number % 2])
        self.assertEqual((await self.unread(ALICE), await self.unread(BOB)), (3, 3))
        await self.reads(said[1])
        self.assertEqual(await self.unread(ALICE), 2)
        await self.reads(said[2])
        self.assertEqual(await self.unread(ALICE), 2)
        await self.reads(said[3])
        self.assertEqual(await self.unread(ALICE), 1)
        said += await self.say("b", "b", sender=BOB)
        said += await self.say("c")
        self.assertEqual(await self.unread(ALICE), 3)
        await self.reads(said[6])
        self.assertEqual(await self.unread(ALICE), 1)
        await self.reads(said[-1])
        self.assertEqual(await self.unread(ALICE), 0)
        self.assertEqual(await self.unread(BOB), 4)

    async def test_messages_that_do_not_count_are_not_unread(self):
        said = await self.say("a", sender=BOB)
        await self.append("", sender=BOB, counts=False)
        said += await self.say("b", sender=BOB)
        await self.append("", sender=BOB, counts=False)
        self.assertEqual(await self.unread(ALICE), 2)
        await self.reads(said[0])
        self.assertEqual(await self.unread(ALICE), 1)
        await self.reads((await self.append("", counts=False)).position)
        self.assertEqual(await self.unread(ALICE), 0)

    async def test_recalled_texts_are_not_unread(self):
        said = []
        for number in range(8):
            said += await self.say("a", sender=(ALICE, BOB)[number % 2])
        await self.reads(said[3])
        for position in said[1], said[5]:  # one that ALICE has read, and one that she has not
            await self.append("", sender=BOB, counts=False, recalls=position)
        await self.append("", counts=False, recalls=said[6])
        self.assertEqual((await self.unread(ALICE), await self.unread(BOB)), (1, 3))
        await self.reads(said[5])
        self.assertEqual(await self.unread(ALICE), 1)
        await self.reads(said[2], BOB)
        self.assertEqual(await self.unread(BOB), 1)
        await self.append("", sender=BOB, counts=False, recalls=said[7])
        self.assertEqual(await self.unread(ALICE), 0)

    async def test_recalled_texts_of_a_group_are_not_unread(self):
        _, name = await self.group_of(ALICE, BOB, CAROL)
        said = []
        for number in range(6):
            said += await self.say("a", conversation=name, sender=(ALICE, BOB, CAROL)[number % 3])
        await self.append("", conversation=name, sender=BOB, counts=False, recalls=said[4])
        unread = [await self.unread(user, name) for user in (ALICE, BOB, CAROL)]
        self.assertEqual(unread, [3, 4, 3])

    async def test_a_repetition_counts_once(self):
        for _ in range(3):
            await self.append("a", sender=BOB, client_id="x")
        self.assertEqual(await self.unread(ALICE), 1)

    async def day_by_day(self):
        """Have BOB say so much in a group that some of it is trimmed; return its name and the positions."""
        _, name = await self.group_of(ALICE, BOB)
        said = []
        for _ in range(6):
            said += await self.say(*["."] * (RETENTION.count // 2), sender=BOB, conversation=name)
            await self.let_pass(DAY)
        return name, said

    async def test_unread_is_at_most_the_number_of_messages_left(self):
        name, said = await self.day_by_day()
        left = len((await self.read(name, limit=100_000)).entries)
        self.assertTrue(left < len(said))
        self.assertEqual(await self.unread(ALICE, name), left)

    async def test_a_read_mark_among_trimmed_messages(self):
        name, said = await self.day_by_day()
        await self.reads(said[5], conversation=name)
        left = len((await self.read(name, limit=100_000)).entries)
        self.assertEqual(await self.unread(ALICE, name), left)
        await self.reads(said[-4], conversation=name)
        self.assertEqual(await self.unread(ALICE, name), 3)

    # Heads

    async def test_a_head_says_what_is_new(self):
        now = self.now()
        said = await self.say("a", "b", sender=BOB, sent_at=now)
        head = await self.head()
        self.assertEqual(
            (head.conversation, head.latest, head.received, head.read, head.unread, head.active),
            (TALK, said[1], "", "", 2, now),
        )
        await self.received(said[0])
        await self.reads(said[0])
        head = await self.head()
        self.assertEqual((head.received, head.read, head.unread), (said[0], said[0], 1))
        self.assertEqual((await self.head(device="desk")).received, "")

    async def test_conversations_with_nothing_new_or_unread_have_no_head(self):
        said = await self.say("a", "b", sender=BOB)
        await self.received(said[1])
        self.assertEqual((await self.head()).unread, 2)
        await self.reads(said[1])
        self.assertIsNone(await self.head())
        self.assertIsNotNone(await self.head(device="desk"))
        await self.say("c")  # one's own message: not unread, but new to the device
        self.assertEqual((await self.head()).unread, 0)
        self.assertIsNone(await self.head(user=CAROL))

    async def test_everyone_has_no_head(self):
        await self.say("a", conversation="g:0")
        self.assertIsNone(await self.head())
        self.assertIsNone(await self.head(user=BOB))

    async def pages(self, user, device="phone", **options):
        """Return the names of all heads, by page."""
        after, pages = "", []
        while True:
            page = await self.conversations.heads(user, device, after=after, **options)
            pages.append([head.conversation for head in page.heads])
            after = page.more
            if not after:
                return pages

    async def test_heads_come_newest_first_in_pages(self):
        now = self.now()
        names = [conversations.private(ALICE, 2000 + number) for number in range(250)]
        # Many have the same time, so that the order among them matters.
        items = [self.item(conversation=name, sent_at=now - 1000 * (number // 40)) for number, name in enumerate(names)]
        for at in range(0, 250, 50):
            await self.conversations.append(items[at : at + 50])
        pages = await self.pages(ALICE)
        self.assertEqual([len(page) for page in pages], [100, 100, 50])
        seen = flat(pages)
        self.assertEqual(sorted(seen), sorted(names))
        times = {item.conversation: item.sent_at for item in items}
        self.assertEqual([times[name] for name in seen], sorted(times.values(), reverse=True))
        pages = await self.pages(ALICE, limit=7)
        self.assertEqual((flat(pages), len(pages)), (seen, 36))

    async def test_guests_only_have_heads_for_messages_of_others(self):
        await self.say("to nobody yet", sender=ALICE)
        self.assertIsNone(await self.head(device=GUEST))
        self.assertIsNotNone(await self.head())
        (said,) = await self.say("hi", sender=BOB)
        self.assertEqual((await self.head(device=GUEST)).latest, said)
        await self.received(said, device=GUEST)
        # It is unread, and stays so.
        self.assertIsNone(await self.head(device=GUEST))
        self.assertEqual((await self.head(device="another")).unread, 1)

    async def test_a_page_may_be_empty(self):
        names = [conversations.private(ALICE, 2000 + number) for number in range(230)]
        now = self.now()
        results = await self.conversations.append(
            [self.item(conversation=name, sent_at=now - number) for number, name in enumerate(names)]
        )
        marks = [Mark(ALICE, "phone", name, result.position) for name, result in zip(names, results, strict=True)]
        await self.conversations.mark(marks[:-3])
        pages = await self.pages(ALICE)
        self.assertEqual([page for page in pages if page], [names[-3:]])
        self.assertEqual(len(pages), self.empty_pages + 1)

    async def test_activity_between_pages_does_not_disturb_them(self):
        now = self.now()
        names = [conversations.private(ALICE, 2000 + number) for number in range(30)]
        await self.conversations.append(
            [self.item(conversation=name, sent_at=now - 100 * number) for number, name in enumerate(names)]
        )
        page = await self.conversations.heads(ALICE, "phone", limit=10)
        self.assertEqual([head.conversation for head in page.heads], names[:10])
        # The last one that was read, and one that is still to come.
        await self.append(conversation=names[9], sent_at=now + 1000)
        await self.append(conversation=names[15], sent_at=now + 1001)
        page = await self.conversations.heads(ALICE, "phone", after=page.more, limit=100)
        self.assertEqual([head.conversation for head in page.heads], names[10:15] + names[16:])
        self.assertEqual(page.more, "")

    async def test_only_conversations_active_since(self):
        now = self.now()
        names = [conversations.private(ALICE, 2000 + number) for number in range(9)]
        await self.conversations.append(
            [self.item(conversation=name, sent_at=now - 60_000 * number) for number, name in enumerate(names)]
        )
        # What has come shortly before counts, too.
        self.assertEqual(await self.pages(ALICE, since=now - 30_000), [names[:4]])
        self.assertEqual(await self.pages(ALICE, since=now + 300_000), [[]])

    async def test_a_message_sent_just_now_counts_as_active_since(self):
        now = self.now()
        await self.say("a", sender=BOB, sent_at=now)
        await self.say("b", sender=BOB, sent_at=now + 900)
        self.assertEqual(await self.pages(ALICE, since=now + 900), [[TALK]])

    async def test_activity_never_moves_back(self):
        now = self.now()
        await self.say("a", sent_at=now)
        await self.say("b", sent_at=now - 5000)
        self.assertEqual((await self.head()).active, now)

    async def test_conversations_that_are_too_old_have_no_head(self):
        await self.say("a", sender=BOB)
        await self.let_pass(29 * DAY)
        self.assertIsNotNone(await self.head())
        await self.let_pass(2 * DAY)
        self.assertIsNone(await self.head())

    async def test_invalid_cursors_are_refused(self):
        for after in ("x", "1", "1 ", "-1 p:1:2", "1 p:2:1", "1 login-status", "1" * 30 + " p:1:2", "1 p:1:2\n"):
            await self.assertFailure(self.conversations.heads(ALICE, "phone", after=after), InvalidField)

    # Groups

    async def group_of(self, *users, open=True, history=False):
        group = await self.store.groups.create(users[0], "a group", open=open, history=history)
        for user in users[1:]:
            await self.store.groups.add(group.id, users[0], user)
        return group.id, conversations.group(group.id)

    async def test_only_members_write_to_a_group(self):
        id, name = await self.group_of(ALICE, BOB)
        results = await self.conversations.append(
            [
                self.item("a", conversation=name),
                self.item("b", conversation=name, sender=CAROL),
                self.item("c", conversation=conversations.group(id + 1000)),
                self.item("d", conversation=name, sender=BOB),
            ]
        )
        self.assertIsInstance(results[1], Forbidden)
        self.assertIsInstance(results[2], NotFound)
        self.assertEqual(results[3].previous, results[0].position)
        version = (await self.store.groups.group(id)).version
        self.assertEqual((results[0].version, results[3].version), (version, version))
        self.assertEqual(self.texts(await self.read(name)), ["a", "d"])

    async def test_a_former_member_cannot_even_repeat_a_message(self):
        id, name = await self.group_of(ALICE, BOB)
        await self.append("a", conversation=name, sender=BOB, client_id="x")
        await self.store.groups.remove(id, BOB, BOB)
        self.assertIsInstance(await self.append("a", conversation=name, sender=BOB, client_id="x"), Forbidden)

    async def test_heads_of_groups(self):
        now = self.now()
        _, name = await self.group_of(ALICE, BOB)
        _, _quiet = await self.group_of(ALICE, BOB)
        self.assertEqual(await self.pages(BOB), [[]])
        said = await self.say("a", "b", conversation=name, sent_at=now - 1)
        await self.say("c", sent_at=now - 2)
        await self.say("d", conversation=conversations.private(BOB, CAROL), sender=CAROL, sent_at=now)
        expected = [conversations.private(BOB, CAROL), name, TALK]
        self.assertEqual(await self.pages(BOB), [expected])
        self.assertEqual(await self.pages(BOB, limit=1), [[one] for one in expected])
        self.assertEqual(await self.unread(BOB, name), 2)
        await self.received(said[1], BOB, conversation=name)
        await self.reads(said[0], BOB, conversation=name)
        self.assertEqual(await self.unread(BOB, name), 1)
        await self.reads(said[1], BOB, conversation=name)
        self.assertEqual(await self.pages(BOB), [[expected[0], TALK]])

    async def test_a_group_that_the_user_left_has_no_head(self):
        id, name = await self.group_of(ALICE, BOB)
        await self.say("a", conversation=name)
        self.assertEqual(await self.pages(BOB), [[name]])
        await self.store.groups.remove(id, BOB, BOB)
        self.assertEqual(await self.pages(BOB), [[]])

    async def test_unread_in_a_group(self):
        _, name = await self.group_of(ALICE, BOB, CAROL)
        said = []
        for number in range(9):
            said += await self.say("a", conversation=name, sender=(ALICE, BOB, CAROL)[number % 3])
        for user in (ALICE, BOB, CAROL):
            self.assertEqual(await self.unread(user, name), 6)
        await self.reads(said[3], BOB, conversation=name)  # before two of BOB's own
        self.assertEqual(await self.unread(BOB, name), 3)
        await self.reads(said[7], BOB, conversation=name)
        self.assertEqual(await self.unread(BOB, name), 1)
        await self.reads(said[8], BOB, conversation=name)
        self.assertEqual(await self.unread(BOB, name), 0)

    async def test_messages_from_before_joining_are_neither_read_nor_unread(self):
        id, name = await self.group_of(ALICE)
        said = await self.say("a", "b", conversation=name)
        await self.store.groups.add(id, ALICE, BOB)
        member = await self.store.groups.member(id, BOB)
        self.assertEqual(member, Member(id, BOB, Role.MEMBER, said[1]))
        self.assertIsNone(await self.head(BOB))
        await self.say("c", conversation=name)
        self.assertEqual((await self.head(BOB)).unread, 1)
        page = await self.read(name, floor=member.floor)
        self.assertEqual((self.texts(page), page.reset), (["c"], True))

    async def test_history_may_be_open_to_new_members(self):
        id, name = await self.group_of(ALICE, history=True)
        await self.say("a", "b", conversation=name)
        await self.store.groups.add(id, ALICE, BOB)
        member = await self.store.groups.member(id, BOB)
        self.assertEqual(member.floor, "")
        head = await self.head(BOB)
        self.assertEqual((head.received, head.unread), ("", 0))

    async def test_a_member_who_rejoins_has_missed_the_messages_in_between(self):
        id, name = await self.group_of(ALICE, BOB)
        await self.say("a", conversation=name)
        await self.store.groups.remove(id, BOB, BOB)
        said = await self.say("b", conversation=name)
        await self.store.groups.add(id, ALICE, BOB)
        member = await self.store.groups.member(id, BOB)
        self.assertEqual(member.floor, said[0])
        self.assertIsNone(await self.head(BOB))
