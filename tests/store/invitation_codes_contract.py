"""Tests of what every store promises about invitation codes (cim.interfaces.IInvitationCodes)."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict, InvitationNeeded
from cim.interfaces import IInvitationCodes
from cim.invitation_codes import MAX_CODES, InvitationCode, id_of
from cim.model import Account

#: How many make accounts with one invitation at once, and how many of them may.
MANY, SOME = 40, 7


class InvitationCodesContract:
    """Mix into a TestCase whose setUp makes `self.store`, which can `let_pass`, and whose `other` is a second route's
    store."""

    @property
    def invitations(self):
        return self.store.invitation_codes

    async def create(self, name, code="code", store=None):
        """Return the account, or the class of the error."""
        try:
            return await (store or self.store).credentials.create(name, f"password of {name}", id_of(code))
        except (Conflict, InvitationNeeded) as error:
            return type(error)

    async def used(self, code="code"):
        return (await self.invitations.find(id_of(code))).used

    def test_it_is_a_store_of_invitation_codes(self):
        self.assertTrue(verifyObject(IInvitationCodes, self.invitations))

    async def test_making_and_finding(self):
        made = await self.invitations.make(id_of("code"), uses=3, seconds=60, note="for 张三, and  others ")
        self.assertEqual(
            made, InvitationCode(id_of("code"), 3, made.made + 60_000, made.made, "for 张三, and  others ")
        )
        self.assertEqual(await self.invitations.find(id_of("code")), made)
        self.assertIsNone(await self.invitations.find(id_of("another")))
        await self.assertFailure(self.invitations.make(id_of("code"), uses=1, seconds=60), Conflict)

    async def test_an_account_uses_it_up(self):
        await self.invitations.make(id_of("code"), uses=2, seconds=60)
        alice = await self.create("alice")
        self.assertIsInstance(alice, Account)
        self.assertEqual(await self.store.accounts.named("alice"), alice)
        self.assertEqual((await self.store.credentials.credential(alice.id)).password, "password of alice")
        self.assertEqual(await self.used(), 1)
        self.assertIsInstance(await self.create("bob"), Account)
        self.assertEqual(await self.used(), 2)
        self.assertIs(await self.create("carol"), InvitationNeeded)
        self.assertIsNone(await self.store.accounts.named("carol"))

    async def test_without_a_valid_one_nothing_is_made(self):
        self.assertIs(await self.create("alice"), InvitationNeeded)
        await self.invitations.make(id_of("code"), uses=2, seconds=60)
        self.assertIs(await self.create("alice", "cod"), InvitationNeeded)
        self.assertIsNone(await self.store.accounts.named("alice"))
        self.assertEqual(await self.used(), 0)

    async def test_a_taken_name_uses_nothing_up(self):
        await self.invitations.make(id_of("code"), uses=1, seconds=60)
        await self.store.accounts.register("guest")
        await self.store.credentials.create("alice", "one")
        for name in ("guest", "alice", "ALICE"):
            self.assertIs(await self.create(name), Conflict)
        self.assertEqual(await self.used(), 0)
        self.assertIsInstance(await self.create("bob"), Account)

    async def test_it_expires(self):
        await self.invitations.make(id_of("code"), uses=2, seconds=0.5)
        await self.create("alice")
        await self.let_pass(0.6)
        self.assertIs(await self.create("bob"), InvitationNeeded)
        self.assertIsNone(await self.invitations.find(id_of("code")))
        self.assertEqual(list(await self.invitations.listed()), [])
        self.assertFalse(await self.invitations.revoke(id_of("code")))
        # A new one of the same code begins anew.
        await self.invitations.make(id_of("code"), uses=1, seconds=60)
        self.assertEqual(await self.used(), 0)
        self.assertIsInstance(await self.create("bob"), Account)

    async def test_revoking(self):
        await self.invitations.make(id_of("code"), uses=5, seconds=60)
        alice = await self.create("alice")
        self.assertTrue(await self.invitations.revoke(id_of("code")))
        self.assertFalse(await self.invitations.revoke(id_of("code")))
        self.assertIs(await self.create("bob"), InvitationNeeded)
        self.assertEqual(await self.store.accounts.named("alice"), alice)

    async def test_listing(self):
        made = []
        for number in range(3):
            made.append(await self.invitations.make(id_of(str(number)), uses=number + 1, seconds=60))
            await self.let_pass(0.01)
        await self.create("alice", "2")
        listed = list(await self.invitations.listed())
        self.assertEqual([one.id for one in listed], [one.id for one in made])
        self.assertEqual([(one.uses, one.used) for one in listed], [(1, 0), (2, 0), (3, 1)])

    async def test_they_are_bounded(self):
        for number in range(MAX_CODES):
            await self.invitations.make(id_of(str(number)), uses=1, seconds=60 if number else 0.5)
            if not number:
                await self.let_pass(0.6)
        await self.invitations.make(id_of("the last"), uses=1, seconds=60)
        await self.assertFailure(self.invitations.make(id_of("one more"), uses=1, seconds=60), Conflict)
        await self.invitations.revoke(id_of("1"))
        await self.invitations.make(id_of("one more"), uses=1, seconds=60)

    async def test_many_at_once_over_two_routes_make_no_account_too_many(self):
        await self.invitations.make(id_of("code"), uses=SOME, seconds=60)
        names = [f"user {number}" for number in range(MANY)] + ["user 0", "user 1"]
        random.Random(9).shuffle(names)
        stores = self.store, self.other()
        results = await gatherResults(
            [Deferred.fromCoroutine(self.create(name, store=stores[number % 2])) for number, name in enumerate(names)]
        )
        accounts = [result for result in results if isinstance(result, Account)]
        self.assertEqual(len(accounts), SOME)
        self.assertEqual(await self.used(), SOME)
        found = [await self.store.accounts.named(f"user {number}") for number in range(MANY)]
        self.assertEqual({account.id for account in found if account}, {account.id for account in accounts})
