"""How many reports there may be, and which make room (docs/moderation.md, Reports)."""

from __future__ import annotations

from cim.errors import RateLimited
from cim.store.bounds import DAY_MS

#: How many reports of one user may be open, and how many of one user, and of all, are kept.
MAX_OPEN_BY, MAX_KEPT_BY, MAX_KEPT = 20, 100, 10_000
#: How long a report is kept once it is closed, in ms from when it was made.
KEPT_MS = 90 * DAY_MS
#: How many that were kept for long enough are removed when another one is made.
REMOVED = 8
_RETRY_SECONDS = 3600


def check_open(count: int) -> None:
    """Check that a user of whom so many reports are open may make another one.

    :raises RateLimited: there are too many
    """
    if count >= MAX_OPEN_BY:
        raise RateLimited(f"{count} of your reports wait for an operator: wait until they are closed", _RETRY_SECONDS)


def full() -> RateLimited:
    """Return the refusal of a report when nobody closes those that there are."""
    return RateLimited("too many reports wait for an operator: try again later", _RETRY_SECONDS)
