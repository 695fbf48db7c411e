"""Keeping an ephemeral node in ZooKeeper, whatever happens to the session or the node."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from cim.interfaces import IAnnouncement
from cim.nodes import NodeData
from cim.registry.convergence import Convergence
from cim.registry.izookeeper import IZooKeeper, NodeExists, NoNode, ZooKeeperState

#: The trouble of a name that another process holds, most often this server's own process before its restart.
HELD = "is held by another process"
_LOST = "is not registered"


@implementer(IAnnouncement)
class Announcement:
    """Keeps `path` with `value` until it is withdrawn. At each step it examines the node:

    - There is no node: create it, and the folder too if that is missing.
    - It is ours, of this session: the name is listed. If its data is not as it should be, set it.
    - It is ours, of an earlier session (its data has the same incarnation): delete it and create it again, or it would
      vanish when that session expires.
    - It is another process's, such as this server's before a restart: wait until it disappears.

    :param retry: returns the seconds until the next attempt after that many failures
    """

    _log = Logger()

    def __init__(
        self, zookeeper: IZooKeeper, path: str, value: bytes, clock: IReactorTime, *, retry: Callable[[int], float]
    ) -> None:
        self.path = path
        #: False once it was withdrawn.
        self.wanted = True
        self._zookeeper = zookeeper
        self._value = value
        self._clock = clock
        self._tried = False
        self._gone: list[Deferred[None]] = []
        self._convergence = Convergence(path, zookeeper, clock, self._step, retry)
        self._convergence.trouble = _LOST
        self._unsubscribe = zookeeper.onStateChange(self._state_changed)
        self._convergence.look()

    @property
    def trouble(self) -> str:
        """Why it is not listed, worded to follow the path; "" if it is."""
        return self._convergence.trouble

    @property
    def closed(self) -> bool:
        """Whether it takes no more steps."""
        return self._convergence.closed

    def listed(self) -> bool:
        """See IAnnouncement."""
        return self.wanted and not self.trouble

    def change(self, value: bytes) -> None:
        """See IAnnouncement."""
        if value != self._value and self.wanted:
            self._value = value
            self._convergence.look()

    def withdraw(self) -> Deferred[None]:
        """See IAnnouncement. If the node could not be removed in time, removal is still attempted until `close`."""
        self.wanted = False
        if self.closed or not self._tried:
            self.close()
            return succeed(None)
        gone: Deferred[None] = Deferred(lambda _: None)
        self._gone.append(gone)
        self._convergence.look()
        return gone.addTimeout(self._zookeeper.timeout, self._clock).addErrback(lambda _: None)

    def close(self) -> None:
        """Take no more steps; the node remains as long as the session."""
        self._unsubscribe()
        self._convergence.close()
        waiting, self._gone = self._gone, []
        for gone in waiting:
            if not gone.called:
                gone.callback(None)

    def _state_changed(self, state: ZooKeeperState, session: int | None) -> None:
        if state is ZooKeeperState.LOST:
            self._convergence.trouble = _LOST

    async def _step(self) -> float | None:
        try:
            done = await (self._keep() if self.wanted else self._remove())
        except (NoNode, NodeExists):
            done = False  # somebody else was quicker: look again
        return None if done else 0

    async def _keep(self) -> bool:
        read, watch = self._zookeeper.getAndWatch(self.path)
        try:
            value, stat = await read
        except NoNode:
            if self.trouble in ("", HELD):
                self._convergence.trouble = _LOST
            self._tried = True
            await self._make()
            return False  # look again, to watch it disappear
        self._convergence.watch(watch)
        if stat.owner == self._zookeeper.session:
            if value != self._value:
                await self._zookeeper.set(self.path, self._value)
                return False
            if self.trouble:
                self._convergence.trouble = ""
                self._log.info("registered as {path}", path=self.path)
            return True
        if self._is_mine(value):
            await self._zookeeper.delete(self.path)
            return False
        if self.trouble != HELD:
            self._convergence.trouble = HELD
            self._log.warn("{path} {trouble}; waiting for it to disappear", path=self.path, trouble=HELD)
        return True

    async def _make(self) -> None:
        try:
            await self._zookeeper.create(self.path, self._value, ephemeral=True)
        except NoNode:
            await self._zookeeper.ensurePath(self.path.rpartition("/")[0])

    async def _remove(self) -> bool:
        try:
            value, stat = await self._zookeeper.get(self.path)
            if stat.owner == self._zookeeper.session or self._is_mine(value):
                await self._zookeeper.delete(self.path)
        except NoNode:
            pass
        self.close()
        return True

    def _is_mine(self, value: bytes) -> bool:
        found, mine = NodeData.decode(value), NodeData.decode(self._value)
        return found is not None and mine is not None and found.incarnation == mine.incarnation
