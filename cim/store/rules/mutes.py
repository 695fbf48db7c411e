"""Which conversations a user may mute, and when a mute ends."""

from __future__ import annotations

from collections.abc import Mapping

from cim.errors import Conflict
from cim.model import MAX_MUTED_CONVERSATIONS


def check_muted(muted: Mapping[str, int], conversation: str) -> None:
    """Check that a user who mutes some conversations may mute another one.

    :param muted: until when each is muted, without those that are over
    :raises Conflict: the user mutes too many
    """
    if conversation not in muted and len(muted) >= MAX_MUTED_CONVERSATIONS:
        raise Conflict(f"a user can mute at most {MAX_MUTED_CONVERSATIONS:,} conversations: unmute one of them first")
