"""Tests of the cache of what may change elsewhere."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.cache import Cache
from cim.errors import Forbidden, StoreUnavailable


class CacheTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(100)
        self.cache = Cache(self.clock.seconds, 10, 3)

    def look_up(self, ask, key="a"):
        return Deferred.fromCoroutine(self.cache.look_up(key, ask))

    def test_what_is_kept_is_there_for_a_while(self):
        self.cache.keep("a", 0)
        self.assertEqual(self.cache.get("a"), 0)
        self.clock.advance(9.9)
        self.assertEqual(self.cache.get("a"), 0)
        self.clock.advance(0.1)
        self.assertIsNone(self.cache.get("a"))
        self.assertEqual((self.cache.last("a"), self.cache.last("b")), (0, None))

    def test_a_clock_that_is_set_back_keeps_nothing_for_longer(self):
        self.cache.keep("a", 1)
        self.clock.rightNow = 50
        self.assertIsNone(self.cache.get("a"))

    def test_those_kept_last_stay(self):
        for key in "abcad":
            self.cache.keep(key, key)
        self.assertEqual([self.cache.get(key) for key in "abcd"], ["a", None, "c", "d"])
        self.assertEqual(len(self.cache), 3)

    def test_a_look_up_is_kept_from_its_end_on(self):
        answer = Deferred()
        asked = self.look_up(lambda key: answer)
        self.clock.advance(20)
        answer.callback(1)
        self.assertEqual((self.successResultOf(asked), self.cache.get("a")), (1, 1))
        self.assertEqual(self.successResultOf(self.look_up(lambda key: succeed(2))), 2)
        self.assertEqual(self.cache.get("a"), 2)

    def test_one_that_began_before_a_change_is_not(self):
        self.cache.keep("a", 0)
        answer = Deferred()
        asked = self.look_up(lambda key: answer)
        self.cache.forget("a")
        self.assertIsNone(self.cache.last("a"))
        answer.callback(1)
        self.assertEqual(self.successResultOf(asked), 1)
        self.assertIsNone(self.cache.last("a"))

    def test_a_refusal_ends_what_was_kept_and_a_store_that_is_away_does_not(self):
        self.cache.keep("a", 0)
        self.failureResultOf(self.look_up(lambda key: fail(StoreUnavailable())), StoreUnavailable)
        self.assertEqual(self.cache.get("a"), 0)
        self.failureResultOf(self.look_up(lambda key: fail(Forbidden("no"))), Forbidden)
        self.assertIsNone(self.cache.last("a"))
