"""Tests of the keys of issuers."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import RSAAlgorithm

from twisted.trial.unittest import SynchronousTestCase

from cim.issuers.issuer import PAIR_ALGORITHMS
from cim.issuers.keys import MAX_KEYS, BadKeys, fitting, keys_in_file, keys_in_set, secret_key
from tests.issuers.signing import SECRET, encoded, jwk, jwks, pem, private_key, private_pem


class FileTests(SynchronousTestCase):
    """Keys in files."""

    def test_public_keys_in_pem(self):
        content = b"# ours\n" + b"".join(pem(private_key(kind)) for kind in ("RSA", "EC", "OKP"))
        keys = keys_in_file(content, PAIR_ALGORITHMS)
        self.assertEqual([(key.algorithm, key.id) for key in keys], [("RS256", None), ("ES256", None), ("EdDSA", None)])

    def test_a_set(self):
        self.assertEqual(keys_in_file(jwks(jwk("EC", "one")), PAIR_ALGORITHMS)[0].id, "one")

    def test_what_cannot_be_used(self):
        short = rsa.generate_private_key(65537, 1024)
        for content, wrong in (
            (b"", "has no public key"),
            (b"hello", "has no public key"),
            (private_pem(private_key("RSA")), "has a private key"),
            (pem(private_key("RSA")) + private_pem(private_key("RSA", 1)), "has a private key"),
            (pem(short), "is too short"),
            (pem(ec.generate_private_key(ec.SECP384R1())), "is none for"),
            (pem(ed448.Ed448PrivateKey.generate()), "is none for"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "cannot be read"),
            (b"{", "is not a JSON object"),
        ):
            error = self.assertRaises(BadKeys, keys_in_file, content, PAIR_ALGORITHMS)
            self.assertIn(wrong, str(error))
        error = self.assertRaises(BadKeys, keys_in_file, pem(private_key("RSA")), ["ES256"])
        self.assertIn("is none for ES256", str(error))

    def test_secrets(self):
        self.assertEqual(secret_key(SECRET).algorithm, "HS256")
        for secret, wrong in (
            (SECRET[:31], "is shorter than 32 bytes"),
            (b"a" * 64, "is easy to guess"),
            (pem(private_key("RSA")), "perhaps a public one"),
            (jwks(jwk("RSA")), "perhaps a public one"),
        ):
            self.assertIn(wrong, str(self.assertRaises(BadKeys, secret_key, secret)))


class SetTests(SynchronousTestCase):
    """JWK Sets."""

    def used(self, *keys, algorithms=PAIR_ALGORITHMS):
        """Return the ids of the keys that are used beside one that is good."""
        good = jwk("OKP", "good")
        return [key.id for key in keys_in_set(jwks(*keys, good), (*algorithms, "EdDSA"))][:-1]

    def test_good_keys(self):
        keys = (
            jwk("RSA", "a"),
            jwk("EC", "b", use="sig"),
            jwk("OKP", "c", alg="EdDSA", key_ops=["verify"]),
            jwk("RSA"),
        )
        self.assertEqual(self.used(*keys), ["a", "b", "c", None])
        # What is not known about a key does not matter, nor where its certificate is.
        self.assertEqual(self.used(jwk("RSA", "a", x5u="https://evil.example", x5t="x", more=[1])), ["a"])

    def test_keys_that_are_left_out(self):
        p384 = ec.generate_private_key(ec.SECP384R1()).public_key()
        numbers = p384.public_numbers()
        wide = {"kty": "EC", "crv": "P-384", "x": encoded(numbers.x.to_bytes(48)), "y": encoded(numbers.y.to_bytes(48))}
        short = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
        private = RSAAlgorithm.to_jwk(private_key("RSA"), as_dict=True)
        for bad in (
            {"kty": "oct", "k": encoded(SECRET), "kid": "x", "alg": "HS256"},
            {"kty": "none"},
            {"kty": ["RSA"]},
            {"kty": {"a": 1}},
            {},
            7,
            None,
            "RSA",
            wide,
            short,
            private,
            jwk("RSA", "x", use="enc"),
            jwk("RSA", "x", key_ops=["encrypt"]),
            jwk("RSA", "x", key_ops="verify"),
            jwk("RSA", "x", alg="HS256"),
            jwk("RSA", "x", alg="RS512"),
            jwk("RSA", "x", alg=["RS256"]),
            jwk("RSA", "x", k=encoded(SECRET)),
            jwk("RSA", 7),
            jwk("RSA", ["x"]),
            jwk("RSA", "x", n="AQAB"),
            jwk("RSA", "x", n="!!!"),
            jwk("RSA", "x", n=7),
            jwk("RSA", "x", e="AA"),
            jwk("RSA", "x", crv="P-256"),
            jwk("EC", "x", crv="P-521"),
            jwk("EC", "x", crv="secp256k1"),
            jwk("EC", "x", crv=["P-256"]),
            # A point that is not on the curve.
            jwk("EC", "x", y=encoded(bytes(32))),
            jwk("EC", "x", x=encoded(b"short")),
            jwk("OKP", "x", crv="X25519"),
            jwk("OKP", "x", x=encoded(b"short")),
            {**jwk("OKP", "x"), "kty": "EC"},
        ):
            self.assertEqual(self.used(bad), [], bad)
        self.assertEqual(self.used(jwk("RSA", "x"), algorithms=("ES256",)), [])

    def test_what_is_no_set(self):
        good = jwk("RSA", "a")
        twice = f'{{"keys": [], "keys": [{json.dumps(good)}]}}'.encode()
        for content in (
            b"",
            b"[]",
            b"null",
            b"\xff",
            b'{"keys": {}}',
            b"{}",
            jwks(),
            jwks({"kty": "oct", "k": encoded(SECRET)}),
            jwks(*[good] * (MAX_KEYS + 1)),
            twice,
            b'{"a":' * 20_000,
            jwks(good) + b" " * 65536,
            b'{"keys": [NaN]}',
        ):
            self.assertRaises(BadKeys, keys_in_set, content, PAIR_ALGORITHMS)

    def test_which_fit(self):
        keys = keys_in_set(
            jwks(jwk("RSA", "a"), jwk("RSA", "b", 1), jwk("EC", "a"), jwk("RSA", number=2)), PAIR_ALGORITHMS
        )
        for algorithm, id, fit in (
            ("RS256", "a", [0, 3]),
            ("RS256", "c", [3]),
            ("ES256", "a", [2]),
            ("ES256", "b", []),
            ("RS256", None, [0, 1, 3]),
            ("HS256", "a", []),
        ):
            self.assertEqual([keys.index(key) for key in fitting(keys, algorithm, id)], fit, (algorithm, id))
