"""Tests of what every store promises to operators who erase what somebody said."""

from __future__ import annotations

from attrs import evolve

from cim.errors import InvalidField
from cim.model import Appended
from cim.wire import conversations, native
from tests.store.conversing import ALICE, BOB, CAROL, TALK, Conversing


class RewritingContract(Conversing):
    """Mix into a TestCase as Conversing says."""

    async def spoken(self, user):
        """Return all conversations in which a user has said something."""
        names, cursor = await self.conversations.spoken(user)
        found = list(names)
        while cursor:
            names, cursor = await self.conversations.spoken(user, cursor)
            found += names
        return sorted(found)

    async def test_where_somebody_spoke(self):
        """Also where a user is a member no longer, and among more conversations than one call looks at."""
        group = await self.store.groups.create(ALICE, "friends", open=True, history=True)
        name = conversations.group(group.id)
        await self.store.groups.add(group.id, BOB, BOB)
        await self.say("in a group", conversation=name, sender=BOB)
        await self.store.groups.remove(group.id, BOB, BOB)
        await self.say("hello", sender=BOB)
        others = [self.item(".", sender=CAROL, conversation=conversations.private(CAROL, 5000 + n)) for n in range(250)]
        await self.conversations.append(others)
        with_carol = conversations.private(BOB, CAROL)
        await self.say("hello", sender=CAROL, conversation=with_carol)
        self.assertEqual(await self.spoken(BOB), sorted([name, TALK, with_carol]))
        self.assertEqual(await self.spoken(ALICE), [TALK])
        self.assertEqual(len(await self.spoken(CAROL)), 251)
        self.assertEqual(await self.spoken(9999), [])

    async def test_what_an_operator_recalls(self):
        """Readers are told so, whatever was made of it; and not of what its author recalls."""
        for talk in (TALK, conversations.EVERYONE):
            first, second, third = await self.say("one", "two", "three", conversation=talk)
            edit = {"ref": first, "refers": first, "edits": True, "counts": False}
            if talk == TALK:
                await self.append("edited", conversation=talk, **edit)
                await self.append("", recalls=second, counts=False)
            options = {"counts": False, "past_blocks": True, "sender": 0, "conversation": talk}
            recall = self.item("", recalls=first, by_operator=True, **options)
            said = native.parse_body(recall.body)
            said.by_operator = True
            (done,) = await self.conversations.append([evolve(recall, body=said.SerializeToString())])
            self.assertIsInstance(done, Appended)
            page = await self.read(talk)
            said = {entry.position: native.parse_body(entry.body) for entry in page.entries}
            shown = {at: (said[at].text, said[at].edited, said[at].by_operator) for at in (first, second, third)}
            wanted = {first: ("", False, True), second: ("", False, False), third: ("three", False, False)}
            if talk == conversations.EVERYONE:
                wanted[second] = ("two", False, False)
            self.assertEqual(shown, wanted)
            late = await self.append("late", conversation=talk, **edit)
            self.assertNotIsInstance(late, Appended)

    async def test_what_somebody_said_to_everyone(self):
        """It does not count as unread."""
        await self.say("hello, all", sender=BOB, conversation=conversations.EVERYONE, counts=False)
        self.assertEqual(await self.spoken(BOB), [conversations.EVERYONE])
        self.assertEqual(await self.spoken(ALICE), [])

    async def test_a_cursor_that_is_none(self):
        for cursor in ("x", "-1", "0 0", "9" * 30):
            with self.assertRaises(InvalidField):
                await self.conversations.spoken(ALICE, cursor)

    async def test_bodies_are_replaced(self):
        said = await self.say("one", "two", "three")
        (entry,) = (await self.read(after=said[0], limit=1)).entries
        await self.conversations.rewrite(TALK, {said[1]: native.blank(entry.body), "77-1": b""})
        page = await self.read()
        self.assertEqual(self.texts(page), ["one", "", "three"])
        self.assertEqual([entry.position for entry in page.entries], said)
        self.assertEqual([entry.previous for entry in page.entries], ["", *said[:-1]])

    async def test_the_conversation_goes_on(self):
        """Positions, what is unread, marks and repetitions are as before."""
        said = await self.say(*[f"{n}" for n in range(150)])
        await self.reads(said[9], BOB)
        bodies = {entry.position: native.blank(entry.body) for entry in (await self.read(limit=1000)).entries}
        await self.conversations.rewrite(TALK, bodies)
        self.assertEqual(await self.unread(BOB), 140)
        (position,) = await self.say("more")
        self.assertGreater(self.number(position), self.number(said[-1]))
        page = await self.read(after=said[-1])
        self.assertEqual([(entry.position, entry.previous) for entry in page.entries], [(position, said[-1])])
        self.assertEqual(await self.unread(BOB), 141)
        again = await self.append("0", client_id="client-1")
        self.assertEqual((again.position, again.repeated), (said[0], True))

    @staticmethod
    def number(position):
        return int(position.partition("-")[2])

    async def test_nothing_is_made_of_a_conversation_without_messages(self):
        await self.conversations.rewrite(TALK, {"1-1": b""})
        self.assertEqual((await self.read()).entries, ())
