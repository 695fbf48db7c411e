"""Rates and bursts on a clock that is passed in, bounded in memory (docs/limits.md)."""

from __future__ import annotations

import math
import re
import sys
from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from cim.plain import quoted

#: The most that a rate or a burst may be.
HIGHEST = 1 << 31
#: Keys that are remembered of one limit.
KEPT = 100_000
#: Who comes early by less than this, seconds, is on time: clocks are no finer.
_GRAIN = 1e-6
_M = TypeVar("_M", bound=Hashable)
_TEXT = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,6})?)/([0-9]{1,10})")


@frozen
class Limit:
    """How much somebody may have: so much a second in the long run, and so much at once.

    :param burst: at least 1 and at least the rate; 0 when there is no limit
    """

    rate: float
    burst: float

    def __bool__(self) -> bool:
        return self.burst > 0

    def __str__(self) -> str:
        return f"{self.rate:.6f}".rstrip("0").rstrip(".") + f"/{self.burst:.0f}" if self else "0"


#: As much as anybody likes.
NO_LIMIT = Limit(0, 0)


def limit(text: str) -> Limit:
    """Read a limit as options have it: `20/400` is 20 a second and 400 at once, `0` is none."""
    if text == "0":
        return NO_LIMIT
    found = _TEXT.fullmatch(text)
    if found is not None:
        rate, burst = float(found[1]), int(found[2])
        if 0 < rate <= burst <= HIGHEST:
            return Limit(rate, burst)
    raise ValueError(
        f"must be 0, for no limit, or RATE/BURST with 0 < RATE <= BURST <= {HIGHEST} and a whole BURST,"
        f" is {quoted(text, 40)}"
    )


def defaults(table: Mapping[str, tuple[str, str]]) -> dict[str, Limit]:
    """Return the limits of a table when no option says otherwise, by name.

    :param table: what each limit is of, and its default as options have it, by name
    """
    return {name: limit(text) for name, (_, text) in table.items()}


def count(text: str) -> int:
    """Read how many there may be as options have it: `0` is no limit."""
    if re.fullmatch(r"[0-9]{1,10}", text) and int(text) <= HIGHEST:
        return int(text)
    raise ValueError(f"must be 0, for no limit, or a whole number up to {HIGHEST}, is {quoted(text, 40)}")


def whole_seconds(wait: float) -> int:
    """Return a wait as a Retry-After says it."""
    return max(1, math.ceil(wait - _GRAIN))


@frozen
class Refused:
    """A refusal of `take_all`.

    :param at: which of the buckets refused
    :param count: whether it was their count, not their size, that was used up
    :param wait: the seconds until none of them refuses
    """

    at: int
    count: bool
    wait: float


class Buckets:
    """A pair of token buckets for each of many keys, of messages and of bytes, or of one thing alone.

    Buckets that nobody knows of are full. What does not fit into one at all passes when it is full, and takes it into
    debt. They are kept in two generations; the younger becomes the older after as long as one takes to be full again,
    so that what is forgotten is full. When there are too many, those go that were not touched for longest, and are full
    when they are next asked for: nobody ever has more than a burst. Where there is no limit all is granted, and nothing
    is remembered.

    :param count: of the first of each pair
    :param size: of the second
    :param kept: at most so many are remembered
    """

    def __init__(self, count: Limit, size: Limit = NO_LIMIT, kept: int = KEPT) -> None:
        self._rate, self._burst = count.rate, count.burst or math.inf
        self._size_rate, self._size_burst = size.rate, size.burst or math.inf
        self._half = kept // 2
        # When each was touched last, and what was in its two then.
        self._young: dict[Hashable, tuple[float, float, float]] = {}
        self._old: dict[Hashable, tuple[float, float, float]] = {}
        self._until = -math.inf
        self._full_after = max((one.burst / one.rate for one in (count, size) if one), default=0.0)
        self._free = not (count or size)
        # The longest that one of the young takes to be full.
        self._longest = self._full_after

    def __len__(self) -> int:
        """How many are kept; one that was touched in both generations counts twice."""
        return len(self._young) + len(self._old)

    def fits(self, count: float, size: float = 0.0) -> bool:
        """Return whether so much fits into a full pair."""
        return count <= self._burst and size <= self._size_burst

    def take(self, key: Hashable, now: float, count: float, size: float = 0.0) -> bool:
        """Take from both of a key's buckets, or from none; say whether it was taken.

        :param now: seconds, by a clock that may be set back
        """
        if self._free:
            return True
        if now >= self._until:
            self._turn(now)
        young = self._young
        was = young.get(key) or self._old.get(key)
        if was is None:
            tokens, room = self._burst, self._size_burst
        else:
            then, tokens, room = was
            if now > then:
                # As in `_left`, which is too dear for each message.
                tokens += (now - then) * self._rate
                if tokens > self._burst:
                    tokens = self._burst
                room += (now - then) * self._size_rate
                if room > self._size_burst:
                    room = self._size_burst
            elif now < then:
                # The clock was set back: nothing passed, and what passes from here on counts.
                self._put(key, now, tokens, room)
                young = self._young
        if tokens < count or room < size:
            if self._lacking(tokens, room, count, size):
                return False
            self._note_debt(tokens - count, room - size)
        # As in `_put`, for the same reason.
        young[key] = now, tokens - count, room - size
        if len(young) >= self._half:
            self._turn(now)
        return True

    def spend(self, key: Hashable, now: float, count: float) -> float:
        """Take from the first bucket in any case, and return after how many seconds nothing is owed."""
        if self.take(key, now, count):
            return 0.0
        tokens, room = self._left(key, now)
        self._note_debt(tokens - count, room)
        self._put(key, now, tokens - count, room)
        return (count - tokens) / self._rate

    def wait(self, key: Hashable, now: float, count: float, size: float = 0.0) -> float:
        """Return after how many seconds so much may be taken; 0 for now."""
        tokens, room = self._left(key, now)
        return self._lacking(tokens, room, count, size)

    def give_back(self, key: Hashable, now: float, count: float, size: float = 0.0) -> None:
        """Put back what was taken and is not used."""
        if key in self._young or key in self._old:
            tokens, room = self._left(key, now)
            self._put(key, now, min(self._burst, tokens + count), min(self._size_burst, room + size))

    def refill(self, key: Hashable) -> None:
        """Fill a key's buckets."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def _left(self, key: Hashable, now: float) -> tuple[float, float]:
        """What is in a key's buckets."""
        was = self._young.get(key) or self._old.get(key)
        if was is None:
            return self._burst, self._size_burst
        then, tokens, room = was
        passed = max(0.0, now - then)
        return (
            min(self._burst, tokens + passed * self._rate),
            min(self._size_burst, room + passed * self._size_rate),
        )

    def _lacking(self, tokens: float, room: float, count: float, size: float) -> float:
        """After how many seconds there is enough."""
        wait = 0.0
        for there, asked, rate, burst in (
            (tokens, count, self._rate, self._burst),
            (room, size, self._size_rate, self._size_burst),
        ):
            lacks = min(asked, burst) - there
            if asked and lacks > rate * _GRAIN:
                wait = max(wait, lacks / rate)
        return wait

    def _note_debt(self, tokens: float, room: float) -> None:
        """One of the young has so much, and what is owed takes longer to be full."""
        if tokens < 0:
            self._longest = max(self._longest, (self._burst - tokens) / self._rate)
        if room < 0:
            self._longest = max(self._longest, (self._size_burst - room) / self._size_rate)

    def _put(self, key: Hashable, now: float, tokens: float, room: float) -> None:
        self._young[key] = now, tokens, room
        if len(self._young) >= self._half:
            self._turn(now)

    def _turn(self, now: float) -> None:
        self._old, self._young = self._young, {}
        self._until = now + self._longest
        self._longest = self._full_after


def take_all(asked: Sequence[tuple[Buckets, Hashable]], now: float, count: float, size: float = 0.0) -> Refused | None:
    """Take from each of some buckets, or from none if one refuses."""
    for at, (buckets, key) in enumerate(asked):
        if not buckets.take(key, now, count, size):
            for before, whose in asked[:at]:
                before.give_back(whose, now, count, size)
            waits = [other.wait(whose, now, count, size) for other, whose in asked]
            return Refused(at, buckets.wait(key, now, count) > 0, max(waits))
    return None


class Waiting(Generic[_M]):
    """Those who may have to go for others, the one that waits longest first, bounded together and for each party.

    When there are too many together, the oldest of the party that has the most goes: so no party shuts out another one,
    however many of it come.

    :param most: at most so many together; 0 for no bound
    :param most_of_one: at most so many of one party; 0 for no bound
    """

    def __init__(self, most: int = 0, most_of_one: int = 0) -> None:
        self._most = most or sys.maxsize
        self._most_of_one = most_of_one or sys.maxsize
        self._all: OrderedDict[_M, str] = OrderedDict()
        self._of: dict[str, OrderedDict[_M, None]] = {}
        # The parties that have so many, the one that has had so many for longest first.
        self._with: defaultdict[int, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self._highest = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[_M]:
        return iter(self._all)

    def put(self, member: _M, party: str = "") -> _M | None:
        """Add one behind all others, or move it there, and return the one that has to go for it, None if none has to.

        It is the oldest of the same party if there are too many of that, else, if there are too many together, the
        oldest of the party that has the most.

        :param party: whose it is, such as an address; empty if nobody knows, and then not bounded as one
        """
        self.remove(member)
        goes = None
        if party and len(self._of.get(party, ())) >= self._most_of_one:
            goes = next(iter(self._of[party]))
        elif len(self._all) >= self._most:
            goes = self.first_to_go()
        if goes is not None:
            self.remove(goes)
        self._all[member] = party
        ours = self._of.setdefault(party, OrderedDict())
        ours[member] = None
        self._count(party, len(ours) - 1, len(ours))
        return goes

    def remove(self, member: _M) -> None:
        """Take one out, if it is there."""
        party = self._all.pop(member, None)
        if party is not None:
            ours = self._of[party]
            del ours[member]
            self._count(party, len(ours) + 1, len(ours))
            if not ours:
                del self._of[party]

    def _count(self, party: str, before: int, now: int) -> None:
        parties = self._with[before]
        parties.pop(party, None)
        if not parties:
            del self._with[before]
        if now:
            self._with[now][party] = None
        if now > self._highest or self._highest not in self._with:
            self._highest = now

    def first_to_go(self) -> _M | None:
        """Return the one that waits longest of the party that has the most, None if there is none."""
        if not self._all:
            return None
        return next(iter(self._of[next(iter(self._with[self._highest]))]))
