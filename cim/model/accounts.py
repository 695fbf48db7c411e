"""Accounts, and what is known of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Generic, TypeVar

from attrs import frozen

from cim.errors import InvalidField

T = TypeVar("T")
#: Account ids stay below this, so that a JavaScript number can hold them exactly.
ID_LIMIT = 1 << 53
#: How many others a user may block.
MAX_BLOCKED = 1_000
MAX_NAME = 64


def check_name(name: str, field_name: str = "userName") -> str:
    """Return `name` if it can be a user's name: 1 to 64 characters, without control characters or surrogates.

    :raises InvalidField: names `field_name` and says what is wrong
    """
    if not name or name.isspace():
        raise InvalidField(field_name, "must not be blank")
    if len(name) > MAX_NAME:
        raise InvalidField(field_name, f"must have at most {MAX_NAME} characters, not {len(name)}")
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise InvalidField(field_name, "must not contain control characters or lone surrogates")
    return name


def check_id(value: int, field_name: str) -> int:
    """Return `value` if it can be an id: 1 to 2^53 - 1.

    :raises InvalidField: names `field_name`
    """
    if not 0 < value < ID_LIMIT:
        raise InvalidField(field_name, f"must be between 1 and {ID_LIMIT - 1}")
    return value


@frozen
class Account:
    """Someone who can log in."""

    id: int
    name: str


@frozen
class Sanction:
    """That an operator bans or mutes a user.

    :param until: when it ends, in ms since 1970 of the store's steady time; 0 for never
    :param reason: why, for the user; empty if nobody said
    :param since: when it was made, likewise
    """

    until: int = 0
    reason: str = ""
    since: int = 0

    def holds(self, now: int) -> bool:
        """Return whether it has not ended at a time."""
        return not self.until or now < self.until


@frozen
class ListedAccount:
    """An account in a list.

    :param password: whether it has a password; guests have none
    :param ban: what keeps it from logging in
    """

    account: Account
    password: bool
    ban: Sanction | None = None


@frozen
class Listing(Generic[T]):
    """A part of all that a store has of something; how it is sorted is up to the store.

    :param more: where to go on; empty at the end
    """

    items: Sequence[T]
    more: str = ""


#: In the place of a password's hash: the account is the system user, and no password is right.
SYSTEM = "system"


@frozen
class Credential:
    """How an account authenticates.

    :param password: the argon2 hash, or SYSTEM
    :param valid_from: tokens issued before this are void, ms since 1970
    :param ban: what keeps it from logging in
    """

    password: str
    valid_from: int
    ban: Sanction | None = None
