"""Codes with which people set a new password in the place of one that is forgotten; stores keep their hashes alone."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

from attrs import frozen

from cim.model import ID_LIMIT

#: How long a code is good for, in seconds.
RESET_SECONDS = 15 * 60
#: 128 bits.
_BYTES = 16
_CODE = re.compile(r"([1-9][0-9]{0,15})([a-z2-7]{26})")


@frozen
class ResetCode:
    """A code, as it is checked.

    :param user: whose password it sets
    :param digest: the hash of the code
    """

    user: int
    digest: str

    @classmethod
    def parse(cls, text: str) -> ResetCode | None:
        """Return what a text says, None if it is no code. Spaces, hyphens and case do not matter."""
        found = _CODE.fullmatch("".join(text.split()).replace("-", "").lower())
        if found is None or int(found[1]) >= ID_LIMIT:
            return None
        return cls(int(found[1]), hashlib.sha256(found[0].encode()).hexdigest())


def make_reset_code(user: int, random_bytes: Callable[[int], bytes]) -> str:
    """Return a new code: the user's id, and 26 lower-case letters and digits.

    :param random_bytes: returns that many random bytes, fit for secrets
    """
    return f"{user}-{base64.b32encode(random_bytes(_BYTES)).decode().rstrip('=').lower()}"
