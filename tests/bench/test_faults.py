"""Which faults are dealt, and when a run had recovered from one."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from bench.crowd import Times
from bench.faults import APART, DEAD_SECONDS, Deck, Havoc
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


class Instant:
    """Makes faults that take two seconds, and notes when."""

    kinds = [("kill", "redis")]

    def __init__(self, clock):
        self.clock = clock
        self.times = []

    async def make(self, fault):
        began = self.clock.seconds()
        await deferLater(self.clock, 2.0, lambda: None)
        self.times.append((began, self.clock.seconds()))
        return "redis"


class HavocTests(SynchronousTestCase):
    def made(self, alone, at_once=3):
        clock = Clock()
        maker, told = Instant(clock), []
        havoc = Havoc(clock, [maker], lambda line: None, lambda *fault: told.append(fault))
        chooser = random.Random(5)
        running = Deferred.fromCoroutine(
            havoc.run(chooser, Deck(chooser, maker.kinds, 14.0), 300.0, 0.5, at_once, alone)
        )
        clock.pump([0.05] * 7000)
        self.successResultOf(running)
        self.assertEqual(told, [("kill redis", began, ended) for began, ended in maker.times])
        return maker.times

    def test_as_many_at_a_time_as_may_be(self):
        times = self.made(0.0)
        beside = [sum(other[0] <= began < other[1] for other in times) for began, _ in times]
        self.assertEqual(max(beside), 3)

    def test_some_alone(self):
        for alone, at_least in ((1.0, 1.0), (0.3, 0.05)):
            times = self.made(alone)
            apart = [
                all(
                    other[1] + APART <= began or other[0] >= ended + APART for other in times if other != (began, ended)
                )
                for began, ended in times
            ]
            self.assertTrue(sum(apart) >= at_least * len(times) > 0, (sum(apart), len(times)))
            self.assertEqual(all(apart), alone == 1.0)


class TimesTests(SynchronousTestCase):
    def test_recovered_when_all_that_was_sent_before_has_reached_everyone(self):
        times = Times()
        for number, (sent, complete) in enumerate([(0.0, 0.5), (1.0, 9.0), (2.0, 2.1), (6.0, 6.2)]):
            times.sent[1, "p:1:2", number] = sent
            times.complete[1, "p:1:2", number] = complete
        self.assertEqual(times.recoveries([0.2, 3.0, 9.5]), [0.3, 6.0, 0.0])
        self.assertEqual(times.longest(times.complete), 8.0)
