"""Tests of hashing and checking passwords, a few at a time."""

from __future__ import annotations

from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Unavailable
from cim.route.http.passwords import THREADS, WAITING, Passwords, strong_hasher
from tests.route.http.api_case import cheap_hasher


class PasswordTests(SynchronousTestCase):
    """Tests with passwords hashed synchronously."""

    def setUp(self):
        self.work = []
        self.passwords = Passwords(self.run_noted, cheap_hasher())

    def run_noted(self, function, *args):
        self.work.append(function)
        return execute(function, *args)

    def result(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_a_hash_matches_only_its_password(self):
        hashed = self.result(self.passwords.hash("pass wörd"))
        self.assertTrue(hashed.startswith("$argon2id$"))
        self.assertNotEqual(hashed, self.result(self.passwords.hash("pass wörd")))
        self.assertTrue(self.result(self.passwords.matches(hashed, "pass wörd")))
        for other in ("pass word", "pass wörd ", "", "pass wörd\0"):
            self.assertFalse(self.result(self.passwords.matches(hashed, other)))

    def test_without_a_hash_the_same_work_is_done_and_nothing_matches(self):
        for password in ("x", "nobody's"):
            self.assertFalse(self.result(self.passwords.matches(None, password)))
        self.assertEqual(len(self.work), 2)

    def test_a_hash_that_cannot_be_read_matches_nothing(self):
        for hashed in ("x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$AAAA$", "\u00e9"):
            self.assertFalse(self.result(self.passwords.matches(hashed, "x")))

    def test_real_hashes_use_the_recommended_parameters(self):
        hasher = strong_hasher()
        self.assertEqual((hasher.time_cost, hasher.memory_cost, hasher.parallelism), (2, 19 * 1024, 1))


class QueueTests(SynchronousTestCase):
    """Tests while the threads are busy."""

    def test_more_than_may_wait_are_refused_until_some_are_done(self):
        running = []

        def run(function, *args):
            running.append(Deferred())
            return running[-1]

        passwords = Passwords(run, cheap_hasher())
        waiting = [Deferred.fromCoroutine(passwords.hash("x")) for _ in range(WAITING + THREADS)]
        self.assertEqual(len(passwords), WAITING + THREADS)
        self.failureResultOf(Deferred.fromCoroutine(passwords.hash("x")), Unavailable)
        self.failureResultOf(Deferred.fromCoroutine(passwords.matches("x", "x")), Unavailable)
        running[0].callback("hashed")
        self.assertEqual(self.successResultOf(waiting[0]), "hashed")
        running[1].errback(ZeroDivisionError())
        self.failureResultOf(waiting[1], ZeroDivisionError)
        self.assertEqual(len(passwords), WAITING + THREADS - 2)
        self.assertNoResult(Deferred.fromCoroutine(passwords.hash("x")))
