"""What a client receives: its Reader, on a clock and a connection (cim.wire.reader).

Where a conversation begins that nothing is stored of: at the head's `received`; on a device that is new, at what the
user has read; and when it is in no head, at its end as it was listed shortly before the session began.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from cim.client.values import Members, Message
from cim.supervision import Loop
from cim.wire import positions
from cim.wire.cim_pb2 import Head, News, Received
from cim.wire.gap import GapPolicy
from cim.wire.reader import Begun, Reader, ReaderPolicy, Unlisted

#: A receipt goes out after so many seconds or messages.
RECEIPT_SECONDS = 1.0
RECEIPT_MESSAGES = 100
#: Pages that are asked for at a time.
MAX_SYNCS = 8


#: What comes in the order of a conversation.
Item = Message | Members


class InboxUser(Protocol):
    """Whom an inbox serves."""

    def say(self, **body: Any) -> None:
        """Send a Packet."""

    def hand(self, message: Item) -> bool:
        """Give a message to the application; False when nothing more is wanted."""

    def keep(self, message: Item | None, conversation: str, place: str) -> None:
        """Write a message and the place of its conversation; `Inbox.kept` is called when that is done."""


class Inbox:
    """The reading side of a client, over all of its sessions."""

    def __init__(self, user: InboxUser, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._user = user
        self._clock = clock
        policy = ReaderPolicy(
            GapPolicy(random),
            Unlisted.BASELINE,
            syncs=MAX_SYNCS,
            receipt_seconds=RECEIPT_SECONDS,
            receipt_messages=RECEIPT_MESSAGES,
        )
        self._reader: Reader[Item] = Reader(policy)
        self._live = False
        self._loop = Loop("asking for what is missing", self._tick, clock)

    @property
    def complete(self) -> bool:
        """Whether all pages of heads came."""
        return self._live and not self._reader.listing

    def load(self, places: Mapping[str, str]) -> None:
        """Take the places that were stored."""
        self._reader.load(places)

    def held(self, conversation: str) -> str:
        """Return the end of what was handed over of a conversation."""
        return positions.text(self._reader.held(conversation))

    # The session

    def begin(self, heads: Iterable[Head], more: str, baseline: Mapping[str, str]) -> None:
        """A session is there; these heads came with it.

        :param baseline: where conversations ended shortly before
        """
        self._live = True
        self._hand_begun(self._reader.begin(heads, more, baseline, self._clock.seconds()))

    def news(self, news: News) -> None:
        """Take heads: a page that was asked for, or others. Servers of the first release do not tell which."""
        take = self._reader.unasked if news.unasked else self._reader.listed
        self._hand_begun(take(news.heads, news.more, self._clock.seconds()))

    def ended(self) -> None:
        """The session is gone."""
        self._live = False
        self._reader.ended(self._clock.seconds())
        self._arm()

    def deliver(self, message: Item, previous: str) -> None:
        """A message came, or one's own was accepted."""
        reader, name = self._reader, message.conversation
        settled = reader.caught_up
        place = positions.parse(message.position), positions.parse(previous)
        self._hand(name, reader.pushed(name, *place, message, self._clock.seconds()))
        if not (settled and reader.caught_up):
            self._arm()

    def synced(self, conversation: str, after: str, upto: str, more: bool, reset: bool) -> None:
        """A page has ended."""
        began, now = self.held(conversation), self._clock.seconds()
        page = positions.parse(after), positions.parse(upto)
        items = self._reader.synced(conversation, *page, more, reset, now)
        wanted = self._hand(conversation, items)
        held = self.held(conversation)
        if wanted and held != began and not (items and items[-1].position == held):
            self._user.keep(None, conversation, held)
        self._arm()

    def failed(self, conversation: str, delay: float) -> None:
        """A Sync failed; of heads, when no conversation is named."""
        self._reader.failed(conversation, self._clock.seconds(), delay)
        self._arm()

    def kept(self, places: Mapping[str, str]) -> None:
        """Those places are written down: what lies before them may be acknowledged."""
        now = self._clock.seconds()
        for name, text in places.items():
            self._reader.kept(name, now, positions.parse(text))
        self._arm()

    def acknowledge_all(self) -> None:
        """Send what receipts wait: the session is about to end."""
        if self._live:
            self._acknowledge(math.inf)

    def close(self) -> None:
        """Do nothing more."""
        self._live = False
        self._arm()

    # What follows

    def _hand_begun(self, begun: Iterable[Begun[Item]]) -> None:
        for name, start, items in begun:
            self._user.keep(None, name, positions.text(start))
            self._hand(name, items)
        self._arm()

    def _hand(self, name: str, items: Iterable[Item]) -> bool:
        """Hand messages over; False when nothing more is wanted."""
        for item in items:
            if not self._user.hand(item):
                return False
            self._user.keep(item, name, item.position)
        return True

    def _acknowledge(self, upto: float) -> None:
        for name, position in self._reader.receipts(upto):
            self._user.say(received=Received(conversation=name, position=positions.text(position)))

    def _tick(self) -> None:
        now = self._clock.seconds()
        self._acknowledge(now)
        for sync in self._reader.requests(now):
            self._user.say(sync=sync)
        self._arm()

    def _arm(self) -> None:
        """Come back when the next thing is due."""
        due = (self._reader.due, self._reader.receipts_due) if self._live else ()
        at = min((time for time in due if time is not None), default=None)
        self._loop.plan(None if at is None else at - self._clock.seconds())
