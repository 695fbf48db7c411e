"""Tests of what every store promises about finding people by name (cim.interfaces.IAccounts.people)."""

from __future__ import annotations

from cim.names import comparison_form


class PeopleContract:
    """Mix into a TestCase whose setUp makes `self.store`."""

    async def person(self, name):
        return await self.store.credentials.create(name, "hash")

    async def people(self, prefix, limit=10, **how):
        """Return the names of those who are found, page by page."""
        names, after = [], ""
        while True:
            page = await self.store.accounts.people(comparison_form(prefix), limit=limit, after=after, **how)
            names += [account.name for account in page.items]
            after = page.more
            if not after:
                return names

    async def test_people_are_found_by_the_beginning_of_their_names(self):
        for name in ("bob", "Alina", "alice", "ALICIA", "al", "Alfred Miller", "张三丰", "张三", "😀😀 x"):
            await self.person(name)
        self.assertEqual(await self.people("ali"), ["alice", "ALICIA", "Alina"])
        self.assertEqual(await self.people("ALI"), ["alice", "ALICIA", "Alina"])
        self.assertEqual(await self.people("ali", 1), ["alice", "ALICIA", "Alina"])
        self.assertEqual(await self.people("alfred  m"), ["Alfred Miller"])
        self.assertEqual(await self.people("张三"), ["张三", "张三丰"])
        self.assertEqual(await self.people("😀😀"), ["😀😀 x"])
        self.assertEqual(await self.people("bobb"), [])
        self.assertEqual(await self.people("ob"), [])

    async def test_a_whole_name(self):
        for name in ("al", "alice", "alicf"):
            await self.person(name)
        self.assertEqual(await self.people("AL", whole=True), ["al"])
        self.assertEqual(await self.people("alic", whole=True), [])

    async def test_it_says_whether_there_are_more(self):
        for name in ("ann", "anna", "anne"):
            await self.person(name)
        for limit, more in ((2, True), (3, False), (4, False)):
            page = await self.store.accounts.people("ann", limit=limit)
            self.assertEqual((len(page.items), bool(page.more)), (min(limit, 3), more))

    async def test_guests_are_not_until_they_have_a_password(self):
        guest = await self.store.accounts.register("alice")
        self.assertEqual(await self.people("ali"), [])
        await self.store.credentials.set_password(guest.id, "hash", 7)
        self.assertEqual(await self.people("ali"), ["alice"])
        await self.store.credentials.set_password(guest.id, "another", 8)
        self.assertEqual(await self.people("ali"), ["alice"])

    async def test_deleted_accounts_are_not(self):
        alice, _ = await self.person("alice"), await self.person("alina")
        await self.store.credentials.delete(alice.id)
        self.assertEqual(await self.people("ali"), ["alina"])
        await self.person("ALICE")
        self.assertEqual(await self.people("ali"), ["ALICE", "alina"])

    async def test_many_accounts_at_once(self):
        alice, guest = await self.person("alice"), await self.store.accounts.register("guest")
        found = await self.store.accounts.accounts([guest.id, alice.id, alice.id + guest.id, 1 << 70])
        self.assertEqual(found, {alice.id: alice, guest.id: guest})
        self.assertEqual(await self.store.accounts.accounts([]), {})
