"""Tests of what every store promises (cim.interfaces), to mix into a TestCase that supplies a store."""

from __future__ import annotations

import itertools

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from cim.errors import Conflict, RepeatedEnd
from cim.interfaces import IAccounts, ISessions, IStore
from cim.model import GUEST, ID_LIMIT, Account, ListedAccount, LoginPolicy, Place, SessionRecord
from cim.store.rules.sessions import MOST_BARRED

HERE = Place("127.0.0.1:11211:8081", "one")
THERE = Place("127.0.0.1:11212:8082", "two")
JAVA = Place("10.0.0.9:11211:8081")

NASTY_NAMES = [
    "cim-route:1",
    "cim-account:1",
    "cim-name:alice",
    "cim:last-account-id",
    "cim:session:{1}",
    "login-status",
    "a b",
    "%41",
    "Z",
    "a",
    "*",
    "{x}",
    "张三",
    "👩‍👩‍👧",
    "é",
    "o\u0301",
    "007",
    "1.50",
    "-1",
    "QUEUED",
    "OK",
    "'; DROP TABLE account; --",
    "\u202eevil",
    "x" * 64,
    "\U0001f600" * 64,
]


class StoreContract:
    """Mix into a TestCase whose setUp makes `self.store`, and which can `let_pass(seconds)` on the store's clock."""

    @property
    def accounts(self):
        return self.store.accounts

    @property
    def sessions(self):
        return self.store.sessions

    async def live(self, user=1, place=HERE, owner="a"):
        self.assertFalse(await self.in_the_way(user, place, owner, seconds=30))
        self.assertTrue(await self.sessions.claim(user, GUEST, place, owner))

    async def in_the_way(self, *args, **kwargs):
        """Reserve, and return the records that were in the way."""
        reserved = await self.sessions.reserve(*args, **kwargs)
        self.assertEqual(reserved.replaced, ())
        return list(reserved.in_the_way)

    async def record(self, user=1):
        """Return the only record, or None."""
        records = await self.sessions.sessions(user)
        self.assertTrue(len(records) < 2, records)
        return records[0] if records else None

    async def held(self, user=1):
        """Return the only record as (server, owner, live), or None."""
        record = await self.record(user)
        return record and (record.place, record.owner, record.live)

    def test_interfaces(self):
        self.assertTrue(verifyObject(IStore, self.store))
        self.assertTrue(verifyObject(IAccounts, self.accounts))
        self.assertTrue(verifyObject(ISessions, self.sessions))

    def test_it_is_healthy_and_says_what_acknowledged_means(self):
        self.assertEqual(self.store.health(), "")
        self.assertIn("acknowledged", self.store.facts())

    async def test_calls_are_observed(self):
        seen = []
        self.store.observe(lambda operation, seconds: seen.append((operation, seconds >= 0)))
        await self.accounts.register("alice")
        await self.live()
        self.assertEqual(seen, [("register", True), ("reserve", True), ("claim", True)])

    # Accounts

    async def test_registering_is_idempotent_by_name(self):
        alice = await self.accounts.register("alice")
        bob = await self.accounts.register("bob")
        self.assertEqual(await self.accounts.register("alice"), alice)
        self.assertEqual((alice.name, bob.name), ("alice", "bob"))
        self.assertNotEqual(alice.id, bob.id)
        self.assertTrue(0 < alice.id < ID_LIMIT)

    async def test_accounts_are_found_by_id_and_by_name(self):
        alice = await self.accounts.register("alice")
        self.assertEqual(await self.accounts.account(alice.id), alice)
        self.assertEqual(await self.accounts.named("alice"), alice)
        self.assertIsNone(await self.accounts.account(alice.id + 1))
        self.assertIsNone(await self.accounts.named("Alice"))

    async def test_ids_out_of_bounds_are_unknown(self):
        for user in (0, -1, ID_LIMIT, 1 << 70):
            self.assertIsNone(await self.accounts.account(user))

    async def listed(self, prefix="", limit=100):
        """Return all pages of a list of accounts."""
        pages, after = [], ""
        while not pages or after:
            listing = await self.accounts.listed(prefix=prefix, after=after, limit=limit)
            pages.append(listing.items)
            after = listing.more
        return pages

    async def test_listing(self):
        """Everybody comes once, guests and others, and each page ends soon."""
        made = [ListedAccount(await self.accounts.register(name), False) for name in NASTY_NAMES]
        made += [
            ListedAccount(await self.store.credentials.create(f"user {number}", "x"), True) for number in range(60)
        ]
        await self.live(made[0].account.id)
        await self.store.groups.create(made[0].account.id, "x", open=True, history=True)
        for limit in (1, 7, 100):
            pages = await self.listed(limit=limit)
            self.assertCountEqual([one for page in pages for one in page], made)
            self.assertLess(max(map(len, pages)), limit + 60)
        self.assertGreater(len(await self.listed(limit=10)), 3)

    async def test_listing_by_the_beginning_of_a_name(self):
        names = ("al", "alice", "alan", "Albert", "bob", "a%", "a_c", "a*", "\u5f20\u4e09", "\u5f20", "al\U0010ffff")
        for name in names:
            await self.accounts.register(name)
        for prefix in ("al", "alice", "a%", "a_", "a*", "\u5f20", "x", "A", ""):
            found = [one.account.name for page in await self.listed(prefix, 2) for one in page]
            self.assertCountEqual(found, [name for name in names if name.startswith(prefix)], prefix)

    async def test_accounts_that_are_gone_are_not_listed(self):
        alice, bob = await self.accounts.register("alice"), await self.store.credentials.create("bob", "x")
        await self.store.credentials.delete(alice.id)
        self.assertEqual([one for page in await self.listed() for one in page], [ListedAccount(bob, True)])

    async def test_one_name_registered_many_times_at_once(self):
        found = await gatherResults([self.accounts.register("alice") for _ in range(500)])
        self.assertEqual(len(set(found)), 1)

    async def test_many_names_registered_at_once(self):
        names = [f"user-{number}" for number in range(500)]
        found = await gatherResults([self.accounts.register(name) for name in names])
        self.assertEqual([account.name for account in found], names)
        self.assertEqual(len({account.id for account in found}), 500)
        self.assertEqual(await self.accounts.account(found[250].id), found[250])

    async def test_any_name_is_only_a_name(self):
        made = [await self.accounts.register(name) for name in NASTY_NAMES]
        self.assertEqual([account.name for account in made], NASTY_NAMES)
        self.assertEqual(len({account.id for account in made}), len(NASTY_NAMES))
        await self.live(made[0].id)
        for account in made:
            self.assertEqual(await self.accounts.named(account.name), account)
            self.assertEqual(await self.accounts.account(account.id), account)
            self.assertEqual(await self.accounts.register(account.name), account)
        self.assertEqual(await self.held(made[0].id), (HERE, "a", True))

    async def test_a_name_that_looks_like_that_of_another_account_is_refused(self):
        twins = [("Alice", "alice"), ("\u00e9", "E\u0301"), ("a b", "a\u3000 B"), ("\u2764\ufe0f", "\u2764")]
        for first, second in twins:
            account = await self.accounts.register(first)
            await self.assertFailure(self.accounts.register(second), Conflict)
            await self.assertFailure(self.store.credentials.create(second, "hash"), Conflict)
            self.assertIsNone(await self.accounts.named(second))
            # Who has the name itself is let in as ever.
            self.assertEqual(await self.accounts.register(first), account)
            self.assertEqual([await self.accounts.known_as(name) for name in (first, second)], [account] * 2)
        self.assertIsNone(await self.accounts.known_as("nobody"))

    async def test_names_without_a_form_are_told_apart_by_themselves(self):
        one, other = await self.accounts.register("al\u200bice"), await self.accounts.register("al\u2060ice")
        plain = await self.accounts.register("alice")
        self.assertEqual(len({one.id, other.id, plain.id}), 3)
        self.assertEqual(await self.accounts.known_as("al\u200bice"), one)
        self.assertIsNone(await self.accounts.known_as("al\u2061ice"))

    async def test_of_many_names_that_look_the_same_at_once_one_is_taken(self):
        names = ["".join(letters) for letters in itertools.product(*(letter + letter.upper() for letter in "alice"))]

        async def register(name):
            try:
                return await self.accounts.register(name)
            except Conflict:
                return None

        made = await gatherResults([Deferred.fromCoroutine(register(name)) for name in names])
        (account,) = [account for account in made if account is not None]
        self.assertEqual(await self.accounts.known_as("ALICE"), account)

    async def test_the_form_of_a_deleted_account_is_free(self):
        old = await self.accounts.register("alice")
        await self.store.credentials.delete(old.id)
        self.assertIsNone(await self.accounts.known_as("alice"))
        new = await self.store.credentials.create("Alice", "hash")
        self.assertEqual(await self.accounts.known_as("alice"), new)

    async def test_a_name_that_looks_like_an_account_key_finds_no_other_account(self):
        alice = await self.accounts.register("alice")
        mallory = await self.accounts.register(f"cim-account:{alice.id}")
        trent = await self.accounts.register(f"cim-account:{mallory.id}")
        self.assertEqual(len({alice.id, mallory.id, trent.id}), 3)
        self.assertEqual(await self.accounts.named("alice"), alice)
        self.assertEqual(await self.accounts.account(alice.id), alice)

    # Reservations

    async def test_a_reservation_is_not_live(self):
        self.assertEqual(await self.sessions.sessions(1), [])
        self.assertFalse(await self.in_the_way(1, HERE, "a", seconds=30))
        record = await self.record()
        self.assertEqual(record, SessionRecord(1, HERE, "a", False, record.since))

    async def test_a_reservation_expires(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        await self.let_pass(29)
        self.assertEqual(await self.held(), (HERE, "a", False))
        await self.let_pass(1)
        self.assertIsNone(await self.held())

    async def test_a_reservation_is_replaced_by_the_next(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        await self.let_pass(20)
        self.assertFalse(await self.in_the_way(1, THERE, "b", seconds=30))
        self.assertFalse(await self.sessions.claim(1, GUEST, HERE, "a"))
        await self.let_pass(20)
        self.assertEqual(await self.held(), (THERE, "b", False))
        self.assertTrue(await self.sessions.claim(1, GUEST, THERE, "b"))

    async def test_a_reservation_refreshed_by_its_own_owner_lives_on(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        await self.let_pass(20)
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        await self.let_pass(20)
        self.assertEqual(await self.held(), (HERE, "a", False))

    async def test_users_do_not_touch_each_other(self):
        await self.live(1)
        await self.sessions.reserve(2, THERE, "b", seconds=30)
        await self.sessions.end(2)
        self.assertEqual(await self.held(1), (HERE, "a", True))

    # Claims

    async def test_a_claimed_session_stays(self):
        await self.live()
        await self.let_pass(100)
        self.assertEqual(await self.held(), (HERE, "a", True))

    async def test_since_is_when_it_was_claimed(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        reserved = await self.record()
        await self.let_pass(10)
        await self.sessions.claim(1, GUEST, HERE, "a")
        claimed = await self.record()
        self.assertTrue(10_000 <= claimed.since - reserved.since < 60_000)
        self.assertTrue(abs(self.store.clock.shown() - claimed.since) < 60_000)  # people see it
        await self.sessions.claim(1, GUEST, HERE, "a")
        self.assertEqual(await self.record(), claimed)

    async def test_claiming_again_changes_nothing(self):
        await self.live()
        await self.let_pass(10)
        before = await self.record()
        self.assertTrue(await self.sessions.claim(1, GUEST, HERE, "a"))
        self.assertEqual(await self.record(), before)

    async def test_a_claim_without_a_record_makes_a_live_one(self):
        self.assertTrue(await self.sessions.claim(1, GUEST, HERE, "a"))
        self.assertEqual(await self.held(), (HERE, "a", True))

    async def test_another_owner_claims_nothing(self):
        await self.live()
        self.assertFalse(await self.sessions.claim(1, GUEST, THERE, "b"))
        self.assertEqual(await self.held(), (HERE, "a", True))

    async def test_a_live_record_is_in_the_way(self):
        await self.live()
        before = await self.record()
        self.assertEqual(await self.in_the_way(1, THERE, "b", seconds=30), [before])
        self.assertEqual(await self.in_the_way(1, THERE, "b", expected={"c"}, seconds=30, live=True), [before])
        self.assertEqual(await self.record(), before)
        await self.let_pass(100)
        self.assertEqual(await self.held(), (HERE, "a", True))

    async def test_a_live_record_known_to_be_dead_is_replaced(self):
        await self.live()
        self.assertFalse(await self.in_the_way(1, THERE, "b", expected={"a"}, seconds=30))
        self.assertEqual(await self.held(), (THERE, "b", False))
        self.assertFalse(await self.sessions.claim(1, GUEST, HERE, "a"))
        await self.let_pass(30)
        self.assertIsNone(await self.held())

    async def test_an_owner_listed_as_dead_that_is_absent_does_not_matter(self):
        self.assertFalse(await self.in_the_way(1, HERE, "a", expected={"x"}, seconds=30))
        self.assertFalse(await self.in_the_way(1, HERE, "b", expected={"x"}, seconds=30))
        self.assertEqual(await self.held(), (HERE, "b", False))

    async def test_of_many_concurrent_logins_one_wins(self):
        owners = [f"owner-{number}" for number in range(50)]
        await gatherResults([self.sessions.reserve(1, HERE, owner, seconds=30) for owner in owners])
        claimed = await gatherResults([self.sessions.claim(1, GUEST, HERE, owner) for owner in owners])
        self.assertEqual(claimed.count(True), 1)
        self.assertEqual(await self.held(), (HERE, owners[claimed.index(True)], True))

    async def test_of_many_logins_that_replace_a_dead_session_one_goes_live(self):
        await self.live(owner="dead")
        owners = [f"owner-{number}" for number in range(50)]

        async def log_in(owner):
            in_the_way = await self.in_the_way(1, HERE, owner, expected={"dead"}, seconds=30)
            return not in_the_way and await self.sessions.claim(1, GUEST, HERE, owner)

        done = await gatherResults([Deferred.fromCoroutine(log_in(owner)) for owner in owners])
        self.assertEqual(done.count(True), 1)
        self.assertEqual(await self.held(), (HERE, owners[done.index(True)], True))

    # Ends

    async def test_release_removes_ones_own_record(self):
        await self.live()
        self.assertTrue(await self.sessions.release(1, "a"))
        self.assertIsNone(await self.held())
        self.assertFalse(await self.sessions.release(1, "a"))

    async def test_release_removes_a_reservation(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        self.assertTrue(await self.sessions.release(1, "a"))
        self.assertIsNone(await self.held())

    async def test_a_late_release_touches_nothing(self):
        await self.live(owner="old")
        await self.sessions.reserve(1, THERE, "new", expected={"old"}, seconds=30)
        self.assertFalse(await self.sessions.release(1, "old"))
        self.assertEqual(await self.held(), (THERE, "new", False))
        await self.sessions.claim(1, GUEST, THERE, "new")
        self.assertFalse(await self.sessions.release(1, "old"))
        self.assertEqual(await self.held(), (THERE, "new", True))
        self.assertTrue(await self.sessions.end(1))  # so the release was not an end

    async def test_end_removes_the_record_of_any_owner(self):
        await self.live()
        record = await self.record()
        self.assertEqual(await self.sessions.end(1), [record])
        self.assertIsNone(await self.held())
        self.assertEqual(await self.sessions.end(1), [])

    async def test_end_removes_a_reservation(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        self.assertEqual((await self.sessions.end(1))[0].owner, "a")
        self.assertIsNone(await self.held())

    async def test_a_repeated_end_leaves_the_new_session(self):
        await self.live(owner="old")
        await self.sessions.end(1)
        await self.live(owner="new")
        with self.assertRaises(RepeatedEnd):
            await self.sessions.end(1)
        with self.assertRaises(RepeatedEnd):
            await self.sessions.end(1)
        self.assertEqual(await self.held(), (HERE, "new", True))

    async def test_a_repeated_end_leaves_the_new_reservation(self):
        await self.live(owner="old")
        await self.sessions.end(1)
        await self.sessions.reserve(1, HERE, "new", seconds=30)
        with self.assertRaises(RepeatedEnd):
            await self.sessions.end(1)
        self.assertEqual(await self.held(), (HERE, "new", False))
        self.assertTrue(await self.sessions.claim(1, GUEST, HERE, "new"))

    async def test_an_end_after_a_release_is_a_repetition(self):
        await self.live(owner="old")
        await self.sessions.release(1, "old")
        await self.live(owner="new")
        with self.assertRaises(RepeatedEnd):
            await self.sessions.end(1)

    async def test_the_end_of_an_older_session_is_not_a_repetition(self):
        await self.live(owner="old")
        await self.sessions.end(1)
        await self.live(owner="new")
        await self.let_pass(1.1)
        self.assertEqual((await self.sessions.end(1))[0].owner, "new")

    async def test_ends_far_apart_are_not_repetitions(self):
        await self.live(owner="old")
        await self.sessions.end(1)
        await self.let_pass(3.1)
        await self.live(owner="new")
        self.assertEqual((await self.sessions.end(1))[0].owner, "new")

    async def test_the_last_end_counts(self):
        await self.live(owner="first")
        await self.sessions.end(1)
        await self.let_pass(2)
        await self.sessions.end(1)
        await self.let_pass(2)
        await self.live(owner="new")
        with self.assertRaises(RepeatedEnd):
            await self.sessions.end(1)

    async def test_the_end_of_another_user_is_not_a_repetition(self):
        await self.live(1)
        await self.live(2)
        await self.sessions.end(1)
        self.assertTrue(await self.sessions.end(2))

    # Those who are sent away for good

    async def test_expelled_owners_cannot_claim_again(self):
        for device in ("phone", "desk", "watch"):
            await self.sessions.reserve(1, HERE, f"on {device}", device=device, policy=LoginPolicy.MANY, seconds=30)
        await self.sessions.claim(1, "phone", HERE, "on phone")
        gone = await self.sessions.expel(1, kept="on desk", known=["without a record", "on desk"])
        self.assertEqual({record.owner for record in gone}, {"on phone", "on watch"})
        self.assertEqual([record.owner for record in await self.sessions.sessions(1)], ["on desk"])
        for device, owner in (("phone", "on phone"), ("watch", "on watch"), ("car", "without a record")):
            self.assertFalse(await self.sessions.claim(1, device, HERE, owner))
        self.assertTrue(await self.sessions.claim(1, "desk", HERE, "on desk"))
        # Others may, on the same devices, and so may other users.
        self.assertTrue(await self.sessions.claim(1, "phone", HERE, "newer"))
        self.assertTrue(await self.sessions.claim(2, "phone", HERE, "on phone"))

    async def test_one_device_is_expelled(self):
        for device in ("phone", "desk"):
            await self.sessions.claim(1, device, HERE, f"on {device}")
        self.assertEqual([one.owner for one in await self.sessions.expel(1, device="desk")], ["on desk"])
        self.assertEqual(await self.held(), (HERE, "on phone", True))
        self.assertEqual(list(await self.sessions.expel(1, device="desk")), [])
        self.assertFalse(await self.sessions.claim(1, "desk", HERE, "on desk"))

    async def test_of_many_expelled_the_last_are_remembered(self):
        owners = [f"owner-{number}" for number in range(MOST_BARRED + 1)]
        for owner in owners:
            await self.sessions.expel(1, known=[owner])
            await self.let_pass(0.002)
        self.assertFalse(await self.sessions.claim(1, "phone", HERE, owners[-1]))
        self.assertFalse(await self.sessions.claim(1, "phone", HERE, owners[1]))
        self.assertTrue(await self.sessions.claim(1, "phone", HERE, owners[0]))

    # Leases

    async def test_a_place_is_leased_as_long_as_any_route_holds_it(self):
        self.assertFalse(await self.sessions.leased(HERE))
        await self.sessions.hold_lease(HERE, "route-1", 30)
        await self.sessions.hold_lease(HERE, "route-2", 30)
        self.assertTrue(await self.sessions.leased(HERE))
        await self.sessions.drop_lease(HERE, "route-1")
        self.assertTrue(await self.sessions.leased(HERE))
        await self.sessions.drop_lease(HERE, "route-1")
        self.assertTrue(await self.sessions.leased(HERE))
        await self.sessions.drop_lease(HERE, "route-2")
        self.assertFalse(await self.sessions.leased(HERE))

    async def test_a_lease_expires(self):
        await self.sessions.hold_lease(HERE, "route-1", 30)
        await self.let_pass(29)
        self.assertTrue(await self.sessions.leased(HERE))
        await self.let_pass(2)
        self.assertFalse(await self.sessions.leased(HERE))

    async def test_a_lease_is_renewed(self):
        await self.sessions.hold_lease(HERE, "route-1", 30)
        await self.let_pass(20)
        await self.sessions.hold_lease(HERE, "route-1", 30)
        await self.let_pass(20)
        self.assertTrue(await self.sessions.leased(HERE))

    async def test_the_longest_lease_counts(self):
        await self.sessions.hold_lease(HERE, "route-1", 30)
        await self.sessions.hold_lease(HERE, "route-2", 10)
        await self.let_pass(20)
        self.assertTrue(await self.sessions.leased(HERE))
        await self.sessions.drop_lease(HERE, "route-1")
        self.assertFalse(await self.sessions.leased(HERE))

    async def test_another_incarnation_is_another_place(self):
        await self.sessions.hold_lease(HERE, "route-1", 30)
        self.assertFalse(await self.sessions.leased(Place(HERE.server, "later")))

    # Upstream's servers

    async def test_users_at_one_of_upstreams_servers(self):
        self.assertEqual(list(await self.sessions.users_at(JAVA.server)), [])
        self.assertFalse(await self.in_the_way(7, JAVA, "a", seconds=30, live=True))
        self.assertFalse(await self.in_the_way(5, JAVA, "b", seconds=30, live=True))
        await self.live(6, Place(JAVA.server, "ours"))
        await self.sessions.reserve(8, JAVA, "c", seconds=30)
        self.assertEqual(sorted(await self.sessions.users_at(JAVA.server)), [5, 7])
        self.assertEqual(await self.held(7), (JAVA, "a", True))
        await self.let_pass(100)
        self.assertEqual(await self.held(7), (JAVA, "a", True))

    async def test_users_leave_one_of_upstreams_servers(self):
        for user in (1, 2, 3, 4):
            await self.sessions.reserve(user, JAVA, "a", seconds=30, live=True)
        await self.sessions.end(1)
        await self.sessions.release(2, "a")
        await self.sessions.reserve(3, HERE, "b", expected={"a"}, seconds=30)
        self.assertEqual(list(await self.sessions.users_at(JAVA.server)), [4])

    async def test_a_session_at_one_of_upstreams_servers_replaces_a_reservation(self):
        await self.sessions.reserve(1, HERE, "a", seconds=30)
        self.assertFalse(await self.in_the_way(1, JAVA, "b", seconds=30, live=True))
        await self.let_pass(100)
        self.assertEqual(await self.held(), (JAVA, "b", True))

    async def test_changes_of_sessions_leave_the_account_intact(self):
        alice = await self.accounts.register("alice")
        await self.live(alice.id)
        await self.sessions.end(alice.id)
        self.assertEqual(await self.accounts.account(alice.id), Account(alice.id, "alice"))
