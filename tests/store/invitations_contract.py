"""Tests of what every store promises about invitations to groups (cim.interfaces.IInvitations)."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import AccountMismatch, Conflict, Forbidden, NotFound
from cim.interfaces import IInvitations
from cim.model import DECLINED_DAYS, INVITED_DAYS, MAX_INVITED, MAX_INVITED_BY, Role

ALICE, BOB, CAROL, DAVE = 1001, 1002, 1003, 1004
DAY = 86_400


class InvitationsContract:
    """Mix into a TestCase whose setUp makes `self.store`; `let_pass(seconds)` moves the store's clock, if it can."""

    @property
    def groups(self):
        return self.store.groups

    @property
    def invitations(self):
        return self.store.invitations

    async def make(self, *users, open=False):
        group = await self.groups.create(users[0], "a group", open=open, history=True)
        for user in users[1:]:
            await self.groups.add(group.id, users[0], user)
        return group.id

    async def waiting(self, user=BOB):
        return [(one.group, one.by) for one in await self.invitations.waiting(user)]

    def test_it_is_a_store_of_invitations(self):
        self.assertTrue(verifyObject(IInvitations, self.invitations))

    async def test_an_invitation_waits_until_it_is_accepted(self):
        id = await self.make(ALICE)
        made = await self.invitations.invite(id, ALICE, BOB)
        self.assertEqual((made.group, made.user, made.by, made.declined), (id, BOB, ALICE, False))
        self.assertEqual(await self.invitations.invite(id, ALICE, BOB), made)
        self.assertEqual(list(await self.invitations.waiting(BOB)), [made])
        self.assertEqual(list(await self.invitations.waiting(ALICE)), [])
        self.assertIsNone(await self.groups.member(id, BOB))
        change = await self.groups.accept(id, BOB)
        self.assertEqual((change.user, change.added), (BOB, True))
        self.assertEqual((await self.groups.member(id, BOB)).role, Role.MEMBER)
        self.assertEqual(await self.waiting(), [])
        self.assertIsNone(await self.groups.accept(id, BOB))
        self.assertIsNone(await self.invitations.invite(id, ALICE, BOB))
        # Leaving is final until there is another one.
        await self.groups.remove(id, BOB, BOB)
        await self.assertFailure(self.groups.accept(id, BOB), Forbidden)
        await self.invitations.invite(id, ALICE, BOB)
        self.assertTrue((await self.groups.accept(id, BOB)).added)

    async def test_of_many_at_once_one_is_accepted(self):
        id = await self.make(ALICE)
        await self.invitations.invite(id, ALICE, BOB)
        changes = await gatherResults([self.groups.accept(id, BOB) for _ in range(10)])
        self.assertEqual(len([change for change in changes if change is not None]), 1)

    async def test_several_accept_at_once(self):
        id = await self.make(ALICE)
        for user in (BOB, CAROL):
            await self.invitations.invite(id, ALICE, user)
        results = [self.groups.accept(id, user) for user in (BOB, CAROL)]
        refused = self.assertFailure(self.groups.accept(id, DAVE), Forbidden)
        await gatherResults(results)
        await refused
        self.assertEqual([member.user for member in await self.groups.members(id)], [ALICE, BOB, CAROL])

    async def test_one_that_was_withdrawn_or_declined(self):
        id = await self.make(ALICE)
        self.assertFalse(await self.invitations.end(id, BOB, declined=False))
        for declined in (False, True):
            await self.invitations.invite(id, ALICE, BOB)
            self.assertTrue(await self.invitations.end(id, BOB, declined=declined))
            self.assertFalse(await self.invitations.end(id, BOB, declined=declined))
            self.assertEqual(await self.waiting(), [])
            await self.assertFailure(self.groups.accept(id, BOB), Forbidden)
        await self.assertFailure(self.invitations.invite(id, ALICE, BOB), Conflict)
        other = await self.make(ALICE)
        await self.invitations.invite(other, ALICE, BOB)

    async def test_joining_by_another_way_ends_it(self):
        id = await self.make(ALICE, open=True)
        await self.invitations.invite(id, ALICE, BOB)
        await self.groups.add(id, BOB, BOB)
        self.assertEqual(await self.waiting(), [])
        # One who declined may still come of its own accord, and be invited after that.
        await self.invitations.invite(id, ALICE, CAROL)
        await self.invitations.end(id, CAROL, declined=True)
        await self.groups.add(id, CAROL, CAROL)
        await self.groups.remove(id, CAROL, CAROL)
        await self.invitations.invite(id, ALICE, CAROL)

    async def test_who_may_invite(self):
        id = await self.make(ALICE, BOB, open=True)
        for user in (BOB, DAVE):
            await self.assertFailure(self.invitations.invite(id, user, CAROL), Forbidden)
        await self.assertFailure(self.invitations.invite(id + 1000, ALICE, CAROL), NotFound)
        await self.assertFailure(self.groups.accept(id + 1000, CAROL), NotFound)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        await self.invitations.invite(id, BOB, CAROL)
        self.assertEqual(await self.waiting(CAROL), [(id, BOB)])

    async def test_it_is_void_once_who_invites_is_no_admin_any_more(self):
        id = await self.make(ALICE, BOB)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        for user in (CAROL, DAVE):
            await self.invitations.invite(id, BOB, user)
        await self.groups.set_role(id, ALICE, BOB, Role.MEMBER)
        await self.assertFailure(self.groups.accept(id, CAROL), Forbidden)
        await self.groups.remove(id, ALICE, BOB)
        await self.assertFailure(self.groups.accept(id, CAROL), Forbidden)
        # Nor does it keep others from inviting the same user.
        made = await self.invitations.invite(id, ALICE, CAROL)
        self.assertEqual((made.by, await self.waiting(CAROL)), (ALICE, [(id, ALICE)]))
        self.assertTrue((await self.groups.accept(id, CAROL)).added)
        self.assertEqual(await self.waiting(CAROL), [])
        # One who is an admin again invites again.
        await self.groups.add(id, ALICE, BOB)
        await self.groups.set_role(id, ALICE, BOB, Role.OWNER)
        self.assertEqual((await self.invitations.invite(id, ALICE, DAVE)).by, BOB)
        self.assertTrue((await self.groups.accept(id, DAVE)).added)

    async def test_who_is_blocked_invites_nobody(self):
        id = await self.make(ALICE)
        await self.store.blocks.block(BOB, ALICE)
        for group in (id, id + 1000):
            await self.assertFailure(self.invitations.invite(group, ALICE, BOB), AccountMismatch)
        self.assertEqual(await self.waiting(), [])

    async def test_how_many_wait_is_bounded(self):
        groups = [await self.make(ALICE, BOB) for _ in range(MAX_INVITED_BY + 1)]
        for id in groups:
            await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        for id in groups[:-1]:
            await self.invitations.invite(id, ALICE, DAVE)
        await self.assertFailure(self.invitations.invite(groups[-1], ALICE, DAVE), Conflict)
        await self.invitations.invite(groups[-1], BOB, DAVE)
        await self.invitations.end(groups[-1], DAVE, declined=True)
        for number in range(MAX_INVITED - MAX_INVITED_BY):
            by = 5000 + number // MAX_INVITED_BY
            await self.invitations.invite(await self.make(by), by, DAVE)
        self.assertEqual(len(await self.waiting(DAVE)), MAX_INVITED)
        # Strangers who take all the places lose one to a friend, as often as the friend has fewer than they.
        friends = [await self.make(CAROL) for _ in range(MAX_INVITED_BY + 1)]
        for id in friends[:-1]:
            self.assertEqual((await self.invitations.invite(id, CAROL, DAVE)).by, CAROL)
        waiting = await self.waiting(DAVE)
        self.assertEqual(len(waiting), MAX_INVITED)
        self.assertLessEqual({(id, CAROL) for id in friends[:-1]}, set(waiting))
        by = Counter(by for _, by in waiting)
        self.assertEqual(min(by.values()), MAX_INVITED_BY - 1, by)
        await self.assertFailure(self.invitations.invite(friends[-1], CAROL, DAVE), Conflict)

    async def test_where_all_have_one_waiting_a_second_one_is_refused(self):
        for by in range(5000, 5000 + MAX_INVITED):
            await self.invitations.invite(await self.make(by), by, DAVE)
        await self.assertFailure(self.invitations.invite(await self.make(5000), 5000, DAVE), Conflict)
        await self.invitations.invite(await self.make(CAROL), CAROL, DAVE)
        self.assertEqual(len(await self.waiting(DAVE)), MAX_INVITED)
        self.assertIn(CAROL, [by for _, by in await self.waiting(DAVE)])

    async def test_operators_add_directly(self):
        id = await self.make(ALICE)
        change = await self.groups.add(id, 0, BOB)
        self.assertEqual((change.user, change.added), (BOB, True))
        self.assertIsNone(await self.groups.add(id, 0, BOB))

    async def test_it_goes_with_the_account(self):
        account = await self.store.accounts.register("bob")
        id = await self.make(ALICE)
        await self.invitations.invite(id, ALICE, account.id)
        await self.store.credentials.delete(account.id)
        self.assertEqual(await self.waiting(account.id), [])


class ExpiringInvitationsContract(InvitationsContract):
    """The same on a clock that the test moves."""

    async def test_an_invitation_expires(self):
        id, other = await self.make(ALICE), await self.make(ALICE)
        await self.invitations.invite(id, ALICE, BOB)
        await self.let_pass(INVITED_DAYS * DAY - 1)
        self.assertEqual(await self.waiting(), [(id, ALICE)])
        await self.let_pass(1)
        self.assertEqual(await self.waiting(), [])
        await self.assertFailure(self.groups.accept(id, BOB), Forbidden)
        self.assertFalse(await self.invitations.end(id, BOB, declined=True))
        await self.invitations.invite(other, ALICE, BOB)
        self.assertEqual(await self.waiting(), [(other, ALICE)])
        await self.let_pass(1)
        await self.invitations.invite(id, ALICE, BOB)
        self.assertEqual(await self.waiting(), [(other, ALICE), (id, ALICE)])

    async def test_a_declined_one_may_be_repeated_after_a_while(self):
        id = await self.make(ALICE)
        await self.invitations.invite(id, ALICE, BOB)
        await self.invitations.end(id, BOB, declined=True)
        await self.let_pass(DECLINED_DAYS * DAY - 1)
        await self.assertFailure(self.invitations.invite(id, ALICE, BOB), Conflict)
        await self.let_pass(1)
        await self.invitations.invite(id, ALICE, BOB)
        self.assertEqual(await self.waiting(), [(id, ALICE)])
