"""Tests of where issuers' keys come from: files that change, and sets that are fetched."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from cim.daemon.rereading import LOOK_SECONDS
from cim.errors import OutgoingRefused, Unauthorized, Unavailable
from cim.issuers.issuer import Issuer
from cim.issuers.keys import BadKeys
from cim.route.issuers.issuers import Issuers
from cim.route.issuers.key_sources import FRESH_SECONDS, PAUSE_SECONDS, STALE_SECONDS
from tests.harness.spawning import private_file
from tests.issuers.signing import AUDIENCE, ISSUER, NOW, SECRET, claims, jwk, jwks, pem, private_key, signed

URL = "https://id.example.com/jwks.json?key=secret"
OTHER = "https://other.example"


class IssuersCase(SynchronousTestCase):
    """Tests with a clock, and a host that the test plays."""

    def setUp(self):
        self.clock = Clock()
        self.clock.advance(NOW)
        self.fetches = []
        self.logged = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)

    def fetch(self, url):
        self.fetches.append((url, Deferred()))
        return self.fetches[-1][1]

    def answer(self, *keys):
        """Answer the fetch that is under way."""
        self.fetches[-1][1].callback(jwks(*keys))

    def issuers(self, *issuers):
        return Issuers(issuers, self.fetch, self.clock, lambda: int(self.clock.seconds() * 1000))

    def issuer(self, **changed):
        whole = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ("RS256", "ES256"), "keys": URL, **changed}
        return Issuer(**whole)

    def checked(self, issuers, **changed):
        """Begin to check a JWT that was issued just now."""
        now = int(self.clock.seconds())
        header, number = changed.pop("header", None), changed.pop("number", 0)
        algorithm = changed.pop("algorithm", "RS256")
        said = {"iat": now, "exp": now + 60, **changed}
        return Deferred.fromCoroutine(issuers.check(signed(claims(**said), algorithm, number, header)))


class FetchedTests(IssuersCase):
    """Keys at a URL."""

    def setUp(self):
        super().setUp()
        self.found = self.issuers(self.issuer())

    def begin(self, *keys):
        """Have keys fetched."""
        checking = self.checked(self.found)
        self.answer(*(keys or (jwk("RSA", "a"),)))
        self.successResultOf(checking)

    def test_they_are_fetched_once(self):
        self.assertEqual(self.fetches, [])
        waiting = [self.checked(self.found, header={"kid": "a"}) for _ in range(3)]
        self.assertEqual([url for url, _ in self.fetches], [URL])
        for one in waiting:
            self.assertNoResult(one)
        self.answer(jwk("RSA", "a"))
        for one in waiting:
            self.assertEqual(self.successResultOf(one).external.id, "mary")
        self.clock.advance(FRESH_SECONDS - 1)
        self.successResultOf(self.checked(self.found, header={"kid": "a"}))
        self.assertEqual(len(self.fetches), 1)

    def test_the_url_never_comes_from_a_token(self):
        for header in (
            {"jku": "https://evil.example"},
            {"x5u": "https://evil.example"},
            {"kid": "https://evil.example"},
        ):
            self.clock.advance(PAUSE_SECONDS)
            self.checked(self.found, header=header).addErrback(lambda failure: failure.trap(Unauthorized))
            if not self.fetches[-1][1].called:
                self.answer(jwk("RSA", "a"))
        self.assertEqual({url for url, _ in self.fetches}, {URL})

    def test_a_new_key(self):
        self.begin()
        self.clock.advance(PAUSE_SECONDS)
        checking = self.checked(self.found, number=1, header={"kid": "b"})
        self.assertNoResult(checking)
        # Who has the old one does not wait.
        self.successResultOf(self.checked(self.found, header={"kid": "a"}))
        self.answer(jwk("RSA", "b", number=1))
        self.successResultOf(checking)
        # The old one has gone.
        self.failureResultOf(self.checked(self.found, header={"kid": "a"}), Unauthorized)

    def test_ids_that_do_not_exist_fetch_nothing_for_a_while(self):
        self.begin()
        for number in range(20):
            self.failureResultOf(self.checked(self.found, header={"kid": f"x{number}"}), Unauthorized)
        self.assertEqual(len(self.fetches), 1)
        self.clock.advance(PAUSE_SECONDS)
        waiting = [self.checked(self.found, header={"kid": f"x{number}"}) for number in range(20)]
        self.assertEqual(len(self.fetches), 2)
        self.answer(jwk("RSA", "a"))
        for one in waiting:
            self.failureResultOf(one, Unauthorized)

    def test_a_key_that_is_withdrawn_counts_for_an_hour_at_most(self):
        self.begin(jwk("RSA", "a"), jwk("EC", "e"))
        self.clock.advance(FRESH_SECONDS + 1)
        # The one that finds it old does not wait; the next one knows.
        self.successResultOf(self.checked(self.found, header={"kid": "a"}))
        self.answer(jwk("EC", "e"))
        self.failureResultOf(self.checked(self.found, header={"kid": "a"}), Unauthorized)
        self.successResultOf(self.checked(self.found, algorithm="ES256"))

    def test_a_host_that_fails(self):
        for fail in (Unavailable("no"), OutgoingRefused("10.0.0.1 is private"), None):
            checking = self.checked(self.found)
            if fail is None:
                self.fetches[-1][1].callback(b"<html>")
            else:
                self.fetches[-1][1].errback(fail)
            error = self.failureResultOf(checking, Unavailable).value
            # Whoever logs in is told nothing about the inside.
            self.assertNotIn("10.0.0.1", error.message)
            told = self.found.facts()["jwt_issuers"]
            self.assertIn("https://id.example.com/jwks.json cannot be used", told)
            self.assertNotIn("secret", told)
            # At once again: it is not asked.
            before = len(self.fetches)
            self.failureResultOf(self.checked(self.found), Unavailable)
            self.assertEqual(len(self.fetches), before)
            self.clock.advance(PAUSE_SECONDS)
        self.begin()
        self.assertEqual(self.found.facts(), {})

    def test_while_it_fails_the_last_ones_count_for_a_day(self):
        self.begin()
        begun = self.clock.seconds()
        while self.clock.seconds() - begun < STALE_SECONDS - FRESH_SECONDS:
            self.clock.advance(FRESH_SECONDS)
            fetched = len(self.fetches)
            self.successResultOf(self.checked(self.found))
            if len(self.fetches) > fetched:
                self.fetches[-1][1].errback(Unavailable("no"))
        self.clock.advance(FRESH_SECONDS + 1)
        checking = self.checked(self.found)
        self.fetches[-1][1].errback(Unavailable("no"))
        self.failureResultOf(checking, Unavailable)

    def test_a_set_without_a_key_that_may_be_used_changes_nothing(self):
        self.begin()
        self.clock.advance(FRESH_SECONDS + 1)
        self.successResultOf(self.checked(self.found))
        self.fetches[-1][1].callback(jwks({"kty": "oct", "k": "AAAA", "kid": "a"}))
        self.successResultOf(self.checked(self.found))
        self.assertIn("has no key for", self.found.facts()["jwt_issuers"])

    def test_what_fails_unexpectedly_keeps_nobody_waiting(self):
        checking = self.checked(self.found)
        self.fetches[-1][1].errback(ZeroDivisionError("boom"))
        self.failureResultOf(checking, Unavailable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_each_issuer_has_its_own(self):
        """Though both have their keys at one URL, under the same ids."""
        both = self.issuers(self.issuer(), self.issuer(issuer=OTHER))
        mine = self.checked(both, header={"kid": "a"})
        self.answer(jwk("RSA", "a"))
        self.successResultOf(mine)
        theirs = self.checked(both, iss=OTHER, header={"kid": "a"})
        self.assertEqual(len(self.fetches), 2)
        self.answer(jwk("RSA", "a", number=1))
        self.failureResultOf(theirs, Unauthorized)
        # Nor does the other one's key count under this name.
        self.failureResultOf(self.checked(both, number=1, header={"kid": "a"}), Unauthorized)
        found = self.successResultOf(self.checked(both, iss=OTHER, number=1, header={"kid": "a"}))
        self.assertEqual(found.external.issuer, OTHER)

    def test_issuers_that_are_not_known(self):
        for iss in (OTHER, "", None, ISSUER + "/"):
            text = signed(iss=iss)
            self.assertFalse(self.found.names_one(text))
            self.failureResultOf(Deferred.fromCoroutine(self.found.check(text)), Unauthorized)
        self.assertTrue(self.found.names_one(signed()))
        self.assertFalse(self.issuers().names_one(signed()))
        self.assertEqual(self.fetches, [])


class FileTests(IssuersCase):
    """Keys in a file."""

    def setUp(self):
        super().setUp()
        self.path = self.mktemp()
        self.write(pem(private_key("RSA")))
        self.found = self.issuers(self.issuer(keys=self.path))

    def write(self, content):
        with open(self.path, "wb") as file:
            file.write(content)

    def test_it_is_read_again_when_it_changes(self):
        self.successResultOf(self.checked(self.found))
        self.write(pem(private_key("RSA", 1)) + b"# another one\n")
        self.successResultOf(self.checked(self.found))  # it was looked at just now
        self.clock.advance(LOOK_SECONDS)
        self.failureResultOf(self.checked(self.found), Unauthorized)
        self.successResultOf(self.checked(self.found, number=1))

    def test_one_that_cannot_be_used_changes_nothing(self):
        for spoil in (lambda: self.write(b"no key"), lambda: os.remove(self.path)):
            spoil()
            self.clock.advance(LOOK_SECONDS)
            self.successResultOf(self.checked(self.found))
            self.assertIn(self.path, self.found.facts()["jwt_issuers"])
        errors = [event for event in self.logged if event["log_level"] is LogLevel.error]
        self.assertEqual(len(errors), 2)
        self.write(pem(private_key("RSA")))
        self.clock.advance(LOOK_SECONDS)
        self.assertEqual(self.found.facts(), {})

    def test_one_that_cannot_be_used_at_first(self):
        self.write(b"")
        error = self.assertRaises(BadKeys, self.issuers, self.issuer(keys=self.path))
        self.assertIn(f"{self.path} has no public key", str(error))
        self.write(b"x" * 70_000)
        self.assertRaises(BadKeys, self.issuers, self.issuer(keys=self.path))
        self.assertRaises(BadKeys, self.issuers, self.issuer(keys="/nowhere"))

    def test_a_secret(self):
        self.path = self.mktemp()
        private_file(self.path, SECRET.decode())
        secret = self.issuer(algorithms=("HS256",), keys="", secret_file=self.path)
        self.successResultOf(self.checked(self.issuers(secret), algorithm="HS256"))
        os.chmod(self.path, 0o644)
        self.assertIn("open to others", str(self.assertRaises(BadKeys, self.issuers, secret)))
