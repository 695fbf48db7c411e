"""Whom a login replaces, and who may claim a record of a session, end it or bar its owner."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Generic, TypeVar

from attrs import frozen

from cim.errors import RateLimited, RepeatedEnd
from cim.model import GUEST, MAX_DEVICES, RESERVATION_SECONDS, LoginPolicy, Reserved, SessionRecord

T = TypeVar("T")


@frozen
class Held:
    """A session record with facts that only the rules need.

    :param alone: its login allows no other live device
    :param expires: when the reservation expires, in ms since 1970; 0 for a live session
    """

    record: SessionRecord
    alone: bool
    expires: int = 0

    @property
    def at_upstream(self) -> bool:
        """Whether it is a session at one of upstream's servers, which have no incarnation."""
        return self.record.live and not self.record.place.incarnation


#: A user's records, the newest last.
Records = tuple[Held, ...]


def unexpired(records: Iterable[Held], now: int) -> Records:
    """Return the records that are valid at a time, in ms since 1970."""
    return tuple(held for held in records if not held.expires or held.expires > now)


@frozen
class SessionFacts:
    """The facts about a user that the rules depend on.

    :param records: the valid records
    :param ended: whether an end of the user was handled within REPEATED_WITHIN_MS
    :param now: the time in ms since 1970 by the store's clock
    :param barred: whether the owner that the change is about was expelled
    """

    records: Records
    ended: bool
    now: int
    barred: bool = False


@frozen
class SessionChange(Generic[T]):
    """The effect of a change.

    :param records: the valid records from now on
    :param ends: whether it is an end of the user
    :param bars: owners that may not claim a record any more
    """

    records: Records
    result: T
    ends: bool = False
    bars: Collection[str] = ()


#: An end is taken for a repetition if the newest record is younger than YOUNG_MS and another end was handled within
#: REPEATED_WITHIN_MS, both in ms: upstream's clients send theirs two or three times.
YOUNG_MS = 1000
REPEATED_WITHIN_MS = 3000
#: How long an owner that was expelled stays barred, and how many of a user; of more the first are forgotten.
BARRED_SECONDS = 86_400
MOST_BARRED = 100


def reserve(records: Records, wanted: Held, policy: LoginPolicy, dead: Collection[str]) -> SessionChange[Reserved]:
    """Reserve a place for a login; nothing changes if live records are in the way.

    :param dead: owners of live records that are known to be dead
    :raises RateLimited: MAX_DEVICES others are reserved, and none of them is live
    """
    device = wanted.record.device
    kept: list[Held] = []
    replaced: list[SessionRecord] = []
    in_the_way: list[SessionRecord] = []
    for held in records:
        record = held.record
        same = record.device == device
        if record.live and record.owner in dead:
            continue
        if record.live:
            # There is no telling whether two guests are the same device.
            gives_way = policy == LoginPolicy.REPLACE or (same and device != GUEST)
        else:
            gives_way = policy != LoginPolicy.MANY or same
        if not gives_way:
            kept.append(held)
            if record.live and (same or policy == LoginPolicy.REJECT):
                in_the_way.append(record)
        elif record.live:
            replaced.append(record)
    if not in_the_way and len(kept) >= MAX_DEVICES:
        in_the_way = [held.record for held in kept if held.record.live]
        if not in_the_way:
            raise RateLimited("too many devices are logging in at once: try again later", RESERVATION_SECONDS)
    if in_the_way:
        return SessionChange(records, Reserved(tuple(in_the_way)))
    return SessionChange((*kept, wanted), Reserved(replaced=tuple(replaced)))


def claim(facts: SessionFacts, live: SessionRecord) -> SessionChange[bool]:
    """Make a session live; if another login holds its place or it was expelled, change nothing and return False."""
    records = facts.records
    if facts.barred:
        return SessionChange(records, False)
    others: list[Held] = []
    held = None
    newer = False
    for one in records:
        if one.record.device == live.device:
            held = one
        else:
            others.append(one)
            newer = newer or one.alone
    if held is None:
        # A login that allows no other live device is the newer one.
        return SessionChange(records if newer else (*others, Held(live, False)), not newer)
    if held.record.owner != live.owner or held.record.live:
        return SessionChange(records, held.record.owner == live.owner)
    return SessionChange((*others, Held(live, held.alone)), True)


def release(records: Records, owner: str) -> SessionChange[bool]:
    """Remove an owner's record; return False if there is none."""
    left = tuple(held for held in records if held.record.owner != owner)
    found = len(left) < len(records)
    return SessionChange(left if found else records, found, ends=found)


def end(facts: SessionFacts) -> SessionChange[Sequence[SessionRecord]]:
    """Remove all records.

    :raises RepeatedEnd: it repeats an end that was already handled
    """
    records = [held.record for held in facts.records]
    if records and facts.ended and facts.now - records[-1].since < YOUNG_MS:
        raise RepeatedEnd()
    return SessionChange((), records, ends=True)


def expel(
    records: Records, device: str | None, kept: str, known: Collection[str]
) -> SessionChange[Sequence[SessionRecord]]:
    """Remove the records of a device, or with None of all, but not that of the owner `kept`; bar their owners.

    :param known: further owners to bar, of sessions that may have no record
    """
    gone = [held.record for held in records if device in (None, held.record.device) and held.record.owner != kept]
    left = tuple(held for held in records if held.record not in gone)
    bars = {*known, *(record.owner for record in gone)} - {kept}
    return SessionChange(left if gone else records, gone, ends=bool(gone), bars=bars)


def shown(records: Records) -> Held | None:
    """Return the record that upstream's servers get to see: the newest live one, or else the newest."""
    for held in reversed(records):
        if held.record.live:
            return held
    return records[-1] if records else None
