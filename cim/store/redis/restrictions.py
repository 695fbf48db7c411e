"""Who is muted in groups, and banned from them, in Redis.

In the hash of a group (cim/store/redis/groups.py), so that a message needs no further look:

    mute        until when all but admins may say nothing, ms since 1970, or 0 for ever
    m:<user>    until when a user may not, likewise
    b:<user>    who banned a user, 0 for an operator, and when

    cim:gu:{<user>}    hash: m:<group>, b:<group>: the same again
"""

from __future__ import annotations

from collections.abc import Sequence

from cim.model import Ban, Restrictions, Sanction
from cim.store.redis.changing import Words
from cim.store.rules.group_values import Banning, Muting

MUTE, MUTED, BANNED = "mute", "m:", "b:"


def until_of(held: bytes | None) -> int | None:
    """Return until when all are muted, given the field `mute`."""
    return None if held is None else int(held)


def by_of(record: bytes) -> int:
    """Return who banned a user, by its record."""
    return int(record.partition(b" ")[0])


def pairs(flat: Sequence[bytes], prefix: str) -> list[tuple[int, bytes]]:
    """Return the users, or groups, and the values of the fields with a prefix."""
    start = prefix.encode()
    found = zip(flat[::2], flat[1::2], strict=True)
    return [(int(field[len(start) :]), value) for field, value in found if field.startswith(start)]


def running(flat: Sequence[bytes], now: int) -> dict[int, int]:
    """Return the mutes among some fields that have not ended."""
    return {user: int(until) for user, until in pairs(flat, MUTED) if Sanction(int(until)).holds(now)}


def ban_of(group: int, user: int, record: bytes) -> Ban:
    """Return the ban that a record holds."""
    by, at = record.split(b" ")
    return Ban(group, user, int(by), int(at))


def restrictions(user: int, flat: Sequence[bytes], now: int) -> Restrictions:
    """Return where a user is muted or banned, by the fields of its hash."""
    bans = sorted(pairs(flat, BANNED))
    return Restrictions(running(flat, now), tuple(ban_of(group, user, record) for group, record in bans))


def held(group: int, id: int, kind: str, user: int, value: object | None) -> Words:
    """Return the command that sets a field of a user in a group and in the user's own hash; None removes it.

    :param group: the number of the group's key
    """
    return [6, "@HELD", group, id, kind, user, "" if value is None else str(value)]


def muted(group: int, id: int, muting: Muting) -> Words:
    """Return the commands that carry out a mute, or the end of one."""
    if muting.user:
        return held(group, id, MUTED, muting.user, muting.until)
    return [3, "HDEL", group, MUTE] if muting.until is None else [4, "HSET", group, MUTE, muting.until]


def banned(group: int, id: int, banning: Banning, now: int) -> Words:
    """Return the commands that carry out a ban, or the end of one."""
    return held(group, id, BANNED, banning.user, None if banning.by is None else f"{banning.by} {now}")
