"""Tests of what every store promises about groups (cim.interfaces.IGroups)."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict, Forbidden, InvalidField, NotFound
from cim.interfaces import IGroups
from cim.model import ID_LIMIT, MAX_GROUPS, Append, Charge, Group, GroupChange, Member, Role
from cim.wire import conversations, native
from cim.wire.cim_pb2 import Send
from tests.store.looking import end_of

ALICE, BOB, CAROL, DAVE = 1001, 1002, 1003, 1004


class GroupsContract:
    """Mix into a TestCase whose setUp makes `self.store`."""

    @property
    def groups(self):
        return self.store.groups

    async def make(self, *users, open=False, history=False):
        """Create a group of users, owned by the first, and return its id."""
        group = await self.groups.create(users[0], "a group", open=open, history=history)
        for user in users[1:]:
            await self.groups.add(group.id, users[0], user)
        return group.id

    async def roles(self, id):
        return {member.user: member.role for member in await self.groups.members(id)}

    def test_it_is_a_store_of_groups(self):
        self.assertTrue(verifyObject(IGroups, self.groups))

    async def test_a_group_is_created_with_its_owner(self):
        group = await self.groups.create(ALICE, "张三 %{} \n", open=True, history=False)
        self.assertTrue(0 < group.id < ID_LIMIT)
        self.assertEqual(group, Group(group.id, "张三 %{} \n", True, False, 1, 1))
        self.assertEqual(await self.groups.group(group.id), group)
        self.assertEqual(await self.groups.members(group.id), [Member(group.id, ALICE, Role.OWNER, "")])
        other = await self.groups.create(ALICE, "two", open=False, history=True)
        self.assertNotEqual(other.id, group.id)
        self.assertEqual((other.open, other.history), (False, True))

    async def test_groups_created_at_once_are_distinct(self):
        made = await gatherResults([self.groups.create(ALICE, "x", open=True, history=False) for _ in range(50)])
        self.assertEqual(len({group.id for group in made}), 50)
        mine = (await self.groups.memberships(ALICE)).members
        self.assertEqual([member.group for member in mine], sorted(group.id for group in made))

    async def test_listing(self):
        made = [await self.make(ALICE, BOB), *[await self.make(CAROL, open=True) for _ in range(40)]]
        await self.groups.remove(made.pop(), CAROL, CAROL)
        wanted = [await self.groups.group(id) for id in made]
        for limit in (1, 7, 100):
            found, after = [], ""
            while not found or after:
                listing = await self.groups.listed(after=after, limit=limit)
                found += listing.items
                after = listing.more
            self.assertCountEqual(found, wanted)
        for nonsense in ("x", "-1", "1 2", str(1 << 64), "1" * 30):
            with self.assertRaises(InvalidField):
                await self.groups.listed(after=nonsense, limit=10)

    async def test_operators_may_do_everything(self):
        id = await self.make(ALICE, BOB, CAROL)
        self.assertEqual((await self.groups.edit(id, 0, name="theirs")).name, "theirs")
        await self.groups.set_role(id, 0, BOB, Role.OWNER)
        self.assertIsNotNone(await self.groups.remove(id, 0, ALICE))
        self.assertEqual(await self.roles(id), {BOB: Role.OWNER, CAROL: Role.MEMBER})
        self.assertIsNone(await self.groups.remove(id, 0, ALICE))
        await self.assertFailure(self.groups.remove(id, 0, BOB), Conflict)
        await self.assertFailure(self.groups.set_role(id, 0, BOB, Role.ADMIN), Conflict)
        await self.assertFailure(self.groups.set_role(id, 0, ALICE, Role.ADMIN), NotFound)
        await self.groups.remove(id, 0, CAROL)
        told = [(one.what.value, one.user, one.by) for one in await self.groups.happened(id)]
        wanted = [("renamed", 0, 0), ("role", BOB, 0), ("removed", ALICE, 0), ("removed", CAROL, 0)]
        self.assertEqual(told[-4:], wanted)
        # The last one takes the group along.
        await self.groups.remove(id, 0, BOB)
        self.assertIsNone(await self.groups.group(id))

    async def test_missing_groups(self):
        id = await self.make(ALICE)
        for none in (id + 1000, 0, ID_LIMIT - 1):
            self.assertIsNone(await self.groups.group(none))
            self.assertIsNone(await self.groups.member(none, ALICE))
            self.assertEqual(await self.groups.members(none), [])
            await self.assertFailure(self.groups.edit(none, ALICE, name="x"), NotFound)
            await self.assertFailure(self.groups.add(none, ALICE, BOB), NotFound)
            await self.assertFailure(self.groups.remove(none, ALICE, ALICE), NotFound)
            await self.assertFailure(self.groups.set_role(none, ALICE, ALICE, Role.ADMIN), NotFound)
        self.assertEqual((await self.groups.memberships(BOB)).members, ())

    async def test_admins_and_the_owner_rename(self):
        id = await self.make(ALICE, BOB, CAROL)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        self.assertEqual((await self.groups.edit(id, ALICE, name="one")).name, "one")
        self.assertEqual((await self.groups.edit(id, BOB, name="two")).name, "two")
        for user in (CAROL, DAVE):
            await self.assertFailure(self.groups.edit(id, user, name="three"), Forbidden)
        self.assertEqual((await self.groups.group(id)).name, "two")

    # Joining

    async def test_joining_an_open_group(self):
        id = await self.make(ALICE, open=True)
        change = await self.groups.add(id, BOB, BOB)
        self.assertEqual(change, GroupChange(change.version, id, BOB, True, 2))
        self.assertIsNone(await self.groups.add(id, BOB, BOB))
        self.assertEqual(await self.roles(id), {ALICE: Role.OWNER, BOB: Role.MEMBER})
        group = await self.groups.group(id)
        self.assertEqual((group.members, group.version), (2, 2))
        self.assertEqual(await self.groups.member(id, BOB), Member(id, BOB, Role.MEMBER, ""))
        self.assertEqual((await self.groups.memberships(BOB)).members, (Member(id, BOB, Role.MEMBER, ""),))

    async def test_joining_a_closed_group_needs_an_invitation(self):
        id = await self.make(ALICE, BOB)
        await self.assertFailure(self.groups.add(id, CAROL, CAROL), Forbidden)
        await self.assertFailure(self.groups.add(id, BOB, CAROL), Forbidden)
        await self.assertFailure(self.groups.add(id, DAVE, CAROL), Forbidden)
        self.assertIsNone(await self.groups.add(id, BOB, BOB))
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        self.assertTrue(await self.groups.add(id, BOB, CAROL))
        self.assertEqual(set(await self.roles(id)), {ALICE, BOB, CAROL})

    async def test_members_of_an_open_group_invite_nobody(self):
        id = await self.make(ALICE, BOB, open=True)
        await self.assertFailure(self.groups.add(id, BOB, CAROL), Forbidden)

    async def test_of_many_concurrent_joins_one_succeeds(self):
        id = await self.make(ALICE, open=True)
        changes = await gatherResults([self.groups.add(id, BOB, BOB) for _ in range(50)])
        self.assertEqual(len([change for change in changes if change is not None]), 1)
        self.assertEqual((await self.groups.group(id)).members, 2)

    async def test_the_groups_of_a_user_are_bounded(self):
        for at in range(0, MAX_GROUPS, 100):
            await gatherResults(
                [self.groups.create(BOB, f"{at} {number}", open=True, history=False) for number in range(100)]
            )
        await self.assertFailure(self.groups.create(BOB, "x", open=True, history=False), Conflict)
        id = await self.make(ALICE, open=True)
        await self.assertFailure(self.groups.add(id, BOB, BOB), Conflict)
        await self.assertFailure(self.groups.add(id, ALICE, BOB), Conflict)
        self.assertEqual(await self.roles(id), {ALICE: Role.OWNER})
        mine = (await self.groups.memberships(BOB)).members
        self.assertEqual(len(mine), MAX_GROUPS)
        await self.groups.remove(mine[7].group, BOB, BOB)
        self.assertTrue(await self.groups.add(id, BOB, BOB))

    async def test_members_in_pages_by_id(self):
        id = await self.make(50, 7, 1 << 52, 300, 9, (1 << 52) + 1)
        self.assertEqual(
            [member.user for member in await self.groups.members(id)], [7, 9, 50, 300, 1 << 52, (1 << 52) + 1]
        )
        self.assertEqual([member.user for member in await self.groups.members(id, limit=2)], [7, 9])
        self.assertEqual([member.user for member in await self.groups.members(id, after=9, limit=2)], [50, 300])
        self.assertEqual([member.user for member in await self.groups.members(id, after=1 << 52)], [(1 << 52) + 1])
        self.assertEqual(await self.groups.members(id, after=(1 << 52) + 1), [])

    # Leaving

    async def test_leaving(self):
        id = await self.make(ALICE, BOB)
        change = await self.groups.remove(id, BOB, BOB)
        self.assertEqual(change, GroupChange(change.version, id, BOB, False, 3))
        self.assertIsNone(await self.groups.remove(id, BOB, BOB))
        self.assertEqual(await self.roles(id), {ALICE: Role.OWNER})
        self.assertIsNone(await self.groups.member(id, BOB))
        self.assertEqual((await self.groups.memberships(BOB)).members, ())
        group = await self.groups.group(id)
        self.assertEqual((group.members, group.version), (1, 3))

    async def test_members_with_a_higher_role_remove_others(self):
        id = await self.make(ALICE, BOB, CAROL, DAVE)
        for user in (BOB, CAROL):
            await self.groups.set_role(id, ALICE, user, Role.ADMIN)
        for actor, user in ((BOB, ALICE), (BOB, CAROL), (DAVE, BOB), (DAVE, ALICE), (9, DAVE), (9, 8)):
            await self.assertFailure(self.groups.remove(id, actor, user), Forbidden)
        self.assertEqual(len(await self.roles(id)), 4)
        self.assertIsNone(await self.groups.remove(id, BOB, 9))
        self.assertTrue(await self.groups.remove(id, BOB, DAVE))
        self.assertTrue(await self.groups.remove(id, ALICE, CAROL))
        self.assertEqual(set(await self.roles(id)), {ALICE, BOB})

    async def test_owners_do_not_remove_each_other(self):
        id = await self.make(ALICE, BOB)
        await self.groups.set_role(id, ALICE, BOB, Role.OWNER)
        await self.assertFailure(self.groups.remove(id, ALICE, BOB), Forbidden)

    async def test_the_last_owner_does_not_leave_the_others(self):
        id = await self.make(ALICE, BOB)
        await self.assertFailure(self.groups.remove(id, ALICE, ALICE), Conflict)
        await self.assertFailure(self.groups.set_role(id, ALICE, ALICE, Role.ADMIN), Conflict)
        await self.groups.set_role(id, ALICE, BOB, Role.OWNER)
        self.assertTrue(await self.groups.remove(id, ALICE, ALICE))
        self.assertEqual(await self.roles(id), {BOB: Role.OWNER})
        await self.assertFailure(self.groups.set_role(id, BOB, BOB, Role.MEMBER), Conflict)

    async def test_a_group_ends_with_its_last_member(self):
        id = await self.make(ALICE)
        self.assertTrue(await self.groups.remove(id, ALICE, ALICE))
        self.assertIsNone(await self.groups.group(id))
        await self.assertFailure(self.groups.add(id, ALICE, ALICE), NotFound)
        self.assertEqual(await end_of(self.store, conversations.group(id)), "")
        self.assertNotEqual(await self.make(ALICE), id)

    # Roles

    async def test_owners_set_roles(self):
        id = await self.make(ALICE, BOB, CAROL)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        self.assertEqual(await self.roles(id), {ALICE: Role.OWNER, BOB: Role.ADMIN, CAROL: Role.MEMBER})
        self.assertEqual((await self.groups.memberships(BOB)).members[0].role, Role.ADMIN)
        for actor in (BOB, CAROL, DAVE):
            await self.assertFailure(self.groups.set_role(id, actor, CAROL, Role.ADMIN), Forbidden)
        await self.assertFailure(self.groups.set_role(id, ALICE, DAVE, Role.ADMIN), NotFound)
        await self.groups.set_role(id, ALICE, BOB, Role.OWNER)
        await self.groups.set_role(id, ALICE, BOB, Role.OWNER)
        await self.groups.set_role(id, BOB, ALICE, Role.MEMBER)
        self.assertEqual(await self.roles(id), {ALICE: Role.MEMBER, BOB: Role.OWNER, CAROL: Role.MEMBER})
        await self.assertFailure(self.groups.remove(id, BOB, BOB), Conflict)

    # The log

    async def test_the_log_of_changes(self):
        self.assertEqual(await self.groups.changes(0), ([], 0, False))
        id = await self.make(ALICE, BOB)
        changes, version, forgotten = await self.groups.changes(0)
        self.assertEqual(
            [(change.group, change.user, change.added, change.group_version) for change in changes],
            [(id, ALICE, True, 1), (id, BOB, True, 2)],
        )
        self.assertEqual((changes[-1].version, forgotten), (version, False))
        removed = await self.groups.remove(id, BOB, BOB)
        added = await self.groups.add(id, ALICE, BOB)
        self.assertTrue(version < removed.version < added.version)
        self.assertEqual(await self.groups.changes(version), ([removed, added], added.version, False))
        self.assertEqual(await self.groups.changes(version, 1), ([removed], added.version, False))
        self.assertEqual(await self.groups.changes(removed.version), ([added], added.version, False))
        self.assertEqual(await self.groups.changes(added.version), ([], added.version, False))

    async def test_the_log_says_up_to_where_a_new_member_may_not_read(self):
        _, before, _ = await self.groups.changes(0)
        floors = []
        for history in (False, True):
            id = await self.make(ALICE, open=True, history=history)
            send = Send(client_id="c", text="hello")
            item = Append(f"g:{id}", ALICE, "c", b"", native.body_of(send, ALICE, "alice", self.now()), self.now())
            (said,) = await self.store.conversations.append([item])
            change = await self.groups.add(id, BOB, BOB)
            self.assertEqual(change.floor, "" if history else said.position)
            self.assertEqual((await self.groups.remove(id, BOB, BOB)).floor, "")
            self.assertEqual(await self.groups.add(id, CAROL, CAROL), (await self.groups.changes(0))[0][-1])
            floors += ["", "" if history else said.position]
        changes, _, _ = await self.groups.changes(before)
        # Of someone who has left since there need not be one.
        self.assertEqual([change.floor for change in changes if change.added and change.user != BOB], floors)

    async def test_operations_that_change_nothing_are_not_logged(self):
        id = await self.make(ALICE, BOB)
        _, version, _ = await self.groups.changes(0)
        await self.groups.add(id, ALICE, BOB)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        await self.groups.edit(id, ALICE, name="x")
        self.assertEqual(await self.groups.changes(version), ([], version, False))

    async def test_an_unknown_version_means_that_the_log_was_lost(self):
        await self.make(ALICE, BOB)
        _, version, _ = await self.groups.changes(0)
        self.assertEqual(await self.groups.changes(version + 1000), ([], version, True))

    # What the log of a group is told

    async def happened(self, id, **options):
        return [(one.what, one.user, one.by, one.text) for one in await self.groups.happened(id, **options)]

    async def test_what_happens_is_kept_until_it_is_told(self):
        id = await self.make(ALICE, open=True)
        self.assertEqual(await self.happened(id), [])
        await self.groups.add(id, BOB, BOB)
        await self.groups.add(id, ALICE, CAROL)
        await self.groups.add(id, 0, DAVE)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)
        await self.groups.set_role(id, ALICE, BOB, Role.ADMIN)  # changes nothing
        await self.groups.edit(id, BOB, name="a new name ")
        await self.groups.remove(id, BOB, DAVE)
        await self.groups.remove(id, CAROL, CAROL)
        await self.store.invitations.invite(id, BOB, CAROL)
        await self.groups.accept(id, CAROL)
        await self.assertFailure(self.groups.add(id, DAVE + 1, DAVE), Forbidden)
        told = [
            ("joined", BOB, BOB, ""),
            ("added", CAROL, ALICE, ""),
            ("added", DAVE, 0, ""),
            ("role", BOB, ALICE, "admin"),
            ("renamed", BOB, BOB, "a new name "),
            ("removed", DAVE, BOB, ""),
            ("left", CAROL, CAROL, ""),
            ("accepted", CAROL, BOB, ""),
        ]
        self.assertEqual(await self.happened(id), told)
        first = await self.groups.happened(id, limit=3)
        numbers = [one.number for one in first]
        self.assertEqual((len(first), numbers), (3, sorted(set(numbers))))
        for _ in range(2):
            await self.groups.told(id, numbers[-1])
            self.assertEqual(await self.happened(id), told[3:])
        await self.groups.told(id, 1 << 50)
        self.assertEqual(await self.happened(id), [])
        await self.groups.add(id, DAVE, DAVE)
        self.assertGreater((await self.groups.happened(id))[0].number, numbers[-1])

    async def test_what_happens_is_numbered_in_each_group(self):
        for _ in range(2):
            id = await self.make(ALICE)
            for number in (1, 2):
                await self.groups.edit(id, ALICE, name="x")
                self.assertEqual([one.number for one in await self.groups.happened(id)], [number])
                await self.groups.told(id, number)

    async def test_what_happens_at_once_is_all_kept(self):
        id = await self.make(ALICE, open=True)
        await gatherResults([self.groups.add(id, user, user) for user in range(2000, 2050)])
        self.assertEqual(sorted(user for _, user, _, _ in await self.happened(id)), list(range(2000, 2050)))

    async def test_a_group_that_ends_tells_nothing(self):
        id = await self.make(ALICE, BOB)
        for user in (BOB, ALICE):
            await self.groups.remove(id, user, user)
        self.assertEqual(await self.happened(id), [])

    async def test_the_cluster_itself_writes_to_any_group(self):
        id = await self.make(ALICE)
        items = [
            Append(f"g:{group}", 0, "c", b"", b"", self.now(), False, charge=Charge.NONE) for group in (id, id + 9)
        ]
        done, missing = await self.store.conversations.append(items)
        self.assertTrue(done.position)
        self.assertIsInstance(missing, NotFound)
