"""Signatures as Standard Webhooks has them (https://www.standardwebhooks.com), by which receivers know who sends."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

#: What a secret in text form begins with.
PREFIX = "whsec_"
#: How many bytes a secret may have.
LEAST_SECRET, MOST_SECRET = 24, 64


def read_secret(text: str) -> bytes:
    """Return the secret that a text such as `whsec_...` is.

    :raises ValueError: it is none; says why, but never what it is
    """
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
    except binascii.Error:
        secret = b""
    if not LEAST_SECRET <= len(secret) <= MOST_SECRET:
        raise ValueError(
            f"must be {PREFIX} and {LEAST_SECRET} to {MOST_SECRET} random bytes in base64:"
            f' echo "{PREFIX}$(openssl rand -base64 32)"'
        )
    return secret


def signed(secret: bytes, id: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a body.

    :param id: the same whenever the same thing is sent again; without a full stop
    :param at: when it is sent, in seconds since 1970
    """
    digest = hmac.digest(secret, b"%b.%d.%b" % (id.encode("ascii"), at, body), hashlib.sha256)
    return {
        "Webhook-Id": id,
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": f"v1,{base64.b64encode(digest).decode()}",
    }
