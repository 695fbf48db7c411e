"""Bans and mutes as SQLite has them."""

from __future__ import annotations

from cim.model import Sanction


def held(until: int | None, reason: str, since: int, *, now: int) -> Sanction | None:
    """Return the sanction of a row, None if there is none or it has ended.

    :param until: None if there is no row
    :param now: the store's steady time, in ms since 1970
    """
    if until is None:
        return None
    found = Sanction(until, reason, since)
    return found if found.holds(now) else None
