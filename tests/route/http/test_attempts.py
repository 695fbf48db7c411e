"""Tests of limits of wrong passwords."""

from __future__ import annotations

import contextlib
from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import RateLimited
from cim.limits import KEPT, NO_LIMIT, defaults
from cim.route.http import attempts
from cim.route.http.attempts import (
    KNOWN_OF_ONE,
    KNOWN_SECONDS,
    PASSWORD_LIMITS,
    Attempts,
    asked_for,
)

#: The accounts that there are, by what a login asks for.
ACCOUNTS = {"a": 1, "b": 2, "c": 3, "d": 4, "victim": 5, "id of a": 1, "twin of a": 6}
HERE, THERE = "192.0.2.7", "198.51.100.7"


class AttemptTests(SynchronousTestCase):
    """Attempts under a clock."""

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.refused = Counter()
        self.attempts = self.made(**defaults(PASSWORD_LIMITS))

    def made(self, **limits):
        return Attempts(self.clock, {name.replace("_", "-"): limit for name, limit in limits.items()}, self.note)

    def note(self, kind):
        self.refused[kind] += 1

    def take(self, asked="a", address=HERE, device=""):
        return self.attempts.take(asked, ACCOUNTS.get(asked), address, device)

    def allowed(self, asked="a", address=HERE, device="", take=None):
        """Return how many wrong passwords are allowed at once."""
        for count in range(1000):
            try:
                (take or self.take)(asked, address, device)
            except RateLimited as error:
                self.retry_after = error.retry_after
                return count
        return None

    def right(self, asked="a", address=HERE, device=""):
        attempt = self.take(asked, address, device)
        attempt.right()
        return attempt

    def test_a_few_attempts_at_once_then_one_at_a_time(self):
        self.assertEqual((self.allowed(), self.retry_after), (10, 6))
        self.clock.advance(5.5)
        self.assertEqual((self.allowed(), self.retry_after), (0, 1))
        self.clock.advance(0.5)
        self.assertEqual(self.allowed(), 1)
        self.clock.advance(18)
        self.assertEqual(self.allowed(), 3)
        self.assertEqual(self.refused, {"limit-passwords": 4})

    def test_each_account_and_each_address_has_its_own(self):
        self.assertEqual((self.allowed("a"), self.allowed("b"), self.allowed("a", THERE)), (10, 10, 10))

    def test_the_right_password_gives_all_attempts_back(self):
        for _ in range(9):
            self.take("a", HERE)
        self.right()
        self.assertEqual(self.allowed(), 10)

    def test_what_nobody_looked_at_counts_nothing(self):
        for _ in range(500):
            self.take("a", HERE).unseen()
        self.assertEqual(self.allowed(), 10)

    def test_an_account_has_a_limit_over_all_addresses(self):
        self.assertEqual(sum(self.allowed("a", f"192.0.2.{number}") for number in range(20)), 100)
        self.assertEqual(self.allowed("b", "192.0.2.19"), 10)

    def test_an_address_has_a_limit_over_all_accounts(self):
        self.assertEqual(sum(self.allowed(str(number)) for number in range(20)), 100)
        self.assertEqual(self.allowed("19", THERE), 10)
        self.clock.advance(2)
        self.assertEqual(self.allowed("new"), 1)

    def test_right_ones_take_nothing_of_an_account_or_address(self):
        for number in range(300):
            self.take(str(number)).right()
            self.right("a", f"192.0.2.{number}")
        self.assertEqual(sum(self.allowed(f"other-{number}") for number in range(20)), 100)
        self.assertEqual(sum(self.allowed("a", f"198.51.100.{number}") for number in range(20)), 100)

    def test_strangers_do_not_lock_the_owner_out(self):
        self.right(address=HERE)
        for number in range(20):
            self.allowed("a", f"198.51.100.{number}")
        self.assertEqual(self.allowed("a", "198.51.100.99"), 0)
        for _ in range(50):
            self.assertTrue(self.right(address=HERE).first)
        # What is wrong from there counts, too.
        self.assertEqual(self.allowed(address=HERE), 10)

    def test_a_place_is_a_device_at_an_address(self):
        self.assertFalse(self.right(address=HERE, device="d-17").first)
        self.assertTrue(self.take("a", HERE, "d-17").first)
        self.assertTrue(self.take("id of a", HERE, "d-17").first)
        for asked, address, device in (("a", THERE, "d-17"), ("a", HERE, "d-18"), ("a", HERE, ""), ("b", HERE, "d-17")):
            self.assertFalse(self.take(asked, address, device).first)
        # Whoever uses up what strangers have at the address leaves the device its own.
        self.allowed("a", HERE)
        self.assertEqual(self.allowed("a", HERE, "d-17"), 9)

    def test_who_guesses_a_devices_name_locks_it_out_nowhere(self):
        self.right(address=HERE, device="browser")
        for number in range(20):
            self.allowed("a", f"198.51.100.{number}", "browser")
        self.assertEqual(self.allowed(address=HERE, device="browser"), 10)

    def test_strangers_have_the_same_whether_there_is_an_account_or_not(self):
        self.right(address=HERE, device="browser")
        for asked in ("a", "nobody"):
            used = [self.allowed(asked, f"198.51.100.{number}", "browser") for number in range(12)]
            self.assertEqual((asked, used), (asked, [10] * 10 + [0] * 2))
            self.clock.advance(3600)
        self.allowed("a", THERE)
        # Nor do they learn which id a name has, not even at a place that the account knows.
        self.assertEqual(self.allowed("id of a", THERE), 10)
        self.allowed("a", HERE, "browser")
        self.assertEqual(self.allowed("id of a", HERE, "browser"), 10)

    def test_the_right_password_of_one_is_no_further_attempt_at_another_that_looks_the_same(self):
        guesses = 0
        for _ in range(50):
            for _ in range(8):
                with contextlib.suppress(RateLimited):
                    self.attempts.take("alike", 1, HERE)
                    guesses += 1
            with contextlib.suppress(RateLimited):
                self.attempts.take("alike", 2, HERE).right()
        self.assertEqual(guesses, 10)

    def test_what_is_asked_for_has_one_form(self):
        self.assertEqual(len({asked_for(name, None) for name in ("alice", "ALICE", "\uff21lice")}), 1)
        self.assertNotEqual(asked_for("alice", None), asked_for("bob", None))
        # An old name that has no form, and a name of digits.
        self.assertNotEqual(asked_for("al\u200bice", None), asked_for("bo\u200bb", None))
        self.assertNotEqual(asked_for("17", None), asked_for(None, 17))

    def test_for_30_days(self):
        self.right()
        self.clock.advance(KNOWN_SECONDS - 1)
        self.assertTrue(self.right().first)
        self.clock.advance(KNOWN_SECONDS)
        self.assertFalse(self.right().first)

    def test_known_places_are_bounded_and_the_oldest_forgotten(self):
        self.patch(attempts, "MAX_KNOWN", 3)
        self.attempts = self.made(**defaults(PASSWORD_LIMITS))
        for account in "abcd":
            self.right(account)
            self.assertLessEqual(len(self.attempts._known), 3)
        self.assertEqual([self.take(account, HERE).first for account in "abcd"], [False, True, True, True])

    def test_one_account_pushes_out_places_of_its_own_alone(self):
        self.patch(attempts, "MAX_KNOWN", 40)
        self.attempts = self.made(**defaults(PASSWORD_LIMITS))
        self.right("victim", THERE)
        for number in range(100):
            self.right("a", HERE, f"device-{number}")
        self.assertTrue(self.take("victim", THERE).first)
        self.assertEqual(len(self.attempts._known), 1 + KNOWN_OF_ONE)
        for number, known in ((99, True), (99 - KNOWN_OF_ONE, False)):
            self.assertIs(self.take("a", HERE, f"device-{number}").first, known)

    def test_with_a_token_by_what_it_goes_back_to(self):
        def proven(root="home", account=1):
            return self.allowed(take=lambda *_: self.attempts.take_proven(account, root))

        self.assertEqual((proven(), proven()), (10, 0))
        self.assertEqual((self.allowed(), self.allowed("b"), proven(account=2)), (10, 10, 10))
        # Whoever stole the first token leaves the owner, who logs in anew, its own.
        self.assertEqual(proven("from a new login"), 10)
        self.clock.advance(6)
        attempt = self.attempts.take_proven(1, "home")
        self.assertTrue(attempt.first)
        attempt.right()
        self.assertEqual(proven(), 10)

    def test_no_limits(self):
        self.attempts = Attempts(self.clock, dict.fromkeys(PASSWORD_LIMITS, NO_LIMIT), self.note)
        self.assertIsNone(self.allowed())
        self.right()
        self.assertIsNone(self.allowed())

    def test_bounded_in_memory(self):
        for number in range(KEPT):
            self.take(str(number), f"{number}").unseen()
        self.assertLessEqual(len(self.attempts), 3 * KEPT)
