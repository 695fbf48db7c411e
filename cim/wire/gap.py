"""The gap rule: how a reader of a conversation gets every message once and in order, whatever pushes are lost.

A conversation's log is the truth, and a push only a hint. A reader holds a contiguous prefix of the log, up to the
position *h*. Two kinds of statement extend it; both remain true, whenever and however often they arrive:

- A `Deliver`, or the `Accepted` of the reader's own message, says: nothing lies between `previous` and `position`. With
  `previous` at or before h, the message extends the prefix. With `position` at or before h, it is a repeat and is
  dropped. With `previous` beyond h, something is missing: the message is kept aside, what is missing has 200 ms (a
  quarter more or less) to arrive by itself, and then a `Sync` asks for what is after h.
- A `Synced` says: everything in (`after`, `upto`] was sent since the previous `Synced`. With `after` at or before h,
  everything kept aside up to `upto` is handed over in the order of positions, and `upto` is held. So the packets of a
  page need no mark of their own: a page is its `Deliver`s followed by its `Synced`, on the same ordered stream as live
  pushes, and what is pushed in between is treated like any other push. `more` makes the reader ask for the next page
  at once. `reset` says that what is missing before is not available (it was trimmed, or the reader joined later). A
  `reset` with an `upto` before h, in answer to a `Sync` after h, says that the store lost its tail: the prefix ends at
  `upto` again.

It need not be known where the prefix begins when the first message arrives: until then everything is kept aside.

A head (in `Welcome` or `News`) with a `latest` beyond h makes the reader sync, too. A reader acknowledges (`Received`)
only the end of its prefix. One `Sync` is under way at a time; if it is not answered, it is sent again. What was
announced before the `Sync`, and did not arrive although its `Synced` is without `more`, no longer exists.

A page is sent whole or not at all. A page of what lies *before* a position is for someone who reads history, and its
`Synced` does not concern the gap rule, unless its `after` is what precedes the page's first message, which makes it as
true as any other.

The messages kept aside are bounded: the positions farthest from h are forgotten first, and asked for again. A page
longer than the bound may take several Syncs, but nothing of it is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import frozen

from cim.wire.positions import ZERO, Position

Item = TypeVar("Item")

#: The end of a prefix whose beginning is not known yet: before all positions, even ZERO.
UNKNOWN: Position = (-1, -1)


@frozen
class GapPolicy:
    """The parameters that all gap rules of a process share.

    :param random: returns evenly distributed numbers from 0 to 1
    :param patience: seconds to wait for a missing message to arrive by itself, a quarter more or less
    :param timeout: seconds until an unanswered Sync is sent again
    :param capacity: how many messages one conversation keeps aside; at least the limit of a page
    """

    random: Callable[[], float]
    patience: float = 0.2
    timeout: float = 10.0
    capacity: int = 128

    def wait(self) -> float:
        """Return the patience with jitter, so that readers who miss the same message do not all ask at once."""
        return self.patience * (0.75 + self.random() / 2)


class GapRule(Generic[Item]):
    """One reader's position in one conversation.

    The caller passes it what arrives, hands what the methods return to the application in that order, and sends the
    Sync that `sync_due` asks for. Times are seconds on any clock, the same for all calls.

    :param held: the end of the prefix at the start: the received mark, or what the reader has stored; UNKNOWN if
        `begin` will set it
    :ivar held: the end of the prefix, which may be acknowledged once the returned items were handed over
    """

    __slots__ = ("_aside", "_asked", "_due", "_forgot", "_latest", "_mark", "_more", "_policy", "held")

    def __init__(self, policy: GapPolicy, held: Position = ZERO) -> None:
        self._policy = policy
        self.held = held
        self._aside: dict[Position, tuple[Position, Item]] | None = None
        #: the Sync under way: the position it asks after, and the last position known to exist then
        self._asked: Position | None = None
        self._mark = ZERO
        #: why to sync: the last position known to exist, and whether a page said that there is more
        self._latest = ZERO
        self._more = False
        #: the first position that was forgotten since the last Synced
        self._forgot: Position | None = None
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When `sync_due` will ask for a Sync, or None while nothing is missing."""
        return self._due

    @property
    def asking(self) -> bool:
        """Whether a Sync is under way."""
        return self._asked is not None

    @property
    def settled(self) -> bool:
        """Whether nothing is known to be missing and nothing is kept aside, so only `held` is worth remembering."""
        return self._due is None and not self._aside

    @property
    def end(self) -> Position:
        """The last position known to exist."""
        return max(self.held, self._latest, max(self._aside, default=ZERO) if self._aside else ZERO)

    def begin(self, held: Position, now: float) -> list[Item]:
        """Set where the prefix begins; return the items to hand over of those that arrived before."""
        self.held = held
        self._due = self._forgot = None
        taken: list[Item] = []
        self._drain(taken)
        self._settle(now)
        return taken

    def pushed(self, position: Position, previous: Position, item: Item, now: float) -> list[Item]:
        """Take a message, live, from a page, or the reader's own accepted one; return what to hand over."""
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
        """Note that the conversation extends at least to `latest`."""
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
                # The Sync brought nothing: another answer like it must not make the reader ask in a loop.
                self._due = now + self._policy.wait()
        self._drain(taken)
        self._settle(now)
        return taken

    def sync_due(self, now: float) -> Position | None:
        """Return the position to ask after if a Sync is due; it then is under way until `synced` or `failed`."""
        if self._due is None or now < self._due:
            return None
        self._asked = self.held
        self._mark = max(self._aside, default=ZERO) if self._aside else ZERO
        self._mark = max(self._mark, self._latest)
        self._due = now + self._policy.timeout
        return self.held

    def failed(self, now: float, delay: float) -> None:
        """Note that the Sync or the connection failed: ask again after `delay` seconds at the earliest."""
        if self._asked is not None:
            self._asked = None
            self._more = True
            self._due = now + delay

    def give_up(self) -> None:
        """Forget what is missing until something new arrives: this reader will not be given it."""
        self._asked = self._due = self._aside = self._forgot = None
        self._more = False
        self._latest = ZERO

    def _keep(self, position: Position, previous: Position, item: Item) -> None:
        if self._aside is None:
            self._aside = {}
        # The later form wins, such as a page's form of a message that was recalled since.
        self._aside[position] = previous, item
        if len(self._aside) > self._policy.capacity:
            last = max(self._aside)
            del self._aside[last]
            self._latest = max(self._latest, last)
            self._forgot = last if self._forgot is None else min(self._forgot, last)

    def _take(self, upto: Position, taken: list[Item]) -> None:
        """Hand over what is kept aside up to `upto`, as far as nothing before it was forgotten."""
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
        """Hand over what is kept aside and follows the prefix."""
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
        """Forget what was announced before the Sync but does not exist."""
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
