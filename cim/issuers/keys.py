"""The keys of an issuer: public keys in PEM, a JWK Set (RFC 7517), or a secret."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jwt
from attrs import frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from cim.issuers.issuer import MIN_SECRET, SECRET_ALGORITHM
from cim.keys import weakness
from cim.strict_json import parse_object

#: The largest set of keys, bytes, and the most keys that are looked at.
MAX_BYTES = 64 * 1024
MAX_KEYS = 100
#: The sizes of RSA keys that are used, bits: RFC 7518 wants 2048, and beyond the last checking takes long.
_RSA_BITS = range(2048, 8193)
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
#: What a JWK's `kty` and curve say of its algorithm, and what reads it.
_KINDS: Mapping[tuple[Any, Any], tuple[str, Any]] = {
    ("RSA", None): ("RS256", RSAAlgorithm),
    ("EC", "P-256"): ("ES256", ECAlgorithm),
    ("OKP", "Ed25519"): ("EdDSA", OKPAlgorithm),
}
#: What only a private or a secret key has.
_SECRETS = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


class BadKeys(Exception):
    """What should be keys is none that may be used; the end of a sentence, without what it is."""


@frozen
class Key:
    """A key that checks signatures.

    :param algorithm: the only one that it is for
    :param id: its `kid`; None if it has none
    """

    algorithm: str
    key: Any
    id: str | None = None


def secret_key(secret: bytes) -> Key:
    """Return the key of a secret.

    :raises BadKeys: it is too short, or not secret
    """
    if len(secret) < MIN_SECRET:
        raise BadKeys(f"is shorter than {MIN_SECRET} bytes: make one by `cim-admin key secret FILE`")
    if secret.lstrip().startswith(b"-----BEGIN") or secret.startswith((b"ssh-", b"{")):
        raise BadKeys("is a key, perhaps a public one, not a secret: make one by `cim-admin key secret FILE`")
    if weakness(secret, MIN_SECRET):
        raise BadKeys("is easy to guess: make one by `cim-admin key secret FILE`")
    return Key(SECRET_ALGORITHM, secret)


def keys_in_file(content: bytes, algorithms: Collection[str]) -> list[Key]:
    """Return the keys of a file: public keys in PEM, or a JWK Set.

    :param algorithms: those that are used
    :raises BadKeys: there is none, or one that cannot be used
    """
    if content.lstrip().startswith(b"{"):
        return keys_in_set(content, algorithms)
    keys = []
    for block in _PEM.finditer(content):
        if block[1] != b"PUBLIC KEY":
            raise BadKeys(f"has a {block[1].decode().lower()}: it must have public keys alone (openssl pkey -pubout)")
        try:
            found = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm):
            raise BadKeys("has a public key that cannot be read") from None
        algorithm = _algorithm_of(found)
        if algorithm not in algorithms:
            raise BadKeys(f"has a public key that is none for {', '.join(algorithms)}, or is too short")
        keys.append(Key(algorithm, found))
    if not keys:
        raise BadKeys("has no public key in PEM, and is no JWK Set")
    return keys


def keys_in_set(content: bytes, algorithms: Collection[str]) -> list[Key]:
    """Return those keys of a JWK Set that may be used; others are left out, as RFC 7517 has it.

    :param algorithms: those that are used
    :raises BadKeys: it is no JWK Set, or has none of these
    """
    if len(content) > MAX_BYTES:
        raise BadKeys(f"is longer than {MAX_BYTES} bytes")
    try:
        listed = parse_object(content).get("keys")
    except ValueError:
        raise BadKeys("is not a JSON object") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise BadKeys(f"is no JWK Set of at most {MAX_KEYS} keys")
    keys = [key for one in listed if isinstance(one, dict) and (key := _key(one, algorithms)) is not None]
    if not keys:
        raise BadKeys(f"has no key for {', '.join(algorithms)}")
    return keys


def _key(jwk: Mapping[str, Any], algorithms: Collection[str]) -> Key | None:
    """Return the key of a JWK; None if it is none for these algorithms, or not for signatures."""
    kind, curve, id = jwk.get("kty"), jwk.get("crv"), jwk.get("kid")
    if not (isinstance(kind, str) and isinstance(curve, str | None) and isinstance(id, str | None)):
        return None
    algorithm, reader = _KINDS.get((kind, curve), ("", None))
    operations = jwk.get("key_ops", ["verify"])
    if (
        reader is None
        or algorithm not in algorithms
        or not _SECRETS.isdisjoint(jwk)
        or jwk.get("alg", algorithm) != algorithm
        or jwk.get("use", "sig") != "sig"
        or not isinstance(operations, list)
        or "verify" not in operations
    ):
        return None
    try:
        found = reader.from_jwk(dict(jwk))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, OverflowError, UnsupportedAlgorithm):
        return None
    return Key(algorithm, found, id) if _algorithm_of(found) == algorithm else None


def _algorithm_of(key: object) -> str:
    """Return what a public key is for; "" for nothing that is used."""
    if isinstance(key, RSAPublicKey) and key.key_size in _RSA_BITS:
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else ""


def fitting(keys: Sequence[Key], algorithm: str, id: str | None) -> list[Key]:
    """Return the keys by which a token may be signed.

    :param id: the `kid` that it names; None for none
    """
    return [key for key in keys if key.algorithm == algorithm and (id is None or key.id in (None, id))]
