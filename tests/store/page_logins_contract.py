"""Tests of what every store promises about logins by cookies (cim.interfaces.IPageLogins)."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.interfaces import IPageLogins
from cim.store.rules.page_logins import MOST


class PageLoginsContract:
    """Mix into a TestCase whose setUp makes `self.store`, which can `let_pass`, and whose `other` is a second route's
    store."""

    @property
    def logins(self):
        return self.store.page_logins

    async def user(self, name="alice"):
        return (await self.store.credentials.create(name, "hash")).id

    def test_it_is_a_store_of_page_logins(self):
        self.assertTrue(verifyObject(IPageLogins, self.logins))

    async def test_one_begins_and_ends_everywhere(self):
        user = await self.user()
        self.assertEqual(await self.logins.login(user, "web-1"), "")
        self.assertFalse(await self.logins.end(user, "web-1"))
        self.assertTrue(await self.logins.begin(user, "web-1", "a", 60))
        for store in (self.store, self.other()):
            self.assertEqual(await store.page_logins.login(user, "web-1"), "a")
            self.assertEqual(await store.page_logins.login(user, "web-2"), "")
            self.assertEqual(await store.page_logins.login(user + 1, "web-1"), "")
        self.assertTrue(await self.other().page_logins.end(user, "web-1"))
        self.assertEqual(await self.logins.login(user, "web-1"), "")
        self.assertFalse(await self.logins.end(user, "web-1"))

    async def test_each_device_has_one(self):
        user = await self.user()
        for device, login in (("web-1", "a"), ("web-2", "b"), ("web-1", "c"), ("phone of Zoë 你好", "d e")):
            self.assertTrue(await self.logins.begin(user, device, login, 60))
        found = [await self.logins.login(user, device) for device in ("web-1", "web-2", "phone of Zoë 你好")]
        self.assertEqual(found, ["c", "b", "d e"])
        await self.logins.end(user, "web-1")
        self.assertEqual(await self.logins.login(user, "web-2"), "b")

    async def test_one_in_the_place_of_another(self):
        user = await self.user()
        await self.logins.begin(user, "web-1", "a", 60)
        for instead in (("web-1", "b"), ("web-2", "a"), ("web-1", "")):
            self.assertFalse(await self.logins.begin(user, "web-1", "c", 60, instead=instead))
            self.assertEqual(await self.logins.login(user, "web-1"), "a")
        self.assertTrue(await self.logins.begin(user, "web-1", "c", 60, instead=("web-1", "a")))
        self.assertTrue(await self.logins.begin(user, "web-2", "c", 60, instead=("web-1", "c")))
        self.assertEqual([await self.logins.login(user, f"web-{n}") for n in (1, 2)], ["", "c"])
        # Whoever logs out is not logged in again by what was under way.
        await self.logins.end(user, "web-2")
        self.assertFalse(await self.logins.begin(user, "web-2", "c", 60, instead=("web-2", "c")))
        self.assertEqual(await self.logins.login(user, "web-2"), "")

    async def test_the_devices_that_have_one(self):
        user = await self.user()
        self.assertEqual(await self.logins.devices(user), {})
        for device, seconds in (("web-1", 0.5), ("phone of Zoë 你好", 60), ("web-2", 120), ("web-3", 60)):
            await self.logins.begin(user, device, "a b", seconds)
        await self.logins.end(user, "web-3")
        await self.let_pass(0.6)
        found = await self.other().page_logins.devices(user)
        self.assertEqual(sorted(found), ["phone of Zoë 你好", "web-2"])
        self.assertLess(abs(found["web-2"] - found["phone of Zoë 你好"] - 60_000), 500)
        self.assertEqual(await self.logins.devices(user + 1), {})

    async def test_it_ends_by_itself(self):
        user = await self.user()
        await self.logins.begin(user, "web-1", "a", 0.5)
        await self.logins.begin(user, "web-2", "b", 60)
        await self.let_pass(0.6)
        self.assertEqual([await self.logins.login(user, f"web-{n}") for n in (1, 2)], ["", "b"])
        self.assertFalse(await self.logins.begin(user, "web-1", "a", 60, instead=("web-1", "a")))
        self.assertFalse(await self.logins.end(user, "web-1"))

    async def test_a_user_has_so_many(self):
        user = await self.user()
        for number in range(MOST):
            await self.logins.begin(user, f"web-{number}", "a", 1000 + number)
        await self.logins.begin(user, "web-0", "a", 2000)
        # Though its own login ends first of all.
        await self.logins.begin(user, "new", "a", 10)
        devices = ("web-0", "web-1", "web-2", "new")
        self.assertEqual([await self.logins.login(user, device) for device in devices], ["a", "", "a", "a"])

    async def test_they_go_with_the_account(self):
        user = await self.user()
        await self.logins.begin(user, "web-1", "a", 60)
        await self.store.credentials.delete(user)
        self.assertEqual(await self.logins.login(user, "web-1"), "")
        self.assertFalse(await self.logins.begin(user, "web-1", "a", 60))
        self.assertEqual(await self.logins.login(user, "web-1"), "")

    async def test_many_at_once(self):
        user = await self.user()
        stores = (self.store, self.other())
        await gatherResults(
            [stores[number % 2].page_logins.begin(user, f"web-{number}", str(number), 60) for number in range(8)]
        )
        self.assertEqual([await self.logins.login(user, f"web-{n}") for n in range(8)], list("01234567"))
