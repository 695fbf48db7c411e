"""What holds for registrations for push (docs/push.md)."""

from __future__ import annotations

from collections.abc import Sequence

from cim.model import Registration

#: How many a user has at most: for one more, the one that was renewed longest ago goes.
MOST = 20
#: How long one lasts that is not renewed, in ms.
LASTS_MS = 60 * 86_400_000
#: How many conversations of a user are remembered that it was notified of and has not read; then all are forgotten.
MOST_NOTIFIED = 1_000


def live(held: Sequence[Registration], now: int) -> list[Registration]:
    """Return those that have not expired, the one that was renewed last at the end."""
    good = (one for one in held if one.at + LASTS_MS > now and not 0 < one.ends <= now)
    return sorted(good, key=lambda one: (one.at, one.id))


def those_to_go(held: Sequence[Registration], new: Registration, now: int) -> list[Registration]:
    """Return which of a user's registrations go when a new one comes.

    :param held: may have one of the same id, which the new one replaces
    """
    others = [one for one in held if one.id != new.id]
    kept = live(others, now)[-(MOST - 1) :]
    return [one for one in others if one not in kept]


def wait_of(before: int, now: int, pause: int) -> int:
    """Return how long to wait until a user may be notified again of a conversation, in ms; 0 for not at all.

    :param before: when it was notified last; 0 if it was not, or has read it since
    :param pause: in ms
    """
    if before > now:
        return 0
    return max(0, before + pause - now)
