"""Tests of the limit on wrong passwords."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RateLimited
from cim.route.http.attempts import KEPT, WRONG_PASSWORDS, Attempts

BURST, SECONDS = int(WRONG_PASSWORDS.burst), 6


class AttemptTests(SynchronousTestCase):
    """Tests with a clock."""

    def setUp(self):
        self.clock = Clock()
        self.attempts = Attempts(self.clock)

    def allowed(self, key="a"):
        """Return how many attempts are left."""
        for count in range(1000):
            try:
                self.attempts.take(key)
            except RateLimited as error:
                self.retry_after = error.retry_after
                return count
        return None

    def test_a_few_attempts_at_once_then_one_at_a_time(self):
        self.assertEqual(self.allowed(), BURST)
        self.assertEqual(self.retry_after, SECONDS)
        self.clock.advance(SECONDS - 0.5)
        self.assertEqual((self.allowed(), self.retry_after), (0, 1))
        self.clock.advance(0.5)
        self.assertEqual(self.allowed(), 1)
        self.clock.advance(3 * SECONDS)
        self.assertEqual(self.allowed(), 3)
        self.clock.advance(1000 * SECONDS)
        self.assertEqual(self.allowed(), BURST)

    def test_each_name_has_its_own_attempts(self):
        self.assertEqual((self.allowed("a"), self.allowed("b")), (BURST, BURST))

    def test_the_right_password_gives_all_attempts_back(self):
        self.allowed()
        self.clock.advance(SECONDS)
        self.attempts.take("a")
        self.attempts.succeeded("a")
        self.assertEqual(len(self.attempts), 0)
        self.assertEqual(self.allowed(), BURST)

    def test_the_table_is_bounded_and_forgets_the_oldest(self):
        self.allowed("old")
        for number in range(KEPT // 2):
            self.attempts.take(str(number))
        self.assertEqual(self.allowed("old"), 0)
        for number in range(KEPT):
            self.attempts.take(str(-number))
            self.assertLessEqual(len(self.attempts), KEPT)
        self.assertEqual(self.allowed("old"), BURST)
