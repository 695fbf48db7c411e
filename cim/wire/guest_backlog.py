"""A guest's place in its conversations, which the server keeps because guests cannot (DESIGN.md section 5, Guests).

Per session and conversation there is a `GapRule` that begins at the guest's received mark, so that its backlog goes out
before anything newer, once and in order. Marks come with *heads*, the list of conversations with something new:

- All of it is asked for at login (W1), or when the guest fetches what it missed or gets its first live message (W2).
- What was active lately is asked for after pushes may have been lost, and when a message comes in a conversation whose
  mark is not known here; the message waits for it. To begin at such a message's `previous` instead would be wrong: the
  one before it may have been lost on its way here, or this one may repeat what the guest got in an earlier session.
  Only the very first message of a conversation, said just now, needs no mark.

What is in the table is bounded, and so is what waits to get into it. A conversation leaves the table when it has
nothing to do and its receipt went up long enough ago to be in the store, where its mark is found when it is needed.

The caller feeds it, and after each input: writes what `take` returns and says `written`; sends the requests of
`heads_due` and the Syncs of `syncs_due`, each of which it answers once; comes back at `due`; and sends up `receipts`
now and then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from cim.wire.gap import GapPolicy, GapRule
from cim.wire.guest_heads import HeadsList, HeadsWanted
from cim.wire.positions import ZERO, Position

Item = TypeVar("Item")
#: Told once whether a message was written.
Done = Callable[[bool], None]

#: Syncs of one session that are under way at once.
MAX_SYNCS = 4
#: Messages that wait in one conversation for its mark, and senders who wait to hear that theirs was written.
MAX_EARLY = 32
MAX_WAITING = 32
#: Heads that wait to get into the table.
MAX_HEADS = 200
#: A receipt that went up that long ago is in the store.
STORED_SECONDS = 5.0
#: How far back heads are asked for when a message comes in a conversation whose mark is not known.
RECENT_SECONDS = 60.0


#: Position, previous, item, and whether it is a batch.
_Message = tuple[Position, Position, Item | None, bool]


class _Place(Generic[Item]):
    """A conversation in the table.

    :ivar rule: None while the mark is not known
    :ivar early: what came before the mark
    :ivar beyond: the last position that was left out
    :ivar asked: heads were asked for since it came
    :ivar reported: the position of the last receipt, and when it went up
    :ivar shown: something was written since: what a guest is not shown needs no receipt of its own
    """

    __slots__ = ("asked", "beyond", "early", "reported", "reported_at", "rule", "shown", "waiting", "written")

    def __init__(self, rule: GapRule[Item | None] | None) -> None:
        self.rule = rule
        self.early: list[_Message[Item]] = []
        self.beyond = ZERO
        self.asked = False
        self.waiting: list[tuple[Position, Done]] = []
        self.written = self.reported = rule.held if rule is not None else ZERO
        self.reported_at = 0.0
        self.shown = False

    @property
    def idle(self) -> bool:
        """Whether all is written and its receipt went up."""
        rule = self.rule
        return rule is not None and rule.settled and not self.waiting and self.reported == self.written == rule.held


class GuestBacklog(Generic[Item]):
    """What one guest session is to be written, in order, and how far it has come.

    Items are what the caller writes; an item None is a message that this guest is not shown (its own, a reaction),
    which counts all the same.

    :param eager: the backlog goes out at once (W1), not when it is fetched or a message comes (W2)
    :param capacity: conversations in the table
    """

    __slots__ = (
        "_all", "_begun", "_capacity", "_heads", "_moved", "_out", "_policy", "_recent", "_table", "_unknown",
        "_unreported", "_unsettled", "paused",
    )  # fmt: skip

    def __init__(self, policy: GapPolicy, eager: bool, now: float, capacity: int = 256) -> None:
        self._policy = policy
        self._capacity = capacity
        self._table: OrderedDict[str, _Place[Item]] = OrderedDict()
        #: heads that wait for room: conversation -> (received, latest)
        self._heads: dict[str, tuple[Position, Position]] = {}
        self._all = HeadsList(recent=False)
        self._recent = HeadsList(recent=True)
        self._begun = False
        self._out: list[Item] = []
        # Conversations in these states, in the order in which they came into them.
        self._unknown: dict[str, None] = {}
        self._unsettled: dict[str, None] = {}
        self._moved: dict[str, None] = {}
        self._unreported: dict[str, None] = {}
        #: the connection is slow: nothing is asked for, and what is pushed is left for later
        self.paused = False
        if eager:
            self.fetch(now)

    # What comes.

    def fetch(self, now: float) -> None:
        """The guest wants its backlog; it has gone out when `caught_up`."""
        self._begun = True
        self._all.want(0.0, now)

    def missed(self, since: float, now: float) -> None:
        """Pushes may have been lost since then."""
        if self._begun:
            self._recent.want(since, now)

    def delivered(
        self,
        conversation: str,
        position: Position,
        previous: Position,
        item: Item | None,
        now: float,
        *,
        batch: bool = False,
        first: bool = False,
        done: Done | None = None,
    ) -> None:
        """Take a message that was pushed.

        :param batch: it stands for all messages after `previous` up to `position`
        :param first: it is the first that was ever said in its conversation, and was said just now
        :param done: told when that position is written, or that it will not be soon
        """
        place = self._table.get(conversation)
        if place is None and (item is not None or (first and self._begun)):
            place = self._meet(conversation, first, now)
        if done is not None:
            if place is None or item is None or self.paused or len(place.waiting) == MAX_WAITING:
                done(False)
            else:
                place.waiting.append((position, done))
        if place is None:
            return
        self._table.move_to_end(conversation)
        if place.rule is None:
            if self.paused or len(place.early) == MAX_EARLY:
                place.beyond = max(place.beyond, position)
            else:
                place.early.append((position, previous, item, batch))
            return
        if self.paused:
            place.rule.news(position, now)
        else:
            self._push(place, (position, previous, item, batch), now)
        self._changed(conversation, place)

    def heads(self, wanted: HeadsWanted, new: Iterable[tuple[str, Position, Position]], more: str, now: float) -> None:
        """Take a page of heads: (conversation, received, latest), and the cursor of the next one."""
        for conversation, received, latest in new:
            place = self._table.get(conversation)
            if place is not None:
                if place.rule is None:
                    self._begin(conversation, place, received, latest, now)
                else:
                    place.rule.news(latest, now)
                self._changed(conversation, place)
            elif latest > received:
                if conversation in self._heads or len(self._heads) < MAX_HEADS:
                    self._heads[conversation] = (received, latest)
                else:
                    # It will be listed again when there is room.
                    self._all.want(0.0, now)
        which = self._recent if wanted.recent else self._all
        which.answered(more, now)
        if wanted.recent and not more:
            self._unlisted(wanted.since, now)
        self._admit(now)

    def _unlisted(self, since: float, now: float) -> None:
        """A list is through, and these were not on it although they were there when it was asked for."""
        for conversation in [name for name in self._unknown if self._table[name].asked]:
            if since:
                # A repeat of something older than the list goes back.
                self._recent.want(0.0, now)
            else:
                # Nothing is new in it: the guest had all of this before.
                place = self._table[conversation]
                last = max([place.beyond, *(message[0] for message in place.early)])
                self._begin(conversation, place, last, last, now)
                self._changed(conversation, place)

    def heads_failed(self, wanted: HeadsWanted, now: float, delay: float) -> None:
        """The request failed: ask again after `delay` seconds."""
        (self._recent if wanted.recent else self._all).failed(now + delay)

    def page(
        self,
        conversation: str,
        entries: Iterable[tuple[Position, Position, Item | None]],
        after: Position,
        upto: Position,
        more: bool,
        reset: bool,
        now: float,
    ) -> None:
        """Take the answer to a Sync: its messages (position, previous, item), then what its Synced says."""
        place = self._table.get(conversation)
        if place is None or place.rule is None:
            return
        for position, previous, item in entries:
            self._push(place, (position, previous, item, False), now)
        self._hand_over(place, place.rule.synced(after, upto, more, reset, now))
        self._changed(conversation, place)
        self._admit(now)

    def sync_failed(self, conversation: str, now: float, delay: float | None) -> None:
        """A Sync failed: ask again after `delay` seconds; None for never, the conversation is not the guest's."""
        place = self._table.get(conversation)
        if place is None or place.rule is None:
            return
        if delay is not None:
            place.rule.failed(now, delay)
            return
        del self._table[conversation]
        for state in (self._unsettled, self._moved, self._unreported):
            state.pop(conversation, None)
        for _, done in place.waiting:
            done(False)
        self._admit(now)

    # What is to be done.

    def take(self) -> list[Item]:
        """Return what is to be written now, in order; all of it is, or the session is over."""
        out, self._out = self._out, []
        return out

    def written(self) -> None:
        """All that was taken has been written: the marks move, and those who waited are told."""
        moved, self._moved = self._moved, {}
        for conversation in moved:
            place = self._table[conversation]
            assert place.rule is not None
            held = place.rule.held
            if held != place.written:
                if place.shown:
                    self._unreported[conversation] = None
                elif place.reported == place.written:
                    place.reported = held
                place.written = held
            if place.waiting:
                settled = place.rule.settled
                told = [(at <= held, done) for at, done in place.waiting if at <= held or settled]
                place.waiting = [(at, done) for at, done in place.waiting if at > held and not settled]
                for reached, done in told:
                    done(reached)

    def receipts(self, now: float) -> list[tuple[str, Position]]:
        """Return how far the guest has come in conversations where that is not known yet."""
        unreported, self._unreported = self._unreported, {}
        receipts = []
        for conversation in unreported:
            place = self._table[conversation]
            place.reported, place.reported_at = place.written, now
            place.shown = False
            receipts.append((conversation, place.written))
        return receipts

    def syncs_due(self, now: float) -> list[tuple[str, Position]]:
        """Return the Syncs to send now: conversation, after."""
        if self.paused:
            return []
        syncs = []
        under_way = self._syncs
        for conversation in self._unsettled:
            rule = self._rule(conversation)
            asking = rule.asking
            if (asking or under_way < MAX_SYNCS) and (after := rule.sync_due(now)) is not None:
                under_way += not asking
                syncs.append((conversation, after))
        return syncs

    def heads_due(self, now: float) -> list[HeadsWanted]:
        """Return the requests for heads to send now."""
        self._admit(now)
        wanted = []
        for which in (self._all, self._recent):
            if self._may_ask(which) and which.due is not None and which.due <= now:
                if which is self._recent and not which.cursor:
                    for conversation in self._unknown:
                        self._table[conversation].asked = True
                wanted.append(which.ask())
        return wanted

    @property
    def due(self) -> float | None:
        """When `syncs_due` or `heads_due` will have something; None for not before the next input."""
        if self.paused:
            return None
        dues = [which.due for which in (self._all, self._recent) if self._may_ask(which)]
        if self._heads:
            dues += [place.reported_at + STORED_SECONDS for place in self._table.values() if place.idle]
        if self._unsettled:
            full = self._syncs >= MAX_SYNCS
            rules = [self._rule(conversation) for conversation in self._unsettled]
            dues += [rule.due for rule in rules if rule.asking or not full]
        return min((due for due in dues if due is not None), default=None)

    @property
    def caught_up(self) -> bool:
        """Whether all that is known of was written."""
        waiting = self._out or self._unsettled or self._unknown or self._heads or self._moved
        return not waiting and self._all.idle and self._recent.idle

    @property
    def _syncs(self) -> int:
        return sum(self._rule(conversation).asking for conversation in self._unsettled)

    def _rule(self, conversation: str) -> GapRule[Item | None]:
        rule = self._table[conversation].rule
        assert rule is not None
        return rule

    def _may_ask(self, which: HeadsList) -> bool:
        # The long list goes on when what it brought is through; the other keeps messages waiting.
        return not self.paused and not which.asked and (which is self._recent or not self._heads)

    def _meet(self, conversation: str, first: bool, now: float) -> _Place[Item] | None:
        """Return a place for a conversation that is not in the table; None when there is no room."""
        if not self._begun:
            # Other conversations' backlogs go before it.
            first = False
            self.fetch(now)
        if not self._room(now):
            self._recent.want(now - RECENT_SECONDS, now)
            return None
        head = self._heads.pop(conversation, None)
        if head is not None:
            return self._enter(conversation, *head, now)
        if first:
            return self._enter(conversation, ZERO, ZERO, now)
        place = self._table[conversation] = _Place[Item](None)
        self._unknown[conversation] = None
        self._recent.want(now - RECENT_SECONDS, now)
        return place

    def _enter(self, conversation: str, received: Position, latest: Position, now: float) -> _Place[Item]:
        rule: GapRule[Item | None] = GapRule(self._policy, received)
        rule.news(latest, now)
        place = self._table[conversation] = _Place(rule)
        self._changed(conversation, place)
        return place

    def _begin(self, conversation: str, place: _Place[Item], mark: Position, latest: Position, now: float) -> None:
        """The mark of an unknown conversation has come."""
        rule = place.rule = GapRule(self._policy, mark)
        place.written = place.reported = mark
        del self._unknown[conversation]
        rule.news(max(latest, place.beyond), now)
        early, place.early = place.early, []
        for message in early:
            self._push(place, message, now)

    def _push(self, place: _Place[Item], message: _Message[Item], now: float) -> None:
        rule = place.rule
        assert rule is not None
        position, previous, item, batch = message
        if batch and previous != rule.held:
            # A batch of which something is written already, or something before it is missing, comes one by one.
            rule.news(position, now)
        else:
            self._hand_over(place, rule.pushed(position, previous, item, now))

    def _hand_over(self, place: _Place[Item], items: list[Item | None]) -> None:
        for item in items:
            if item is not None:
                place.shown = True
                self._out.append(item)

    def _changed(self, conversation: str, place: _Place[Item]) -> None:
        rule = place.rule
        assert rule is not None
        if rule.settled:
            self._unsettled.pop(conversation, None)
        else:
            self._unsettled[conversation] = None
        if place.waiting or rule.held != place.written:
            self._moved[conversation] = None

    def _admit(self, now: float) -> None:
        """Let heads into the table while there is room."""
        while self._heads and self._room(now):
            conversation = next(iter(self._heads))
            self._enter(conversation, *self._heads.pop(conversation), now)

    def _room(self, now: float) -> bool:
        """Whether one more fits into the table, when need be instead of the one that was quiet for longest."""
        if len(self._table) < self._capacity:
            return True
        # The one that was used longest ago first.
        for conversation, place in self._table.items():
            if place.idle and now >= place.reported_at + STORED_SECONDS:
                del self._table[conversation]
                return True
        return False
