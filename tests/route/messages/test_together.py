"""Tests of waiting for several concurrent Deferreds."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Forbidden, NotFound
from cim.route.messages.together import together


class TogetherTests(SynchronousTestCase):
    def setUp(self):
        self.parts = [Deferred(), Deferred(), Deferred()]
        self.whole = Deferred.fromCoroutine(together(self.parts))

    def test_results_in_order_once_all_have_ended(self):
        for at in (2, 0, 1):
            self.assertNoResult(self.whole)
            self.parts[at].callback(at)
        self.assertEqual(self.successResultOf(self.whole), [0, 1, 2])

    def test_the_first_error_once_all_have_ended(self):
        self.parts[2].errback(NotFound())
        self.parts[1].errback(Forbidden())
        self.assertNoResult(self.whole)
        self.parts[0].callback(0)
        self.failureResultOf(self.whole, Forbidden)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nothing_to_wait_for(self):
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(together(()))), [])
