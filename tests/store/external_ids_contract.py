"""Tests of what every store promises about external ids (cim.interfaces.IExternalIds)."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict, InvitationNeeded, NotFound
from cim.external_ids import OURS, ExternalId, Linked
from cim.interfaces import IExternalIds
from cim.model import Credential

ISSUER = "https://id.example.com"
MARY = ExternalId(ISSUER, "mary|你好 ")


class ExternalIdsContract:
    """Mix into a TestCase whose setUp makes `self.store`, and whose `other` is a second route's store."""

    @property
    def externals(self):
        return self.store.external_ids

    async def mary(self, name="mary", external=MARY):
        return (await self.store.credentials.create(name, "", external=external)).id

    def test_it_is_a_store_of_external_ids(self):
        self.assertTrue(verifyObject(IExternalIds, self.externals))

    async def test_an_account_is_made_with_one(self):
        self.assertEqual(await self.externals.find(MARY), Linked())
        mary = await self.mary()
        for store in (self.store, self.other()):
            self.assertEqual(await store.external_ids.find(MARY), Linked(mary))
            self.assertEqual(await store.external_ids.linked(mary), [MARY])
        self.assertEqual(await self.store.credentials.credential(mary), Credential("", 0))
        others = (ExternalId(OURS, MARY.id), ExternalId(ISSUER, "mary"), ExternalId(ISSUER + "/", MARY.id))
        for other in (*others, ExternalId(ISSUER[:-1], "m" + MARY.id)):
            self.assertEqual(await self.externals.find(other), Linked())
        self.assertEqual(await self.externals.linked(mary + 1), [])

    async def test_one_leads_to_one_account(self):
        mary = await self.mary()
        await self.assertFailure(self.store.credentials.create("mary 2", "", external=MARY), Conflict)
        self.assertIsNone(await self.store.accounts.named("mary 2"))
        self.assertEqual(await self.externals.find(MARY), Linked(mary))
        # A name that is taken makes nothing either.
        other = ExternalId(ISSUER, "other")
        await self.assertFailure(self.store.credentials.create("Mary", "", external=other), Conflict)
        self.assertEqual(await self.externals.find(other), Linked())

    async def test_of_many_at_once_one_is_made(self):
        async def make(number):
            store = (self.store, self.other())[number % 2]
            try:
                return (await store.credentials.create(f"mary {number}", "", external=MARY)).id
            except Conflict:
                return None

        found = await gatherResults([Deferred.fromCoroutine(make(number)) for number in range(20)])
        (mary,) = [one for one in found if one]
        self.assertEqual(await self.externals.find(MARY), Linked(mary))
        self.assertEqual(len((await self.store.accounts.listed(prefix="mary", limit=100)).items), 1)

    async def test_a_refused_invitation_links_nothing(self):
        await self.assertFailure(self.store.credentials.create("mary", "", "none", MARY), InvitationNeeded)
        self.assertEqual(await self.externals.find(MARY), Linked())

    async def test_an_account_is_linked(self):
        alice = (await self.store.credentials.create("alice", "hash")).id
        await self.externals.link(alice, MARY)
        await self.externals.link(alice, MARY)
        await self.externals.link(alice, ExternalId(OURS, "7"))
        self.assertEqual(await self.other().external_ids.find(MARY), Linked(alice))
        self.assertEqual(await self.externals.linked(alice), [ExternalId(OURS, "7"), MARY])
        await self.assertFailure(self.externals.link(alice, ExternalId(ISSUER, "x")), Conflict)
        bob = (await self.store.credentials.create("bob", "hash")).id
        await self.assertFailure(self.externals.link(bob, MARY), Conflict)
        guest = await self.store.accounts.register("guest")
        for nobody in (guest.id, guest.id + 1000):
            await self.assertFailure(self.externals.link(nobody, ExternalId(ISSUER, "y")), NotFound)
        self.assertEqual(await self.externals.find(ExternalId(ISSUER, "y")), Linked())
        self.assertEqual(await self.externals.find(MARY), Linked(alice))

    async def test_one_is_unlinked(self):
        mary = await self.mary()
        await self.externals.link(mary, ExternalId(OURS, "7"))
        self.assertTrue(await self.externals.unlink(mary, ISSUER))
        self.assertFalse(await self.externals.unlink(mary, ISSUER))
        self.assertEqual(await self.externals.linked(mary), [ExternalId(OURS, "7")])
        found = await self.externals.find(MARY)
        self.assertEqual(found.user, 0)
        self.assertGreater(found.gone, 0)
        self.assertTrue(await self.externals.unlink(mary, OURS))
        self.assertEqual(await self.externals.find(ExternalId(OURS, "7")), Linked())
        # When it was unlinked is known still when it leads to another account.
        bob = (await self.store.credentials.create("bob", "hash")).id
        await self.externals.link(bob, MARY)
        self.assertEqual(await self.externals.find(MARY), Linked(bob, found.gone))

    async def test_external_ids_go_with_the_account(self):
        mary = await self.mary()
        await self.externals.link(mary, ExternalId(OURS, "7"))
        await self.store.credentials.delete(mary)
        self.assertEqual(await self.externals.linked(mary), [])
        self.assertEqual(await self.externals.find(ExternalId(OURS, "7")), Linked())
        found = await self.other().external_ids.find(MARY)
        self.assertEqual(found.user, 0)
        self.assertLess(abs(self.store.clock.now() - found.gone), 5000)
        again = await self.mary()
        self.assertNotEqual(again, mary)
        self.assertEqual(await self.externals.find(MARY), Linked(again, found.gone))
        self.assertEqual(await self.externals.linked(again), [MARY])
