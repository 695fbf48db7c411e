"""One reader of conversations: every message of each once and in order, whatever pushing loses.

The client library reads by it, and servers read by it for their guests. It keeps a `GapRule` for each conversation, and
decides when what is to be asked for, and what may be acknowledged. It knows no clock and no connection: the caller says
what comes and when, hands over what the methods return, in that order, and comes back at `due`.

Where a conversation begins is told by its *head*: the end of what was received before. Heads come in lists, page by
page. What comes of a conversation that has no place yet is kept aside until a list has told its head, or has come to
its end without it. What that means differs between readers (`Unlisted`), as do a few bounds (`ReaderPolicy`). It never
begins before a message that came: the one before that may have been lost, or this one may be a repeat.

The table of places may be bounded. A place that has nothing to do then makes room for another, once its receipt is
certain to be in the store: that is where its head comes from when it is needed again. What finds no room is left out,
and listed again when there is some.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from attrs import frozen

from cim.wire import positions
from cim.wire.cim_pb2 import Head, Sync
from cim.wire.conversations import EVERYONE
from cim.wire.gap import UNKNOWN, GapPolicy, GapRule
from cim.wire.positions import ZERO, Position

Item = TypeVar("Item")

#: A page of heads that does not come is asked for again after so many seconds.
HEADS_SECONDS = 10.0
#: A receipt that went up that long ago is in the store, or is known to be lost; a list that was asked for before it has
#: come, or has failed. So it is longer than the time that a request has.
STORED_SECONDS = 6.0


class Unlisted(enum.Enum):
    """What it means that a whole list of heads does not name a conversation.

    :cvar BASELINE: nothing of it was new when the session began: it begins where it ended when that was asked shortly
        before, or at its beginning
    :cvar NOTHING_NEW: nothing of it is new that came before the list was asked for: that is forgotten, and where the
        conversation begins is told when something new comes
    """

    BASELINE = enum.auto()
    NOTHING_NEW = enum.auto()


@frozen
class ReaderPolicy:
    """What readers of one kind have in common.

    :param gap: for each conversation
    :param unlisted: what it means that no head names a conversation
    :param syncs: pages of conversations that are under way at a time
    :param receipt_seconds: receipts of one conversation are so far apart
    :param receipt_messages: but with so many messages unacknowledged the next goes out at once
    :param capacity: conversations in the table; 0 for no bound
    """

    gap: GapPolicy
    unlisted: Unlisted
    syncs: int
    receipt_seconds: float = 0.0
    receipt_messages: int = 1
    capacity: int = 0


class _Place(Generic[Item]):
    """A conversation in the table.

    :ivar kept: how far what was handed over is kept, so that it may be acknowledged
    :ivar acknowledged: how far it was, at `acknowledged_at`
    :ivar unacknowledged: messages that were handed over since and are not None
    """

    __slots__ = ("acknowledged", "acknowledged_at", "kept", "rule", "unacknowledged")

    def __init__(self, policy: GapPolicy, held: Position) -> None:
        self.rule: GapRule[Item] = GapRule(policy, held)
        self.kept = self.acknowledged = held
        self.acknowledged_at = 0.0
        self.unacknowledged = 0


#: A conversation whose beginning has become known: its name, where it begins, and what is handed over of it.
Begun = tuple[str, Position, list[Item]]


class Reader(Generic[Item]):
    """The places of one reader in its conversations.

    Items are the caller's own. An item None is a message that the reader has no use for; it counts all the same, but
    makes no conversation known. Times are seconds on any clock, the same for all calls.
    """

    __slots__ = (
        "_again", "_asked", "_baseline", "_cursor", "_cursor_due", "_due", "_left_out", "_next_list", "_places",
        "_policy", "_receipts", "_unknown", "_wanted", "_wanted_due",
    )  # fmt: skip

    def __init__(self, policy: ReaderPolicy) -> None:
        self._policy = policy
        self._places: dict[str, _Place[Item]] = {}
        # Conversations of which something is missing, and those whose receipts are due, and when.
        self._due: dict[str, None] = {}
        self._receipts: dict[str, float] = {}
        # Conversations whose beginning is not known: since when each was active, and where it ended when the list was
        # asked for that is to tell it.
        self._unknown: dict[str, tuple[int, Position]] = {}
        self._baseline: dict[str, str] = {}
        # The next page of a list of heads, and when it is to be asked for.
        self._cursor = ""
        self._cursor_due = 0.0
        # The cursor of a list that nobody asked for, which is read after the present one.
        self._next_list = ""
        # Since when heads are asked for (ms): by the first page that is under way, and by the list after that.
        self._asked: int | None = None
        self._wanted: int | None = None
        self._wanted_due = 0.0
        # Something found no room in the table; not before then is it worth another list.
        self._left_out = False
        self._again = 0.0

    # What it knows.

    def knows(self, conversation: str) -> bool:
        """Return whether there is a place."""
        return conversation in self._places

    def held(self, conversation: str) -> Position:
        """Return the end of what was handed over of a conversation."""
        place = self._places.get(conversation)
        return max(place.rule.held, ZERO) if place is not None else ZERO

    def settled(self, conversation: str) -> bool:
        """Return whether nothing of a conversation is known to be missing."""
        return conversation not in self._due and conversation not in self._unknown

    @property
    def listing(self) -> bool:
        """Whether pages of a list of heads are still to come."""
        return bool(self._cursor) or self._asked is not None

    @property
    def caught_up(self) -> bool:
        """Whether all that is known of was handed over, and nothing is to be asked for."""
        return not (self._due or self._unknown or self._cursor or self._left_out) and (
            self._asked is None and self._wanted is None
        )

    def rests(self, now: float) -> bool:
        """Return whether it has nothing to do and all of its marks are in the store: it is not missed."""
        idle = self._idle()
        stored = all(now >= place.acknowledged_at + STORED_SECONDS for _, place in idle)
        return self.caught_up and stored and len(idle) == len(self._places)

    @property
    def owes(self) -> bool:
        """Whether there are receipts to be sent, now or later."""
        return bool(self._receipts)

    # The beginning and the end of a session, for readers that outlast it.

    def load(self, places: Mapping[str, str]) -> None:
        """Take the places that an earlier reader kept."""
        for name, text in places.items():
            self._places[name] = _Place(self._policy.gap, positions.parse(text))

    def begin(self, heads: Iterable[Head], more: str, baseline: Mapping[str, str], now: float) -> list[Begun[Item]]:
        """A session has begun, and these heads came with it.

        :param more: the cursor of the next page of heads, or ""
        :param baseline: where conversations ended shortly before
        """
        self._baseline = dict(baseline)
        everyone = self._places.get(EVERYONE)
        if everyone is not None:
            # It has no head: whether anything was said is found out by asking.
            epoch, n = everyone.rule.held
            everyone.rule.news((epoch, n + 1), now)
            self._look(EVERYONE, everyone)
        return self.listed(heads, more, now)

    def ended(self, now: float) -> None:
        """The session is over, and nothing that was asked for will come."""
        self._cursor = self._next_list = ""
        for name, place in self._places.items():
            place.rule.failed(now, 0.0)
            self._look(name, place)

    # Messages.

    def pushed(
        self,
        conversation: str,
        position: Position,
        previous: Position,
        item: Item,
        now: float,
        *,
        since: int = 0,
        first: bool = False,
    ) -> list[Item]:
        """Take a message that came, live or in a page, or one's own that was accepted; return what to hand over.

        :param since: a list of the heads that were active since then (ms since 1970) names its conversation, if that
            has anything new
        :param first: it is the very first of its conversation, and was said just now
        """
        place = self._places.get(conversation)
        if place is None:
            place = self._meet(conversation, previous, item, now, since, first)
            if place is None:
                return []
        rule = place.rule
        items = rule.pushed(position, previous, item, now)
        if items:
            place.unacknowledged += len(items) - items.count(None)  # type: ignore[arg-type]  # Item may be None
        if rule.due is not None or self._due:
            self._look(conversation, place)
        return items

    def synced(
        self, conversation: str, after: Position, upto: Position, more: bool, reset: bool, now: float
    ) -> list[Item]:
        """Take the end of a page; return what to hand over."""
        place = self._places.get(conversation)
        if place is None:
            return []
        items = place.rule.synced(after, upto, more, reset, now)
        place.unacknowledged += len(items) - items.count(None)  # type: ignore[arg-type]
        self._look(conversation, place)
        return items

    def failed(self, conversation: str, now: float, delay: float | None) -> None:
        """A page did not come: of a conversation, or of heads when none is named.

        :param delay: seconds after which it may be asked for again; None when it will never be given
        """
        place = self._places.get(conversation)
        if place is not None:
            if delay is None:
                place.rule.give_up()
            else:
                place.rule.failed(now, delay)
            self._look(conversation, place)
        elif not conversation and self._cursor:
            self._cursor_due = now + (HEADS_SECONDS if delay is None else delay)

    # Heads.

    def want(self, since: int, now: float) -> None:
        """Have heads listed.

        :param since: those that were active since then, ms since 1970; 0 for all
        """
        if self._wanted is None:
            self._wanted, self._wanted_due = since, now
        else:
            self._wanted = min(since, self._wanted)

    def first_page(self, now: float) -> int | None:
        """Return since when heads are to be asked for now, if they are; `listed` or `not_listed` says what came of it.

        :returns: ms since 1970, 0 for all
        """
        if self.listing:
            return None
        if self._left_out and self._again <= now and self._has_room(now):
            self._left_out = False
            self.want(0, now)
        if self._wanted is None or self._wanted_due > now:
            return None
        self._asked, self._wanted = self._wanted, None
        self._again = now + STORED_SECONDS
        for name, (since, _) in self._unknown.items():
            self._unknown[name] = since, self._places[name].rule.end
        return self._asked

    def not_listed(self, now: float, delay: float) -> None:
        """The first page of heads did not come; it may be asked for again after so many seconds."""
        if self._asked is not None:
            asked, self._asked = self._asked, None
            self.want(asked, now)
            self._wanted_due = now + delay

    def listed(self, heads: Iterable[Head], more: str, now: float) -> list[Begun[Item]]:
        """Take a page of a list; return the conversations whose beginning is known by it.

        :param more: the cursor of the next page, or ""
        """
        begun = self.news(heads, now)
        self._asked = None
        # A list for which there is no room is of use only to those that wait for their beginning.
        self._cursor = more if self._unknown or not self._left_out else ""
        self._cursor_due = now
        if not more:
            begun += self._end_of_list(now)
            self._cursor, self._next_list = self._next_list, ""
        return begun

    def unasked(self, heads: Iterable[Head], more: str, now: float) -> list[Begun[Item]]:
        """Take the first page of a list that nobody asked for; return the conversations whose beginning is known by it.

        :param more: the cursor of the next page, or ""
        """
        begun = self.news(heads, now)
        if self.listing:
            self._next_list = more or self._next_list
        elif more:
            self._cursor, self._cursor_due = more, now
        return begun

    def news(self, heads: Iterable[Head], now: float) -> list[Begun[Item]]:
        """Take heads that came without a list; return the conversations whose beginning is known by them."""
        begun: list[Begun[Item]] = []
        for head in heads:
            name, latest = head.conversation, positions.parse(head.latest)
            place = self._places.get(name)
            if place is None or name in self._unknown:
                start = positions.parse(head.received or head.read)
                if place is None:
                    if self._policy.capacity and latest <= start:
                        continue
                    if self._left_out or not self._has_room(now):
                        self._left_out = True
                        continue
                else:
                    # Before it begins, so that what is missing is asked for at once.
                    place.rule.news(latest, now)
                place = self._begin(name, start, begun, now)
                place.acknowledged = positions.parse(head.received)
            elif positions.parse(head.received) < latest <= place.kept and (
                now >= place.acknowledged_at + STORED_SECONDS
            ):
                # The receipt was lost, or the store has gone back.
                self._receipts.setdefault(name, now)
            place.rule.news(latest, now)
            self._look(name, place)
        return begun

    # What is to be done.

    def requests(self, now: float) -> list[Sync]:
        """Return the pages to ask for now, of heads and of conversations."""
        asked = []
        if self._cursor and self._cursor_due <= now:
            self._cursor_due = now + HEADS_SECONDS
            asked.append(Sync(after=self._cursor))
        if self._due:
            under_way = self._under_way
            for name in self._due:
                rule = self._places[name].rule
                if rule.asking or under_way < self._policy.syncs:
                    is_new = not rule.asking
                    after = rule.sync_due(now)
                    if after is not None:
                        under_way += is_new
                        asked.append(Sync(conversation=name, after=positions.text(after)))
        return asked

    @property
    def due(self) -> float | None:
        """When `requests` or `first_page` will have something; None for not before something comes."""
        times: list[float] = []
        if self._cursor:
            times.append(self._cursor_due)
        elif self._asked is None:
            if self._wanted is not None:
                times.append(self._wanted_due)
            if self._left_out:
                room = [place.acknowledged_at + STORED_SECONDS for _, place in self._idle()]
                times += [max(self._again, min(room))] if room else []
        if self._due:
            full = self._under_way >= self._policy.syncs
            rules = [self._places[name].rule for name in self._due]
            times += [rule.due for rule in rules if rule.due is not None and (rule.asking or not full)]
        return min(times, default=None)

    @property
    def receipts_due(self) -> float | None:
        """When `receipts` will have something; None for not before something is kept."""
        return min(self._receipts.values(), default=None)

    def kept(self, conversation: str, now: float, position: Position | None = None) -> None:
        """What was handed over is kept, up to a position or all of it: it may be acknowledged."""
        place = self._places.get(conversation)
        if place is None or conversation == EVERYONE:
            return
        place.kept = place.rule.held if position is None else position
        if place.kept > place.acknowledged:
            policy = self._policy
            if place.unacknowledged >= policy.receipt_messages:
                self._receipts[conversation] = now
            elif conversation not in self._receipts:
                self._receipts[conversation] = max(now, place.acknowledged_at + policy.receipt_seconds)

    def receipts(self, now: float) -> list[tuple[str, Position]]:
        """Return the receipts to send now: conversations, and how far they were received."""
        due = [name for name, at in self._receipts.items() if at <= now]
        receipts = []
        for name in due:
            del self._receipts[name]
            place = self._places[name]
            place.acknowledged, place.acknowledged_at, place.unacknowledged = place.kept, now, 0
            receipts.append((name, place.kept))
        return receipts

    def receipts_lost(self, since: float, now: float) -> None:
        """Receipts that were sent since then may be lost: they are due once more."""
        for name, place in self._places.items():
            if place.acknowledged_at >= since:
                self._receipts.setdefault(name, now)

    # Inside.

    @property
    def _under_way(self) -> int:
        return sum([self._places[name].rule.asking for name in self._due])

    def _look(self, name: str, place: _Place[Item]) -> None:
        if place.rule.due is None:
            self._due.pop(name, None)
        elif name not in self._unknown:
            self._due[name] = None

    def _meet(
        self, name: str, previous: Position, item: Item, now: float, since: int, first: bool
    ) -> _Place[Item] | None:
        """Return a place for a conversation that has none; None when there is no use for it, or no room."""
        start = UNKNOWN
        if self._policy.unlisted is Unlisted.NOTHING_NEW:
            if item is None and not first:
                return None
            if not self._has_room(now):
                self._left_out = True
                return None
            # What others were said before goes before it, when that is still to be asked for.
            if first and self._wanted is None:
                start = ZERO
            else:
                self.want(since, now)
        elif name == EVERYONE:
            start = previous
        elif not self._cursor:
            start = positions.parse(self._baseline.get(name, ""))
        place = self._places[name] = _Place(self._policy.gap, start)
        if start == UNKNOWN:
            self._unknown[name] = since, UNKNOWN
        return place

    def _begin(self, name: str, start: Position, begun: list[Begun[Item]], now: float) -> _Place[Item]:
        """Note where a conversation begins, with a new place if it has none."""
        place = self._places.get(name)
        items: list[Item] = []
        if place is None:
            place = self._places[name] = _Place(self._policy.gap, start)
        else:
            del self._unknown[name]
            items = place.rule.begin(start, now)
            place.kept = place.acknowledged = start
            place.unacknowledged = len(items) - items.count(None)  # type: ignore[arg-type]
            self._look(name, place)
        begun.append((name, start, items))
        return place

    def _end_of_list(self, now: float) -> list[Begun[Item]]:
        """All heads of a list came: see to what is in none of them."""
        begun: list[Begun[Item]] = []
        if self._policy.unlisted is Unlisted.NOTHING_NEW:
            for name, (since, end) in list(self._unknown.items()):
                if end == self._places[name].rule.end:
                    del self._places[name], self._unknown[name]
                else:
                    # What came since may be new, said after the list was read: then the next list names it.
                    self.want(since, now)
            return begun
        baseline, self._baseline = self._baseline, {}
        for name in list(self._unknown):
            # Before it begins, so that what is missing is asked for at once.
            rule = self._places[name].rule
            rule.news(rule.end, now)
            self._begin(name, positions.parse(baseline.get(name, "")), begun, now)
        for name, text in baseline.items():
            if name not in self._places:
                self._begin(name, positions.parse(text), begun, now)
        return begun

    def _idle(self) -> list[tuple[str, _Place[Item]]]:
        """Return the places that could make room, now or later."""
        return [
            (name, place)
            for name, place in self._places.items()
            if not place.unacknowledged
            and name not in self._due
            and name not in self._unknown
            and name not in self._receipts
        ]

    def _has_room(self, now: float) -> bool:
        """Return whether one more place fits in, when need be instead of the one whose receipt is the oldest."""
        if not self._policy.capacity or len(self._places) < self._policy.capacity:
            return True
        name, place = min(self._idle(), key=lambda idle: idle[1].acknowledged_at, default=("", None))
        if place is None or now < place.acknowledged_at + STORED_SECONDS:
            return False
        del self._places[name]
        return True
