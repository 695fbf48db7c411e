"""What a token of a user may do, and for how long (docs/security.md, Tokens of users)."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from attrs import frozen


class UserScope(enum.StrEnum):
    """What the holder of a user's token may do; every call and every packet of users needs one scope."""

    #: Send messages, edits, recalls and reactions, and say that the user types.
    SEND = "send"
    #: Log in, hear and read what is said, see users, groups and who is online, and mark how far was read.
    READ = "read"
    #: Make groups, join and leave them, and whatever the user may do in them.
    GROUPS = "groups"
    #: Change the password, see and end sessions, void tokens, block others.
    ACCOUNT = "account"


ALL = frozenset(UserScope)
#: The most tokens that a user may have which were made by API keys, and the most seconds that one is good for.
MOST = 200
MAX_SECONDS = 366 * 86400


def scopes_of(words: Iterable[str]) -> frozenset[UserScope]:
    """Return those of some words that are scopes."""
    return frozenset(UserScope(word) for word in words if word in ALL)


def words_of(scopes: Iterable[UserScope]) -> list[str]:
    """Return scopes as words, always in the same order."""
    return [scope.value for scope in UserScope if scope in set(scopes)]


@frozen
class Bounds:
    """What bounds a token, and everything that is issued from it.

    :param ends: when it ends, ms since 1970 in the store's time
    :param device: the only device that it is for; empty for any
    :param token: which token that an API key made it is or goes back to; empty for none
    """

    ends: int
    scopes: frozenset[UserScope] = ALL
    device: str = ""
    token: str = ""


@frozen
class UserToken:
    """A token that an API key made for a user, as it is kept.

    :param id: what it is revoked by, which is not the token itself
    :param made: when, ms since 1970 in the store's time
    :param ends: likewise
    :param device: the only device that it is for; empty for any
    """

    id: str
    made: int
    ends: int
    device: str = ""
    scopes: frozenset[UserScope] = ALL
