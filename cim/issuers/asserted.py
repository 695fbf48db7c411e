"""What a JWT of an issuer asserts, once everything about it was checked (RFC 7519, RFC 8725).

The library checks the signature, with the key and the algorithm that are given to it. Everything else is read here,
strictly, from the same bytes: what two readers could read differently is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

import jwt
from attrs import frozen

from cim.errors import Forbidden, InvalidField, Unauthorized
from cim.external_ids import ExternalId, check_external_id
from cim.issuers.issuer import Issuer
from cim.issuers.keys import Key, fitting
from cim.strict_json import parse_object
from cim.user_tokens import UserScope, scopes_of

#: The longest JWT that is looked at, characters.
MAX_LENGTH = 8192
#: How many keys are tried for a JWT that names none.
MAX_TRIED = 4
MAX_KEY_ID = 255
#: What a JWT may say that it is. Others, such as `logout+jwt`, are not for logging in (RFC 8725, 3.11).
_TYPES = frozenset(("jwt", "at+jwt", "application/at+jwt"))
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
#: The claim that says what may be done, in words.
SCOPE_CLAIM = "cim_scope"
_MAX_TIME = 1 << 53


class UnknownKey(Unauthorized):
    """The JWT names a key that the issuer does not have, as far as is known."""


@frozen
class Named:
    """What a JWT says of itself, of which nothing was checked.

    :param issuer: the claim `iss`
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    issuer: str


@frozen
class Asserted:
    """What an issuer asserts of whoever has its JWT.

    :param issued: seconds since 1970, on the issuer's clock
    :param ends: likewise, when it ends
    :param name: what a new account may be called; empty for nothing
    """

    external: ExternalId
    issued: float
    ends: float
    scopes: frozenset[UserScope]
    name: str = ""


def named(text: str) -> Named | None:
    """Return what a JWT says of itself; None if it is none, or names no issuer."""
    if len(text) > MAX_LENGTH or not _JWT.fullmatch(text):
        return None
    try:
        header, claims = (parse_object(_decoded(part)) for part in text.split(".")[:2])
    except ValueError:
        return None
    issuer = claims.get("iss")
    return Named(header, claims, issuer) if isinstance(issuer, str) and issuer else None


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("it is not base64url") from None


def verified(issuer: Issuer, keys: Sequence[Key], text: str, now: float) -> Asserted:
    """Return what a JWT asserts.

    :param keys: the issuer's
    :param now: seconds since 1970, as people see the time
    :raises UnknownKey: it names another key
    :raises Unauthorized: it does not log anybody in; the message says why
    :raises Forbidden: it is good for nothing here
    """
    said = named(text)
    if said is None or said.issuer != issuer.issuer:
        raise Unauthorized("this is no JWT of an issuer that is known here")
    _check_signature(issuer, keys, text, said.header)
    return _read(issuer, said.claims, now)


def _check_signature(issuer: Issuer, keys: Sequence[Key], text: str, header: dict[str, Any]) -> None:
    algorithm, id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        raise Unauthorized(f"the JWT must be signed by {' or '.join(issuer.algorithms)}")
    if "crit" in header or "b64" in header:
        raise Unauthorized("the JWT has extensions that are not known here")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise Unauthorized("the JWT is not for logging in: its `typ` says something else")
    if "kid" in header and not (isinstance(id, str) and len(id) <= MAX_KEY_ID):
        raise Unauthorized("the JWT's `kid` is no text")
    candidates = fitting(keys, algorithm, id)
    if not candidates:
        raise UnknownKey("the JWT was signed by a key that its issuer does not have")
    for candidate in candidates[:MAX_TRIED]:
        try:
            # The signature alone: the claims are read by ourselves.
            jwt.PyJWS().decode_complete(text, candidate.key, algorithms=[candidate.algorithm])
        except (jwt.InvalidTokenError, jwt.InvalidKeyError, ValueError, TypeError):
            continue
        return
    raise Unauthorized("the JWT's signature is wrong")


def _read(issuer: Issuer, claims: dict[str, Any], now: float) -> Asserted:
    audiences = claims.get("aud")
    for_us = audiences if isinstance(audiences, list) else [audiences]
    if not any(isinstance(one, str) and one == issuer.audience for one in for_us):
        raise Unauthorized("the JWT is for another audience")
    issued, ends = _time(claims, "iat"), _time(claims, "exp")
    if ends <= now:
        raise Unauthorized("the JWT has expired: get a new one")
    if not 0 < ends - issued <= issuer.lifetime:
        raise Unauthorized(f"the JWT must be good for at most {issuer.lifetime} s from its `iat` to its `exp`")
    starts = max(issued, _time(claims, "nbf") if "nbf" in claims else 0.0)
    if starts > now + issuer.leeway:
        raise Unauthorized("the JWT is not good yet: the issuer's clock is ahead")
    subject = claims.get("sub")
    try:
        if not isinstance(subject, str):
            raise InvalidField("sub", "is missing")
        external = ExternalId(issuer.issuer, check_external_id(subject, "sub"))
    except InvalidField as error:
        raise Unauthorized(f"the JWT's `sub` {error.reason}") from None
    name = claims.get(issuer.name_claim)
    return Asserted(external, issued, ends, _scopes(issuer, claims), name if isinstance(name, str) else "")


def _time(claims: dict[str, Any], claim: str) -> float:
    value = claims.get(claim)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_TIME:
        raise Unauthorized(f"the JWT's `{claim}` is missing, or is no time in seconds since 1970")
    return float(value)


def _scopes(issuer: Issuer, claims: dict[str, Any]) -> frozenset[UserScope]:
    """Return what a JWT grants: what its issuer may, or what of that its own claim names."""
    if SCOPE_CLAIM not in claims:
        return issuer.scopes
    words = claims[SCOPE_CLAIM]
    words = words.split() if isinstance(words, str) else words
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Unauthorized(f"the JWT's `{SCOPE_CLAIM}` must be a text of words, or a list of them")
    granted = scopes_of(words) & issuer.scopes
    if not granted:
        raise Forbidden(f"the JWT grants nothing: its `{SCOPE_CLAIM}` names no scope that its users may have")
    return granted
