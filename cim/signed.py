"""Signed claims: JSON Web Tokens with one fixed algorithm, whatever algorithm a token names.

Written out here because a login signs two and has two checked, and a library of all algorithms takes ten times as long.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

from cim.errors import Unauthorized

#: Longer tokens are not ours and are refused unread.
MAX_LENGTH = 4096
_encode = json.JSONEncoder(separators=(",", ":")).encode


def _coded(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


#: What all tokens of ours begin with, by RFC 7515, section 3; no other one is signed with our keys.
_HEADER = _coded(b'{"alg":"HS256","typ":"JWT"}')


def sign(key: bytes, claims: Mapping[str, Any]) -> str:
    """Return a token with these claims.

    :param key: 32 bytes or more, used for one purpose only
    """
    signed = _HEADER + b"." + _coded(_encode(claims).encode())
    return (signed + b"." + _signature(key, signed)).decode()


def _signature(key: bytes, signed: bytes) -> bytes:
    return _coded(hmac.digest(key, signed, "sha256"))


def verify(key: bytes, text: str, now: float | None, *audiences: str) -> dict[str, Any]:
    """Return the claims of a token that this key signed, that has not expired, and that has `sub`, `exp` and `jti`.

    :param now: seconds since 1970; None if it does not matter when the token expires
    :param audiences: of these the token must name one; "" stands for none at all, as if nothing is given
    :raises Unauthorized: the token is anything else
    """
    if len(text) > MAX_LENGTH or not text.isascii():
        raise Unauthorized()
    signed, _, signature = text.encode().rpartition(b".")
    header, _, body = signed.partition(b".")
    if header != _HEADER or not hmac.compare_digest(signature, _signature(key, signed)):
        raise Unauthorized()
    # Nothing is read of what we did not sign, so this is JSON.
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(body + b"=="))
    expires = claims.get("exp")
    if not (isinstance(claims.get("sub"), str) and isinstance(claims.get("jti"), str) and type(expires) is int):
        raise Unauthorized()
    if claims.get("aud", "") not in (audiences or ("",)):
        raise Unauthorized()
    if now is not None and expires <= now:
        raise Unauthorized("it has expired, please log in again")
    return claims
