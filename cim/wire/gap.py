"""The gap rule: how a reader of a conversation gets every message once and in order, whatever pushing loses.

The log of a conversation is the truth and a push only a hint. A reader holds a contiguous prefix of the log, up to the
position *h*. Two kinds of statement let it grow; both stay true, whenever and however often they come:

- A `Deliver`, or an `Accepted` of one's own, says: nothing lies between `previous` and `position`. With `previous` at
  or before h it extends the prefix. With `position` at or before h it is a repeat, dropped. With `previous` beyond h
  something is missing: it is kept aside, the missing one has 200 ms, a quarter more or less, to come by itself, then
  `Sync` asks for what is after h.
- A `Synced` says: what lies in (`after`, `upto`] was sent since the `Synced` before this one. With `after` at or before
  h, everything kept aside up to `upto` is handed over in the order of positions, and `upto` is held. So the packets of
  a page need no mark of their own: a page is its `Deliver`s and then its `Synced`, on the same ordered stream as live
  pushes, and what is pushed in between is treated like any other. `more` makes the reader ask for the next page at
  once. `reset` says that what is missing before is not to be had (trimmed, joined late); with an `upto` before h, when
  h is what was asked after, it says that the store has lost its tail: the prefix ends at `upto` again.

Where the prefix begins need not be known when the first message comes: until then all is kept aside.

A head (in `Welcome` or `News`) with a `latest` beyond h makes the reader sync too. A reader acknowledges (`Received`)
only the end of its prefix. One `Sync` is under way at a time; unanswered, it is asked again. What had been heard of
before the `Sync`, and did not come although its `Synced` is without `more`, does not exist any more.

All of a page is sent or nothing of it. A page of what lies *before* a position is ordered by someone who reads history;
its `Synced` is none of the gap rule's business, unless its `after` is what precedes the page's first message, which
makes it as true as any other.

What is kept aside is bounded: the positions farthest from h are forgotten first, and asked for again. A page longer
than the bound may take several Syncs; nothing of it is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import frozen

from cim.wire.positions import ZERO, Position

Item = TypeVar("Item")

#: Where a prefix ends of which nobody knows yet where it begins: before all positions, ZERO too.
UNKNOWN: Position = (-1, -1)


@frozen
class GapPolicy:
    """What all gap rules of a process share.

    :param random: gives evenly spread numbers from 0 to 1
    :param patience: seconds that a missing message has to come by itself, a quarter more or less
    :param timeout: seconds until an unanswered Sync is asked again
    :param capacity: how many messages one conversation keeps aside; at least the limit of a page
    """

    random: Callable[[], float]
    patience: float = 0.2
    timeout: float = 10.0
    capacity: int = 128

    def wait(self) -> float:
        """Return a patience with its jitter, so that those who miss the same message do not ask all at once."""
        return self.patience * (0.75 + self.random() / 2)


class GapRule(Generic[Item]):
    """One reader's place in one conversation.

    The caller feeds it what comes, writes what the methods return to the application in that order, and sends the Sync
    that `sync_due` asks for. Times are seconds on any clock, the same for all calls.

    :param held: where the prefix ends at the start: the received mark, or what the reader has stored; UNKNOWN when
        `begin` will tell
    :ivar held: the end of the prefix: what may be acknowledged once the items were taken
    """

    __slots__ = ("_aside", "_asked", "_due", "_forgot", "_latest", "_mark", "_more", "_policy", "held")

    def __init__(self, policy: GapPolicy, held: Position = ZERO) -> None:
        self._policy = policy
        self.held = held
        self._aside: dict[Position, tuple[Position, Item]] | None = None
        #: the Sync under way: what it asked after, and what was known to exist then
        self._asked: Position | None = None
        self._mark = ZERO
        #: why to sync: positions that are known to exist, and whether a page said so
        self._latest = ZERO
        self._more = False
        #: the first that was forgotten since the last Synced
        self._forgot: Position | None = None
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When `sync_due` has something to say, or None while nothing is missing."""
        return self._due

    @property
    def asking(self) -> bool:
        """Whether a Sync is under way."""
        return self._asked is not None

    @property
    def settled(self) -> bool:
        """Whether nothing is known to be missing and nothing is kept: only `held` is worth remembering."""
        return self._due is None and not self._aside

    @property
    def end(self) -> Position:
        """The last position that is known of."""
        return max(self.held, self._latest, max(self._aside, default=ZERO) if self._aside else ZERO)

    def begin(self, held: Position, now: float) -> list[Item]:
        """Learn where the prefix begins; return what to hand over of what came before that was known."""
        self.held = held
        self._due = self._forgot = None
        taken: list[Item] = []
        self._drain(taken)
        self._settle(now)
        return taken

    def pushed(self, position: Position, previous: Position, item: Item, now: float) -> list[Item]:
        """Take a message that came, live or in a page, or one's own that was accepted; return what to hand over."""
        if position <= self.held:
            return []
        if previous <= self.held:
            self.held = position
            taken = [item]
            if self._aside or self._due is not None:
                self._drain(taken)
                self._settle(now)
            return taken
        self._keep(position, previous, item)
        self._settle(now)
        return []

    def news(self, latest: Position, now: float) -> None:
        """Take word that the conversation goes to `latest` at least."""
        if latest > self.held:
            self._latest = max(self._latest, latest)
            self._settle(now)

    def synced(self, after: Position, upto: Position, more: bool, reset: bool, now: float) -> list[Item]:
        """Take the end of a page; return what to hand over."""
        answered = after == self._asked
        began = self.held
        cut = self._forgot is not None and self._forgot <= upto
        taken: list[Item] = []
        if after <= began:
            self._take(upto, taken)
            if not cut:
                self.held = max(self.held, upto)
            if reset and upto < after == began:
                self.held = upto
        self._forgot = None
        if answered:
            self._asked = self._due = None
            self._more = more or cut
            if not self._more:
                self._forget_missing()
            elif self.held <= after:
                # It came to nothing: an answer like the last one must not make it ask in a loop.
                self._due = now + self._policy.wait()
        self._drain(taken)
        self._settle(now)
        return taken

    def sync_due(self, now: float) -> Position | None:
        """Return what to ask after when a Sync is to be sent now; it is under way then, until `synced` or `failed`."""
        if self._due is None or now < self._due:
            return None
        self._asked = self.held
        self._mark = max(self._aside, default=ZERO) if self._aside else ZERO
        self._mark = max(self._mark, self._latest)
        self._due = now + self._policy.timeout
        return self.held

    def failed(self, now: float, delay: float) -> None:
        """The Sync under way failed, or the connection did: ask again after `delay` seconds at the earliest."""
        if self._asked is not None:
            self._asked = None
            self._more = True
            self._due = now + delay

    def give_up(self) -> None:
        """What is missing will not be given to this reader: forget it until something new comes."""
        self._asked = self._due = self._aside = self._forgot = None
        self._more = False
        self._latest = ZERO

    def _keep(self, position: Position, previous: Position, item: Item) -> None:
        if self._aside is None:
            self._aside = {}
        # What comes later wins: the page's form of a message that was recalled since.
        self._aside[position] = previous, item
        if len(self._aside) > self._policy.capacity:
            last = max(self._aside)
            del self._aside[last]
            self._latest = max(self._latest, last)
            self._forgot = last if self._forgot is None else min(self._forgot, last)

    def _take(self, upto: Position, taken: list[Item]) -> None:
        """Hand over what is aside up to `upto`, as far as nothing before it was forgotten."""
        aside = self._aside
        if aside:
            for position in sorted(aside):
                if position > upto or (self._forgot is not None and position > self._forgot):
                    break
                _, item = aside.pop(position)
                if position > self.held:
                    self.held = position
                    taken.append(item)

    def _drain(self, taken: list[Item]) -> None:
        """Hand over what is aside and follows the prefix."""
        aside = self._aside
        if aside:
            for position in sorted(aside):
                previous, item = aside[position]
                if position > self.held:
                    if previous > self.held:
                        break
                    self.held = position
                    taken.append(item)
                del aside[position]
            if not aside:
                self._aside = None

    def _forget_missing(self) -> None:
        """Forget what was heard of before the Sync and is not there."""
        if self._latest <= self._mark:
            self._latest = ZERO
        if self._aside:
            for position in [position for position in self._aside if position <= self._mark]:
                del self._aside[position]

    def _settle(self, now: float) -> None:
        """Decide when the next Sync is due."""
        if self._asked is None:
            if self._more or self._latest > self.held:
                if self._due is None:
                    self._due = now
            elif not self._aside:
                self._due = None
            elif self._due is None:
                self._due = now + self._policy.wait()
