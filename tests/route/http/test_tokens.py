"""Tests of tokens, and of how long a user's credential is cached."""

from __future__ import annotations

import itertools

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cim.errors import StoreUnavailable, Unauthorized
from cim.model import Account, Credential
from cim.route.http import tokens
from cim.route.http.tokens import KEPT_SECONDS, SKEW_MS, Tokens
from cim.signed import sign, verify

ALICE = Account(5, "张三")


class Credentials:
    """Returns the credentials that the test sets, and counts look-ups."""

    def __init__(self):
        self.of = {}
        self.looks = []
        self.slow = False

    def credential(self, user):
        self.looks.append(Deferred() if self.slow else succeed(self.of.get(user)))
        return self.looks[-1]

    def revoke(self, user, now):
        self.of[user] = Credential("x", now)
        return succeed(None)


class Time:
    """The time of a store, by a clock."""

    def __init__(self, clock):
        self.clock = clock

    def now(self):
        """See IStoreClock."""
        return int(self.clock.seconds() * 1000)


class TokenTests(SynchronousTestCase):
    """Tests with a clock."""

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.credentials = Credentials()
        self.credentials.of[5] = Credential("x", 0)
        ids = itertools.count()
        self.tokens = Tokens(b"k" * 32, self.credentials, self.clock, lambda: str(next(ids)), 1, time=Time(self.clock))

    def check(self, text):
        return Deferred.fromCoroutine(self.tokens.check(text))

    def test_a_token_proves_its_user_and_when_it_was_issued(self):
        proven = self.successResultOf(self.check(self.tokens.issue(ALICE, 0, "owner", "root")))
        self.assertEqual((proven.account, proven.issued), (ALICE, 1_700_000_000_000))
        self.assertEqual((proven.owner, proven.root), ("owner", "root"))

    def test_a_token_from_a_password_goes_back_to_itself(self):
        proven = self.successResultOf(self.check(self.tokens.issue(ALICE, 0, "owner")))
        self.assertEqual((proven.owner, proven.root), ("owner", "owner"))

    def test_a_token_of_an_earlier_release(self):
        claims = {"sub": "5", "name": "张三", "jti": "1", "ims": 1_700_000_000_000, "exp": 1_700_003_600}
        proven = self.successResultOf(self.check(sign(b"k" * 32, claims)))
        self.assertEqual((proven.account, proven.owner, proven.root), (ALICE, "", ""))

    def test_no_two_tokens_are_alike(self):
        self.assertNotEqual(self.tokens.issue(ALICE, 0, "owner"), self.tokens.issue(ALICE, 0, "owner"))

    def test_a_token_expires_after_its_hours(self):
        token = self.tokens.issue(ALICE, 0, "owner")
        self.assertEqual(verify(b"k" * 32, token, 1_700_000_000)["exp"], 1_700_000_000 + 3600)

    def test_a_look_up_is_cached_for_a_while(self):
        token = self.tokens.issue(ALICE, 0, "owner")
        for _ in range(5):
            self.successResultOf(self.check(token))
        self.assertEqual(len(self.credentials.looks), 1)
        self.credentials.of.clear()
        self.clock.advance(KEPT_SECONDS - 0.1)
        self.successResultOf(self.check(token))
        self.clock.advance(0.1)
        self.failureResultOf(self.check(token), Unauthorized)

    def test_a_token_issued_at_the_moment_of_revoking_is_valid(self):
        old = self.tokens.issue(ALICE, 0, "owner")
        self.successResultOf(Deferred.fromCoroutine(self.tokens.revoke(5)))
        self.failureResultOf(self.check(old), Unauthorized)
        self.successResultOf(self.check(self.tokens.issue(ALICE, self.credentials.of[5].valid_from, "owner")))

    def test_revoking_reaches_a_token_from_a_clock_that_is_ahead(self):
        ahead = self.tokens.issue(ALICE, 1_700_000_000_000 + 10 * SKEW_MS, "owner")
        issued = self.successResultOf(self.check(ahead)).issued
        self.successResultOf(Deferred.fromCoroutine(self.tokens.revoke(5, issued)))
        self.failureResultOf(self.check(ahead), Unauthorized)

    def test_revoking_reaches_as_far_as_clocks_may_be_ahead(self):
        ahead = self.tokens.issue(ALICE, 1_700_000_000_000 + SKEW_MS, "owner")
        self.successResultOf(self.check(ahead))
        self.successResultOf(Deferred.fromCoroutine(self.tokens.revoke(5)))
        self.failureResultOf(self.check(ahead), Unauthorized)
        for _ in range(3):
            fresh = self.tokens.issue(ALICE, self.credentials.of[5].valid_from, "owner")
            proven = self.successResultOf(self.check(fresh))
            self.successResultOf(Deferred.fromCoroutine(self.tokens.revoke(5, proven.issued)))
            self.failureResultOf(self.check(fresh), Unauthorized)

    def test_confirming_looks_up_whatever_is_cached(self):
        proven = self.successResultOf(self.check(self.tokens.issue(ALICE, 0, "owner")))
        self.successResultOf(Deferred.fromCoroutine(self.tokens.confirm(proven)))
        self.credentials.of[5] = Credential("x", proven.issued + 1)
        self.failureResultOf(Deferred.fromCoroutine(self.tokens.confirm(proven)), Unauthorized)
        self.assertEqual(len(self.credentials.looks), 3)

    def test_a_look_up_from_before_a_change_is_not_cached(self):
        token = self.tokens.issue(ALICE, 0, "owner")
        self.credentials.slow = True
        checking = self.check(token)
        self.credentials.slow = False
        self.successResultOf(Deferred.fromCoroutine(self.tokens.revoke(5)))
        self.credentials.looks[0].callback(Credential("x", 0))
        self.successResultOf(checking)
        self.failureResultOf(self.check(token), Unauthorized)

    def test_a_store_that_is_away_neither_accepts_nor_refuses_a_token(self):
        self.credentials.slow = True
        checking = self.check(self.tokens.issue(ALICE, 0, "owner"))
        self.credentials.looks[0].errback(StoreUnavailable())
        self.failureResultOf(checking, StoreUnavailable)

    def test_the_table_is_bounded(self):
        self.patch(tokens, "KEPT_USERS", 10)
        self.tokens = Tokens(b"k" * 32, self.credentials, self.clock, lambda: "id", 1, time=Time(self.clock))
        for user in range(1, 30):
            self.credentials.of[user] = Credential("x", 0)
            self.successResultOf(self.check(self.tokens.issue(Account(user, "x"), 0, "owner")))
        looks = len(self.credentials.looks)
        self.successResultOf(self.check(self.tokens.issue(Account(29, "x"), 0, "owner")))
        self.assertEqual(len(self.credentials.looks), looks)
        self.successResultOf(self.check(self.tokens.issue(Account(1, "x"), 0, "owner")))
        self.assertEqual(len(self.credentials.looks), looks + 1)
