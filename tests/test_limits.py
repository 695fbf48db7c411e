"""Rates and bursts: what is granted, what is refused and for how long, and what is forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from cim.limits import HIGHEST, NO_LIMIT, Buckets, Limit, Refused, Waiting, limit, take_all, whole_seconds

#: As far from 0 as real clocks are, where they are no finer than 0.2 us.
START = 1_795_430_000.0

LIMITS = st.builds(
    lambda rate, more: Limit(rate, int(rate) + 1 + more), st.floats(0.01, 200_000), st.integers(0, 1_000_000)
)
#: Seconds that pass, and what is asked for then, as a share of a burst.
CALLS = st.lists(
    st.tuples(st.sampled_from((0.0, 0.0, 0.01, 0.3, 1.0, 7.0, 5000.0)), st.floats(0.001, 2.0)), min_size=1, max_size=60
)


class ReadingTests(SynchronousTestCase):
    def test_read(self):
        for text, expected in (
            ("20/400", Limit(20, 400)),
            ("0.167/10", Limit(0.167, 10)),
            ("1/1", Limit(1, 1)),
            (f"{HIGHEST}/{HIGHEST}", Limit(HIGHEST, HIGHEST)),
        ):
            self.assertEqual(limit(text), expected)
            self.assertTrue(limit(text))
            self.assertEqual(str(limit(text)), text)
        self.assertFalse(limit("0"))
        self.assertEqual((limit("0"), str(limit("0"))), (NO_LIMIT, "0"))

    def test_refused(self):
        for text in (
            "-1",
            "-1/5",
            "5/-5",
            "nan",
            "nan/400",
            "inf/inf",
            "20",
            "20/",
            "/20",
            "20/10",
            "20/20.5",
            "0/400",
            "0/0",
            "0.5/0",
            f"1/{HIGHEST + 1}",
            f"{HIGHEST + 1}/{HIGHEST + 1}",
            "1e3/1e4",
            " 1/2",
            "1/2 ",
            "٣/٤",
            "",
        ):
            error = str(self.assertRaises(ValueError, limit, text))
            self.assertIn("0 < RATE <= BURST <= 2147483648", error)
            self.assertNotIn("\n", error)


class WaitingTests(SynchronousTestCase):
    def test_the_oldest_of_all_goes(self):
        waiting = Waiting(most=3)
        self.assertEqual([waiting.put(member) for member in "abc"], [None] * 3)
        self.assertEqual([waiting.put(member) for member in "abd"], [None, None, "c"])
        self.assertEqual(list(waiting), ["a", "b", "d"])
        waiting.remove("b")
        waiting.remove("nobody")
        self.assertEqual((waiting.put("e"), waiting.put("f"), waiting.first_to_go()), (None, "a", "d"))

    def test_the_oldest_of_an_address_that_has_too_many(self):
        waiting = Waiting(most=4, most_of_one=2)
        self.assertEqual([waiting.put(member, "here") for member in "abc"], [None, None, "a"])
        self.assertEqual([waiting.put(member, "there") for member in "de"], [None, None])
        # Together they are as many as may be, and the address has room.
        self.assertEqual(waiting.put("f", "elsewhere"), "b")
        self.assertEqual((waiting.put("c", "here"), waiting.put("g", "there")), (None, "d"))
        self.assertEqual(list(waiting), ["e", "f", "c", "g"])
        for member in "efcg":
            waiting.remove(member)
        self.assertEqual((len(waiting), waiting.first_to_go(), waiting._of, waiting._with), (0, None, {}, {}))

    def test_the_oldest_of_the_party_that_has_the_most(self):
        waiting = Waiting(most=5)
        for member in ("first", "a0", "a1", "a2", "b0"):
            waiting.put(member, member[0])
        self.assertEqual([waiting.put(f"b{number}", "b") for number in range(1, 5)], ["a0", "a1", "b0", "b1"])
        waiting.remove("b2")
        # Of parties that have as many, the one that has had so many for longest.
        self.assertEqual(waiting.first_to_go(), "b3")
        waiting.remove("b3")
        self.assertEqual(waiting.first_to_go(), "first")

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 30), st.integers(0, 4)), max_size=200))
    @settings(max_examples=200, deadline=None)
    def test_as_if_all_were_counted_each_time(self, steps):
        waiting, there, most, most_of_one = Waiting(12, 5), {}, 12, 5
        for put, member, party in steps:
            goes = waiting.put(member, str(party)) if put else waiting.remove(member)
            there.pop(member, None)
            if put:
                if goes is not None:
                    counts = Counter(there.values())
                    full = counts[str(party)] >= most_of_one
                    self.assertTrue(full or len(there) == most)
                    self.assertEqual(there[goes], str(party) if full else there[goes])
                    self.assertEqual(counts[there[goes]], max(counts.values()) if not full else most_of_one)
                    self.assertEqual(goes, next(one for one in there if there[one] == there[goes]))
                    del there[goes]
                there[member] = str(party)
            self.assertEqual((list(waiting), len(waiting)), (list(there), len(there)))
            self.assertLessEqual(len(there), most)

    def test_one_of_an_address_alone(self):
        waiting = Waiting(most_of_one=1)
        self.assertEqual([waiting.put(member, "here") for member in "aab"], [None, None, "a"])
        self.assertEqual(waiting.put("c"), None)
        self.assertEqual(list(waiting), ["b", "c"])


class BucketTests(SynchronousTestCase):
    def taken(self, buckets, key, now, amount=1, most=10_000):
        """How often it may be taken at once."""
        for count in range(most):
            if not buckets.take(key, now, amount):
                return count
        return most

    def test_a_burst_and_then_the_rate(self):
        buckets = Buckets(Limit(20, 400))
        self.assertEqual(self.taken(buckets, "a", START), 400)
        self.assertAlmostEqual(buckets.wait("a", START, 1), 0.05)
        self.assertEqual(self.taken(buckets, "a", START + 1), 20)
        self.assertEqual(self.taken(buckets, "a", START + 1), 0)
        self.assertEqual(self.taken(buckets, "b", START + 1), 400)
        self.assertEqual(self.taken(buckets, "a", START + 5000), 400)

    def test_what_never_fits_passes_a_full_one_into_debt(self):
        buckets = Buckets(Limit(5, 50))
        self.assertTrue(buckets.take("a", START, 100))
        # 50 are owed, and one more is wanted.
        self.assertAlmostEqual(buckets.wait("a", START, 1), 51 / 5)
        self.assertAlmostEqual(buckets.wait("a", START, 100), 100 / 5)
        self.assertFalse(buckets.take("a", START + 19.9, 100))
        self.assertTrue(buckets.take("a", START + 20, 100))

    def test_debt_outlives_the_generations(self):
        buckets = Buckets(Limit(1, 2))
        buckets.take("a", START, 100)
        for second in range(1, 99):
            buckets.take("b", START + second, 1)
            self.assertFalse(buckets.take("a", START + second, 1))
            self.assertAlmostEqual(buckets.wait("a", START + second, 1), 99 - second)
        self.assertTrue(buckets.take("a", START + 99, 1))

    def test_debt_that_is_given_back_in_part_does_too(self):
        buckets = Buckets(Limit(1, 2))
        buckets.take("a", START, 100)
        buckets.take("b", START + 2, 1)
        buckets.give_back("a", START + 3, 1)
        for second in (4, 8, 60, 97):
            buckets.take("b", START + second, 1)
            self.assertAlmostEqual(buckets.wait("a", START + second, 1), 98 - second)

    def test_to_ask_takes_nothing(self):
        buckets = Buckets(Limit(1, 10))
        self.assertEqual([buckets.wait("a", START, 10) for _ in range(3)], [0, 0, 0])
        self.assertEqual(len(buckets), 0)
        buckets.take("a", START, 10)
        self.assertEqual([buckets.wait("a", START, 4) for _ in range(3)], [4, 4, 4])
        self.assertEqual(buckets.wait("a", START + 4, 4), 0)

    def test_two_things_are_taken_together_or_not_at_all(self):
        buckets = Buckets(Limit(1, 10), Limit(100, 1000))
        self.assertTrue(buckets.take("a", START, 1, 900))
        self.assertFalse(buckets.take("a", START, 1, 200))
        self.assertAlmostEqual(buckets.wait("a", START, 1, 200), 1)
        self.assertTrue(buckets.take("a", START, 9, 100))
        self.assertAlmostEqual(buckets.wait("a", START, 4, 200), 4)
        buckets.give_back("a", START, 9, 100)
        self.assertTrue(buckets.take("a", START, 9, 100))
        self.assertTrue(buckets.take("a", START + 10, 0, 3000))
        self.assertAlmostEqual(buckets.wait("a", START + 10, 1, 1), 20.01)
        # Whoever wants nothing of what is owed gets the other; and what is owed is remembered.
        self.assertTrue(buckets.take("a", START + 10, 1))
        for second in range(11, 30):
            buckets.take("b", START + second, 1)
            self.assertFalse(buckets.take("a", START + second, 0, 1))

    def test_one_of_two_may_be_without_a_limit(self):
        for buckets, asked in (
            (Buckets(Limit(1, 10)), (1, 1 << 40)),
            (Buckets(NO_LIMIT, Limit(1, 10)), (1 << 40, 1)),
        ):
            for second in (0, 0, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5):
                self.assertTrue(buckets.take("a", START + second, *asked))
            self.assertFalse(buckets.take("a", START + 5, *asked))
            self.assertAlmostEqual(buckets.wait("a", START + 5, *asked), 1)

    def test_without_a_limit_all_is_granted_and_nothing_remembered(self):
        buckets = Buckets(NO_LIMIT)
        for second in range(5):
            self.assertTrue(buckets.take("a", START + second, 1 << 40, 1 << 40))
            self.assertEqual(buckets.wait("a", START, 1 << 40, 1 << 40), 0)
            buckets.give_back("a", START, 1, 1)
        self.assertEqual(len(buckets), 0)

    def test_what_is_spent_in_any_case_says_until_when_it_is_owed(self):
        buckets = Buckets(Limit(10, 100))
        self.assertEqual([buckets.spend("a", START, 60), buckets.spend("a", START, 60)], [0, 2])
        self.assertAlmostEqual(buckets.spend("a", START + 1, 10), 2)
        for second in range(2, 30):
            buckets.spend("b", START + second, 1)
        self.assertEqual(buckets.spend("a", START + 30, 100), 0)
        self.assertEqual(Buckets(NO_LIMIT).spend("a", START, 1 << 40), 0)

    def test_all_of_several_or_none(self):
        first, second = Buckets(Limit(1, 5), Limit(10, 100)), Buckets(Limit(2, 3))
        asked = ((first, "a"), (second, "b"), (Buckets(NO_LIMIT), "c"))
        self.assertEqual([take_all(asked, START, 1, 40) for _ in range(2)], [None, None])
        self.assertEqual(take_all(asked, START, 1, 40), Refused(0, False, 2.0))
        self.assertEqual(take_all(asked, START, 2, 20), Refused(1, True, 0.5))
        self.assertEqual(take_all(asked, START, 5, 20), Refused(0, True, 2.0))
        self.assertEqual(take_all(asked, START, 1, 20), None)
        self.assertEqual(take_all((), START, 1, 20), None)

    def test_given_back_up_to_a_burst(self):
        buckets = Buckets(Limit(1, 10))
        buckets.take("a", START, 3)
        buckets.give_back("a", START, 2)
        self.assertEqual(self.taken(buckets, "a", START), 9)
        buckets.give_back("a", START, 1000)
        self.assertEqual(self.taken(buckets, "a", START), 10)
        buckets.give_back("nobody", START, 5)
        self.assertEqual(self.taken(buckets, "nobody", START), 10)

    def test_refilled(self):
        buckets = Buckets(Limit(1, 10))
        buckets.take("a", START, 10)
        buckets.refill("a")
        buckets.refill("nobody")
        self.assertEqual((self.taken(buckets, "a", START), len(buckets)), (10, 1))

    def test_a_clock_that_is_set_back_neither_grants_nor_locks_out(self):
        buckets = Buckets(Limit(1, 10))
        self.taken(buckets, "a", START)
        back = START - 3600
        self.assertFalse(buckets.take("a", back, 1))
        self.assertAlmostEqual(buckets.wait("a", back, 1), 1)
        self.assertEqual(self.taken(buckets, "a", back + 2), 2)
        self.taken(buckets, "b", START)
        buckets.give_back("b", back, 1)
        self.assertEqual(self.taken(buckets, "b", back + 2), 3)

    def test_those_that_are_full_again_are_forgotten(self):
        buckets = Buckets(Limit(10, 100))
        for number in range(1000):
            buckets.take(number, START, 1)
        self.assertEqual(len(buckets), 1000)
        buckets.take("a", START + 10, 1)
        buckets.take("a", START + 20, 1)
        self.assertLessEqual(len(buckets), 2)

    def test_when_there_are_too_many_the_oldest_go_and_are_full_once(self):
        buckets = Buckets(Limit(0.001, 10), kept=100)
        self.taken(buckets, "old", START)
        for number in range(40):
            buckets.take(number, START, 1)
        self.assertEqual(self.taken(buckets, "old", START), 0)
        for number in range(1000):
            buckets.take(number, START, 1)
            self.assertLessEqual(len(buckets), 100)
        self.assertEqual(self.taken(buckets, "old", START), 10)

    @given(LIMITS, CALLS)
    @settings(max_examples=200, deadline=None)
    def test_between_any_two_moments(self, of, calls):
        """No more than a burst and what the rate gives in the time between, but for what did not fit at all."""
        buckets, now, granted = Buckets(of), START, []
        for seconds, share in calls:
            now += seconds
            amount = share * of.burst
            if buckets.take("a", now, amount):
                granted.append((now, amount))
        for first, (then, _) in enumerate(granted):
            total = 0.0
            for at, amount in granted[first:]:
                allowed = of.burst + (at - then) * of.rate
                self.assertLessEqual(total + min(amount, of.burst), allowed + of.rate * 1e-5 + allowed * 1e-9)
                total += amount

    @given(LIMITS, CALLS)
    @settings(max_examples=200, deadline=None)
    def test_a_refusal_says_when(self, of, calls):
        """After the wait that was told it is granted, and not much earlier; a refusal changes nothing."""
        buckets, now = Buckets(of), START
        for seconds, share in calls:
            now += seconds
            amount = share * of.burst
            wait = buckets.wait("a", now, amount)
            self.assertEqual(buckets.take("a", now, amount), not wait)
            if wait:
                self.assertEqual(buckets.wait("a", now, amount), wait)
                self.assertEqual(buckets.wait("a", now + whole_seconds(wait), amount), 0)
                if wait > 1e-4:
                    self.assertGreater(buckets.wait("a", now + wait * 0.99 - 1e-5, amount), 0)

    @given(LIMITS, CALLS, st.integers(4, 20), st.randoms(use_true_random=False))
    @settings(max_examples=100, deadline=None)
    def test_forgetting_grants_a_burst_and_no_more(self, of, calls, kept, random):
        buckets, now = Buckets(of, kept=kept), START
        for seconds, share in calls:
            now += seconds
            buckets.take(random.randrange(30), now, share * of.burst)
            self.assertLessEqual(len(buckets), kept)
            key = random.randrange(30)
            if buckets.take(key, now, of.burst):
                self.assertGreater(buckets.wait(key, now, of.burst / 2), 0)

    @given(LIMITS, st.lists(st.tuples(st.integers(0, 29), st.floats(0, 1e6), st.floats(0, 2)), max_size=60))
    @settings(max_examples=200, deadline=None)
    def test_as_many_are_kept_though_the_clock_goes_back(self, of, calls):
        buckets = Buckets(of, kept=8)
        for key, now, share in calls:
            buckets.spend(key, now, share * of.burst)
            self.assertLessEqual(len(buckets), 8)
            buckets.take(key - 1, now / 2, share * of.burst)
            self.assertLessEqual(len(buckets), 8)
            buckets.give_back(key + 1, now, share * of.burst)
            self.assertLessEqual(len(buckets), 8)

    def test_whole_seconds(self):
        self.assertEqual([whole_seconds(wait) for wait in (0.05, 1.0, 1.0000001, 1.01, 20)], [1, 1, 1, 2, 20])
