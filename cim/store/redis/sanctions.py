"""Bans and mutes in Redis: `<until> <since> <reason>`; `1` is a ban of earlier releases, which does not end."""

from __future__ import annotations

from cim.model import Sanction


def record(sanction: Sanction) -> str:
    """Return the record of a sanction."""
    return f"{sanction.until} {sanction.since} {sanction.reason}"


def held(record: bytes | None, now: int) -> Sanction | None:
    """Return the sanction of a record, None if there is none or it has ended.

    :param now: the store's steady time, in ms since 1970
    """
    if record is None:
        return None
    until, _, rest = record.decode(errors="replace").partition(" ")
    since, _, reason = rest.partition(" ")
    found = Sanction(int(until), reason, int(since)) if rest else Sanction()
    return found if found.holds(now) else None
