"""API keys of back ends and operators: their scopes, and the file that holds them (docs/security.md, API keys).

A line of the file is one of

    <name>: <scopes>: sha256:<64 digits>    the hash of a key that may do what its scopes say
    <key>                                   a key that may do everything
    operator <key>                          likewise, and sends past blocks

A key behind a name sends past blocks if the word `operator` is among its scopes. Keys are random, so that a hash
without a salt tells nobody what they are.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

from attrs import frozen

from cim.errors import InvalidField
from cim.keys import weakness
from cim.private_files import BadFile, read_private

MIN_KEY = 16
#: The word for keys that send past blocks.
OPERATOR = "operator"
_HASH = "sha256:"
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):\s+([a-z]+(?:\s+[a-z]+)*):\s+sha256:([0-9a-f]{64})")


class Scope(enum.StrEnum):
    """What an API key may do; every call that takes one needs one scope."""

    #: Send messages as any user.
    SEND = "send"
    #: Make and delete accounts, set and reset passwords, end sessions, invite people.
    USERS = "users"
    #: Make and delete groups, and decide who is in them.
    GROUPS = "groups"
    #: Ban and mute users, delete messages, handle reports, and broadcast.
    MODERATE = "moderate"
    #: See users, groups, sessions and who is online.
    READ = "read"
    #: See how the cluster is, and take all of its data away.
    ADMIN = "admin"


ALL = frozenset(Scope)


@frozen
class APIKey:
    """An API key as it is kept.

    :param digest: the SHA-256 of the key
    :param name: empty for one without a name
    :param past_blocks: whether it sends past blocks
    """

    digest: bytes
    name: str = ""
    scopes: frozenset[Scope] = ALL
    past_blocks: bool = False

    @property
    def id(self) -> str:
        """What tells it from the others, also when the file is read again."""
        return self.name or self.digest.hex()


def digest_of(key: bytes) -> bytes:
    """Return the hash of a key."""
    return hashlib.sha256(key).digest()


def line_of(key: str, name: str, scopes: Iterable[Scope], *, past_blocks: bool = False) -> str:
    """Return the line of a file for a key with a name."""
    words = [*([OPERATOR] if past_blocks else []), *(scope for scope in Scope if scope in set(scopes))]
    line = f"{name}: {' '.join(words)}: {_HASH}{digest_of(key.encode()).hex()}"
    _parse(line)
    return line


def parse_keys(lines: Iterable[str]) -> list[APIKey]:
    """Return the keys of the lines of a file; empty lines and lines that begin with # are ignored.

    :raises InvalidField: a line is none of those above, or there is no key; names the line, never what is in it
    """
    keys: list[APIKey] = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            try:
                key = _parse(line)
            except InvalidField as error:
                raise InvalidField("line", f"{number} {error.reason}") from None
            if key.name and any(key.name == other.name for other in keys):
                raise InvalidField("line", f"{number} has the name of an earlier one")
            keys.append(key)
    if not keys:
        raise InvalidField("file", "holds no key")
    return keys


def _parse(line: str) -> APIKey:
    if named := _NAMED.fullmatch(line):
        words = set(named[2].split())
        past_blocks = OPERATOR in words
        words.discard(OPERATOR)
        if not words or not words <= set(Scope):
            raise InvalidField("scopes", f"must have scopes among {', '.join(Scope)}")
        return APIKey(bytes.fromhex(named[3]), named[1], frozenset(map(Scope, words)), past_blocks)
    key = line.removeprefix(f"{OPERATOR} ")
    if weakness(key.encode(), MIN_KEY) or not key.isprintable() or " " in key:
        raise InvalidField(
            "key",
            f"must be a key of at least {MIN_KEY} characters that are hard to guess (openssl rand -hex 32), or a "
            f"name, scopes and a hash as `cim-admin key` writes them",
        )
    return APIKey(digest_of(key.encode()), past_blocks=key != line)


def read_keys(path: str) -> list[APIKey]:
    """Read a file of API keys.

    :raises InvalidField: the file cannot be read, others can read it too, or it holds something else
    """
    try:
        return parse_keys(read_private(path).decode("ascii").splitlines())
    except BadFile as error:
        raise InvalidField("API key file", str(error)) from None
    except UnicodeDecodeError:
        raise InvalidField("API key file", f"{path} must contain ASCII text only") from None
    except InvalidField as error:
        raise InvalidField("API key file", f"{path}: {error.field} {error.reason}") from None


def find(keys: Sequence[APIKey], given: bytes) -> APIKey | None:
    """Return the key that somebody gives, None if it is none of these; the time it takes tells nothing of them."""
    if not keys:
        return None
    digest, found = digest_of(given), None
    for key in keys:
        if hmac.compare_digest(digest, key.digest):
            found = key
    return found
