"""Tests of what every store promises about sessions on several devices (cim.interfaces.ISessions)."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from cim.errors import RateLimited, RepeatedEnd
from cim.model import GUEST, MAX_DEVICES, LoginPolicy, Place, Reserved

HERE = Place("127.0.0.1:11211:8081", "one")
THERE = Place("127.0.0.1:11212:8082", "two")
REJECT, REPLACE, MANY = LoginPolicy


class DevicesContract:
    """Mix into a TestCase whose setUp makes `self.store`, and which can `let_pass(seconds)` on the store's clock."""

    def reserve(self, device, owner, policy=REJECT, place=HERE, **options):
        return self.store.sessions.reserve(
            1, place, owner, device=device, policy=policy, seconds=options.pop("seconds", 30), **options
        )

    def claim(self, device, owner, place=HERE):
        return self.store.sessions.claim(1, device, place, owner)

    async def live_on(self, device, owner, policy=MANY, place=HERE):
        self.assertEqual(await self.reserve(device, owner, policy, place), Reserved())
        self.assertTrue(await self.claim(device, owner, place))

    async def there(self):
        """Return devices with their owners, in brackets for reservations."""
        records = await self.store.sessions.sessions(1)
        return {record.device: record.owner if record.live else f"[{record.owner}]" for record in records}

    def owners(self, records):
        return sorted(record.owner for record in records)

    async def test_reject_another_device_is_in_the_way(self):
        await self.live_on("phone", "a", REJECT)
        reserved = await self.reserve("desk", "b", REJECT, THERE)
        self.assertEqual(list(reserved.in_the_way), list(await self.store.sessions.sessions(1)))
        self.assertEqual((reserved.in_the_way[0].device, reserved.in_the_way[0].place), ("phone", HERE))
        self.assertEqual(await self.there(), {"phone": "a"})
        self.assertFalse(await self.claim("desk", "b", THERE))

    async def test_reject_returns_all_in_the_way_and_skips_those_known_to_be_dead(self):
        for device in ("a", "b", "c"):
            await self.live_on(device, device, MANY)
        self.assertEqual(self.owners((await self.reserve("d", "d")).in_the_way), ["a", "b", "c"])
        self.assertEqual(self.owners((await self.reserve("d", "d", expected=("a", "c"))).in_the_way), ["b"])
        self.assertEqual(await self.there(), {"a": "a", "b": "b", "c": "c"})
        self.assertEqual(await self.reserve("d", "d", expected=("a", "b", "c")), Reserved())
        self.assertEqual(await self.there(), {"d": "[d]"})

    async def test_reject_a_reservation_of_another_device_is_replaced(self):
        await self.reserve("phone", "a")
        self.assertEqual(await self.reserve("desk", "b"), Reserved())
        self.assertEqual(await self.there(), {"desk": "[b]"})
        self.assertFalse(await self.claim("phone", "a"))

    async def test_the_same_device_replaces_itself_under_every_policy(self):
        for policy in LoginPolicy:
            await self.live_on("phone", "old", policy)
            reserved = await self.reserve("phone", "new", policy, THERE)
            self.assertEqual((reserved.in_the_way, self.owners(reserved.replaced)), ((), ["old"]))
            self.assertEqual(await self.there(), {"phone": "[new]"})
            self.assertFalse(await self.claim("phone", "old"))
            self.assertTrue(await self.claim("phone", "new", THERE))
            self.assertFalse(await self.store.sessions.release(1, "old"))
            await self.store.sessions.release(1, "new")

    async def test_a_guest_replaces_a_guest_only_under_replace(self):
        for policy in (REJECT, MANY):
            await self.live_on(GUEST, "old", policy)
            self.assertEqual(self.owners((await self.reserve(GUEST, "new", policy)).in_the_way), ["old"])
            self.assertEqual(await self.there(), {GUEST: "old"})
            await self.store.sessions.release(1, "old")
        await self.live_on(GUEST, "old")
        self.assertEqual(self.owners((await self.reserve(GUEST, "new", REPLACE)).replaced), ["old"])

    async def test_replace_replaces_all_devices(self):
        await self.live_on("phone", "a", MANY)
        await self.live_on("desk", "b", MANY, THERE)
        await self.reserve("watch", "c", MANY)
        reserved = await self.reserve("tablet", "d", REPLACE)
        self.assertEqual((reserved.in_the_way, self.owners(reserved.replaced)), ((), ["a", "b"]))
        self.assertEqual({record.place for record in reserved.replaced}, {HERE, THERE})
        self.assertEqual(await self.there(), {"tablet": "[d]"})

    async def test_replace_does_not_return_those_known_to_be_dead(self):
        await self.live_on("phone", "a")
        await self.live_on("desk", "b")
        reserved = await self.reserve("tablet", "d", REPLACE, expected=("a",))
        self.assertEqual(self.owners(reserved.replaced), ["b"])
        self.assertEqual(await self.there(), {"tablet": "[d]"})

    async def test_a_replaced_session_cannot_come_back(self):
        for policy in (REJECT, REPLACE):
            await self.live_on("phone", "old", policy)
            await self.reserve("desk", "new", policy, expected=("old",))
            self.assertFalse(await self.claim("phone", "old"))
            self.assertTrue(await self.claim("desk", "new"))
            self.assertFalse(await self.claim("phone", "old"))
            self.assertEqual(await self.there(), {"desk": "new"})
            await self.store.sessions.release(1, "new")

    async def test_many_lets_several_devices_be_live(self):
        await self.live_on("phone", "a")
        await self.live_on("desk", "b", place=THERE)
        await self.reserve("watch", "c", MANY)
        self.assertEqual(await self.there(), {"phone": "a", "desk": "b", "watch": "[c]"})
        self.assertTrue(await self.store.sessions.release(1, "a"))
        self.assertEqual(await self.there(), {"desk": "b", "watch": "[c]"})
        await self.let_pass(100)
        self.assertEqual(await self.there(), {"desk": "b"})

    async def test_many_sessions_that_a_store_lost_are_all_claimed_again(self):
        for device in ("phone", "desk", "watch"):
            self.assertTrue(await self.claim(device, device))
        self.assertEqual(len(await self.there()), 3)

    async def test_many_is_bounded_and_dead_sessions_make_room(self):
        for number in range(MAX_DEVICES):
            await self.live_on(f"device-{number}", f"owner-{number}")
        reserved = await self.reserve("another", "b", MANY)
        self.assertEqual(len(reserved.in_the_way), MAX_DEVICES)
        self.assertEqual((await self.reserve("device-3", "again", MANY)).in_the_way, ())
        self.assertEqual(await self.reserve("another", "b", MANY, expected=("owner-7",)), Reserved())
        self.assertEqual(len(await self.there()), MAX_DEVICES)

    async def test_many_reservations_are_bounded(self):
        for number in range(MAX_DEVICES):
            await self.reserve(f"device-{number}", f"owner-{number}", MANY)
        await self.assertFailure(self.reserve("another", "b", MANY), RateLimited)
        await self.let_pass(31)
        self.assertEqual(await self.reserve("another", "b", MANY), Reserved())

    async def test_of_many_devices_that_log_in_at_once_one_wins(self):
        devices = [f"device-{number}" for number in range(50)]
        await gatherResults([self.reserve(device, device) for device in devices])
        claimed = await gatherResults([self.claim(device, device) for device in devices])
        self.assertEqual(claimed.count(True), 1)
        self.assertEqual(len(await self.there()), 1)

    async def test_end_removes_all_devices(self):
        await self.live_on("phone", "a")
        await self.live_on("desk", "b")
        await self.reserve("watch", "c", MANY)
        ended = await self.store.sessions.end(1)
        self.assertEqual({record.device for record in ended}, {"phone", "desk", "watch"})
        self.assertEqual(await self.there(), {})

    async def test_a_repeated_end_is_recognized_by_the_newest_record(self):
        await self.live_on("phone", "a")
        await self.let_pass(10)
        await self.live_on("desk", "b")
        await self.store.sessions.release(1, "b")
        await self.live_on("desk", "c")
        with self.assertRaises(RepeatedEnd):
            await self.store.sessions.end(1)
        self.assertEqual(await self.there(), {"phone": "a", "desk": "c"})
