"""Ids and tokens; the source of randomness is passed in."""

from __future__ import annotations

import base64
from collections.abc import Callable

#: Returns that many random bytes, as os.urandom does.
RandomBytes = Callable[[int], bytes]


def token(random_bytes: RandomBytes, size: int = 16) -> str:
    """Return an unguessable token of `size` random bytes in URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(random_bytes(size)).rstrip(b"=").decode("ascii")
