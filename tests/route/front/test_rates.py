"""Tests of how often one address, and one user, may do something."""

from __future__ import annotations

from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RateLimited
from cim.limits import defaults
from cim.route.front.rates import RATE_LIMITS, Rates

HERE, THERE = "192.0.2.7", "198.51.100.7"


class RateTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.refused = Counter()
        self.rates = Rates(defaults(RATE_LIMITS), self.clock, lambda kind: self.refused.update([kind]))

    def count(self, name, whose=HERE):
        """How often it may be done at once."""
        for count in range(100_000):
            try:
                self.rates.take(name, whose)
            except RateLimited as error:
                self.retry_after = error.retry_after
                return count
        return None

    def test_accounts(self):
        self.assertEqual((self.count("address-accounts"), self.retry_after), (200, 5))
        self.assertEqual(self.count("address-accounts", THERE), 200)
        self.clock.advance(5)
        self.assertEqual(self.count("address-accounts"), 1)
        self.assertEqual(self.refused, {"limit-address-accounts": 3})

    def test_two_thousand_guests_behind_one_address_come_back_at_once_twice(self):
        self.assertEqual((self.count("address-logins"), self.retry_after), (5000, 1))
        self.clock.advance(2)
        self.assertEqual(self.count("address-logins"), 100)
        # Besides the login: a name, an end and what was missed.
        self.assertGreater(self.count("address-calls"), 3 * 5000)

    def test_whoever_waits_as_told_gets_one(self):
        for name in RATE_LIMITS:
            self.count(name, 7)
            self.clock.advance(self.retry_after - 0.5)
            before = self.count(name, 7) if self.retry_after > 1 else 0
            self.clock.advance(0.5)
            self.assertEqual((before, self.count(name, 7) >= 1), (0, True), name)
