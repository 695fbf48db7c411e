"""How much conversations and senders may hold, and who is refused when there is too much (docs/limits.md, History).

The rules are functions on values, as in `cim.store.rules`. Redis' script has the same ones with these numbers
(cim/store/redis/history.lua), and both stores keep the same contract.
"""

from __future__ import annotations

from attrs import frozen

from cim.errors import NoRoom

#: What somebody said in a group within this time is protected, in ms. Senders are counted by days, too.
DAY_MS = 86_400_000
#: How many times the bounds a log may grow, for senders that hold no more than their share.
STRETCH = 4
#: The share of a sender is never less than one of so many.
MOST_SHARES = 20
#: Entries by which a log passes its bound before it is trimmed: so many go at once.
SLACK = 16
#: In a private conversation there are two shares, whoever said something lately.
PEOPLE = 2
#: How much of its bound of bytes a log gives up when it is trimmed for them: one part of so many.
BYTES_SLACK = 64
#: What is stored of a user is counted in blocks of so many bytes.
BLOCK = 16384
#: What a message takes besides its body, and the first one of a conversation besides that, about: bytes.
MESSAGE_BYTES, CONVERSATION_BYTES = 300, 1200
#: How much of a log is counted by one call, bytes and about so many for each entry; the next call goes on.
STEP_BYTES, STEP_ENTRY = 1 << 20, 128

#: Why senders are refused, by the word that it is counted under.
_TEXTS = {
    "share": "you said too much in this conversation that must be kept: try again {later}, or once it was read",
    "full": "this conversation is full of what must be kept: try again {later}",
    "quota": "too much of what you said is still stored: try again when some of it was deleted for its age",
    "space": "the store is nearly full: try again later",
}
#: After how many seconds it is worth trying again where nobody can know.
_WAITS = {"share": 3600, "full": 3600, "quota": 3600, "space": 60}


def no_room(kind: str, seconds: int = 0) -> NoRoom:
    """Return the refusal of a message.

    :param kind: `share`, `full`, `quota` or `space`
    :param seconds: after how many seconds there is room; 0 if that depends on others
    """
    wait = seconds or _WAITS[kind]
    later = f"in {wait} s" if seconds else "in an hour"
    return NoRoom(_TEXTS[kind].format(later=later), wait, f"history-{kind}")


def blocks(size: int, first: bool, random: float) -> int:
    """Return how many bytes a quota pays for a message: whole blocks, which on the average are what it takes.

    So few small messages cost the store much. Nobody knows which.

    :param size: bytes of its body
    :param first: whether it is the first one of its conversation
    :param random: a number from 0 to 1
    """
    return int((size + MESSAGE_BYTES + first * CONVERSATION_BYTES) / BLOCK + random) * BLOCK


@frozen
class Holding:
    """How many entries somebody holds, or all of a conversation, and how many bytes their bodies have."""

    entries: int = 0
    bytes: int = 0

    def plus(self, entries: int, bytes: int) -> Holding:
        """Return the same with more, or less, but never with less than nothing."""
        return Holding(max(0, self.entries + entries), max(0, self.bytes + bytes))


NOTHING = Holding()
#: A bound that nothing is beyond.
NO_BOUND = Holding(1 << 62, 1 << 62)


def beyond(held: Holding, size: int, bound: Holding) -> tuple[bool, bool]:
    """Return whether a conversation is beyond its bound of entries, and with another one beyond that of bytes.

    :param size: bytes of the body that is to be appended
    """
    return held.entries >= bound.entries + SLACK, held.bytes + size > bound.bytes


def over_share(held: Holding, own: Holding, size: int, bound: Holding, senders: int) -> bool:
    """Return whether a sender holds its share, or more, of a bound that its conversation is beyond.

    :param senders: how many said something lately, this one included
    """
    entries, bytes = beyond(held, size, bound)
    shares = min(max(senders, 1), MOST_SHARES)
    return (entries and own.entries * shares >= bound.entries) or (bytes and (own.bytes + size) * shares > bound.bytes)


def is_full(held: Holding, size: int, bound: Holding) -> bool:
    """Return whether a conversation that cannot be trimmed has no room for anybody."""
    return held.entries >= STRETCH * bound.entries or held.bytes + size > STRETCH * bound.bytes


@frozen
class Speakers:
    """How many said something in a conversation, by day (UTC): a count without a list.

    :param day: days since 1970 of the last entry
    :param today: how many said something on that day
    :param before: how many did on the day before, but not on that day
    """

    day: int = 0
    today: int = 0
    before: int = 0

    def on(self, day: int) -> Speakers:
        """Return the same as of a later day; of an earlier one, nothing changes."""
        if day <= self.day:
            return self
        return Speakers(day, 0, self.today if day == self.day + 1 else 0)

    def joined(self, last: int) -> Speakers:
        """Return the same with one more entry, whose sender said something before on the day `last`, 0 for never."""
        if last >= self.day:
            return self
        return Speakers(self.day, self.today + 1, self.before - (last == self.day - 1 and self.before > 0))

    def count(self, last: int) -> int:
        """Return how many said something on the two days, with a sender who did on the day `last`, too."""
        return self.today + self.before + (last < self.day - 1)


NOBODY = Speakers()
