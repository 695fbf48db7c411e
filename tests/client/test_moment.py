"""Tests of one-time events."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.client.moment import Moment
from cim.errors import Forbidden


class MomentTests(SynchronousTestCase):
    def setUp(self):
        self.moment = Moment()

    def test_waiting_for_it(self):
        early, other = self.moment.when(), self.moment.when()
        self.assertNoResult(early)
        self.assertFalse(self.moment.came)
        self.moment.come()
        for when in (early, other, self.moment.when()):
            self.assertIsNone(self.successResultOf(when))
        self.assertTrue(self.moment.came)

    def test_it_never_comes(self):
        early = self.moment.when()
        self.moment.come(Forbidden("no"))
        for when in (early, self.moment.when()):
            self.assertEqual(self.failureResultOf(when, Forbidden).value.message, "no")

    def test_an_error_after_it_came(self):
        self.moment.come()
        self.moment.come(Forbidden())
        self.failureResultOf(self.moment.when(), Forbidden)

    def test_a_callback_may_wait_again(self):
        again = []
        self.moment.when().addCallback(lambda _: again.append(self.moment.when()))
        self.moment.come()
        self.successResultOf(again[0])

    def test_a_cancelled_waiter_is_not_called(self):
        given_up = self.moment.when()
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        self.moment.come()
        self.successResultOf(self.moment.when())
