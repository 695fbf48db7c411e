"""Writes session records behind presence, and repairs them after the store was away.

Only a session's home route writes its record. Failed writes stay queued and are retried, in order for each user, so a
store that is away for a while delays records but loses none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from attrs import frozen

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import Unavailable
from cim.interfaces import ISessions
from cim.model import GUEST, Place, SessionRecord
from cim.route.presence.presence import Online, Presence
from cim.supervision import Loop
from cim.wire.link_pb2 import End, Item

#: The most writes under way at once; all go through one connection.
IN_FLIGHT = 64
RETRY_SECONDS = 0.5
#: The most opening sessions that are remembered; beyond that, records are written twice.
KEPT_CLAIMS = 10_000


@frozen
class Write:
    """A record to make live or to remove."""

    claim: bool
    user: int
    place: Place
    owner: str
    device: str = GUEST


class SessionRecorder(Service):
    """Keeps the store's session records in step with presence.

    :param sessions_of: returns the sessions of a user, whoever is told of them; raises Unavailable if that is not known
    :param began: returns when the store's epoch began, in ms since 1970 on the store's clock
    """

    _log = Logger()

    def __init__(
        self,
        sessions: ISessions,
        presence: Presence,
        sessions_of: Callable[[int], Awaitable[Iterable[Online]]],
        clock: IReactorTime,
        began: Callable[[], int],
    ) -> None:
        self._sessions_of = sessions_of
        self._sessions = sessions
        self._presence = presence
        self._clock = clock
        self._began = began
        # Each user here is either in `_ready` or has a write under way, never both.
        self._queues: dict[int, deque[Write]] = {}
        self._ready: deque[int] = deque()
        self._under_way = 0
        self._retrying = Loop("writing session records", self._work, clock)
        self._idle: list[Deferred[None]] = []
        # Owners of records made live for sessions that have not appeared yet.
        self._claimed: dict[str, None] = {}
        presence.observers.append(self)

    def __len__(self) -> int:
        return len(self._queues)

    def appeared(self, online: Online) -> None:
        """Make the record of a session live if this is its home."""
        if not online.home:
            return
        write = Write(True, online.user, online.host.place, online.owner, online.device)
        if online.owner not in self._claimed:
            self._put(write)
            return
        del self._claimed[online.owner]
        if self._crossed(write):
            settling = Deferred.fromCoroutine(self._settle(write, True))
            settling.addErrback(lambda failure: self._log.failure("a user's sessions were not compared", failure))

    def vanished(self, online: Online) -> None:
        """Remove the record of a session if this is its home."""
        if online.home:
            self.release(online.user, online.host.place, online.owner)

    def died(self, online: Online) -> None:
        """Do nothing: the record expires with the server's lease."""

    def moved(self, online: Online) -> None:
        """Do nothing: the record is another route's."""

    def release(self, user: int, place: Place, owner: str) -> None:
        """Remove a record if it is still that owner's."""
        self._put(Write(False, user, place, owner))

    async def claim(self, user: int, device: str, place: Place, owner: str) -> bool:
        """Make the record of an opening session live, so that it need not be written when the session appears.

        :returns: False if another login holds its place
        :raises Unavailable: the store is away
        """
        claimed = await self._claim(user, device, place, owner)
        # A session that is there already does not appear again: its server only has its groups read anew.
        if claimed and all(online.owner != owner for online in self._presence.of(user)):
            self._claimed[owner] = None
            if len(self._claimed) > KEPT_CLAIMS:
                del self._claimed[next(iter(self._claimed))]
        return claimed

    async def _claim(self, user: int, device: str, place: Place, owner: str) -> bool:
        """Claim a record; records of sessions that have ended, which came back with the store, are not in the way."""
        if await self._sessions.claim(user, device, place, owner):
            return True
        over = [
            record.owner
            for record in await self._sessions.sessions(user)
            if record.owner != owner and await self._came_back(record)
        ]
        for former in over:
            await self._sessions.release(user, former)
        return bool(over) and bool(await self._sessions.claim(user, device, place, owner))

    async def _came_back(self, record: SessionRecord) -> bool:
        """Return whether a record is from before the store's epoch, and its session is over."""
        place = record.place
        if record.since >= self._began() or not place.incarnation:
            return False
        if any(online.owner == record.owner for online in await self._sessions_of(record.user)):
            return False
        host = self._presence.hosts.get(place.server)
        if host is None or host.link is None:
            return not await self._sessions.leased(place)
        return host.complete or host.place != place

    def rewrite(self) -> None:
        """Write all records again: the store was away, or lost data."""
        # What was claimed before may be lost, too.
        self._claimed.clear()
        for host in self._presence.hosts.values():
            for online in host.sessions.values():
                self.appeared(online)

    def _put(self, write: Write) -> None:
        queue = self._queues.get(write.user)
        if queue is None:
            self._queues[write.user] = deque((write,))
            self._ready.append(write.user)
            self._work()
        elif len(queue) > 1 and queue[-1].owner == write.owner:
            # The first may be under way; of those behind it, only the newest write for an owner counts.
            queue[-1] = write
        else:
            queue.append(write)

    def _work(self) -> None:
        while self._ready and self._under_way < IN_FLIGHT and self._retrying.due is None:
            write = self._queues[self._ready.popleft()][0]
            self._under_way += 1
            writing = Deferred.fromCoroutine(self._write(write))
            writing.addErrback(lambda failure: self._log.failure("a user's sessions were not compared", failure))

    async def _write(self, write: Write) -> None:
        try:
            if write.claim:
                done = await self._claim(write.user, write.device, write.place, write.owner)
            else:
                done = await self._sessions.release(write.user, write.owner)
        except Unavailable:
            self._under_way -= 1
            self._ready.appendleft(write.user)
            self._retrying.wake(RETRY_SECONDS)
            return
        except Exception:
            self._log.failure("a session record was not written")
            done = True
        self._under_way -= 1
        queue = self._queues[write.user]
        queue.popleft()
        if queue:
            self._ready.append(write.user)
        else:
            del self._queues[write.user]
        self._work()
        if not self._queues:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)
        if write.claim:
            await self._settle(write, done)

    async def _settle(self, write: Write, done: bool) -> None:
        """When two logins of a device crossed, end the sessions that are not the one of record."""
        if not done:
            self._end(write.user, lambda online: online.owner == write.owner)
        elif self._crossed(write):
            # Read again: the other session may be the newer one.
            try:
                records = await self._sessions.sessions(write.user)
            except Unavailable:  # all records are written, and so compared, again when the store is back
                return
            kept = {record.owner for record in records if record.device == write.device}
            if kept:
                self._end(write.user, lambda online: online.device == write.device and online.owner not in kept)

    def _crossed(self, write: Write) -> bool:
        """Return whether there is another session of the same device."""
        for online in self._presence.of(write.user):
            if online.device == write.device and online.owner != write.owner:
                return True
        return False

    def _end(self, user: int, condemned: Callable[[Online], bool]) -> None:
        for online in self._presence.of(user):
            if online.host.link is not None and condemned(online):
                self._log.info("a session of user {user} was replaced by a newer login", user=user)
                online.host.link.send(Item(end=End(user=user, owner=online.owner, code="replaced")))

    def settled(self) -> Deferred[None]:
        """Fire when everything is written."""
        if not self._queues:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def stopService(self) -> Deferred[None]:
        """Write the waiting records; the parent service sets the deadline."""
        super().stopService()
        return self.settled()
