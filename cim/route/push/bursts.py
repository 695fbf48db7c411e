"""Notifies users of messages that no session of theirs took in time: one notification for a conversation and a burst.

What is stored is noted by its conversation. Some seconds later it is looked up who is part of it, and has registered,
and has neither received nor read it, nor mutes it, nor blocks its sender. Of several routes the one that stored a
message does so; the store lets one of them notify a user of a conversation, and then none for a pause, after which the
last notification of the burst says what is newest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush

from attrs import define, evolve, field, frozen

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.daemon.metrics import Metrics
from cim.errors import CIMError
from cim.interfaces import IPushSelection, IStore
from cim.model import Appended, Group, Notice, Registration
from cim.route.messages.outgoing import Outgoing
from cim.route.messages.together import together
from cim.route.presence.blocks import Blocks
from cim.route.presence.whereabouts import Whereabouts
from cim.route.push.pushers import Pushers
from cim.supervision import Loop
from cim.wire import conversations, native, positions
from cim.wire.cim_pb2 import TEXT

#: How long a session has to take a message before its user is notified, in seconds.
WAIT_SECONDS = 5.0
#: How long a user is not notified again of the same conversation unless it has read it, in seconds.
PAUSE_SECONDS = 60.0
#: Groups with more members notify nobody, unless a plugin says whom.
MOST_MEMBERS = 200
#: The most conversations that wait; what is said in more is not notified of.
MOST_WAITING = 20_000
#: The most senders of a burst of whom the last message is kept.
MOST_SENDERS = 8
#: How many conversations are looked at together.
TOGETHER = 32
#: The most pages of 100 conversations each, those that were active last first, whose unread messages a badge counts.
MOST_PAGES = 10
#: The most characters of a text that a notification has.
MOST_TEXT = 300
#: The device whose received marks never move: its heads are all conversations.
_NO_DEVICE = " "


@frozen
class Said:
    """The last message of somebody in a burst."""

    sender: int
    position: str
    body: bytes


@define(eq=False)
class Burst:
    """What was said in a conversation and is to be looked at.

    :param user: who alone is to be notified; 0 for all
    """

    conversation: str
    user: int = 0
    said: dict[int, Said] = field(factory=dict)

    def add(self, said: Said) -> None:
        """Add a message, the newest."""
        self.said.pop(said.sender, None)
        if len(self.said) >= MOST_SENDERS:
            del self.said[next(iter(self.said))]
        self.said[said.sender] = said


class Bursts(Service):
    """Notes what was stored and read, and has users notified.

    :param names: whether notifications tell who says something, and in which group
    :param texts: whether they tell what
    :param selection: says whom to notify in large groups, if anybody
    """

    _log = Logger()

    def __init__(
        self,
        *,
        store: IStore,
        whereabouts: Whereabouts,
        blocks: Blocks,
        pushers: Pushers,
        clock: IReactorTime,
        metrics: Metrics,
        names: bool = True,
        texts: bool = False,
        selection: IPushSelection | None = None,
    ) -> None:
        self._store = store
        self._whereabouts = whereabouts
        self._blocks = blocks
        self._pushers = pushers
        self._clock = clock
        self._metrics = metrics
        self._names = names
        self._texts = texts
        self._selection = selection
        self._waiting: dict[tuple[str, int], Burst] = {}
        # When each is due, the earliest first.
        self._due: list[tuple[float, tuple[str, int]]] = []
        self._loop = Loop("notifying users", self._step, clock)

    def __len__(self) -> int:
        return len(self._waiting)

    def stopService(self) -> None:
        """Notify nobody any more."""
        super().stopService()
        self._loop.stop()

    def stored(self, message: Outgoing, appended: Appended) -> None:
        """Note a message that was stored."""
        if message.send.kind != TEXT or appended.repeated or message.conversation == conversations.EVERYONE:
            return
        burst = self._wait(message.conversation, 0, WAIT_SECONDS)
        if burst is not None:
            burst.add(Said(message.author.id, appended.position, appended.body))

    def read(self, user: int, conversation: str, position: str) -> None:
        """Note that a user has read a conversation up to a position: what it was notified of goes."""
        closing = Deferred.fromCoroutine(self._close(user, conversation))
        closing.addErrback(self._failed)

    def _wait(self, conversation: str, user: int, seconds: float) -> Burst | None:
        """Return what waits of a conversation; None if too much waits."""
        key = conversation, user
        burst = self._waiting.get(key)
        if burst is None:
            if len(self._waiting) >= MOST_WAITING:
                self._metrics.dropped("push")
                return None
            burst = self._waiting[key] = Burst(conversation, user)
            heappush(self._due, (self._clock.seconds() + seconds, key))
            self._loop.wake(seconds)
        return burst

    async def _step(self) -> float | None:
        while self._due and self._due[0][0] <= self._clock.seconds():
            due: list[Burst] = []
            while self._due and len(due) < TOGETHER and self._due[0][0] <= self._clock.seconds():
                due.append(self._waiting.pop(heappop(self._due)[1]))
            looking = [Deferred.fromCoroutine(self._notify(burst)).addErrback(self._failed) for burst in due]
            await together(looking)
        return self._due[0][0] - self._clock.seconds() if self._due else None

    def _failed(self, failure: object) -> None:
        error = getattr(failure, "value", None)
        if isinstance(error, CIMError):
            self._metrics.dropped("push")  # the store is away: they see it when they come back
        else:
            self._log.failure("users were not notified", failure)  # type: ignore[arg-type]  # of a Deferred

    async def _notify(self, burst: Burst) -> None:
        users, group = await self._recipients(burst)
        if not users:
            return
        found = await self._store.pushes.registrations(users)
        if not found:
            return
        muting = await self._store.mutes.who_mutes(burst.conversation, tuple(found))
        online = await self._whereabouts.sessions_of([user for user in found if user not in muting])
        # Those that may have taken a message: those online, and others that get notices.
        devices = {
            user: {one.device for one in its}.union(registration.device for registration in found[user])
            for user, its in online.items()
        }
        reached = await self._store.conversations.reached(burst.conversation, devices)
        places = [one.position for one in burst.said.values()]
        standing = await self._store.conversations.standing(burst.conversation, places)
        # Nobody is told what a text said that was recalled meanwhile.
        left = [
            one if one.position in standing else evolve(one, body=native.blank(one.body)) for one in burst.said.values()
        ]
        for user, mark in reached.items():
            said = await self._news(user, left, positions.parse(mark))
            if said is None:
                continue
            wait = await self._store.pushes.claim(user, burst.conversation, int(PAUSE_SECONDS * 1000))
            if wait:
                later = self._wait(burst.conversation, user, wait / 1000)
                if later is not None:
                    later.add(said)
                continue
            notice = await self._notice(user, burst.conversation, said, group)
            for registration in found[user]:
                self._pushers.push(registration, notice)

    async def _recipients(self, burst: Burst) -> tuple[Collection[int], Group | None]:
        """Return who may be notified, and the group, if it is one; what is from before one joined counts as read."""
        name = conversations.parse(burst.conversation)
        if isinstance(name, conversations.PrivateConversation):
            return [burst.user] if burst.user else (name.low, name.high), None
        group = await self._store.groups.group(name.id)
        if group is None:
            return (), None
        if not burst.user and group.members <= MOST_MEMBERS:
            return [member.user for member in await self._store.groups.members(name.id, limit=MOST_MEMBERS)], group
        users = [burst.user] if burst.user else await self._selected(name.id, burst)
        return [user for user in users if await self._store.groups.member(name.id, user) is not None], group

    async def _selected(self, group: int, burst: Burst) -> Collection[int]:
        """Return whom a plugin picks in a large group; nobody without one."""
        picked: dict[int, None] = {}
        if self._selection is None:
            return ()
        for said in burst.said.values():
            users = self._selection.select(group, said.sender, native.parse_body(said.body).text)
            picked.update(dict.fromkeys(await users if isinstance(users, Deferred) else users))
        return list(picked)[:MOST_MEMBERS]

    async def _news(self, user: int, said: Iterable[Said], mark: positions.Position) -> Said | None:
        """Return the last message of a burst that is news to a user and not its own, nor of somebody whom it blocks."""
        for one in sorted(said, key=lambda one: positions.parse(one.position), reverse=True):
            if positions.parse(one.position) <= mark:
                return None
            if one.sender != user and not await self._blocks.blocks(user, one.sender):
                return one
        return None

    async def _notice(self, user: int, conversation: str, said: Said, group: Group | None) -> Notice:
        body = native.parse_body(said.body)
        return Notice(
            conversation,
            said.position,
            said.sender,
            body.sender_name if self._names else "",
            group.name if self._names and group is not None else "",
            body.text[:MOST_TEXT] if self._texts else "",
            await self._unread(user),
            at=self._store.clock.now(),
        )

    async def _unread(self, user: int) -> int:
        """Return how many messages a user has not read, in MOST_PAGES of its conversations."""
        unread, after = 0, ""
        for _ in range(MOST_PAGES):
            page = await self._store.conversations.heads(user, _NO_DEVICE, after=after)
            unread += sum(head.unread for head in page.heads)
            after = page.more
            if not after:
                break
        return unread

    async def _close(self, user: int, conversation: str) -> None:
        if not await self._store.pushes.close(user, conversation):
            return
        found: Mapping[int, Sequence[Registration]] = await self._store.pushes.registrations((user,))
        if registrations := found.get(user):
            notice = Notice(conversation, badge=await self._unread(user), read=True, at=self._store.clock.now())
            for registration in registrations:
                self._pushers.push(registration, notice)
