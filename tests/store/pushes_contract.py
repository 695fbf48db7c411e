"""Tests of what every store promises about registrations for push (cim.interfaces.IPushes)."""

from __future__ import annotations

from attrs import evolve

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from cim.interfaces import IPushes
from cim.model import Registration
from cim.store.rules.pushes import LASTS_MS, MOST, live, wait_of
from tests.store.conversing import TALK

#: As long as nobody waits in a test, in ms.
LONG = 600_000


class PushesContract:
    """Mix into a TestCase whose setUp makes `self.store`."""

    @property
    def pushes(self):
        return self.store.pushes

    async def users(self):
        return [(await self.store.accounts.register(name)).id for name in ("alice", "bob")]

    async def held(self, *users):
        found = await self.pushes.registrations(users)
        return {
            user: [(one.user, one.kind, one.address, one.device, one.keys) for one in of] for user, of in found.items()
        }

    def test_it_is_a_store_of_registrations(self):
        self.assertTrue(verifyObject(IPushes, self.pushes))

    def test_the_id_of_a_registration_does_not_tell_its_address(self):
        one = Registration(1, "fcm", "secret-token", "phone", "keys")
        self.assertRegex(one.id, r"\A[0-9a-f]{32}\Z")
        self.assertEqual(one.id, evolve(one, user=2, device="x", keys="").id)
        self.assertNotEqual(one.id, evolve(one, kind="apns").id)
        self.assertNotIn("secret-token", repr(one))

    def test_how_long_one_lasts(self):
        one = Registration(1, "fcm", "a", "phone", at=5)
        self.assertEqual(live([one], 4 + LASTS_MS), [one])
        self.assertEqual(live([one], 5 + LASTS_MS), [])
        self.assertEqual(live([evolve(one, ends=9)], 8), [evolve(one, ends=9)])
        self.assertEqual(live([evolve(one, ends=9)], 9), [])

    def test_how_long_to_wait_until_the_next_notification(self):
        waits = [wait_of(*case) for case in ((0, 100, 30), (90, 100, 30), (70, 100, 30), (60, 100, 30), (500, 100, 30))]
        self.assertEqual(waits, [0, 20, 0, 0, 0])

    async def test_registering_and_unregistering(self):
        alice, bob = await self.users()
        one = Registration(alice, "webpush", "https://push/1", "web-1", '{"auth": "x"}')
        two = Registration(alice, "fcm", "token-2", "phone")
        self.assertEqual(await self.held(alice, bob), {})
        at = await self.pushes.register(one)
        self.assertLess(abs(at - self.store.clock.now()), 60_000)
        await self.pushes.register(two)
        await self.pushes.register(evolve(one, keys='{"auth": "y"}'))  # is renewed
        shown = [(alice, "fcm", "token-2", "phone", ""), (alice, "webpush", "https://push/1", "web-1", '{"auth": "y"}')]
        self.assertEqual({user: sorted(of) for user, of in (await self.held(alice, bob)).items()}, {alice: shown})
        self.assertFalse(await self.pushes.unregister(bob, one.id))
        self.assertTrue(await self.pushes.unregister(alice, one.id))
        self.assertFalse(await self.pushes.unregister(alice, one.id))
        self.assertEqual(await self.held(alice), {alice: shown[:1]})

    async def test_one_that_ends(self):
        alice, _ = await self.users()
        now = self.store.clock.now()
        for address, ends in (("1", now - 1), ("2", now + 600_000), ("3", 0)):
            await self.pushes.register(Registration(alice, "fcm", address, "phone", ends=ends))
        self.assertEqual(sorted(one[2] for one in (await self.held(alice))[alice]), ["2", "3"])

    async def test_an_address_is_that_of_one_user(self):
        alice, bob = await self.users()
        one = Registration(alice, "webpush", "https://push/1", "web-1")
        await self.pushes.register(one)
        await self.pushes.register(evolve(one, user=bob, device="web-2"))
        self.assertEqual(await self.held(alice, bob), {bob: [(bob, "webpush", "https://push/1", "web-2", "")]})
        # Who had it before takes nothing away.
        self.assertFalse(await self.pushes.unregister(alice, one.id))
        self.assertEqual(await self.pushes.unregister_device(alice, "web-1"), 0)
        await self.store.credentials.delete(alice)
        self.assertEqual(list(await self.held(alice, bob)), [bob])
        # The same token of another service is another address.
        await self.pushes.register(Registration(bob, "fcm", "https://push/1", "phone"))
        self.assertEqual(len((await self.held(bob))[bob]), 2)

    async def test_those_of_a_device(self):
        alice, _ = await self.users()
        for address, device in (("1", "phone"), ("2", "phone"), ("3", "web-1"), ("4", "tablet")):
            await self.pushes.register(Registration(alice, "fcm", address, device))
        self.assertEqual(await self.pushes.unregister_device(alice, "phone"), 2)
        self.assertEqual(await self.pushes.unregister_device(alice, "phone"), 0)
        self.assertEqual({one[3] for one in (await self.held(alice))[alice]}, {"web-1", "tablet"})
        self.assertEqual(await self.pushes.unregister_device(alice, None, "tablet"), 1)
        self.assertEqual({one[3] for one in (await self.held(alice))[alice]}, {"tablet"})
        self.assertEqual(await self.pushes.unregister_device(alice, None), 1)
        self.assertEqual(await self.held(alice), {})

    async def test_of_too_many_the_oldest_go(self):
        alice, _ = await self.users()
        for number in range(MOST + 3):
            await self.pushes.register(Registration(alice, "fcm", f"token-{number}", "phone"))
        held = (await self.held(alice))[alice]
        self.assertEqual(len(held), MOST)
        self.assertIn(f"token-{MOST + 2}", [one[2] for one in held])

    async def test_they_end_with_the_token_that_they_were_made_with(self):
        alice, bob = await self.users()
        now = self.store.clock.now()
        made = (("1", 0, ""), ("2", now - 1, "t-1"), ("3", now + LONG, "t-1"), ("4", now + LONG, "t-2"))
        for address, ends, token in made:
            await self.pushes.register(Registration(alice, "fcm", address, "phone", ends=ends, token=token))
        await self.pushes.register(Registration(bob, "fcm", "5", "phone", ends=now + LONG, token="t-1"))
        held = (await self.pushes.registrations((alice,)))[alice]
        self.assertEqual(sorted((one.address, one.ends, one.token) for one in held), [made[0], made[2], made[3]])
        self.assertEqual(await self.pushes.unregister_token(alice, "t-3"), 0)
        self.assertGreaterEqual(await self.pushes.unregister_token(alice, "t-1"), 1)
        self.assertEqual(sorted(one[2] for one in (await self.held(alice))[alice]), ["1", "4"])
        self.assertEqual([one[2] for one in (await self.held(bob))[bob]], ["5"])

    async def test_nobody_has_any_without_an_account(self):
        self.assertIsNone(await self.pushes.register(Registration(77, "fcm", "token", "phone")))
        self.assertEqual(await self.held(77), {})
        self.assertEqual(await self.held(), {})

    async def test_they_go_with_the_account(self):
        alice, bob = await self.users()
        await self.pushes.register(Registration(alice, "fcm", "token", "phone"))
        await self.pushes.claim(alice, TALK, LONG)
        await self.store.credentials.delete(alice)
        self.assertEqual(await self.held(alice), {})
        self.assertFalse(await self.pushes.close(alice, TALK))
        await self.pushes.register(Registration(bob, "fcm", "token", "phone"))
        self.assertEqual(list(await self.held(bob)), [bob])

    async def test_one_of_several_notifies_once_in_a_pause(self):
        alice, bob = await self.users()
        waits = await gatherResults([self.pushes.claim(alice, TALK, LONG) for _ in range(3)])
        first, *others = sorted(waits)
        self.assertEqual(first, 0)
        self.assertTrue(all(LONG - 60_000 < wait <= LONG for wait in others), waits)
        self.assertEqual(await self.pushes.claim(bob, TALK, LONG), 0)
        self.assertEqual(await self.pushes.claim(alice, "g:7", LONG), 0)
        self.assertEqual(await self.pushes.claim(alice, TALK, 0), 0)

    async def test_who_has_read_it_may_be_notified_again(self):
        alice, _ = await self.users()
        self.assertFalse(await self.pushes.close(alice, TALK))
        await self.pushes.claim(alice, TALK, LONG)
        self.assertTrue(await self.pushes.close(alice, TALK))
        self.assertFalse(await self.pushes.close(alice, TALK))
        self.assertEqual(await self.pushes.claim(alice, TALK, LONG), 0)
