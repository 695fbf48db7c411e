"""Tests of hashing and checking passwords, a few at a time."""

from __future__ import annotations

from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Unavailable
from cim.route.http.passwords import THREADS, WAITING, Match, Passwords, Turn, strong_hasher
from tests.route.http.api_case import cheap_hasher

HERE = Turn("192.0.2.7")


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
        hashed = self.result(self.passwords.hash("pass wörd", HERE))
        self.assertTrue(hashed.startswith("$argon2id$"))
        self.assertNotEqual(hashed, self.result(self.passwords.hash("pass wörd", HERE)))
        self.assertIs(self.result(self.passwords.match(hashed, "pass wörd", HERE)), Match.RIGHT)
        for other in ("pass word", "pass wörd ", "", "pass wörd\0"):
            self.assertIs(self.result(self.passwords.match(hashed, other, HERE)), Match.WRONG)

    def test_without_a_hash_the_same_work_is_done_and_nothing_matches(self):
        for password in ("x", "nobody's"):
            self.assertIs(self.result(self.passwords.match(None, password, HERE)), Match.WRONG)
        self.assertEqual(len(self.work), 2)

    def test_a_hash_that_cannot_be_read_matches_nothing(self):
        for hashed in ("x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$AAAA$", "\u00e9"):
            self.assertIs(self.result(self.passwords.match(hashed, "x", HERE)), Match.WRONG)

    def test_real_hashes_use_the_recommended_parameters(self):
        hasher = strong_hasher()
        self.assertEqual((hasher.time_cost, hasher.memory_cost, hasher.parallelism), (2, 19 * 1024, 1))


class CountingHasher:
    """A hasher that takes no time, and notes what it looks at."""

    def __init__(self):
        self._hasher = cheap_hasher()
        self.hash = self._hasher.hash
        self.verified = []

    def verify(self, hashed, password):
        self.verified.append(password.decode())
        return self._hasher.verify(hashed, password)


#: The same password as two keyboards make it, composed first, and another pair.
PAIRS = (("caf\u00e9 au lait", "cafe\u0301 au lait"), ("four words like these", "four\u00a0words like these"))


class FormTests(SynchronousTestCase):
    """Tests of what is hashed of a password."""

    def setUp(self):
        self.hasher = CountingHasher()
        self.passwords = Passwords(execute, self.hasher)

    def hash(self, password):
        return self.successResultOf(Deferred.fromCoroutine(self.passwords.hash(password, HERE)))

    def match(self, hashed, password):
        """Return whether it matches, and what was looked at for that."""
        self.hasher.verified.clear()
        match = self.successResultOf(Deferred.fromCoroutine(self.passwords.match(hashed, password, HERE)))
        return match, self.hasher.verified

    def test_however_it_is_typed(self):
        for composed, typed in PAIRS:
            for hashed in (self.hash(composed), self.hash(typed)):
                self.assertEqual(self.match(hashed, composed), (Match.RIGHT, [composed]))
                self.assertEqual(self.match(hashed, typed), (Match.RIGHT, [composed]))

    def test_what_an_earlier_release_hashed_as_it_was_typed(self):
        for composed, typed in PAIRS:
            hashed = self.hasher.hash(typed.encode())
            self.assertEqual(self.match(hashed, typed), (Match.AS_TYPED, [composed, typed]))
            self.assertEqual(self.match(hashed, composed), (Match.WRONG, [composed]))

    def test_case_and_width_and_spaces_count(self):
        hashed = self.hash("Pass word")
        for other in ("pass word", "Ｐass word", "Pass word ", "Password", "Pass  word"):
            self.assertIs(self.match(hashed, other)[0], Match.WRONG)

    def test_what_the_profile_refuses_is_used_as_it_is_typed(self):
        for password in (
            "zero\u200bwidth",
            "tab\there",
            "private \ue000",
            "not yet \u0378",
            "\u1100 jamo",
            " " * 8,
        ):
            hashed = self.hasher.hash(password.encode())
            self.assertEqual(self.match(hashed, password), (Match.RIGHT, [password]))
            self.assertIs(self.match(self.hash(password), password)[0], Match.RIGHT)

    def test_a_missing_account_takes_the_same_work(self):
        for password in ("pass word", PAIRS[0][1]):
            hashed = self.hash("another")
            self.assertEqual(self.match(None, password), self.match(hashed, password))


class QueueTests(SynchronousTestCase):
    """Tests while the threads are busy."""

    def setUp(self):
        self.running = []
        self.passwords = Passwords(self.run_later, cheap_hasher())

    def run_later(self, function, *args):
        self.running.append((args[-1][0].decode(), Deferred()))
        return self.running[-1][1]

    def put(self, password, who="here", first=False):
        return Deferred.fromCoroutine(self.passwords.match("x", password, Turn(who, first)))

    def refused(self, work):
        """How many of some were refused, when all have ended."""
        refused = [one for one in work if isinstance(one.result, Failure)]
        for one in refused:
            self.failureResultOf(one, Unavailable)
        return len(refused)

    def order(self):
        """End all in turn, and return the passwords in the order in which they were looked at."""
        looked_at = []
        while self.running:
            password, done = self.running.pop(0)
            looked_at.append(password)
            done.callback(0)
        return looked_at

    def test_more_than_may_wait_are_refused_until_some_are_done(self):
        waiting = [self.put(str(number)) for number in range(WAITING + THREADS)]
        self.assertEqual((len(self.passwords), len(self.running)), (WAITING + THREADS, THREADS))
        self.failureResultOf(self.put("x"), Unavailable)
        self.failureResultOf(Deferred.fromCoroutine(self.passwords.hash("x", Turn("here"))), Unavailable)
        self.running.pop(0)[1].callback(0)
        self.assertIs(self.successResultOf(waiting[0]), Match.RIGHT)
        self.running.pop(0)[1].errback(ZeroDivisionError())
        self.failureResultOf(waiting[1], ZeroDivisionError)
        self.assertEqual(len(self.passwords), WAITING + THREADS - 2)
        self.assertNoResult(self.put("x"))

    def test_addresses_take_turns(self):
        for number in range(6):
            self.put(f"a{number}", "a")
        for who in ("b", "c"):
            for number in range(2):
                self.put(f"{who}{number}", who)
        self.assertEqual(self.order(), ["a0", "a1", "a2", "b0", "c0", "a3", "b1", "c1", "a4", "a5"])
        self.assertEqual(len(self.passwords), 0)

    def test_those_that_are_known_and_others_take_turns(self):
        for number in range(4):
            self.put(f"a{number}", "a")
        for number in range(3):
            self.put(f"K{number}", "k", first=True)
        self.put("L0", "l", first=True)
        self.assertEqual(self.order(), ["a0", "a1", "K0", "a2", "L0", "a3", "K1", "K2"])
        # Whoever comes while only the others' kind is there is next.
        for number in range(5):
            self.put(f"K{number}", "k", first=True)
        self.put("a4", "a")
        self.assertEqual(self.order(), ["K0", "K1", "a4", "K2", "K3", "K4"])

    def test_who_has_the_most_gives_way(self):
        flood = [self.put(f"a{number}", "a") for number in range(WAITING + THREADS)]
        other = self.put("b", "b")
        self.failureResultOf(flood.pop(), Unavailable)
        self.assertNoResult(other)
        self.failureResultOf(self.put("a again", "a"), Unavailable)
        self.assertEqual(len(self.passwords), WAITING + THREADS)
        self.assertEqual(self.order()[:4], ["a0", "a1", "a2", "b"])
        self.assertEqual({self.successResultOf(one) for one in (*flood, other)}, {Match.RIGHT})

    def test_nobody_gives_way_to_who_will_have_as_many(self):
        self.put("r0"), self.put("r1")
        for known in (False, True):
            waiting = [self.put("x", f"{number}", known) for number in range(WAITING)]
            for who in ("new", "0"):
                self.failureResultOf(self.put("x", who, known), Unavailable)
            for one in waiting:
                self.assertNoResult(one)

    def test_strangers_and_those_that_are_known_do_not_keep_each_other_out(self):
        """One account with its right password and many connections kept everybody out who came from a new place."""
        known = [self.put(f"K{number}", "k", first=True) for number in range(200)]
        stranger = self.put("a", "a")
        self.assertEqual(self.order()[:5], ["K0", "K1", "a", "K2", "K3"])
        self.assertIs(self.successResultOf(stranger), Match.RIGHT)
        self.assertEqual(self.refused(known), 200 - WAITING - THREADS)
        strangers = [self.put(f"a{number}", f"{number}") for number in range(200)]
        mine = self.put("K", "k", first=True)
        self.assertEqual(self.order()[:4], ["a0", "a1", "K", "a2"])
        self.assertIs(self.successResultOf(mine), Match.RIGHT)
        self.assertEqual(self.refused(strangers), 200 - WAITING - THREADS)
