"""What time a store goes by, whatever becomes of its clock (docs/architecture.md, Clocks).

Ages are counted in steady time, which passes as the store's clock does but does not jump with it. A clock that is far
ahead of it is believed only after it went on for a day or two, since it may be wrong: until then nothing is too old
that was not before. One that is behind it makes nothing older than it is either: steady time never goes back.

Redis' script has the same rule (cim/store/redis/clock.lua).
"""

from __future__ import annotations

from attrs import frozen

#: By how much a clock goes on from one look to the next at most, in ms, unless it was set or nobody looked.
STEP_MS = 300_000
#: How long a clock goes on before it is believed: one to two times this, in ms of steady time.
BELIEF_MS = 86_400_000


@frozen
class Steady:
    """Steady time, as of a look at the store's clock; all in ms.

    :param time: steady time, ms since 1970
    :param clock: what the clock said
    :param fresh: by how much the clock is ahead since less than BELIEF_MS
    :param aged: by how much it is ahead since longer than that
    :param since: the steady time from which `fresh` is counted
    """

    time: int
    clock: int
    fresh: int = 0
    aged: int = 0
    since: int = 0

    @property
    def ahead(self) -> int:
        """By how much the clock is ahead of steady time without being believed."""
        return self.fresh + self.aged

    @property
    def behind(self) -> int:
        """By how much the clock is behind steady time."""
        return max(0, self.time - self.clock)


def begun(clock: int, newest: int | None) -> Steady:
    """Return the steady time of a store that has kept none so far.

    :param clock: what its clock says, ms since 1970
    :param newest: when the newest thing that is known there was stored; None if there is nothing
    """
    time = clock if newest is None else min(clock, newest)
    return looked(Steady(time, time, since=time), clock)


def looked(held: Steady, clock: int, expected: int | None = None) -> Steady:
    """Return steady time as of another look at the clock.

    :param clock: what it says, ms since 1970
    :param expected: what it should say, if the process that looks has seen it before and has counted since
    """
    passed = clock - held.clock
    counted = expected is not None and abs(clock - expected) <= STEP_MS
    time = held.time + (passed if 0 <= passed <= STEP_MS or (counted and passed > 0) else 0)
    fresh, aged, since = held.fresh, held.aged, held.since
    if not held.ahead:
        since = time
    elif time - since >= BELIEF_MS:
        time += aged
        fresh, aged, since = 0, fresh, time
    lead = clock - time
    if abs(lead) <= STEP_MS:
        time = max(time, clock)
        return Steady(time, clock, since=time)
    ahead = max(0, lead)
    if ahead < fresh + aged:
        # It was set back: what it went ahead by last is taken back first.
        aged = min(aged, ahead)
    return Steady(time, clock, ahead - aged, aged, since)
