"""Tests of the rules about what conversations and senders may hold, on values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.store.bounds import BLOCK, MOST_SHARES, NOBODY, SLACK, STRETCH, Holding, blocks, is_full, no_room, over_share

BOUND = Holding(1000, 1_000_000)


class SpeakersTests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), max_size=60))
    def test_they_are_those_of_two_days(self, steps):
        day, speakers, last = 20_000, NOBODY, {}
        for passed, user in steps:
            day += passed
            speakers = speakers.on(day).joined(last.get(user, 0))
            last[user] = day
            lately = {user for user, its in last.items() if its >= day - 1}
            self.assertEqual(speakers.today + speakers.before, len(lately))
            for user in range(1, 7):
                self.assertEqual(speakers.count(last.get(user, 0)), len(lately | {user}))

    def test_a_day_that_comes_back_changes_nothing(self):
        speakers = NOBODY.on(20_000).joined(0)
        self.assertEqual(speakers.on(19_000), speakers)
        self.assertEqual(speakers.on(19_000).joined(20_000), speakers)


class ShareTests(SynchronousTestCase):
    full = Holding(BOUND.entries + SLACK, BOUND.bytes)

    def refused(self, own, senders, held=full, size=1):
        return over_share(held, own, size, BOUND, senders)

    def test_a_share_of_the_messages(self):
        for senders, share in ((1, 1000), (2, 500), (3, 334), (20, 50), (21, 50), (10_000, 50)):
            self.assertFalse(self.refused(Holding(share - 1, 0), senders), senders)
            self.assertTrue(self.refused(Holding(share, 0), senders), senders)
        self.assertEqual(MOST_SHARES, 20)

    def test_a_share_of_the_bytes(self):
        self.assertFalse(self.refused(Holding(1, 499_990), 2, size=10))
        self.assertTrue(self.refused(Holding(1, 499_991), 2, size=10))

    def test_only_where_the_bound_is_reached(self):
        almost = Holding(BOUND.entries + SLACK - 1, BOUND.bytes - 1)
        self.assertFalse(self.refused(Holding(1000, 999_999), 20, held=almost))

    def test_four_times_as_much_is_full_for_all(self):
        for held, full in (
            (Holding(STRETCH * 1000 - 1, 0), False),
            (Holding(STRETCH * 1000, 0), True),
            (Holding(1, STRETCH * 1_000_000 - 1), False),
            (Holding(1, STRETCH * 1_000_000), True),
        ):
            self.assertEqual(is_full(held, 1, BOUND), full)


class QuotaTests(SynchronousTestCase):
    @given(st.integers(1, 100_000))
    def test_blocks_are_right_on_the_average(self, size):
        for first, more in ((False, 300), (True, 1500)):
            paid = [blocks(size, first, number / 1000) for number in range(1000)]
            self.assertEqual({one % BLOCK for one in paid}, {0})
            self.assertTrue(abs(sum(paid) / 1000 - size - more) <= BLOCK / 500)


class RefusalTests(SynchronousTestCase):
    def test_they_say_when_to_come_again(self):
        self.assertEqual([no_room("share", 77).retry_after, no_room("full", 5).retry_after], [77, 5])
        self.assertIn("in 77 s", no_room("share", 77).message)
        for kind, seconds in (("share", 3600), ("full", 3600), ("quota", 3600), ("space", 60)):
            error = no_room(kind)
            self.assertEqual((error.retry_after, error.kind), (seconds, f"history-{kind}"))
