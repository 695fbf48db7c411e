"""Tests of what every store promises about messages that name a predecessor or a text (`IConversations.append`)."""

from __future__ import annotations

import random

from attrs import define, field

from twisted.internet.defer import gatherResults

from cim.errors import Conflict, Forbidden, NotFound, OutOfOrder
from cim.model import Appended
from cim.wire import conversations, native, positions
from tests.store.conversing import ALICE, BOB, CAROL, DAY, RETENTION, TALK, Conversing


class OrderContract(Conversing):
    """Mix into a TestCase as for Conversing; `other()` returns another route's store on the same data."""

    def other(self):
        return self.store

    async def everything(self, conversation=TALK):
        page = await self.conversations.read(conversation, limit=1000)
        return page, (await self.conversations.heads(BOB, "phone")).heads

    # Predecessors

    async def test_after_a_stored_message(self):
        first = await self.append("a", client_id="1")
        second = await self.append("b", client_id="2", after="1")
        self.assertEqual((second.previous, second.repeated), (first.position, False))
        # It was stored by an earlier call, and others have sent messages since.
        await self.say("x", "y", sender=BOB)
        self.assertIsInstance(await self.append("c", client_id="3", after="1"), Appended)

    async def test_earlier_messages_of_the_same_call_count_and_later_ones_do_not(self):
        items = [
            self.item("a", client_id="1"),
            self.item("c", client_id="3", after="2"),
            self.item("b", client_id="2", after="1"),
            self.item("d", client_id="4", after="2"),
        ]
        results = await self.conversations.append(items)
        self.assertEqual([type(result) for result in results], [Appended, OutOfOrder, Appended, Appended])
        self.assertEqual(self.texts(await self.read()), ["a", "b", "d"])

    async def test_a_repetition_in_the_same_call_counts(self):
        await self.append("a", client_id="1")
        results = await self.conversations.append(
            [self.item("a", client_id="1"), self.item("b", client_id="2", after="1")]
        )
        self.assertEqual([result.repeated for result in results], [True, False])

    # Runs: what one says at once, each message after the one before

    def run_of(self, client_ids, after="", **more):
        """Return messages of which each has its client_id as its text, and comes after the one before."""
        items = []
        for client_id in client_ids:
            items.append(self.item(client_id, client_id=client_id, after=after, sent_at=self.now(), **more))
            after = client_id
        for item in items[1:]:
            item.sent_at = items[0].sent_at
        return items

    async def test_a_run_is_stored_in_a_row(self):
        said = (await self.say("before"))[0]
        names = [f"n{number}" for number in range(50)]
        results = await self.conversations.append(self.run_of(names))
        places = [result.position for result in results]
        self.assertEqual([result.previous for result in results], [said, *places[:-1]])
        self.assertEqual({(result.repeated, result.version) for result in results}, {(False, 0)})
        page = await self.read()
        self.assertEqual((self.texts(page), page.positions), (["before", *names], [said, *places]))
        self.assertEqual((await self.unread(BOB), await self.unread(ALICE)), (51, 0))
        self.assertEqual((await self.head(BOB)).latest, places[-1])
        again = await self.conversations.append(self.run_of(names))
        self.assertEqual([(one.position, one.repeated) for one in again], [(place, True) for place in places])
        self.assertEqual([one.previous for one in again], [said, *places[:-1]])

    async def test_what_was_stored_before_is_not_stored_again_within_a_run(self):
        await self.conversations.append(self.run_of(["c", "f"]))
        results = await self.conversations.append(self.run_of(["a", "b", "c", "d", "e", "f", "g"]))
        self.assertEqual([one.repeated for one in results], [name in "cf" for name in "abcdefg"])
        self.assertEqual(self.texts(await self.read()), ["c", "f", "a", "b", "d", "e", "g"])

    async def test_a_message_that_is_twice_in_a_run_is_stored_once(self):
        results = await self.conversations.append(self.run_of(["a", "b", "a", "c", "b"]))
        self.assertEqual([one.repeated for one in results], [False, False, True, False, True])
        self.assertEqual(self.texts(await self.read()), ["a", "b", "c"])

    async def test_a_conflict_within_a_run_holds_nothing_up(self):
        await self.append("other", client_id="b")
        results = await self.conversations.append(self.run_of(["a", "b", "c"]))
        self.assertEqual([type(one) for one in results], [Appended, Conflict, Appended])
        self.assertEqual(self.texts(await self.read()), ["other", "a", "c"])

    async def test_a_run_out_of_order_is_refused_whole(self):
        results = await self.conversations.append(self.run_of(["a", "b", "c"], after="never"))
        self.assertEqual([type(one) for one in results], [OutOfOrder] * 3)
        self.assertEqual(self.texts(await self.read()), [])
        # What is there already is a repetition nevertheless, and what comes after that is in order.
        await self.append("b", client_id="b")
        results = await self.conversations.append(self.run_of(["a", "b", "c"], after="never"))
        self.assertEqual([type(one) for one in results], [OutOfOrder, Appended, Appended])

    async def test_runs_of_two_senders_in_one_call(self):
        group = (await self.store.groups.create(ALICE, "group", open=True, history=True)).id
        await self.store.groups.add(group, BOB, BOB)
        where = {"conversation": conversations.group(group)}
        first = self.run_of(["a", "b"], **where), self.run_of(["a", "b"], sender=BOB, **where)
        results = await self.conversations.append(
            [*first[0], *first[1], *self.run_of(["c"], "b", **where), *self.run_of(["x"], sender=CAROL, **where)]
        )
        self.assertEqual([type(one) for one in results], [Appended] * 5 + [Forbidden])
        self.assertEqual(len({one.version for one in results[:5]}), 1)
        page = await self.read(where["conversation"])
        said = [(native.parse_body(body).sender, native.parse_body(body).text) for body in page.bodies]
        self.assertEqual(said[-5:], [(ALICE, "a"), (ALICE, "b"), (BOB, "a"), (BOB, "b"), (ALICE, "c")])

    async def test_a_message_out_of_order_changes_nothing(self):
        await self.say("hello")
        before = await self.everything()
        for conversation in (TALK, conversations.private(ALICE, CAROL)):
            refused = await self.append("b", client_id="2", after="1", conversation=conversation)
            self.assertIsInstance(refused, OutOfOrder)
        self.assertEqual(await self.everything(), before)
        self.assertEqual((await self.conversations.heads(CAROL, "phone")).heads, ())
        # So it is not a repetition when it comes again, and may even have other content.
        again = await self.append("other", client_id="2")
        self.assertEqual(again.repeated, False)
        self.assertEqual((await self.read()).entries[-1].previous, before[0].upto)

    async def test_a_refused_message_is_not_stored(self):
        group = (await self.store.groups.create(BOB, "group", open=True, history=True)).id
        name = conversations.group(group)
        self.assertIsInstance(await self.append("a", client_id="1", conversation=name), Forbidden)
        await self.store.groups.add(group, ALICE, ALICE)
        self.assertIsInstance(await self.append("b", client_id="2", after="1", conversation=name), OutOfOrder)

    async def test_a_repetition_is_answered_whatever_predecessor_it_names(self):
        first = await self.append("a", client_id="1")
        again = await self.append("a", client_id="1", after="never said")
        self.assertEqual((again.position, again.repeated), (first.position, True))
        self.assertIsInstance(await self.append("other", client_id="1", after="never said"), Conflict)

    async def test_rights_come_first(self):
        group = (await self.store.groups.create(BOB, "group", open=True, history=True)).id
        name = conversations.group(group)
        self.assertIsInstance(await self.append("a", client_id="1", after="0", conversation=name), Forbidden)
        self.assertIsInstance(await self.append("a", client_id="1", after="0", conversation="g:4711"), NotFound)

    async def test_a_predecessor_is_of_the_same_sender_and_conversation(self):
        await self.append("a", client_id="1")
        self.assertIsInstance(await self.append("b", client_id="2", after="1", sender=BOB), OutOfOrder)
        elsewhere = conversations.private(ALICE, CAROL)
        self.assertIsInstance(await self.append("b", client_id="2", after="1", conversation=elsewhere), OutOfOrder)
        results = await self.conversations.append(
            [self.item("x", client_id="9"), self.item("y", client_id="8", after="9", conversation=elsewhere)]
        )
        self.assertEqual([type(result) for result in results], [Appended, OutOfOrder])

    async def test_no_message_precedes_itself(self):
        self.assertIsInstance(await self.append("a", client_id="1", after="1"), OutOfOrder)

    async def test_trimmed_messages_are_remembered(self):
        await self.append("a", client_id="1")
        await self.chat(4 * RETENTION.count)
        self.assertNotIn("a", self.texts(await self.read(limit=10_000)))
        self.assertIsInstance(await self.append("b", client_id="2", after="1"), Appended)

    async def test_messages_of_a_day_ago_are_not_remembered(self):
        await self.append("a", client_id="1")
        await self.let_pass(DAY - 60)
        self.assertIsInstance(await self.append("b", client_id="2", after="1"), Appended)
        await self.let_pass(120)
        self.assertIsInstance(await self.append("c", client_id="3", after="1"), OutOfOrder)

    # Texts that are edited, reacted to or recalled

    async def test_references_to_a_text(self):
        said = await self.append("a", client_id="1")
        for sender in (ALICE, BOB):
            self.assertIsInstance(await self.append("+", counts=False, refers=said.position, sender=sender), Appended)

    async def test_references_to_nothing(self):
        said = await self.append("a", client_id="1")
        before = await self.everything()
        epoch, n = positions.parse(said.position)
        for place in (f"{epoch}-{n + 1}", "1-1", positions.NOWHERE):
            for role in ("refers", "recalls"):
                self.assertIsInstance(await self.append("+", counts=False, **{role: place}), NotFound, (place, role))
        self.assertEqual(await self.everything(), before)

    async def test_texts_that_are_too_old_are_gone(self):
        said = await self.append("a", client_id="1")
        await self.let_pass(RETENTION.days * DAY + 1)
        for role in ("refers", "recalls"):
            self.assertIsInstance(await self.append("+", counts=False, **{role: said.position}), NotFound)

    async def test_references_to_other_kinds(self):
        said = await self.append("a", client_id="1")
        edit = await self.append("b", counts=False, refers=said.position)
        for role in ("refers", "recalls"):
            self.assertIsInstance(await self.append("+", counts=False, **{role: edit.position}), Forbidden)

    async def test_a_recalled_text_cannot_be_edited_or_recalled_again(self):
        said = await self.append("a", client_id="1")
        recall = self.item("", counts=False, recalls=said.position)
        (first,) = await self.conversations.append([recall])
        before = await self.everything()
        for revises in ("refers", "recalls"):
            refused = await self.append("b", counts=False, **{revises: said.position})
            self.assertIsInstance(refused, NotFound)
            self.assertIn("recalled", refused.message)
        (again,) = await self.conversations.append([recall])
        self.assertEqual((again.position, again.repeated), (first.position, True))
        self.assertEqual(await self.everything(), before)

    async def test_a_stored_revision_is_a_repetition_even_if_its_text_is_gone(self):
        said = await self.append("a", client_id="1")
        edit = await self.append("b", client_id="2", counts=False, refers=said.position)
        await self.append("", counts=False, recalls=said.position)
        again = await self.append("b", client_id="2", counts=False, refers=said.position)
        self.assertEqual((again.position, again.repeated), (edit.position, True))

    async def test_a_recall_and_an_edit_in_one_call(self):
        for first, second in (("recalls", "refers"), ("refers", "recalls")):
            said = await self.append("a")
            results = await self.conversations.append(
                [self.item("x", counts=False, **{role: said.position}) for role in (first, second)]
            )
            expected = [Appended, NotFound] if first == "recalls" else [Appended, Appended]
            self.assertEqual([type(result) for result in results], expected)

    async def test_a_recall_and_an_edit_by_two_routes(self):
        routes = [self.store.conversations, self.other().conversations]
        for first, second in (("recalls", "refers"), ("refers", "recalls")):
            said = await self.append("a")
            one, other = await gatherResults(
                [
                    route.append([self.item("x", counts=False, **{role: said.position})])
                    for route, role in zip(routes, (first, second), strict=True)
                ]
            )
            results = {first: one[0], second: other[0]}
            recall, edit = results["recalls"], results["refers"]
            self.assertIsInstance(recall, Appended)
            if isinstance(edit, Appended):
                self.assertLess(positions.parse(edit.position), positions.parse(recall.position))
            else:
                self.assertIsInstance(edit, NotFound)
            self.assertEqual(native.parse_body((await self.conversations.entry(TALK, said.position)).body).text, "")

    # Random calls

    async def test_any_calls(self):
        for seed in range(20):
            storm = Calls(random.Random(seed), f"p:{ALICE}:{2000 + seed}")
            await storm.run(self, [self.store.conversations, self.other().conversations])


@define
class Calls:
    """Calls of two routes, which senders repeat for lack of an answer, and a model of the expected results.

    :ivar stored: (sender, client_id) -> position and digest
    :ivar texts: positions of texts -> whether they were recalled
    """

    random: random.Random
    conversation: str
    stored: dict = field(factory=dict)
    texts: dict = field(factory=dict)

    async def run(self, case, routes):
        for _ in range(30):
            items = []
            for _ in range(self.random.randint(1, 8)):
                items.append(self.item(case, items[-1] if items and self.random.random() < 0.7 else None))
            results = await self.random.choice(routes).append(items)
            for item, result in zip(items, results, strict=True):
                self.check(case, item, result)
        page = await routes[0].read(self.conversation, limit=1000)
        case.assertEqual([entry.position for entry in page.entries], [place for place, _ in self.stored.values()])

    def item(self, case, before=None):
        """Return a message; one that `before` precedes goes on with what its sender says."""
        names = [f"c{number}" for number in range(12)]
        if before is not None:
            return case.item(
                self.random.choice(("one", "one", "one", "other")),
                client_id=self.random.choice((*names, f"more-{len(self.stored)}-{self.random.random()}")),
                after=before.client_id,
                sender=before.sender,
                conversation=self.conversation,
                sent_at=before.sent_at,
            )
        what = {}
        if self.texts and self.random.random() < 0.4:
            places = [place for place, _ in self.stored.values()]
            what = {self.random.choice(("refers", "refers", "recalls")): self.random.choice(places), "counts": False}
        return case.item(
            self.random.choice(("one", "one", "one", "other")),
            client_id=self.random.choice(names),
            after=self.random.choice([*names, "", "", "", ""]),
            sender=self.random.choice((ALICE, BOB)),
            conversation=self.conversation,
            **what,
        )

    def check(self, case, item, result):
        key, ref = (item.sender, item.client_id), item.refers or item.recalls
        if key in self.stored:
            position, digest = self.stored[key]
            if digest != item.digest:
                case.assertIsInstance(result, Conflict)
            else:
                case.assertEqual((result.position, result.repeated), (position, True))
        elif item.after and (item.sender, item.after) not in self.stored:
            case.assertIsInstance(result, OutOfOrder)
        elif ref and ref not in self.texts:
            case.assertIsInstance(result, Forbidden)
        elif ref and self.texts[ref]:
            case.assertIsInstance(result, NotFound)
        else:
            last = next(reversed(self.stored.values()), ("", b""))[0]
            case.assertEqual((result.repeated, result.previous), (False, last))
            self.stored[key] = result.position, item.digest
            if item.counts:
                self.texts[result.position] = False
            elif item.recalls:
                self.texts[ref] = True
