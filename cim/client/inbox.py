"""Every message once and in order: the gap rule of each conversation, its Syncs and its acknowledgements.

Where a conversation begins that nothing is stored of: at the head's `received`; on a device that is new, at what the
user has read; and when it is in no head, then nothing of it was new when the session began: at its end as it was listed
shortly before that (`baseline`). While not all pages of heads are there, what comes of an unknown conversation is only
remembered to exist. Everyone (`g:0`) begins with the first message that comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import define

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from cim.client.values import Message
from cim.wire import positions
from cim.wire.cim_pb2 import Head, Received, Sync
from cim.wire.conversations import EVERYONE
from cim.wire.gap import GapPolicy, GapRule
from cim.wire.positions import Position

#: A receipt goes out after so many seconds or messages.
RECEIPT_SECONDS = 1.0
RECEIPT_MESSAGES = 100
#: Pages that are asked for at a time.
MAX_SYNCS = 8
#: When the page of heads that was asked for does not come, it is asked for again after so many seconds.
HEADS_SECONDS = 10.0


class Reader(Protocol):
    """Whom an inbox serves."""

    def say(self, **body: Any) -> None:
        """Send a Packet."""

    def hand(self, message: Message) -> bool:
        """Give a message to the application; False when nothing more is wanted."""

    def keep(self, message: Message | None, conversation: str, place: str) -> None:
        """Write a message and the place of its conversation; `Inbox.kept` is called when that is done."""


@define(eq=False)
class _Place:
    rule: GapRule[Message]
    #: What is written down, what was acknowledged, and how many messages lie between.
    kept: Position = positions.ZERO
    acknowledged: Position = positions.ZERO
    unacknowledged: int = 0
    since: float = 0.0


class Inbox:
    """The reading side of a client, over all of its sessions."""

    def __init__(self, reader: Reader, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._reader = reader
        self._clock = clock
        self._policy = GapPolicy(random)
        self._places: dict[str, _Place] = {}
        self._due: dict[str, float] = {}
        self._receipts: dict[str, float] = {}
        self._baseline: dict[str, str] = {}
        #: Unknown conversations, and up to where they go, while pages of heads are missing.
        self._rumours: dict[str, Position] = {}
        self._more = ""
        self._heads_due = 0.0
        self._live = False
        self._timer: IDelayedCall | None = None

    @property
    def complete(self) -> bool:
        """Whether all pages of heads came."""
        return self._live and not self._more

    def load(self, places: Mapping[str, str]) -> None:
        """Take the places that were stored."""
        for name, text in places.items():
            place = self._new(name, positions.parse(text))
            place.kept = place.acknowledged = place.rule.held

    def knows(self, conversation: str) -> bool:
        """Whether there is a place."""
        return conversation in self._places

    def held(self, conversation: str) -> str:
        """Return the end of what was handed over of a conversation."""
        place = self._places.get(conversation)
        return positions.text(place.rule.held) if place is not None else ""

    # The session

    def begin(self, heads: Iterable[Head], more: str, baseline: Mapping[str, str]) -> None:
        """A session is there; these heads came with it.

        :param baseline: where conversations ended shortly before
        """
        self._live = True
        self._baseline = dict(baseline)
        everyone = self._places.get(EVERYONE)
        if everyone is not None:
            # It has no head: whether anything was said is found out by asking.
            epoch, n = everyone.rule.held
            everyone.rule.news((epoch, n + 1), self._clock.seconds())
            self._look(EVERYONE, everyone)
        for name, place in self._places.items():
            self._look(name, place)
            if place.kept > place.acknowledged:
                self._receipts[name] = self._clock.seconds()
        self.news(heads, more)

    def news(self, heads: Iterable[Head], more: str) -> None:
        """Heads came; `more` when there are others behind them."""
        now = self._clock.seconds()
        for head in heads:
            place = self._places.get(head.conversation)
            if place is None:
                place = self._new(head.conversation, positions.parse(head.received or head.read))
                self._reader.keep(None, head.conversation, positions.text(place.rule.held))
            place.rule.news(positions.parse(head.latest), now)
            self._look(head.conversation, place)
        self._more, self._heads_due = more, 0.0
        if more:
            self._ask_for_heads()
        else:
            self._settle_rumours(now)
        self._arm()

    def ended(self) -> None:
        """The session is gone."""
        self._live = False
        now = self._clock.seconds()
        self._more = ""
        self._receipts.clear()
        for name, place in self._places.items():
            place.rule.failed(now, 0.0)
            self._look(name, place)
        self._arm()

    def deliver(self, message: Message, previous: str) -> None:
        """A message came, or one's own was accepted."""
        position = positions.parse(message.position)
        before = positions.parse(previous)
        name = message.conversation
        place = self._places.get(name)
        if place is None:
            if self._more and name != EVERYONE:
                self._rumours[name] = max(position, self._rumours.get(name, positions.ZERO))
                return
            place = self._begin(name, before)
        self._hand(name, place, place.rule.pushed(position, before, message, self._clock.seconds()))

    def synced(self, conversation: str, after: str, upto: str, more: bool, reset: bool) -> None:
        """A page has ended."""
        place = self._places.get(conversation)
        if place is not None:
            began = place.rule.held
            items = place.rule.synced(positions.parse(after), positions.parse(upto), more, reset, self._clock.seconds())
            self._hand(conversation, place, items, moved=place.rule.held != began)

    def failed(self, conversation: str, delay: float) -> None:
        """A Sync failed; of heads, when no conversation is named."""
        now = self._clock.seconds()
        place = self._places.get(conversation)
        if place is not None:
            place.rule.failed(now, delay)
            self._look(conversation, place)
        elif not conversation and self._more:
            self._heads_due = now + delay
        self._arm()

    def kept(self, places: Mapping[str, str]) -> None:
        """Those places are written down: what lies before them may be acknowledged."""
        now = self._clock.seconds()
        for name, text in places.items():
            place = self._places.get(name)
            if place is None or name == EVERYONE:
                continue
            place.kept = positions.parse(text)
            if place.kept > place.acknowledged and self._live and name not in self._receipts:
                self._receipts[name] = place.since + RECEIPT_SECONDS if place.since + RECEIPT_SECONDS > now else now
            if place.unacknowledged >= RECEIPT_MESSAGES:
                self._acknowledge(name)
        self._arm()

    def acknowledge_all(self) -> None:
        """Send what receipts wait: the session is about to end."""
        for name in tuple(self._receipts):
            self._acknowledge(name)

    def close(self) -> None:
        """Do nothing more."""
        self._live = False
        self._receipts.clear()
        self._arm()

    # What follows

    def _new(self, name: str, held: Position) -> _Place:
        place = self._places[name] = _Place(GapRule(self._policy, held))
        return place

    def _begin(self, name: str, before: Position) -> _Place:
        """Make the place of a conversation that is in no head."""
        held = before if name == EVERYONE else positions.parse(self._baseline.get(name, ""))
        return self._new(name, held)

    def _settle_rumours(self, now: float) -> None:
        """All heads are there: what is unknown now had nothing new when the session began."""
        rumours, self._rumours = self._rumours, {}
        for name, position in rumours.items():
            place = self._places.get(name) or self._begin(name, positions.ZERO)
            place.rule.news(position, now)
            self._look(name, place)
        baseline, self._baseline = self._baseline, {}
        for name, text in baseline.items():
            if name not in self._places:
                self._new(name, positions.parse(text))
                self._reader.keep(None, name, text)

    def _hand(self, name: str, place: _Place, items: list[Message], moved: bool = False) -> None:
        for item in items:
            if not self._reader.hand(item):
                return
            place.unacknowledged += 1
            self._reader.keep(item, name, item.position)
        if moved and (not items or items[-1].position != positions.text(place.rule.held)):
            self._reader.keep(None, name, positions.text(place.rule.held))
        self._look(name, place)
        self._arm()

    def _look(self, name: str, place: _Place) -> None:
        due = place.rule.due
        if due is None:
            self._due.pop(name, None)
        else:
            self._due[name] = due

    def _acknowledge(self, name: str) -> None:
        place = self._places[name]
        self._receipts.pop(name, None)
        if self._live and place.kept > place.acknowledged:
            place.acknowledged, place.unacknowledged, place.since = place.kept, 0, self._clock.seconds()
            self._reader.say(received=Received(conversation=name, position=positions.text(place.kept)))

    def _ask_for_heads(self) -> None:
        self._heads_due = self._clock.seconds() + HEADS_SECONDS
        self._reader.say(sync=Sync(after=self._more))

    def _asking(self) -> int:
        return sum(self._places[name].rule.asking for name in self._due)

    def _tick(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        if self._more and self._heads_due <= now:
            self._ask_for_heads()
        for name in [name for name, at in self._receipts.items() if at <= now]:
            self._acknowledge(name)
        asking = self._asking()
        for name in [name for name, at in self._due.items() if at <= now]:
            rule = self._places[name].rule
            if rule.asking or asking < MAX_SYNCS:
                asking += not rule.asking
                after = rule.sync_due(now)
                if after is not None:
                    self._reader.say(sync=Sync(conversation=name, after=positions.text(after)))
                self._look(name, self._places[name])
        self._arm()

    def _arm(self) -> None:
        """Come back when the next thing is due."""
        times: list[float] = []
        if self._live:
            times += self._receipts.values()
            if self._due:
                full = self._asking() >= MAX_SYNCS
                times += [at for name, at in self._due.items() if not full or self._places[name].rule.asking]
            if self._more:
                times.append(self._heads_due)
        if not times:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        at = min(times)
        if self._timer is not None:
            if self._timer.getTime() == at:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(max(0.0, at - self._clock.seconds()), self._tick)
