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
from cim.user_tokens import ALL, Bounds, UserScope

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


class Made:
    """Keeps the tokens that back ends make, and counts look-ups."""

    def __init__(self):
        self.kept = {}
        self.looks = 0

    def keep(self, user, token):
        """See IUserTokens."""
        self.kept[user, token.id] = token
        return succeed(True)

    def find(self, user, id):
        """See IUserTokens."""
        self.looks += 1
        return succeed(self.kept.get((user, id)))

    def revoke(self, user, id):
        """See IUserTokens."""
        return succeed(self.kept.pop((user, id), None) is not None)


class Time:
    """The time of a store, by a clock."""

    def __init__(self, clock):
        self.clock = clock

    def now(self):
        """See IStoreClock."""
        return int(self.clock.seconds() * 1000)


class TokenCase(SynchronousTestCase):
    """Tests with a clock."""

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.credentials = Credentials()
        self.credentials.of[5] = Credential("x", 0)
        ids = itertools.count()
        self.made = Made()
        time = Time(self.clock)
        self.tokens = Tokens(
            b"k" * 32, self.credentials, self.clock, lambda: str(next(ids)), 1, time=time, made=self.made
        )

    def check(self, text):
        return Deferred.fromCoroutine(self.tokens.check(text))


class TokenTests(TokenCase):
    """Tokens that users logged in for."""

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

    def test_a_signature_is_checked_once_in_a_while(self):
        checked = []
        self.patch(tokens, "verify", lambda *what: checked.append(what[1]) or verify(*what))
        token = self.tokens.issue(ALICE, 0, "owner")
        for _ in range(3):
            self.assertEqual(self.successResultOf(self.check(token)).account, ALICE)
        self.assertEqual(checked, [token])
        self.clock.advance(tokens.READ_SECONDS)
        self.successResultOf(self.check(token))
        self.assertEqual(checked, [token] * 2)

    def test_a_token_that_was_checked_expires_all_the_same(self):
        token = self.tokens.issue(ALICE, 0, "owner")
        self.clock.advance(3599)
        self.successResultOf(self.check(token))
        self.clock.advance(1)
        self.failureResultOf(self.check(token), Unauthorized)

    def test_what_is_good_in_a_cookie_is_so_nowhere_else_when_it_was_checked(self):
        token = self.tokens.issue(ALICE, 0, "owner", device="page")
        self.successResultOf(Deferred.fromCoroutine(self.tokens.check(token, page=True)))
        self.failureResultOf(self.check(token), Unauthorized)

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

    def test_checking_at_this_moment_looks_up_whatever_is_cached(self):
        token = self.tokens.issue(ALICE, 0, "owner")
        proven = self.successResultOf(self.check(token))
        now = self.successResultOf(Deferred.fromCoroutine(self.tokens.check_now(token)))
        self.assertEqual(now, (proven, self.credentials.of[5]))
        for credential in (Credential("x", proven.issued + 1), None):
            self.credentials.of[5] = credential
            self.failureResultOf(Deferred.fromCoroutine(self.tokens.check_now(token)), Unauthorized)

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
        time = Time(self.clock)
        self.tokens = Tokens(b"k" * 32, self.credentials, self.clock, lambda: "id", 1, time=time, made=self.made)
        for user in range(1, 30):
            self.credentials.of[user] = Credential("x", 0)
            self.successResultOf(self.check(self.tokens.issue(Account(user, "x"), 0, "owner")))
        looks = len(self.credentials.looks)
        self.successResultOf(self.check(self.tokens.issue(Account(29, "x"), 0, "owner")))
        self.assertEqual(len(self.credentials.looks), looks)
        self.successResultOf(self.check(self.tokens.issue(Account(1, "x"), 0, "owner")))
        self.assertEqual(len(self.credentials.looks), looks + 1)


class BoundedTests(TokenCase):
    """Tokens that back ends made, and what is issued from them."""

    def make(self, seconds=60, device="", scopes=ALL):
        return self.successResultOf(Deferred.fromCoroutine(self.tokens.make(ALICE, seconds, device, scopes, 0)))

    def test_what_bounds_it_goes_from_token_to_token(self):
        kept, text = self.make(7200, "web", frozenset((UserScope.READ,)))
        for _ in range(3):
            proven = self.successResultOf(self.check(text))
            self.assertEqual(proven.bounds, Bounds(kept.ends, frozenset((UserScope.READ,)), "web", kept.id))
            self.assertEqual((proven.account, proven.root, proven.device), (ALICE, kept.id, ""))
            self.assertEqual(proven.scopes, {UserScope.READ})
            text = self.tokens.issue(ALICE, 0, "owner", proven.root, bounds=proven.bounds)
        self.clock.advance(3601)
        self.failureResultOf(self.check(text), Unauthorized)

    def test_none_ends_later(self):
        kept, text = self.make(60)
        self.assertEqual(kept.ends, 1_700_000_060_000)
        self.clock.advance(59)
        bounds = self.successResultOf(self.check(text)).bounds
        self.assertEqual(self.tokens.lasts(bounds), 1)
        issued = self.tokens.issue(ALICE, 0, "owner", bounds=bounds)
        self.successResultOf(self.check(issued))
        self.clock.advance(1)
        for ended in (text, issued):
            self.failureResultOf(self.check(ended), Unauthorized)
        self.assertRaises(Unauthorized, self.tokens.lasts, bounds)
        self.assertRaises(Unauthorized, self.tokens.issue, ALICE, 0, "owner", bounds=bounds)

    def test_a_revoked_one_ends_all_that_came_of_it(self):
        kept, text = self.make()
        issued = self.tokens.issue(ALICE, 0, "owner", bounds=self.successResultOf(self.check(text)).bounds)
        other = self.make()[1]
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(self.tokens.revoke_made(5, kept.id))))
        self.assertFalse(self.successResultOf(Deferred.fromCoroutine(self.tokens.revoke_made(5, kept.id))))
        for void in (text, issued):
            self.failureResultOf(self.check(void), Unauthorized)
        self.successResultOf(self.check(other))

    def test_it_is_looked_up_once_for_a_while(self):
        text = self.make()[1]
        for _ in range(3):
            self.successResultOf(self.check(text))
        self.assertEqual(self.made.looks, 1)
        self.made.kept.clear()
        proven = self.successResultOf(self.check(text))
        self.failureResultOf(Deferred.fromCoroutine(self.tokens.confirm(proven)), Unauthorized)
        self.failureResultOf(self.check(text), Unauthorized)

    def test_claims_that_cannot_be(self):
        _, text = self.make()
        claims = verify(b"k" * 32, text, None, tokens.BOUNDED)
        changes = {"end": "1", "scp": "read", "dev": None, "tok": 5, "aud": [tokens.BOUNDED]}
        for claim, value in (*changes.items(), ("end", True)):
            self.failureResultOf(self.check(sign(b"k" * 32, {**claims, claim: value})), Unauthorized)
        told = self.successResultOf(self.check(sign(b"k" * 32, {**claims, "scp": ["read", "fly", 7, None]})))
        self.assertEqual(told.scopes, {UserScope.READ})
        self.assertEqual(self.successResultOf(self.check(sign(b"k" * 32, {**claims, "scp": []}))).scopes, frozenset())
