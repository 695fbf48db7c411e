"""Which faults are dealt, and when a run had recovered from one."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from bench.crowd import Times
from bench.faults import DEAD_SECONDS, Deck
from bench.mishaps import ClientFaults, ConnectionFaults, ProcessFaults

KINDS = [*ProcessFaults.every_kind, *ConnectionFaults.kinds, *ClientFaults.kinds]


class DeckTests(SynchronousTestCase):
    def dealt(self, seed, count, longest=14.0):
        deck = Deck(random.Random(seed), KINDS, longest)
        return [deck.deal() for _ in range(count)]

    def test_each_kind_once_before_any_comes_again(self):
        faults = self.dealt(1, 2 * len(KINDS))
        for half in (faults[: len(KINDS)], faults[len(KINDS) :]):
            self.assertEqual(sorted((fault.action, fault.what) for fault in half), sorted(KINDS))

    def test_a_seed_says_it_all(self):
        self.assertEqual(self.dealt(7, 50), self.dealt(7, 50))
        self.assertNotEqual(self.dealt(7, 50), self.dealt(8, 50))

    def test_only_some(self):
        deck = Deck(random.Random(1), [("kill", "redis"), ("mute", "redis connection")], 14.0)
        self.assertEqual({deck.deal().kind for _ in range(4)}, {"kill redis", "mute redis connection"})

    def test_some_last_long_and_none_too_long(self):
        seconds = [fault.seconds for fault in self.dealt(1, 300)]
        long = sum(second >= DEAD_SECONDS for second in seconds)
        self.assertTrue(60 < long < 140, long)
        self.assertTrue(min(seconds) >= 0.1 and max(seconds) <= 14.0)
        self.assertTrue(all(fault.seconds <= 2.0 for fault in self.dealt(1, 300, 2.0)))


class TimesTests(SynchronousTestCase):
    def test_recovered_when_all_that_was_sent_before_has_reached_everyone(self):
        times = Times()
        for number, (sent, complete) in enumerate([(0.0, 0.5), (1.0, 9.0), (2.0, 2.1), (6.0, 6.2)]):
            times.sent[1, "p:1:2", number] = sent
            times.complete[1, "p:1:2", number] = complete
        self.assertEqual(times.recoveries([0.2, 3.0, 9.5]), [0.3, 6.0, 0.0])
        self.assertEqual(times.longest(times.complete), 8.0)
