"""Pins identify servers by their public keys, whoever signed their certificates (docs/client.md, TLS).

A pin is `sha256:` and the hash of the public key in DER form (SubjectPublicKeyInfo), in hexadecimal digits. Since it is
of the key and not of the certificate, it stays the same when the certificate is renewed.
"""

from __future__ import annotations

import re
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cim.errors import InvalidField
from cim.plain import quoted

_PREFIX = "sha256:"


def pin_of(key: CertificatePublicKeyTypes) -> str:
    """Return the pin of a public key."""
    return _PREFIX + sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def parse_pin(text: str) -> str:
    """Parse a pin, and return it in the form that `pin_of` gives it.

    :raises InvalidField: it is not a pin
    """
    pin = text.strip().lower()
    if not re.fullmatch(_PREFIX + "[0-9a-f]{64}", pin):
        raise InvalidField("pin", f"must be sha256: and 64 hexadecimal digits, but is {quoted(text, 100)}")
    return pin
