"""Tests of what every store promises about reset codes (cim.interfaces.IResetCodes)."""

from __future__ import annotations

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from cim.interfaces import IResetCodes
from cim.model import Credential
from cim.reset_codes import ResetCode


class ResetCodesContract:
    """Mix into a TestCase whose setUp makes `self.store`, which can `let_pass`, and whose `other` is a second route's
    store."""

    @property
    def codes(self):
        return self.store.reset_codes

    async def made(self, name="alice", digest="a" * 64, seconds=60):
        """Return a code of a new account."""
        account = await self.store.credentials.create(name, "forgotten")
        code = ResetCode(account.id, digest)
        self.assertGreater(await self.codes.make(code, seconds), 0)
        return code

    def test_it_is_a_store_of_reset_codes(self):
        self.assertTrue(verifyObject(IResetCodes, self.codes))

    async def test_it_sets_a_password_once(self):
        code = await self.made()
        self.assertTrue(await self.codes.valid(code))
        self.assertEqual(await self.codes.use(code, "new", 1_700_000_000_000), 1_700_000_000_000)
        self.assertEqual(await self.store.credentials.credential(code.user), Credential("new", 1_700_000_000_000))
        self.assertFalse(await self.codes.valid(code))
        self.assertIsNone(await self.codes.use(code, "newer", 1_700_000_000_001))
        self.assertEqual((await self.store.credentials.credential(code.user)).password, "new")

    async def test_when_it_expires_is_said(self):
        first = await self.codes.make(await self.made(), 60)
        second = await self.codes.make(await self.made("bob"), 120)
        self.assertTrue(60_000 <= second - first < 70_000, (first, second))

    async def test_revoked_tokens_stay_revoked_whatever_a_clock_says(self):
        code = await self.made()
        await self.store.credentials.revoke(code.user, 1_700_000_000_009)
        self.assertEqual(await self.codes.use(code, "new", 5), 1_700_000_000_010)

    async def test_another_code(self):
        code = await self.made()
        bob = await self.made("bob", "b" * 64)
        for wrong in (ResetCode(code.user, "b" * 64), ResetCode(bob.user, "a" * 64), ResetCode(bob.user + 9, "a" * 64)):
            self.assertFalse(await self.codes.valid(wrong))
            self.assertIsNone(await self.codes.use(wrong, "new", 7))
        for user in (code.user, bob.user):
            self.assertEqual(await self.store.credentials.credential(user), Credential("forgotten", 0))

    async def test_a_newer_one_replaces_it(self):
        code = await self.made()
        newer = ResetCode(code.user, "c" * 64)
        await self.codes.make(newer, 60)
        self.assertIsNone(await self.codes.use(code, "new", 7))
        self.assertEqual(await self.codes.use(newer, "new", 7), 7)

    async def test_it_expires(self):
        code = await self.made(seconds=0.5)
        await self.let_pass(0.6)
        self.assertFalse(await self.codes.valid(code))
        self.assertIsNone(await self.codes.use(code, "new", 7))

    async def test_setting_the_password_voids_it(self):
        code = await self.made()
        self.assertIsNone(await self.store.credentials.set_password(code.user, "x", 7, 99))
        await self.store.credentials.rehash(code.user, "forgotten", "the same again")
        await self.store.credentials.revoke(code.user, 7)
        self.assertTrue(await self.codes.valid(code))
        await self.store.credentials.set_password(code.user, "remembered", 8)
        self.assertFalse(await self.codes.valid(code))
        self.assertIsNone(await self.codes.use(code, "new", 9))

    async def test_of_a_guest(self):
        guest = await self.store.accounts.register("guest")
        code = ResetCode(guest.id, "a" * 64)
        await self.codes.make(code, 60)
        self.assertEqual(await self.codes.use(code, "new", 7), 7)
        self.assertEqual(await self.store.credentials.credential(guest.id), Credential("new", 7))

    async def test_of_nobody(self):
        code = await self.made()
        nobody = ResetCode(code.user + 7, "a" * 64)
        self.assertIsNone(await self.codes.make(nobody, 60))
        self.assertFalse(await self.codes.valid(nobody))
        await self.store.credentials.delete(code.user)
        self.assertFalse(await self.codes.valid(code))
        self.assertIsNone(await self.codes.use(code, "new", 7))
        self.assertIsNone(await self.store.credentials.credential(code.user))

    async def test_of_many_at_once_one_sets_it(self):
        code = await self.made()
        stores = (self.store, self.other())
        used = await gatherResults(
            [Deferred.fromCoroutine(self._use(stores[number % 2], code, str(number))) for number in range(20)]
        )
        (set,) = [password for password in used if password is not None]
        self.assertEqual((await self.store.credentials.credential(code.user)).password, set)

    async def _use(self, store, code, password):
        return password if await store.reset_codes.use(code, password, 7) is not None else None
