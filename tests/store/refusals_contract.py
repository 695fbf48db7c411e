"""Tests of what every store promises about messages that a policy decides on (`IConversations.append`)."""

from __future__ import annotations

from attrs import evolve

from cim.errors import AccountMismatch, Conflict, Forbidden, OutOfOrder, Refused, Undecided
from cim.model import Appended, Fate
from cim.store.pages import ONCE_SECONDS
from cim.wire import conversations
from tests.store.conversing import ALICE, BOB, CAROL, Conversing


class RefusalsContract(Conversing):
    """Mix into a TestCase as for Conversing; `other()` returns another route's store on the same data."""

    def other(self):
        return self.store

    async def decide(self, item, fate, reason=""):
        asked = evolve(item, fate=fate, body=reason.encode() if fate is Fate.REFUSED else item.body)
        return (await self.other().conversations.append([asked]))[0]

    async def test_asking_what_became_of_a_message_changes_nothing(self):
        item = self.item("a", client_id="1")
        for _ in range(2):
            self.assertIsInstance(await self.decide(item, Fate.ASKED), Undecided)
        self.assertEqual((await self.read()).entries, ())
        self.assertEqual((await self.conversations.heads(BOB, "phone")).heads, ())
        stored = (await self.conversations.append([item]))[0]
        self.assertEqual((stored.repeated, stored.previous), (False, ""))
        self.assertEqual(await self.decide(item, Fate.ASKED), evolve(stored, repeated=True))
        self.assertIsInstance(await self.decide(self.item("b", client_id="1"), Fate.ASKED), Conflict)

    async def test_a_refusal_is_remembered_with_its_reason(self):
        item = self.item("a", client_id="1")
        why = "不行: no\nsuch word, 100 %"
        said = [await self.decide(item, Fate.REFUSED, why), await self.decide(item, Fate.ASKED)]
        said += await self.conversations.append([item, item])
        self.assertEqual([(type(one), one.message) for one in said], [(Refused, why)] * 4)
        self.assertEqual((await self.read()).entries, ())
        self.assertEqual((await self.conversations.heads(BOB, "phone")).heads, ())
        # It is so for this very message.
        self.assertIsInstance(await self.append("b", client_id="1"), Conflict)
        self.assertIsInstance(await self.append("a", client_id="1", sender=BOB), Appended)

    async def test_the_first_decision_stays(self):
        item = self.item("a", client_id="1")
        stored = (await self.conversations.append([item]))[0]
        self.assertEqual(await self.decide(item, Fate.REFUSED, "no"), evolve(stored, repeated=True))
        other = self.item("b", client_id="2")
        await self.decide(other, Fate.REFUSED, "no")
        self.assertEqual((await self.decide(other, Fate.REFUSED, "never")).message, "no")

    async def test_a_refused_message_holds_nothing_back(self):
        await self.decide(self.item("a", client_id="1"), Fate.REFUSED, "no")
        self.assertIsInstance(await self.append("b", client_id="2", after="1"), Appended)
        # Neither does one that the same call refuses, nor one that is found refused by it.
        refused = evolve(self.item("c", client_id="3", after="2"), fate=Fate.REFUSED, body=b"no")
        results = await self.conversations.append(
            [
                refused,
                self.item("d", client_id="4", after="3"),
                self.item("a", client_id="1"),
                self.item("e", after="1"),
            ]
        )
        self.assertEqual([type(one) for one in results], [Refused, Appended, Refused, Appended])
        self.assertEqual(self.texts(await self.read()), ["b", "d", "e"])
        self.assertIsInstance(await self.append("f", after="never said"), OutOfOrder)

    async def test_a_refused_message_has_its_place(self):
        """What comes behind it would overtake what is before it otherwise."""
        item = self.item("b", client_id="2", after="1")
        self.assertIsInstance(await self.decide(item, Fate.ASKED), Undecided)
        self.assertIsInstance(await self.decide(item, Fate.REFUSED, "no"), OutOfOrder)
        self.assertIsInstance(await self.append("c", client_id="3", after="2"), OutOfOrder)
        await self.append("a", client_id="1")
        self.assertIsInstance(await self.decide(item, Fate.REFUSED, "no"), Refused)
        self.assertIsInstance(await self.append("c", client_id="3", after="2"), Appended)
        self.assertIsInstance(await self.decide(evolve(item, after="never said"), Fate.REFUSED, "no"), Refused)

    async def test_rights_come_first(self):
        group = (await self.store.groups.create(BOB, "group", open=True, history=True)).id
        item = self.item("a", client_id="1", conversation=conversations.group(group))
        for fate in (Fate.ASKED, Fate.REFUSED):
            self.assertNotIsInstance(await self.decide(item, fate, "no"), Refused)
            self.assertIsInstance(await self.decide(item, fate, "no"), Forbidden)
        await self.store.groups.add(group, ALICE, ALICE)
        self.assertIsInstance((await self.conversations.append([item]))[0], Appended)
        await self.store.blocks.block(BOB, CAROL)
        blocked = self.item("a", sender=CAROL, conversation=conversations.private(BOB, CAROL))
        for fate in (Fate.ASKED, Fate.REFUSED):
            self.assertIsInstance(await self.decide(blocked, fate, "no"), AccountMismatch)

    async def test_what_became_of_an_edit(self):
        (text,) = await self.say("a")
        item = self.item("b", client_id="1", ref=text, counts=False, refers=text, edits=True)
        self.assertIsInstance(await self.decide(item, Fate.ASKED), Undecided)
        stored = (await self.conversations.append([item]))[0]
        self.assertEqual(await self.decide(item, Fate.ASKED), evolve(stored, repeated=True))
        recall = self.item("", counts=False, recalls=text)
        await self.conversations.append([recall])
        self.assertNotEqual((await self.decide(item, Fate.ASKED)).body, stored.body)

    async def test_refusals_are_forgotten_like_messages(self):
        item = self.item("a", client_id="1")
        await self.decide(item, Fate.REFUSED, "no")
        if not hasattr(self, "clock"):  # Redis forgets by itself
            return
        await self.let_pass(ONCE_SECONDS + 1)
        self.assertIsInstance(await self.decide(item, Fate.ASKED), Undecided)

    async def test_a_group_that_ends_takes_its_refusals_along(self):
        group = (await self.store.groups.create(ALICE, "group", open=True, history=True)).id
        item = self.item("a", client_id="1", conversation=conversations.group(group))
        await self.decide(item, Fate.REFUSED, "no")
        await self.store.groups.remove(group, ALICE, ALICE)
        self.assertNotIsInstance((await self.conversations.append([item]))[0], Appended)
