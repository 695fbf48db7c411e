"""The ids that others have for accounts: a back end its own, an issuer of JWTs its subjects (docs/security.md)."""

from __future__ import annotations

import hashlib

from attrs import frozen

from cim.errors import InvalidField

#: The issuer of the ids that back ends give by their API keys.
OURS = ""
MAX_ID = 255
MAX_ISSUER = 255
#: How long it is remembered that an id led to an account which was deleted or unlinked, in seconds: longer than any JWT
#: is good for.
GONE_SECONDS = 26 * 3600


@frozen
class ExternalId:
    """What an issuer calls an account; one account for each, and one of each issuer for an account.

    :param issuer: OURS, or that of JWTs
    """

    issuer: str
    id: str

    @property
    def digest(self) -> str:
        """What it is found by, 64 hexadecimal digits: so its length and its characters do not matter."""
        return hashlib.sha256(f"{len(self.issuer)}:{self.issuer}{self.id}".encode()).hexdigest()


@frozen
class Linked:
    """What is known of an external id.

    :param user: the account that it leads to; 0 for none
    :param gone: when it last ceased to lead to one, ms since 1970 in the store's time; 0 if that is long ago, or never
        was
    """

    user: int = 0
    gone: int = 0


def check_external_id(value: str, field_name: str = "external_id") -> str:
    """Return `value` if it can be an external id: 1 to 255 printable characters, none of them blank at an end.

    :raises InvalidField: names `field_name`
    """
    if not 0 < len(value) <= MAX_ID or not value.isprintable() or value != value.strip():
        raise InvalidField(field_name, f"must have 1 to {MAX_ID} printable characters, and no space at its ends")
    return value
