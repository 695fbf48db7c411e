"""Keeping something in ZooKeeper as it should be, or knowledge of it up to date, by repeated steps."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import RegistryUnavailable
from cim.registry.izookeeper import IZooKeeper, NodeChange, RegistryRefused, ZooKeeperState
from cim.supervision import Loop


class Convergence:
    """Takes steps, one at a time, while ZooKeeper is connected.

    A step is taken at each connection, when the node that the last step watches has changed, when `look` asks for it
    (several requests during a step cause one more), some time after a failed step, and when the last step said so.

    :param what: its subject, for the log
    :param step: returns the seconds until it must be taken again, None if only after a change; may raise
    :param retry: returns the seconds until the next step after that many failures
    """

    _log = Logger()

    def __init__(
        self,
        what: str,
        zookeeper: IZooKeeper,
        clock: IReactorTime,
        step: Callable[[], Coroutine[Any, Any, float | None]],
        retry: Callable[[int], float],
    ) -> None:
        #: What is wrong, for operators, worded to follow the name of the subject; "" for nothing. Steps set it, too.
        self.trouble = "has not been done yet"
        self.closed = False
        self._what = what
        self._zookeeper = zookeeper
        self._step = step
        self._retry = retry
        self._failures = 0
        self._loop = Loop(f"keeping up {what} in ZooKeeper", self._guarded, clock)
        self._watched: Deferred[NodeChange] | None = None
        self._unsubscribe = zookeeper.onStateChange(self._state_changed)

    def look(self) -> None:
        """Take a step as soon as possible."""
        self._loop.wake()

    def watch(self, watched: Deferred[NodeChange]) -> None:
        """Take a step when `watched` fires, unless it reports a lost connection; forget the previous watch."""
        self._unwatch()
        self._watched = watched
        watched.addCallbacks(self._changed, lambda _: None)

    def close(self) -> None:
        """Take no more steps; one that is under way is not undone."""
        self.closed = True
        self._unsubscribe()
        self._loop.stop()
        self._unwatch()

    async def _guarded(self) -> float | None:
        if self._zookeeper.state is not ZooKeeperState.CONNECTED:
            return None
        try:
            pause = await self._step()
        except RegistryUnavailable:
            pass  # the bridge has already logged that the connection is lost
        except RegistryRefused as error:
            if self.trouble != error.message:
                self.trouble = error.message
                self._log.error("{what}: {trouble}", what=self._what, trouble=self.trouble)
        else:
            self._failures = 0
            return pause
        self._failures += 1
        return self._retry(self._failures)

    def _state_changed(self, state: ZooKeeperState, session: int | None) -> None:
        if state is ZooKeeperState.CONNECTED:
            self._failures = 0
            self.look()

    def _changed(self, change: NodeChange) -> None:
        self._watched = None
        if change is not NodeChange.UNKNOWN:
            self.look()

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            watched.cancel()
