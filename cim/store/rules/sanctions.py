"""For how long operators ban and mute."""

from __future__ import annotations

from cim.model import Sanction


def sanction(now: int, seconds: float, reason: str) -> Sanction:
    """Return a sanction that begins now.

    :param now: the store's steady time, in ms since 1970
    :param seconds: for how long; 0 for good
    """
    return Sanction(now + int(seconds * 1000) if seconds else 0, reason, now)
