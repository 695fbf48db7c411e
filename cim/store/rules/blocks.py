"""How many others a user may block."""

from __future__ import annotations

from cim.errors import Conflict
from cim.model import MAX_BLOCKED


def check_blocked(count: int) -> None:
    """Check that a user who blocks that many others may block another one.

    :raises Conflict: the user blocks too many
    """
    if count >= MAX_BLOCKED:
        raise Conflict(f"a user can block at most {MAX_BLOCKED:,} others: unblock one of them first")
