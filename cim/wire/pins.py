"""Pins: what somebody who knows a server's key calls it by, instead of who vouches for it (docs/client.md).

A pin is `sha256:` and, in hexadecimal digits, the hash of the public key in its DER form (SubjectPublicKeyInfo). It is
of the key and not of the certificate, so that it stays when the certificate is renewed.
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
    """Return a pin as `pin_of` writes it.

    :raises InvalidField: it is none
    """
    pin = text.strip().lower()
    if not re.fullmatch(_PREFIX + "[0-9a-f]{64}", pin):
        raise InvalidField("pin", f"must be sha256: and 64 hexadecimal digits, is {quoted(text, 100)}")
    return pin
