"""Tests of what an address may do without proof."""

from __future__ import annotations

from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RateLimited
from cim.route.front.strangers import Strangers, default_stranger_limits


class StrangerTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.refused = Counter()
        self.strangers = Strangers(default_stranger_limits(), self.clock, lambda kind: self.refused.update([kind]))

    def count(self, what, address="192.0.2.7"):
        """How often it may be done at once."""
        for count in range(10_000):
            try:
                what(address)
            except RateLimited as error:
                self.retry_after = error.retry_after
                return count
        return None

    def test_accounts(self):
        make = self.strangers.make_account
        self.assertEqual((self.count(make), self.retry_after), (200, 5))
        self.assertEqual(self.count(make, "198.51.100.7"), 200)
        self.clock.advance(5)
        self.assertEqual(self.count(make), 1)
        self.assertEqual(self.refused, {"limit-address-accounts": 3})

    def test_two_thousand_guests_behind_one_address_come_back_at_once_twice(self):
        log_in = self.strangers.log_in
        self.assertEqual((self.count(log_in), self.retry_after), (5000, 1))
        self.clock.advance(2)
        self.assertEqual(self.count(log_in), 100)
        self.assertEqual(self.count(self.strangers.make_account), 200)
