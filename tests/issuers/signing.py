"""Signs JWTs as issuers do, and as nobody should."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://id.example.com"
AUDIENCE = "chat"
SECRET = b"Jefe, what do ya want for nothing? 0123456789"
NOW = 1_700_000_000


def private_key(kind, number=0):
    """Return a private key: RSA, EC or OKP; those of different numbers differ."""
    return _private_key(kind, number)


@functools.cache
def _private_key(kind, number):
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if kind == "EC" else ed25519.Ed25519PrivateKey.generate()


def pem(key):
    """Return the public key of a private one in PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key):
    """Return a private key in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def jwk(kind, id=None, number=0, **fields):
    """Return a public key as a JWK."""
    reader = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}[kind]
    made = reader.to_jwk(private_key(kind, number).public_key(), as_dict=True)
    made.pop("key_ops", None)
    return {**made, **({"kid": id} if id is not None else {}), **fields}


def jwks(*keys):
    """Return a JWK Set."""
    return json.dumps({"keys": keys}).encode()


def encoded(data):
    """Return base64url without padding, of bytes, or of the JSON of anything else."""
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changed):
    """Return good claims; what is changed to None is left out."""
    whole = {"iss": ISSUER, "aud": AUDIENCE, "sub": "mary", "iat": NOW - 5, "exp": NOW + 600, **changed}
    return {name: value for name, value in whole.items() if value is not None}


def signed(said=None, algorithm="RS256", number=0, header=None, **changed):
    """Return a JWT that is signed well.

    :param said: its claims, as JSON in bytes if they are no usual ones
    """
    kind = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}.get(algorithm)
    key = private_key(kind, number) if kind else SECRET
    said = claims(**changed) if said is None else said
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    return jwt.PyJWS().encode(payload, key, algorithm=algorithm, headers=header)


def by_hand(header, said, key, hashed=hashlib.sha256):
    """Return a JWT with any header, signed by HMAC with any key.

    :param header: the header, as JSON in bytes if it is no usual one
    """
    text = f"{encoded(header)}.{encoded(said)}"
    return f"{text}.{encoded(hmac.new(key, text.encode(), hashed).digest())}"
