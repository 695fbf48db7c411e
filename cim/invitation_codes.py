"""Invitations to make accounts, which whoever knows a code may use; stores keep the hash of the code alone."""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Callable, Collection

from attrs import frozen

from cim.errors import Conflict, InvitationNeeded

#: How many invitations a store keeps that have not expired, to how many accounts one may lead, and for how many days.
MAX_CODES = 1_000
MAX_USES = 10_000
MAX_DAYS = 366
#: 128 bits.
_BYTES = 16


class AccountPolicy(enum.StrEnum):
    """Who may make accounts with a password."""

    #: Anyone.
    OPEN = "open"
    #: Those who have an invitation.
    INVITED = "invited"
    #: Back ends, with an API key.
    KEY = "key"


@frozen
class InvitationCode:
    """Lets whoever knows its code make accounts.

    :param id: see `id_of`
    :param uses: how many accounts may be made with it
    :param expires: when it ends, ms since 1970
    :param made: when it was made, ms since 1970
    :param note: what it is for, in an operator's words
    :param used: how many accounts were made with it
    """

    id: str
    uses: int
    expires: int
    made: int
    note: str = ""
    used: int = 0


def make_code(random_bytes: Callable[[int], bytes]) -> str:
    """Return a new code: 26 lower-case letters and digits.

    :param random_bytes: returns that many random bytes, fit for secrets
    """
    return base64.b32encode(random_bytes(_BYTES)).decode().rstrip("=").lower()


def id_of(code: str) -> str:
    """Return the id of the invitation with a code: 32 digits of its hash. Spaces, hyphens and case do not matter."""
    plain = "".join(code.split()).replace("-", "").lower()
    return hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest()[: 2 * _BYTES]


def check_usable(invitation: InvitationCode | None, now: int = 0) -> InvitationCode:
    """Return an invitation if an account may be made with it.

    :param now: ms since 1970; 0 if the store has looked at that
    :raises InvitationNeeded: there is none, or it has expired or is used up
    """
    if invitation is None or invitation.expires <= now or invitation.used >= invitation.uses:
        raise InvitationNeeded(
            "this invitation is not valid: it is wrong, or was used up or revoked, or has expired; ask for another one"
        )
    return invitation


def check_new(id: str, others: Collection[str]) -> None:
    """Check that there may be another invitation.

    :param others: the ids of those that there are
    :raises Conflict: there are too many, or one of them has that id
    """
    if len(others) >= MAX_CODES:
        raise Conflict(f"there are {MAX_CODES:,} invitations, which is the most: revoke one first")
    if id in others:
        raise Conflict("there is an invitation with this code already")
