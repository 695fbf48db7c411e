"""What the status of a push service means."""

from __future__ import annotations

from cim.errors import RateLimited
from cim.model import Pushed


def outcome_of(status: int, retry_after: str = "") -> Pushed:
    """Return what a status of a push service means.

    :raises RateLimited: it may be tried again later, and the service said when
    """
    if 200 <= status < 300:
        return Pushed.DONE
    if status in (404, 410):
        return Pushed.GONE
    if status == 429 or status >= 500:
        if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9:
            raise RateLimited("the push service asks to come later", retry_after=int(retry_after))
        return Pushed.LATER
    return Pushed.REFUSED
