"""Signed claims: JSON Web Tokens with one fixed algorithm, whatever algorithm a token names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from cim.errors import Unauthorized

_ALGORITHM = "HS256"
#: Longer tokens are not ours and are refused unread.
MAX_LENGTH = 4096


def sign(key: bytes, claims: Mapping[str, Any]) -> str:
    """Return a token with these claims.

    :param key: 32 bytes or more, used for one purpose only
    """
    return jwt.encode(dict(claims), key, algorithm=_ALGORITHM)


def verify(key: bytes, text: str, now: float | None, *audiences: str) -> dict[str, Any]:
    """Return the claims of a token that this key signed, that has not expired, and that has `sub`, `exp` and `jti`.

    :param now: seconds since 1970; None if it does not matter when the token expires
    :param audiences: of these the token must name one; "" stands for none at all, as if nothing is given
    :raises Unauthorized: the token is anything else
    """
    if len(text) > MAX_LENGTH or not text.isascii():
        raise Unauthorized()
    try:
        claims: dict[str, Any] = jwt.decode(
            text,
            key,
            algorithms=[_ALGORITHM],
            # Times are checked below, on the clock that was passed in, and so is for whom it is.
            options={
                "require": ["sub", "exp", "jti"],
                "verify_aud": False,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            },
        )
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise Unauthorized() from None
    if claims.get("aud", "") not in (audiences or ("",)):
        raise Unauthorized()
    expires = claims["exp"]
    if type(expires) is not int:
        raise Unauthorized()
    if now is not None and expires <= now:
        raise Unauthorized("it has expired, please log in again")
    return claims
