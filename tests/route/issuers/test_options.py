"""Tests of the option of issuers, and of what a route makes of it."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from cim.errors import OutgoingRefused, Unauthorized, Unavailable
from cim.issuers.keys import MAX_BYTES
from cim.route import tap
from cim.route.issuers.options import issuers_of
from cim.route.tap import Options, jwt_issuers_of
from cim.web.calling import Answer
from tests.issuers.signing import ISSUER, NOW, jwk, jwks, pem, private_key, signed

WORDS = f"issuer={ISSUER} audience=chat algorithms=RS256"
TABLE = """
[[jwt-issuer]]
issuer = "one"
audience = "chat"
algorithms = ["RS256"]
keys = "one.pem"
[[jwt-issuer]]
issuer = "two"
audience = "chat"
algorithms = ["ES256", "EdDSA"]
keys = "https://two.example/jwks"
lifetime = 300
"""


class FixedTime:
    """The time of a store."""

    def shown(self):
        """See IStoreClock."""
        return NOW * 1000


class Root:
    """Collects the parts of a daemon."""

    def __init__(self):
        self.parts = []

    def add(self, part):
        """See DaemonRoot."""
        self.parts.append(part)


class OptionTests(SynchronousTestCase):
    """Words, lists and tables."""

    def parse(self, *arguments, file="", environ=None):
        options = Options(environ or {})
        if file:
            path = self.mktemp()
            with open(path, "w") as config:
                config.write(file)
            arguments = (*arguments, "--config", path)
        options.parseOptions(arguments)
        return options

    def names(self, *arguments, **sources):
        return [issuer.issuer for issuer in issuers_of(self.parse(*arguments, **sources))]

    def test_where_they_come_from(self):
        self.assertEqual(self.names(), [])
        self.assertEqual(self.names(file=TABLE), ["one", "two"])
        self.assertEqual(issuers_of(self.parse(file=TABLE))[1].lifetime, 300)
        self.assertEqual(self.names(file=f'jwt-issuer = ["{WORDS} keys=k"]'), [ISSUER])
        self.assertEqual(self.names(environ={"CIM_ROUTE_JWT_ISSUER": f"{WORDS} keys=k"}), [ISSUER])
        # What stands on the command line takes the place of the file's.
        given = ("--jwt-issuer", f"{WORDS} keys=k", "--jwt-issuer", "issuer=b audience=c algorithms=ES256 keys=k")
        self.assertEqual(self.names(*given, file=TABLE), [ISSUER, "b"])

    def test_what_cannot_be(self):
        for file, wrong in (
            (
                TABLE.replace("one.pem", "http://one"),
                "[[jwt-issuer]] 1: keys must be a file, or a URL that begins with",
            ),
            (TABLE.replace('"two"', '"one"'), ""),
            ("[[jwt-issuer]]\nissuer = 'x'", "[[jwt-issuer]] 1: audience is missing"),
            ("jwt-issuer = ['x']", "jwt-issuer"),
            ("jwt-issuer = 7", "jwt-issuer"),
        ):
            error = self.assertRaises(UsageError, self.names, file=file)
            self.assertIn(wrong, str(error))
        self.assertRaises(UsageError, self.parse, "--jwt-issuer", WORDS)


class KeysTests(OptionTests):
    """What the route does with them."""

    def setUp(self):
        self.asked = []
        self.said = lambda: succeed(Answer(200, Headers(), jwks(jwk("RSA", "a"))))
        case = self

        class Strangers:
            """Answers requests as the test says."""

            def __init__(self, *args, **options):
                pass

            def request(self, *args, **options):
                case.asked.append((args, options))
                return case.said()

            def close(self):
                return succeed(None)

        self.patch(tap, "Outgoing", Strangers)
        self.root = Root()

    def issuers(self, words):
        options = self.parse("--jwt-issuer", words)
        return jwt_issuers_of(options, Clock(), FixedTime(), self.root)

    def check(self, issuers):
        return Deferred.fromCoroutine(issuers.check(signed()))

    def test_a_url(self):
        issuers = self.issuers(f"{WORDS} keys=https://id.example.com/jwks")
        self.assertEqual(self.asked, [])
        self.successResultOf(self.check(issuers))
        [(args, options)] = self.asked
        self.assertEqual(args, ("GET", "https://id.example.com/jwks"))
        self.assertEqual((options["most"], options["https"]), (MAX_BYTES, True))
        # Its connections end with the route.
        self.assertEqual(len(self.root.parts), 1)

    def test_a_url_that_answers_something_else(self):
        for said in (
            lambda: succeed(Answer(302, Headers({"Location": ["https://evil.example"]}), jwks(jwk("RSA", "a")))),
            lambda: succeed(Answer(404, Headers(), b"")),
            lambda: succeed(Answer(200, Headers(), b"<html>")),
            lambda: fail(OutgoingRefused("id.example.com leads to 10.0.0.1")),
        ):
            self.said = said
            issuers = self.issuers(f"{WORDS} keys=https://id.example.com/jwks")
            error = self.failureResultOf(self.check(issuers), Unavailable).value
            self.assertNotIn("10.0.0.1", error.message)
            self.assertIn("jwt_issuers", issuers.facts())

    def test_a_file(self):
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(pem(private_key("RSA", 1)))
        self.failureResultOf(self.check(self.issuers(f"{WORDS} keys={path}")), Unauthorized)
        self.assertEqual(self.root.parts, [])

    def test_what_cannot_be_used(self):
        for keys in ("/nowhere.pem", "https://", "https://user:pw@id.example.com/"):
            error = self.assertRaises(UsageError, self.issuers, f"{WORDS} keys={keys}")
            self.assertIn("[[jwt-issuer]]", str(error))
