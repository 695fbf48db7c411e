"""Tests of what every store promises about credentials (cim.interfaces.ICredentials)."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict
from cim.interfaces import ICredentials
from cim.model import Account, Append, Credential, Role
from cim.reset_codes import ResetCode, make_reset_code
from cim.wire import conversations
from tests.store.looking import end_of


class CredentialsContract:
    """Mix into a TestCase whose setUp makes `self.store`."""

    @property
    def credentials(self):
        return self.store.credentials

    def test_it_is_a_store_of_credentials(self):
        self.assertTrue(verifyObject(ICredentials, self.credentials))

    async def test_an_account_with_a_password(self):
        alice = await self.credentials.create("张三 %", "$argon2id$v=19$x")
        self.assertEqual(alice.name, "张三 %")
        self.assertEqual(await self.credentials.credential(alice.id), Credential("$argon2id$v=19$x", 0))
        self.assertEqual(await self.store.accounts.named("张三 %"), alice)
        self.assertEqual(await self.store.accounts.account(alice.id), alice)
        self.assertEqual(await self.store.accounts.register("张三 %"), alice)

    async def test_what_is_looked_up_is_as_the_last_change_left_it(self):
        alice = await self.credentials.create("alice", "one")
        self.assertIsNone(await self.credentials.credential(alice.id + 1))

        async def look():
            # Twice: what is remembered of the first look must not differ either.
            first, second = [await self.credentials.credential(alice.id) for _ in range(2)]
            self.assertEqual(first, second)
            return first

        self.assertEqual(await look(), Credential("one", 0))
        await self.credentials.rehash(alice.id, "one", "two")
        self.assertEqual(await look(), Credential("two", 0))
        await self.credentials.revoke(alice.id, 5)
        self.assertEqual(await look(), Credential("two", 5))
        self.assertEqual(await self.credentials.set_password(alice.id, "three", 3), 6)
        self.assertEqual(await look(), Credential("three", 6))
        ban = await self.credentials.ban(alice.id, 9, reason="spam")
        self.assertEqual(await look(), Credential("three", 9, ban))
        await self.credentials.unban(alice.id)
        self.assertEqual(await look(), Credential("three", 9))
        code = ResetCode.parse(make_reset_code(alice.id, os.urandom))
        await self.store.reset_codes.make(code, 60)
        self.assertEqual(await self.store.reset_codes.use(code, "four", 20), 20)
        self.assertEqual(await look(), Credential("four", 20))
        await self.credentials.delete(alice.id)
        self.assertIsNone(await look())

    async def test_looks_beside_a_change(self):
        alice = await self.credentials.create("alice", "one")
        looks = [self.credentials.credential(alice.id)]
        change = self.credentials.revoke(alice.id, 5)
        looks += [self.credentials.credential(alice.id) for _ in range(3)]
        await change
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 5))
        for look in looks:
            await look
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 5))

    async def test_a_taken_name(self):
        alice = await self.credentials.create("alice", "one")
        bob = await self.store.accounts.register("bob")
        for name in ("alice", "bob"):
            await self.assertFailure(self.credentials.create(name, "two"), Conflict)
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 0))
        self.assertIsNone(await self.credentials.credential(bob.id))

    async def test_of_many_concurrent_creations_one_succeeds(self):
        async def create(number):
            try:
                return await self.credentials.create("alice", str(number))
            except Conflict:
                return None

        made = await gatherResults([Deferred.fromCoroutine(create(number)) for number in range(50)])
        self.assertEqual(len([account for account in made if account]), 1)

    async def test_whether_there_may_be_guests(self):
        self.assertFalse(await self.store.accounts.guests())
        await self.credentials.create("alice", "one")
        await self.credentials.create("bob", "two")
        self.assertFalse(await self.store.accounts.guests())
        await self.store.accounts.register("alice")
        self.assertFalse(await self.store.accounts.guests())
        await self.store.accounts.register("guest")
        self.assertTrue(await self.store.accounts.guests())

    async def test_guests_have_no_credential(self):
        guest = await self.store.accounts.register("guest")
        self.assertIsNone(await self.credentials.credential(guest.id))
        await self.credentials.revoke(guest.id, 5)
        self.assertIsNone(await self.credentials.credential(guest.id))
        self.assertIsNone(await self.credentials.credential(guest.id + 1))

    async def test_changing_the_password(self):
        alice = await self.credentials.create("alice", "one")
        set = await self.credentials.set_password(alice.id, "two", 1_700_000_000_000)
        self.assertEqual(set, 1_700_000_000_000)
        self.assertEqual(await self.credentials.credential(alice.id), Credential("two", 1_700_000_000_000))
        self.assertIsNone(await self.credentials.set_password(alice.id + 1, "two", 1))
        self.assertIsNone(await self.credentials.credential(alice.id + 1))

    async def test_changing_the_password_unless_something_came_in_between(self):
        alice = await self.credentials.create("alice", "one")
        self.assertEqual(await self.credentials.set_password(alice.id, "two", 10, 0), 10)
        self.assertIsNone(await self.credentials.set_password(alice.id, "late", 11, 0))
        await self.credentials.rehash(alice.id, "two", "two again")
        await self.credentials.revoke(alice.id, 12)
        self.assertIsNone(await self.credentials.set_password(alice.id, "late", 13, 10))
        self.assertEqual(await self.credentials.credential(alice.id), Credential("two again", 12))
        await self.credentials.delete(alice.id)
        self.assertIsNone(await self.credentials.set_password(alice.id, "late", 14, 12))

    async def test_a_guest_that_gets_a_password_is_no_longer_a_guest(self):
        guest = await self.store.accounts.register("guest")
        self.assertTrue(await self.credentials.set_password(guest.id, "one", 7))
        self.assertEqual(await self.credentials.credential(guest.id), Credential("one", 7))

    async def test_revoking(self):
        alice = await self.credentials.create("alice", "one")
        await self.credentials.revoke(alice.id, 1_700_000_000_000)
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 1_700_000_000_000))

    async def test_revoked_tokens_stay_revoked_whatever_a_clock_says(self):
        alice = await self.credentials.create("alice", "one")
        await self.credentials.revoke(alice.id, 1_700_000_000_009)
        await self.credentials.revoke(alice.id, 1_700_000_000_002)
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 1_700_000_000_009))
        # Those of the very same moment, too.
        self.assertEqual(await self.credentials.set_password(alice.id, "two", 999_999_999_999), 1_700_000_000_010)
        self.assertEqual(await self.credentials.credential(alice.id), Credential("two", 1_700_000_000_010))

    async def test_a_new_hash_of_the_same_password_leaves_tokens_valid(self):
        alice = await self.credentials.create("alice", "one")
        await self.credentials.revoke(alice.id, 7)
        await self.credentials.rehash(alice.id, "one", "one again")
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one again", 7))
        # The password has changed meanwhile.
        await self.credentials.rehash(alice.id, "one", "one once more")
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one again", 7))
        await self.credentials.rehash(alice.id + 1, "one", "two")
        self.assertIsNone(await self.credentials.credential(alice.id + 1))

    async def test_banning(self):
        alice = await self.credentials.create("alice", "one")
        bob = await self.credentials.create("bob", "two")
        await self.credentials.revoke(alice.id, 1_700_000_000_009)
        ban = await self.credentials.ban(alice.id, 1_700_000_000_002, reason="spam: 垃圾 广告")
        self.assertEqual((ban.until, ban.reason), (0, "spam: 垃圾 广告"))
        # Tokens of the very same moment are void, too, whatever a clock says.
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 1_700_000_000_010, ban))
        self.assertEqual(await self.credentials.credential(bob.id), Credential("two", 0))
        listing = await self.store.accounts.listed(limit=10)
        self.assertEqual({one.account.id: one.ban for one in listing.items}, {alice.id: ban, bob.id: None})
        again = await self.credentials.ban(alice.id, 1_700_000_000_020, seconds=3600)
        self.assertEqual(again.until, again.since + 3_600_000)
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 1_700_000_000_020, again))

        self.assertTrue(await self.credentials.unban(alice.id))
        self.assertEqual(await self.credentials.credential(alice.id), Credential("one", 1_700_000_000_020))
        self.assertFalse(await self.credentials.unban(alice.id))

    async def test_a_ban_ends_by_itself(self):
        alice = await self.credentials.create("alice", "one")
        ban = await self.credentials.ban(alice.id, 5, seconds=3600, reason="spam")
        await self.let_pass(3590)
        self.assertEqual((await self.credentials.credential(alice.id)).ban, ban)
        await self.let_pass(20)
        self.assertIsNone((await self.credentials.credential(alice.id)).ban)
        (listed,) = (await self.store.accounts.listed(limit=10)).items
        self.assertIsNone(listed.ban)
        self.assertFalse(await self.credentials.unban(alice.id))

    async def test_a_new_password_ends_no_ban(self):
        alice = await self.credentials.create("alice", "one")
        ban = await self.credentials.ban(alice.id, 5)
        await self.credentials.set_password(alice.id, "two", 7)
        await self.credentials.rehash(alice.id, "two", "two again")
        await self.credentials.revoke(alice.id, 9)
        self.assertEqual(await self.credentials.credential(alice.id), Credential("two again", 9, ban))

    async def test_a_ban_voids_a_reset_code(self):
        alice = await self.credentials.create("alice", "one")
        code = ResetCode.parse(make_reset_code(alice.id, os.urandom))
        await self.store.reset_codes.make(code, 900)
        self.assertTrue(await self.store.reset_codes.valid(code))
        await self.credentials.ban(alice.id, 5)
        self.assertFalse(await self.store.reset_codes.valid(code))

    async def test_who_cannot_be_banned(self):
        guest = await self.store.accounts.register("guest")
        for id in (guest.id, guest.id + 1):
            self.assertIsNone(await self.credentials.ban(id, 5))
            self.assertFalse(await self.credentials.unban(id))
            self.assertIsNone(await self.credentials.credential(id))
        alice = await self.credentials.create("alice", "one")
        await self.credentials.ban(alice.id, 5)
        await self.credentials.delete(alice.id)
        again = await self.credentials.create("alice", "two")
        self.assertEqual(await self.credentials.credential(again.id), Credential("two", 0))

    async def test_deleting(self):
        alice = await self.credentials.create("alice", "one")
        bob = await self.store.accounts.register("bob")
        talk = conversations.private(alice.id, bob.id)
        await self.store.conversations.append([Append(talk, alice.id, "x", b"x", b"", 1)])
        alone = await self.store.groups.create(alice.id, "alone", open=True, history=False)
        led = await self.store.groups.create(alice.id, "led", open=True, history=False)
        joined = await self.store.groups.create(bob.id, "joined", open=True, history=False)
        await self.store.groups.add(led.id, bob.id, bob.id)
        await self.store.groups.add(joined.id, alice.id, alice.id)
        _, version, _ = await self.store.groups.changes(0)

        self.assertTrue(await self.credentials.delete(alice.id))
        self.assertIsNone(await self.store.accounts.account(alice.id))
        self.assertIsNone(await self.store.accounts.named("alice"))
        self.assertIsNone(await self.credentials.credential(alice.id))
        self.assertEqual((await self.store.groups.memberships(alice.id)).members, ())
        self.assertIsNone(await self.store.groups.group(alone.id))
        members = {group.id: await self.store.groups.members(group.id) for group in (led, joined)}
        self.assertEqual([(one.user, one.role) for one in members[led.id]], [(bob.id, Role.OWNER)])
        self.assertEqual([(one.user, one.role) for one in members[joined.id]], [(bob.id, Role.OWNER)])
        changes, _, _ = await self.store.groups.changes(version)
        self.assertEqual(
            sorted((change.group, change.user, change.added) for change in changes),
            sorted((group.id, alice.id, False) for group in (alone, led, joined)),
        )
        self.assertNotEqual(await end_of(self.store, talk), "")

        self.assertFalse(await self.credentials.delete(alice.id))
        again = await self.credentials.create("alice", "two")
        self.assertNotEqual(again.id, alice.id)

    async def test_deleting_a_member_of_many_groups(self):
        alice = await self.credentials.create("alice", "one")
        for at in range(0, 250, 50):
            await gatherResults(
                [self.store.groups.create(alice.id, f"{at}-{one}", open=True, history=False) for one in range(50)]
            )
        self.assertTrue(await self.credentials.delete(alice.id))
        self.assertEqual((await self.store.groups.memberships(alice.id)).members, ())

    async def test_deleting_a_guest(self):
        guest = await self.store.accounts.register("guest")
        other = await self.store.accounts.register("other")
        self.assertTrue(await self.credentials.delete(guest.id))
        self.assertIsNone(await self.store.accounts.named("guest"))
        self.assertEqual(await self.store.accounts.named("other"), Account(other.id, "other"))
        self.assertFalse(await self.credentials.delete(other.id + 10))
