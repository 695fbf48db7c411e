"""Tests of what JWTs assert, and of known attacks on them (RFC 8725)."""

from __future__ import annotations

import hashlib
import json

from attrs import evolve

from twisted.trial.unittest import SynchronousTestCase

from cim.errors import Forbidden, Unauthorized
from cim.external_ids import ExternalId
from cim.issuers.asserted import MAX_LENGTH, UnknownKey, named, verified
from cim.issuers.issuer import Issuer
from cim.issuers.keys import keys_in_file, keys_in_set, secret_key
from cim.signed import sign
from cim.user_tokens import ALL, UserScope
from tests.issuers.signing import (
    AUDIENCE,
    ISSUER,
    NOW,
    SECRET,
    by_hand,
    claims,
    encoded,
    jwk,
    jwks,
    pem,
    private_key,
    signed,
)

PAIRS = Issuer(issuer=ISSUER, audience=AUDIENCE, algorithms=("RS256", "ES256", "EdDSA"), keys="k")
SECRETS = Issuer(issuer=ISSUER, audience=AUDIENCE, algorithms=("HS256",), secret_file="s")
KEYS = keys_in_set(jwks(jwk("RSA", "r"), jwk("EC", "e"), jwk("OKP", "o")), PAIRS.algorithms)


class AssertedCase(SynchronousTestCase):
    """Tests with an issuer and its keys."""

    issuer = PAIRS
    keys = KEYS

    def asserted(self, text, now=NOW):
        return verified(self.issuer, self.keys, text, now)

    def refused(self, text, why=""):
        error = self.assertRaises(Unauthorized, self.asserted, text)
        self.assertIn(why, error.message)
        return error


class ClaimTests(AssertedCase):
    """What a JWT that is signed well says."""

    def test_all_algorithms(self):
        for algorithm in PAIRS.algorithms:
            found = self.asserted(signed(algorithm=algorithm, name="Mary"))
            self.assertEqual(found.external, ExternalId(ISSUER, "mary"))
            self.assertEqual((found.issued, found.ends, found.scopes, found.name), (NOW - 5, NOW + 600, ALL, "Mary"))
        found = verified(SECRETS, [secret_key(SECRET)], signed(algorithm="HS256"), NOW)
        self.assertEqual(found.external.id, "mary")

    def test_which_are_let_through(self):
        for changed in (
            {"aud": [AUDIENCE, "other"]},
            {"aud": ["other", 7, AUDIENCE]},
            {"exp": NOW + 0.5},
            {"iat": NOW + 9, "exp": NOW + 60},
            {"nbf": NOW + 9},
            {"nbf": 0},
            {"sub": "x" * 255},
            {"sub": "auth0|你好 7"},
            {"name": 7},
            {"iat": NOW - 2990},
            {"more": {"a": [1]}},
        ):
            self.asserted(signed(**changed))
        for header in ({"typ": "at+JWT"}, {"typ": "application/at+jwt"}, {"kid": "r"}, {"cty": "JWT"}):
            self.asserted(signed(header=header))

    def test_times(self):
        for changed, why in (
            ({"exp": None}, "`exp` is missing"),
            ({"iat": None}, "`iat` is missing"),
            ({"exp": NOW}, "has expired"),
            ({"exp": NOW - 1}, "has expired"),
            ({"exp": str(NOW + 600)}, "`exp`"),
            ({"exp": True}, "`exp`"),
            ({"exp": [NOW + 600]}, "`exp`"),
            ({"exp": {"a": NOW}}, "`exp`"),
            ({"exp": NOW + 3600}, "at most 3600 s"),
            ({"exp": 1 << 52}, "at most 3600 s"),
            ({"exp": 1 << 60}, "`exp`"),
            ({"exp": 10**400}, "`exp`"),
            ({"exp": -1}, "`exp`"),
            ({"iat": NOW + 11, "exp": NOW + 60}, "not good yet"),
            ({"iat": NOW + 300, "exp": NOW + 200}, "at most 3600 s"),
            ({"iat": str(NOW)}, "`iat`"),
            ({"iat": False}, "`iat`"),
            ({"iat": -5}, "`iat`"),
            ({"nbf": NOW + 11}, "not good yet"),
            ({"nbf": "0"}, "`nbf`"),
        ):
            self.refused(signed(**changed), why)
        for number in ("NaN", "Infinity", "-Infinity", "1e999", "1" * 5000):
            said = json.dumps(claims(exp="@")).replace('"@"', number).encode()
            self.refused(signed(said))

    def test_audiences(self):
        for aud in (None, "", "chat ", "Chat", "chat,other", [], ["other"], [[AUDIENCE]], {AUDIENCE: 1}, 7, True):
            self.refused(signed(aud=aud), "another audience")

    def test_subjects(self):
        for sub in (None, "", " ", "mary ", "x" * 256, 7, ["mary"], "a\nb", "a\u202eb", "a\0b", "\ud800"):
            self.refused(signed(sub=sub), "`sub`")

    def test_issuers(self):
        for iss in (None, "", ISSUER + "/", ISSUER.upper(), "http://id.example.com", [ISSUER], 7):
            self.refused(signed(iss=iss), "no JWT of an issuer")

    def test_scopes(self):
        for words, granted in (
            ("read send", {UserScope.READ, UserScope.SEND}),
            (["read"], {UserScope.READ}),
            ("read fly openid", {UserScope.READ}),
        ):
            self.assertEqual(self.asserted(signed(cim_scope=words)).scopes, granted)
        self.assertRaises(Forbidden, self.asserted, signed(cim_scope="openid"))
        self.assertRaises(Forbidden, self.asserted, signed(cim_scope=""))
        for words in (7, {"read": True}, [["read"]], True):
            self.refused(signed(cim_scope=words), "`cim_scope`")
        # Never more than the operator allows.
        self.issuer = evolve(PAIRS, scopes=frozenset((UserScope.READ,)))
        self.assertEqual(self.asserted(signed(cim_scope="read send account")).scopes, {UserScope.READ})
        self.assertEqual(self.asserted(signed()).scopes, {UserScope.READ})
        self.assertRaises(Forbidden, self.asserted, signed(cim_scope="send"))


class AttackTests(AssertedCase):
    """JWTs of somebody who has none of the issuer's private keys, or another JWT of the issuer."""

    def test_none(self):
        for algorithm in ("none", "None", "NONE", "nOnE", "", None, 0, ["none"], ["RS256"], {"a": "RS256"}):
            for signature in ("", "AA", signed().split(".")[2]):
                self.refused(f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims())}.{signature}")
        self.refused(f"{encoded({'typ': 'JWT'})}.{encoded(claims())}.AA", "must be signed by")

    def test_a_public_key_as_a_secret(self):
        public = pem(private_key("RSA"))
        for key in (public, public.strip(), public.replace(b"\n", b""), jwks(jwk("RSA", "r")), b"r", b""):
            for algorithm, hashed in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
                header = {"alg": algorithm, "typ": "JWT", "kid": "r"}
                self.refused(by_hand(header, claims(), key, hashed), "must be signed by")
                # As one of the allowed algorithms.
                self.refused(by_hand({**header, "alg": "RS256"}, claims(), key, hashed), "signature is wrong")
        # The same keys from a file, which have no ids.
        self.keys = keys_in_file(public, PAIRS.algorithms)
        self.refused(by_hand({"alg": "HS256"}, claims(), public), "must be signed by")

    def test_algorithms_that_are_not_pinned(self):
        for algorithm in ("RS384", "RS512", "PS256", "ES384", "ES256K", "HS256", "Ed448", "rs256", "RS256 "):
            self.refused(f"{encoded({'alg': algorithm})}.{encoded(claims())}.AA", "must be signed by")
        self.issuer = evolve(PAIRS, algorithms=("ES256",))
        self.refused(signed(), "must be signed by ES256")

    def test_a_key_of_another_kind(self):
        """A key counts for its own algorithm alone, whatever a token names."""
        for algorithm, id in (("RS256", "e"), ("ES256", "r"), ("EdDSA", "r")):
            self.assertRaises(UnknownKey, self.asserted, signed(algorithm=algorithm, header={"kid": id}))
        head = {"alg": "ES256", "kid": "e"}
        text = f"{encoded(head)}.{encoded(claims())}"
        self.refused(f"{text}.{signed().split('.')[2]}", "signature is wrong")
        # All zero, by which one library once let everybody in.
        for size in (0, 1, 63, 64, 65, 128):
            if size:
                self.refused(f"{text}.{encoded(bytes(size))}", "signature is wrong")

    def test_keys_of_others(self):
        for algorithm, id in (("RS256", "r"), ("ES256", "e"), ("EdDSA", "o")):
            self.refused(signed(algorithm=algorithm, number=1, header={"kid": id}), "signature is wrong")
            self.refused(signed(algorithm=algorithm, number=1), "signature is wrong")

    def test_ids_of_keys(self):
        for id in (
            "../../../../dev/null",
            "/etc/passwd",
            "x' UNION SELECT 'AA' -- ",
            "https://evil.example/jwks.json",
            "file:///dev/null",
            "|/usr/bin/id",
            "",
            "R",
            "r\0",
            "0",
        ):
            self.assertRaises(UnknownKey, self.asserted, signed(number=1, header={"kid": id}))
            self.refused(by_hand({"alg": "HS256", "kid": id}, claims(), b""), "must be signed by")
        for id in (7, ["r"], {"a": "r"}, None, True, "x" * 256):
            text = signed(header={"kid": "r"})
            head = encoded({"alg": "RS256", "kid": id})
            self.refused(".".join((head, *text.split(".")[1:])), "`kid` is no text")

    def test_keys_that_a_token_brings_along(self):
        evil = jwk("RSA", "evil", number=1)
        for header in (
            {"jwk": evil},
            {"jwk": evil, "kid": "evil"},
            {"jku": "https://evil.example/jwks"},
            {"jku": "https://evil.example/jwks", "kid": "evil"},
            {"x5u": "https://evil.example/cert"},
            {"x5c": [encoded(b"cert")]},
            {"x5t": "x", "x5t#S256": "x"},
        ):
            self.refused(signed(number=1, header=header))
            # They are no harm in one that is signed well; nobody looks at them.
            self.asserted(signed(header={name: value for name, value in header.items() if name != "kid"}))

    def test_extensions(self):
        for header in (
            {"crit": ["exp"]},
            {"crit": ["b64"], "b64": False},
            {"crit": ["b64"], "b64": True},
            {"crit": []},
            {"crit": "b64"},
            {"b64": False},
            {"crit": ["cim"], "cim": 1},
        ):
            text = signed()
            head = encoded({"alg": "RS256", **header})
            self.refused(".".join((head, *text.split(".")[1:])), "extensions")
            good = by_hand({"alg": "HS256", **header}, claims(), SECRET)
            error = self.assertRaises(Unauthorized, verified, SECRETS, [secret_key(SECRET)], good, NOW)
            self.assertIn("extensions", error.message)

    def test_jwts_for_something_else(self):
        for kind in ("logout+jwt", "secevent+jwt", "dpop+jwt", "JOSE", "", 7, None, ["JWT"]):
            good = by_hand({"alg": "HS256", "typ": kind}, claims(), SECRET)
            error = self.assertRaises(Unauthorized, verified, SECRETS, [secret_key(SECRET)], good, NOW)
            self.assertIn("not for logging in", error.message)

    def test_names_that_occur_twice(self):
        body = json.dumps(claims())
        for said in (
            body[:-1] + ', "sub": "admin"}',
            body[:-1] + ', "exp": 9999999999}',
            '{"iss": "https://evil.example", ' + body[1:],
            body[:-1] + ', "deep": {"a": 1, "a": 2}}',
        ):
            self.refused(signed(said.encode()), "no JWT of an issuer")
        for head in (b'{"alg":"HS256","alg":"RS256"}', b'{"alg":"HS256","kid":"a","kid":"b"}'):
            self.refused(by_hand(head, claims(), SECRET), "no JWT of an issuer")

    def test_changed_by_one_character(self):
        text = signed()
        header, body, signature = text.split(".")
        self.refused(f"{header}.{encoded(claims(sub='admin'))}.{signature}", "signature is wrong")
        for at in range(0, len(signature), 40):
            other = "A" if signature[at] != "A" else "B"
            self.refused(f"{header}.{body}.{signature[:at]}{other}{signature[at + 1 :]}")

    def test_what_is_no_jwt(self):
        header, body, signature = signed().split(".")
        for text in (
            "",
            ".",
            "..",
            "a.b",
            f"{header}.{body}.",
            f"{header}.{body}",
            f".{body}.{signature}",
            f"{header}.{body}.{signature}.{signature}.{signature}",
            f"{header}.{body}.{signature}=",
            f"{header}=.{body}.{signature}",
            f" {header}.{body}.{signature}",
            f"{header}.{body}.{signature}\n",
            f"{header}.{body}.{signature[:-1]}+",
            f"{header}.{body}.ü{signature}",
            "\ud800.a.b",
            json.dumps({"payload": body, "signatures": [{"protected": header, "signature": signature}]}),
            f"{encoded([])}.{body}.{signature}",
            f"{encoded(7)}.{body}.{signature}",
            f"{encoded(b'{')}.{body}.{signature}",
            f"{encoded(bytes([255]))}.{body}.{signature}",
            f"{header}.{encoded(['iss', ISSUER])}.{signature}",
            f"{encoded(b'[' * 3000)}.{body}.{signature}",
            f"{header}.{encoded(b'{' + b'x' * 9000)}.{signature}",
            "A" * 1_000_000,
            ".".join(["A" * 100_000] * 3),
        ):
            self.assertIsNone(named(text))
            self.refused(text, "no JWT of an issuer")

    def test_long_ones(self):
        self.asserted(signed(more="x" * 4000))
        text = signed(more="x" * 6200)
        self.assertGreater(len(text), MAX_LENGTH)
        self.refused(text, "no JWT of an issuer")
        self.refused(signed(said=(b'{"a":' * 800 + b"1" + b"}" * 800)))

    def test_our_own_tokens(self):
        """Neither a token nor a ticket of ours is one of an issuer's, though they are JWTs."""
        ours = {
            "sub": "5",
            "name": "mary",
            "jti": "1",
            "ims": NOW * 1000,
            "exp": NOW + 600,
            "iat": NOW,
            "aud": AUDIENCE,
        }
        self.assertIsNone(named(sign(SECRET, ours)))
        keys = [secret_key(SECRET)]
        self.assertRaises(Unauthorized, verified, SECRETS, keys, sign(SECRET, ours), NOW)

    def test_a_key_of_another_issuer(self):
        """Its keys count for nobody else, though both have the same ids."""
        other = Issuer(issuer="https://other.example", audience=AUDIENCE, algorithms=("RS256",), keys="o")
        keys = keys_in_set(jwks(jwk("RSA", "r", number=1)), other.algorithms)
        text = signed(number=1, header={"kid": "r"})
        self.refused(text, "signature is wrong")
        self.assertRaises(Unauthorized, verified, other, keys, text, NOW)
        theirs = signed(iss=other.issuer, number=1, header={"kid": "r"})
        self.assertEqual(verified(other, keys, theirs, NOW).external, ExternalId(other.issuer, "mary"))
        self.refused(theirs, "no JWT of an issuer")

    def test_many_keys_without_ids(self):
        """No more than a few are tried."""
        many = jwks(*(jwk("EC", str(number), number=number) for number in range(1, 7)), jwk("EC", "e"))
        self.keys = keys_in_set(many, PAIRS.algorithms)
        self.asserted(signed(algorithm="ES256", number=3))
        self.refused(signed(algorithm="ES256"), "signature is wrong")
        self.asserted(signed(algorithm="ES256", header={"kid": "e"}))
