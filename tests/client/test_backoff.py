from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cim.client.backoff import CAP_SECONDS, FIRST_SECONDS, Backoff


class BackoffTests(SynchronousTestCase):
    def test_bounds_double_up_to_the_cap(self):
        backoff = Backoff(lambda: 1.0)
        self.assertEqual([backoff.next() for _ in range(7)], [0.5, 1, 2, 4, 8, 10, 10])
        self.assertEqual((FIRST_SECONDS, CAP_SECONDS), (0.5, 10.0))

    def test_a_lower_cap_holds_for_one_wait(self):
        backoff = Backoff(lambda: 0.5)
        self.assertEqual([backoff.next(3) for _ in range(5)], [0.25, 0.5, 1, 1.5, 1.5])
        self.assertEqual(backoff.next(), 5)

    def test_the_whole_of_a_wait_is_random(self):
        numbers = iter([0.0, 0.5, 0.25])
        backoff = Backoff(lambda: next(numbers))
        self.assertEqual([backoff.next() for _ in range(3)], [0.0, 0.5, 0.5])

    def test_reset_starts_again(self):
        backoff = Backoff(lambda: 1.0)
        for _ in range(5):
            backoff.next()
        backoff.reset()
        self.assertEqual(backoff.next(), 0.5)
