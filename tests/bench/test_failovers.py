"""Faults of a Redis set: one at a time."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from bench.failovers import OneAtATime
from bench.faults import Fault


class Slow:
    """Makes faults that end when the test says so."""

    kinds = [("kill", "redis"), ("kill", "route")]

    def __init__(self):
        self.made = []

    async def make(self, fault):
        self.made.append((fault, Deferred()))
        return await self.made[-1][1]


class Set:
    """A Redis set that is whole when the test says so."""

    def __init__(self):
        self.asked = []

    def whole(self):
        self.asked.append(Deferred())
        return self.asked[-1]


class OneAtATimeTests(SynchronousTestCase):
    def setUp(self):
        self.slow, self.set, held = Slow(), Set(), set()
        self.makers = [OneAtATime(self.slow, self.set, held) for _ in range(2)]

    def make(self, maker, what):
        return Deferred.fromCoroutine(self.makers[maker].make(Fault("kill", what, 0.5, 1.0)))

    def test_another_maker_makes_none_until_the_set_is_whole(self):
        first = self.make(0, "redis")
        self.assertEqual(self.successResultOf(self.make(1, "redis")), "")
        self.slow.made[0][1].callback("redis-1")
        self.assertEqual(self.successResultOf(self.make(1, "redis")), "")
        self.assertNoResult(first)
        self.set.asked[0].callback(None)
        self.assertEqual(self.successResultOf(first), "redis-1")
        self.make(1, "redis")
        self.assertEqual(len(self.slow.made), 2)

    def test_others_have_faults_meanwhile(self):
        self.make(0, "redis")
        self.make(1, "route")
        self.assertEqual([fault.what for fault, _ in self.slow.made], ["redis", "route"])
        self.slow.made[1][1].callback("route-1")
        self.assertEqual(self.set.asked, [])

    def test_what_failed_holds_nothing_up(self):
        self.set.whole = lambda: succeed(None)
        first = self.make(0, "redis")
        self.slow.made[0][1].errback(RuntimeError())
        self.failureResultOf(first, RuntimeError)
        self.make(1, "redis")
        self.assertEqual(len(self.slow.made), 2)
