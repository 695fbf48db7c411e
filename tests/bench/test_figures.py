"""The load generator's counting: what it says of lost, doubled and reordered messages must be true."""

from __future__ import annotations

import math
import mmap
import os

from hypothesis import given
from hypothesis import strategies as st

from twisted.trial.unittest import SynchronousTestCase

from bench.figures import Ledger, Percentiles, cpu_seconds, resident_bytes


class PercentilesTests(SynchronousTestCase):
    def test_nearest_rank(self):
        sample = Percentiles.of(number / 1000 for number in range(100, 0, -1))
        self.assertEqual([sample.at(percent) for percent in (50, 99, 99.9, 100)], [0.050, 0.099, 0.100, 0.100])
        self.assertEqual(str(sample), "p50 50.00  p90 90.00  p99 99.00  p99.9 100.00  max 100.00 ms")

    def test_nothing(self):
        self.assertTrue(math.isnan(Percentiles.of([]).at(50)))
        self.assertEqual(str(Percentiles.of([])), "nothing measured")


class LedgerTests(SynchronousTestCase):
    def counts(self, promised, arrivals):
        ledger = Ledger()
        for number in promised:
            ledger.promise(1, 2, number)
        for number in arrivals:
            ledger.received(1, 2, number)
        return ledger.delivered, ledger.lost(), ledger.doubled, ledger.reordered

    def test_all_is_well(self):
        self.assertEqual(self.counts(range(4), range(4)), (4, 0, 0, 0))

    def test_lost(self):
        self.assertEqual(self.counts(range(4), [0, 2]), (2, 2, 0, 0))

    def test_doubled(self):
        self.assertEqual(self.counts(range(3), [0, 1, 1, 2, 0]), (3, 0, 2, 0))

    def test_reordered(self):
        self.assertEqual(self.counts(range(3), [1, 0, 2]), (3, 0, 0, 1))

    def test_what_was_refused_is_not_lost(self):
        self.assertEqual(self.counts([0, 2], [0, 2]), (2, 0, 0, 0))

    def test_a_delivery_before_its_answer(self):
        ledger = Ledger()
        ledger.received(1, 2, 0)
        ledger.promise(1, 2, 0)
        self.assertEqual(ledger.lost(), 0)

    def test_pairs_are_apart(self):
        ledger = Ledger()
        ledger.promise(1, 2, 0)
        self.assertTrue(ledger.received(1, 3, 0))
        self.assertTrue(ledger.received(2, 1, 0))
        self.assertEqual((ledger.lost(), ledger.doubled), (1, 0))

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 8))))
    def test_like_the_plain_definition(self, events):
        ledger = Ledger()
        promised, arrivals, doubled, reordered = set(), [], 0, 0
        for promise, number in events:
            if promise:
                ledger.promise(1, 2, number)
                promised.add(number)
                continue
            ledger.received(1, 2, number)
            if number in arrivals:
                doubled += 1
            elif any(number < earlier for earlier in arrivals):
                reordered += 1
            arrivals.append(number)
        self.assertEqual(
            (ledger.delivered, ledger.lost(), ledger.doubled, ledger.reordered),
            (len(set(arrivals)), len(promised - set(arrivals)), doubled, reordered),
        )


class ProcessTests(SynchronousTestCase):
    def test_of_this_process(self):
        before = resident_bytes(os.getpid())
        # Not bytes: these may lie in memory that other tests have given back to the interpreter alone.
        with mmap.mmap(-1, 32 << 20) as kept:
            kept.write(b"x" * (32 << 20))
            self.assertGreater(resident_bytes(os.getpid()), before + (24 << 20))
        self.assertGreater(cpu_seconds(os.getpid()), 0.0)
