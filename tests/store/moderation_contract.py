"""Tests of what every store promises about mutes, bans and the end of groups (cim.interfaces.IGroups)."""

from __future__ import annotations

from attrs import evolve

from twisted.internet.defer import DeferredList, gatherResults

from cim.errors import CIMError, Conflict, Forbidden, Muted, NotFound
from cim.model import MAX_BANNED, MAX_MUTED, Appended, Charge, Happening, Role
from tests.store.conversing import Conversing
from tests.store.looking import end_of

ALICE, BOB, CAROL, DAVE = 1001, 1002, 1003, 1004
HOUR = 3_600_000


class GroupModerationContract(Conversing):
    """Mix into a TestCase as Conversing says."""

    @property
    def groups(self):
        return self.store.groups

    async def make(self, *users, open=False, history=False):
        """Create a group of users, owned by the first, the second of whom is an admin; return its id."""
        group = await self.groups.create(users[0], "a group", open=open, history=history)
        for user in users[1:]:
            await self.groups.add(group.id, users[0], user)
        if len(users) > 1:
            await self.groups.set_role(group.id, users[0], users[1], Role.ADMIN)
        self.conversation = f"g:{group.id}"
        self.group = group.id
        return group.id

    async def says(self, user, text="hello", **more):
        return await self.append(text, sender=user, conversation=self.conversation, **more)

    async def told(self, *kinds):
        happened = await self.groups.happened(self.group)
        return [(one.what.value, one.user, one.by, one.text) for one in happened if one.what in kinds]

    # Mutes

    async def test_a_muted_member_says_nothing_but_recalls(self):
        id = await self.make(ALICE, BOB, CAROL)
        before = await self.says(CAROL, client_id="before")
        until = self.now() + HOUR
        await self.groups.mute(id, BOB, CAROL, until)
        self.assertEqual(dict(await self.groups.mutes(id)), {CAROL: until})
        refused = await self.says(CAROL)
        self.assertIsInstance(refused, Muted)
        self.assertEqual(refused.until, until)
        self.assertIn("UTC by the admins of this group", refused.message)
        edit = await self.says(CAROL, ref=before.position, counts=False, refers=before.position, edits=True)
        self.assertIsInstance(edit, Muted)
        self.assertIsInstance(await self.says(CAROL, counts=False, refers=before.position), Muted)
        # It is all the same message if it was stored before, and what is said may be taken back.
        again = await self.says(CAROL, client_id="before")
        self.assertEqual((again.position, again.repeated), (before.position, True))
        recall = await self.says(CAROL, "", counts=False, recalls=before.position)
        self.assertIsInstance(recall, Appended)
        self.assertIsInstance(await self.says(BOB), Appended)
        # The cluster itself still tells what happens.
        self.assertIsInstance(await self.says(0, counts=False, charge=Charge.NONE), Appended)

    async def test_a_muted_batch_is_refused_whole_and_not_out_of_order(self):
        id = await self.make(ALICE, BOB, CAROL)
        await self.groups.mute(id, ALICE, CAROL, 0)
        first = self.item(sender=CAROL, conversation=self.conversation)
        second = evolve(self.item(sender=CAROL, conversation=self.conversation), after=first.client_id)
        results = await self.conversations.append([first, second])
        self.assertEqual([type(result) for result in results], [Muted, Muted])
        self.assertEqual([result.until for result in results], [0, 0])
        self.assertEqual(str(results[0]), "you are muted until somebody ends it, by the admins of this group")
        self.assertEqual(await end_of(self.store, self.conversation), "")
        # Nothing of it was remembered: later it is no repetition.
        await self.groups.mute(id, ALICE, CAROL, None)
        results = await self.conversations.append([first, second])
        self.assertEqual([result.repeated for result in results], [False, False])

    async def test_a_mute_ends_by_itself(self):
        id = await self.make(ALICE, BOB, CAROL)
        await self.groups.mute(id, ALICE, CAROL, self.now() - 1)
        self.assertIsInstance(await self.says(CAROL), Appended)
        self.assertEqual(dict(await self.groups.mutes(id)), {})
        await self.groups.mute(id, ALICE, 0, self.now() - 1)
        self.assertIsInstance(await self.says(CAROL), Appended)

    async def test_all_but_admins_are_muted(self):
        id = await self.make(ALICE, BOB, CAROL)
        self.assertIsNone((await self.groups.group(id)).muted)
        await self.groups.mute(id, BOB, 0, 0)
        self.assertEqual((await self.groups.group(id)).muted, 0)
        refused = await self.says(CAROL)
        self.assertIsInstance(refused, Muted)
        self.assertIn("who alone may write there now", refused.message)
        for user in (ALICE, BOB):
            self.assertIsInstance(await self.says(user), Appended)
        for user in (CAROL, DAVE):
            await self.assertFailure(self.groups.mute(id, user, 0, None), Forbidden)
        await self.groups.mute(id, ALICE, 0, None)
        self.assertIsNone((await self.groups.group(id)).muted)
        self.assertIsInstance(await self.says(CAROL), Appended)
        self.assertEqual(
            await self.told(Happening.MUTED, Happening.UNMUTED), [("muted", 0, BOB, "0"), ("unmuted", 0, ALICE, "")]
        )

    async def test_who_may_mute_whom(self):
        id = await self.make(ALICE, BOB, CAROL, DAVE)
        for actor, user in ((BOB, ALICE), (BOB, BOB), (ALICE, ALICE), (CAROL, DAVE), (99, CAROL)):
            await self.assertFailure(self.groups.mute(id, actor, user, 0), Forbidden)
        await self.assertFailure(self.groups.mute(id, BOB, 99, 0), NotFound)
        await self.groups.mute(id, ALICE, BOB, 0)
        self.assertIsInstance(await self.says(BOB), Muted)
        # Not even whoever is an admin ends its own.
        await self.assertFailure(self.groups.mute(id, BOB, BOB, None), Forbidden)
        await self.groups.set_role(id, ALICE, BOB, Role.OWNER)
        self.assertIsInstance(await self.says(BOB), Muted)
        await self.groups.mute(id, BOB, BOB, None)
        self.assertIsInstance(await self.says(BOB), Appended)
        await self.groups.mute(id, 0, ALICE, 0)
        self.assertIsInstance(await self.says(ALICE), Muted)

    async def test_leaving_and_coming_back_ends_no_mute(self):
        id = await self.make(ALICE, BOB, CAROL, open=True)
        await self.groups.mute(id, BOB, CAROL, 0)
        await self.groups.remove(id, CAROL, CAROL)
        await self.groups.add(id, CAROL, CAROL)
        self.assertIsInstance(await self.says(CAROL), Muted)
        self.assertEqual((await self.groups.restrictions(CAROL)).muted, {id: 0})
        await self.groups.remove(id, CAROL, CAROL)
        await self.groups.mute(id, BOB, CAROL, None)
        await self.groups.add(id, CAROL, CAROL)
        self.assertIsInstance(await self.says(CAROL), Appended)
        self.assertEqual((await self.groups.restrictions(CAROL)).muted, {})

    async def test_mutes_are_bounded_and_those_that_ended_make_room(self):
        users = range(2000, 2000 + MAX_MUTED)
        id = await self.make(ALICE)
        await gatherResults([self.groups.add(id, ALICE, user) for user in (*users, BOB)])
        ended = self.now() - 1
        await gatherResults([self.groups.mute(id, ALICE, user, 0 if user > 2000 else ended) for user in users])
        await self.groups.mute(id, ALICE, BOB, 0)
        await self.assertFailure(self.groups.mute(id, ALICE, 2000, 0), Conflict)
        await self.groups.mute(id, ALICE, BOB, self.now() + HOUR)
        self.assertEqual(len(await self.groups.mutes(id)), MAX_MUTED)
        self.assertEqual((await self.groups.restrictions(2000)).muted, {})

    # Bans

    async def test_a_banned_one_is_removed_and_does_not_come_back(self):
        id = await self.make(ALICE, BOB, CAROL, open=True)
        change = await self.groups.ban(id, BOB, CAROL)
        self.assertEqual((change.user, change.added), (CAROL, False))
        self.assertIsNone(await self.groups.member(id, CAROL))
        self.assertIsInstance(await self.says(CAROL), Forbidden)
        await self.assertFailure(self.groups.add(id, CAROL, CAROL), Forbidden)
        for actor in (ALICE, BOB, 0):
            await self.assertFailure(self.groups.add(id, actor, CAROL), Conflict)
        await self.assertFailure(self.store.invitations.invite(id, ALICE, CAROL), Conflict)
        await self.assertFailure(self.groups.accept(id, CAROL), Forbidden)
        (ban,) = await self.groups.bans(id)
        self.assertEqual((ban.group, ban.user, ban.by), (id, CAROL, BOB))
        self.assertLessEqual(abs(ban.at - self.now()), 60_000)
        self.assertEqual(list((await self.groups.restrictions(CAROL)).bans), [ban])
        self.assertIsNone(await self.groups.ban(id, ALICE, CAROL))
        self.assertTrue(await self.groups.unban(id, BOB, CAROL))
        self.assertFalse(await self.groups.unban(id, BOB, CAROL))
        self.assertEqual(list(await self.groups.bans(id)), [])
        self.assertTrue(await self.groups.add(id, CAROL, CAROL))
        self.assertEqual(
            await self.told(Happening.REMOVED, Happening.BANNED, Happening.UNBANNED),
            [("removed", CAROL, BOB, ""), ("banned", CAROL, BOB, ""), ("unbanned", CAROL, BOB, "")],
        )

    async def test_a_ban_ends_an_old_invitation_for_good(self):
        id = await self.make(ALICE, BOB)
        await self.store.invitations.invite(id, ALICE, CAROL)
        self.assertIsNone(await self.groups.ban(id, BOB, CAROL))
        self.assertEqual(list(await self.store.invitations.waiting(CAROL)), [])
        await self.groups.unban(id, BOB, CAROL)
        await self.assertFailure(self.groups.accept(id, CAROL), Forbidden)

    async def test_who_may_ban_whom(self):
        id = await self.make(ALICE, BOB, CAROL, DAVE)
        for actor, user in ((BOB, ALICE), (BOB, BOB), (ALICE, ALICE), (CAROL, DAVE), (99, DAVE), (CAROL, 99)):
            await self.assertFailure(self.groups.ban(id, actor, user), Forbidden)
        await self.assertFailure(self.groups.ban(id, 0, ALICE), Conflict)
        self.assertEqual(list(await self.groups.bans(id)), [])
        await self.groups.ban(id, 0, DAVE)
        # What an operator decided, the group's admins do not undo.
        for actor in (ALICE, BOB, CAROL):
            await self.assertFailure(self.groups.unban(id, actor, DAVE), Forbidden)
        self.assertTrue(await self.groups.unban(id, 0, DAVE))
        await self.groups.ban(id, ALICE, BOB)
        self.assertEqual(set(await self.roles()), {ALICE, CAROL})

    async def test_an_operators_ban_takes_the_place_of_an_admins(self):
        id = await self.make(ALICE, BOB, CAROL)
        await self.groups.ban(id, BOB, CAROL)
        await self.groups.ban(id, 0, CAROL)
        await self.groups.ban(id, ALICE, CAROL)
        self.assertEqual([(ban.user, ban.by) for ban in await self.groups.bans(id)], [(CAROL, 0)])
        await self.assertFailure(self.groups.unban(id, ALICE, CAROL), Forbidden)

    async def roles(self):
        return {member.user: member.role for member in await self.groups.members(self.group)}

    async def test_bans_are_bounded(self):
        id = await self.make(ALICE)
        await gatherResults([self.groups.ban(id, ALICE, user) for user in range(2000, 2000 + MAX_BANNED)])
        await self.assertFailure(self.groups.ban(id, ALICE, BOB), Conflict)
        self.assertTrue(await self.groups.unban(id, ALICE, 2000))
        await self.groups.ban(id, ALICE, BOB)
        self.assertEqual(len(await self.groups.bans(id)), MAX_BANNED)

    async def test_a_ban_that_races_with_whatever_lets_somebody_in(self):
        for number in range(10):
            id = await self.make(ALICE, BOB, open=True)
            user = 3000 + number
            await self.store.invitations.invite(id, ALICE, user)
            entering = (self.groups.accept(id, user), self.groups.add(id, user, user), self.groups.add(id, ALICE, user))
            calls = [*entering[: number % 4], self.groups.ban(id, BOB, user), *entering[number % 4 :]]
            for well, result in await DeferredList(calls, consumeErrors=True):
                self.assertTrue(well or result.check(CIMError), result)
            self.assertIsNone(await self.groups.member(id, user))
            self.assertEqual([member.group for member in (await self.groups.memberships(user)).members], [])
            self.assertEqual([ban.user for ban in await self.groups.bans(id)], [user])

    # What can be changed later

    async def test_open_and_history_are_changed(self):
        id = await self.make(ALICE, BOB, CAROL)
        edited = await self.groups.edit(id, BOB, name="new", open=True, history=True)
        self.assertEqual((edited.name, edited.open, edited.history), ("new", True, True))
        self.assertEqual(await self.groups.group(id), edited)
        self.assertTrue(await self.groups.add(id, DAVE, DAVE))
        same = await self.groups.edit(id, BOB, open=True, history=True)
        self.assertEqual((same.name, same.open, same.history), ("new", True, True))
        closed = await self.groups.edit(id, 0, open=False)
        self.assertEqual((closed.name, closed.open, closed.history), ("new", False, True))
        await self.assertFailure(self.groups.add(id, 99, 99), Forbidden)
        for user in (CAROL, 99):
            await self.assertFailure(self.groups.edit(id, user, open=True), Forbidden)
        self.assertEqual(
            await self.told(Happening.RENAMED, Happening.OPEN, Happening.HISTORY),
            [
                ("renamed", BOB, BOB, "new"),
                ("open", BOB, BOB, "yes"),
                ("history", BOB, BOB, "yes"),
                ("open", 0, 0, "no"),
            ],
        )

    async def test_what_was_said_without_history_stays_with_those_who_were_there(self):
        id = await self.make(ALICE, BOB)
        hidden = await self.says(ALICE, "hidden")
        await self.groups.add(id, ALICE, CAROL)
        last = await self.says(ALICE, "still hidden")
        await self.groups.edit(id, ALICE, history=True)
        shown = await self.says(ALICE, "shown")
        await self.groups.add(id, ALICE, DAVE)
        floors = {member.user: member.floor for member in await self.groups.members(id)}
        self.assertEqual(floors, {ALICE: "", BOB: "", CAROL: hidden.position, DAVE: last.position})
        await self.groups.edit(id, ALICE, history=False)
        await self.groups.add(id, ALICE, 1005)
        self.assertEqual((await self.groups.member(id, 1005)).floor, shown.position)
        end = await self.says(ALICE, "hidden again")
        await self.groups.edit(id, ALICE, history=True)
        await self.groups.add(id, ALICE, 1006)
        self.assertEqual((await self.groups.member(id, 1006)).floor, end.position)

    async def test_a_group_that_had_history_from_the_start_shows_all_of_it(self):
        id = await self.make(ALICE, BOB, history=True)
        await self.says(ALICE)
        await self.groups.add(id, ALICE, CAROL)
        self.assertEqual((await self.groups.member(id, CAROL)).floor, "")

    # The end

    async def test_an_owner_dissolves_a_group(self):
        id = await self.make(ALICE, BOB, CAROL, open=True)
        await self.store.invitations.invite(id, ALICE, DAVE)
        for user in (BOB, CAROL, DAVE):
            await self.assertFailure(self.groups.dissolve(id, user), Forbidden)
        await self.groups.dissolve(id, ALICE)
        await self.groups.dissolve(id, ALICE)
        self.assertTrue((await self.groups.group(id)).ended)
        for entering in (self.groups.add(id, DAVE, DAVE), self.groups.accept(id, DAVE), self.groups.add(id, 0, DAVE)):
            await self.assertFailure(entering, NotFound)
        await self.assertFailure(self.store.invitations.invite(id, ALICE, 99), NotFound)
        await self.assertFailure(self.groups.edit(id, ALICE, name="x"), NotFound)
        self.assertIsInstance(await self.says(ALICE), NotFound)
        self.assertIsInstance(await self.says(0, counts=False, charge=Charge.NONE), Appended)
        for user in (CAROL, BOB, ALICE):
            self.assertTrue(await self.groups.remove(id, 0, user))
            if user == CAROL:
                happened = [one.what.value for one in await self.groups.happened(id)]
                self.assertEqual(happened, ["added", "added", "role", "dissolved"])
        self.assertIsNone(await self.groups.group(id))
        self.assertEqual(await end_of(self.store, self.conversation), "")

    async def test_a_group_that_has_ended_holds_nothing_against_anybody(self):
        id = await self.make(ALICE, BOB)
        await self.groups.mute(id, ALICE, BOB, 0)
        await self.groups.ban(id, ALICE, CAROL)
        for user in (BOB, ALICE):
            await self.groups.remove(id, user, user)
        for user in (BOB, CAROL):
            held = await self.groups.restrictions(user)
            self.assertEqual((dict(held.muted), list(held.bans)), ({}, []))
        self.assertEqual((dict(await self.groups.mutes(id)), list(await self.groups.bans(id))), ({}, []))

    async def test_a_deleted_account_is_neither_muted_nor_banned(self):
        account = await self.store.credentials.create("gone", "hash")
        id = await self.make(ALICE, BOB, account.id)
        await self.groups.mute(id, ALICE, account.id, 0)
        await self.groups.ban(id, ALICE, account.id)
        self.assertTrue(await self.store.credentials.delete(account.id))
        held = await self.groups.restrictions(account.id)
        self.assertEqual((dict(held.muted), list(held.bans)), ({}, []))
        self.assertEqual((dict(await self.groups.mutes(id)), list(await self.groups.bans(id))), ({}, []))
