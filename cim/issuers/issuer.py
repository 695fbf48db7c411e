"""An issuer of JWTs, as operators configure it (docs/own-users.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from cim.external_ids import MAX_ISSUER
from cim.user_tokens import ALL, UserScope, scopes_of, words_of

#: The algorithm of a secret that both sides know, and those of key pairs.
SECRET_ALGORITHM = "HS256"
PAIR_ALGORITHMS = ("RS256", "ES256", "EdDSA")
#: The least length of a secret, bytes.
MIN_SECRET = 32
#: The longest that any JWT may be good for, seconds: it is forgotten later who was deleted.
MAX_LIFETIME = 24 * 3600
MAX_LEEWAY = 300


@frozen(kw_only=True)
class Issuer:
    """Whose JWTs log users in, and what these must be like.

    :param issuer: its name, the claim `iss`
    :param audience: what the claim `aud` must have
    :param algorithms: the only ones
    :param keys: a file with public keys, or the https URL of a JWK Set (RFC 7517); empty with a secret
    :param secret_file: the file of the secret; empty with keys
    :param leeway: by how many seconds its clock may be ahead
    :param lifetime: the most seconds from `iat` to `exp`
    :param scopes: what its users may do at most
    :param name_claim: which claim new accounts are named by
    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...]
    keys: str = ""
    secret_file: str = ""
    leeway: int = 10
    lifetime: int = 3600
    scopes: frozenset[UserScope] = ALL
    name_claim: str = "name"

    @property
    def url(self) -> str:
        """The URL of its keys; empty if they are in a file."""
        return self.keys if self.keys.startswith("https://") else ""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_ISSUER or not value.isprintable():
        raise ValueError(f"must be a text of 1 to {MAX_ISSUER} printable characters")
    return value


def _path(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must name a file")
    return value


def _keys(value: Any) -> str:
    if isinstance(value, str) and value.partition("://")[1] and not value.startswith("https://"):
        raise ValueError("must be a file, or a URL that begins with https://")
    return _path(value)


def _words(value: Any) -> list[str]:
    words = value.split(",") if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError("must be a list of words")
    return [word.strip() for word in words]


def _algorithms(value: Any) -> tuple[str, ...]:
    words = _words(value)
    known = (SECRET_ALGORITHM, *PAIR_ALGORITHMS)
    if not set(words) <= set(known):
        raise ValueError(f"must be among {', '.join(known)}")
    if SECRET_ALGORITHM in words and len(set(words)) > 1:
        raise ValueError(f"must be {SECRET_ALGORITHM} alone, which has a secret, or others, which have public keys")
    return tuple(dict.fromkeys(words))


def _scopes(value: Any) -> frozenset[UserScope]:
    words = _words(value)
    scopes = scopes_of(words)
    if len(scopes) < len(set(words)):
        raise ValueError(f"must be some of {', '.join(words_of(ALL))}")
    return scopes


def _seconds(least: int, most: int) -> Callable[[Any], int]:
    def seconds(value: Any) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:9])
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"must be a number of seconds from {least} to {most}")
        return value

    return seconds


#: What an issuer is configured by: the name in the file, that of the field, and how it is read.
_FIELDS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "issuer": ("issuer", _text),
    "audience": ("audience", _text),
    "algorithms": ("algorithms", _algorithms),
    "keys": ("keys", _keys),
    "secret-file": ("secret_file", _path),
    "leeway": ("leeway", _seconds(0, MAX_LEEWAY)),
    "lifetime": ("lifetime", _seconds(1, MAX_LIFETIME)),
    "scopes": ("scopes", _scopes),
    "name-claim": ("name_claim", _text),
}


def read_issuer(table: Mapping[str, Any]) -> Issuer:
    """Return the issuer that a table `[[jwt-issuer]]` describes.

    :raises ValueError: it describes none; the end of a sentence
    """
    given = {}
    for name, value in table.items():
        if name not in _FIELDS:
            raise ValueError(f"has an unknown key {name}: there are {', '.join(_FIELDS)}")
        field, read = _FIELDS[name]
        try:
            given[field] = read(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    for name in ("issuer", "audience", "algorithms"):
        if name not in given:
            raise ValueError(f"{name} is missing")
    by_secret = SECRET_ALGORITHM in given["algorithms"]
    wanted, other = ("secret-file", "keys") if by_secret else ("keys", "secret-file")
    if wanted not in table or other in table:
        raise ValueError(f"must have {wanted}, and no {other}, for {', '.join(given['algorithms'])}")
    return Issuer(**given)


def parse_issuer(text: str) -> Issuer:
    """Return the issuer that the words of an option describe, such as `issuer=... audience=... keys=...`.

    :raises ValueError: they describe none; the end of a sentence
    """
    table: dict[str, str] = {}
    for word in text.split():
        name, given, value = word.partition("=")
        if not given or name in table:
            raise ValueError(f"must consist of words such as audience=chat, each once; {name} is not")
        table[name] = value
    return read_issuer(table)
