"""Tests of what every store promises about tokens that API keys made for users (cim.interfaces.IUserTokens)."""

from __future__ import annotations

from attrs import evolve

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict
from cim.interfaces import IUserTokens
from cim.user_tokens import ALL, MOST, UserScope, UserToken


class UserTokensContract:
    """Mix into a TestCase whose setUp makes `self.store`, which can `let_pass`, and whose `other` is a second route's
    store."""

    @property
    def tokens(self):
        return self.store.user_tokens

    async def user(self, name="alice"):
        return (await self.store.credentials.create(name, "hash")).id

    def token(self, id, seconds=60.0, **fields):
        now = self.store.clock.now()
        return UserToken(id, now, now + int(seconds * 1000), **fields)

    def test_it_is_a_store_of_user_tokens(self):
        self.assertTrue(verifyObject(IUserTokens, self.tokens))

    async def test_one_is_kept_and_revoked_everywhere(self):
        user = await self.user()
        token = self.token("a", device="phone of Zoë 你好", scopes=frozenset((UserScope.READ, UserScope.SEND)))
        self.assertIsNone(await self.tokens.find(user, "a"))
        self.assertFalse(await self.tokens.revoke(user, "a"))
        self.assertTrue(await self.tokens.keep(user, token))
        for store in (self.store, self.other()):
            self.assertEqual(await store.user_tokens.find(user, "a"), token)
            self.assertIsNone(await store.user_tokens.find(user, "b"))
            self.assertIsNone(await store.user_tokens.find(user + 1, "a"))
        self.assertTrue(await self.other().user_tokens.revoke(user, "a"))
        self.assertIsNone(await self.tokens.find(user, "a"))
        self.assertFalse(await self.tokens.revoke(user, "a"))

    async def test_they_are_listed_by_their_ends(self):
        user = await self.user()
        self.assertEqual(await self.tokens.listed(user), [])
        tokens = [self.token(id, seconds) for id, seconds in (("c", 0.5), ("b", 600), ("a", 60), ("d", 60))]
        for token in tokens:
            await self.tokens.keep(user, token)
        await self.tokens.revoke(user, "d")
        await self.let_pass(0.6)
        self.assertEqual(await self.other().user_tokens.listed(user), [tokens[2], tokens[1]])
        self.assertEqual(tokens[2].scopes, ALL)

    async def test_a_token_ends_by_itself(self):
        user = await self.user()
        await self.tokens.keep(user, self.token("a", 0.5))
        await self.tokens.keep(user, self.token("b"))
        await self.let_pass(0.6)
        self.assertIsNone(await self.tokens.find(user, "a"))
        self.assertFalse(await self.tokens.revoke(user, "a"))
        self.assertIsNotNone(await self.tokens.find(user, "b"))

    async def test_a_user_has_so_many_tokens(self):
        user, token = await self.user(), self.token("x")
        for number in range(MOST - 1):
            await self.tokens.keep(user, evolve(token, id=str(number)))
        await self.tokens.keep(user, self.token("short", 1))
        await self.assertFailure(self.tokens.keep(user, token), Conflict)
        self.assertIsNone(await self.tokens.find(user, "x"))
        await self.let_pass(1.1)
        # In the place of the one that has ended.
        self.assertTrue(await self.tokens.keep(user, token))
        self.assertEqual(len(await self.tokens.listed(user)), MOST)

    async def test_tokens_go_with_the_account(self):
        user = await self.user()
        await self.tokens.keep(user, self.token("a"))
        await self.store.credentials.delete(user)
        self.assertIsNone(await self.tokens.find(user, "a"))
        self.assertFalse(await self.tokens.keep(user, self.token("b")))
        self.assertEqual(await self.tokens.listed(user), [])

    async def test_guests_have_none(self):
        guest = await self.store.accounts.register("guest")
        self.assertFalse(await self.tokens.keep(guest.id, self.token("a")))

    async def test_many_tokens_at_once(self):
        user = await self.user()
        stores = (self.store, self.other())
        await gatherResults([stores[n % 2].user_tokens.keep(user, self.token(str(n))) for n in range(6)])
        self.assertEqual([token.id for token in await self.tokens.listed(user)], list("012345"))
