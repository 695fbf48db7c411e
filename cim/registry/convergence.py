"""Bringing something in ZooKeeper to what is wanted, or knowledge of it to what is, step by step and again for ever."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from cim.errors import RegistryUnavailable
from cim.registry.izookeeper import IZooKeeper, NodeChange, RegistryRefused, ZooKeeperState


class Convergence:
    """Takes steps, one at a time, while ZooKeeper is connected.

    A step is taken at each connection, when the node that the last one watches has changed, when `look` asks for it
    (several asks during a step make one more), some time after a step that failed, and when the last one said so.

    :param what: what it is about, for the log
    :param step: returns in how many seconds it wants to be taken again, None when only a change matters; may raise
    :param retry: seconds until the next step after so many failures
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
        #: What keeps it from what is wanted, for operators; steps write it, too.
        self.trouble = "was not done yet"
        self.closed = False
        self._what = what
        self._zookeeper = zookeeper
        self._clock = clock
        self._step = step
        self._retry = retry
        self._failures = 0
        self._running = False
        self._again = False
        self._timer: IDelayedCall | None = None
        self._watched: Deferred[NodeChange] | None = None
        self._unsubscribe = zookeeper.onStateChange(self._state_changed)

    def look(self) -> None:
        """Take a step as soon as possible."""
        self._stop_timer()
        if self._running:
            self._again = True
        elif not self.closed and self._zookeeper.state is ZooKeeperState.CONNECTED:
            self._running = True
            Deferred.fromCoroutine(self._guarded()).addCallback(self._stepped)

    def watch(self, watched: Deferred[NodeChange]) -> None:
        """Take a step when it fires, unless it tells of a lost connection; the one before is forgotten."""
        self._unwatch()
        self._watched = watched
        watched.addCallbacks(self._changed, lambda _: None)

    def close(self) -> None:
        """Take no more steps; one that is being taken is not undone."""
        self.closed = True
        self._unsubscribe()
        self._stop_timer()
        self._unwatch()

    async def _guarded(self) -> float | None:
        try:
            pause = await self._step()
        except RegistryUnavailable:
            pass  # the bridge has said that the connection is lost
        except RegistryRefused as error:
            if self.trouble != error.message:
                self.trouble = error.message
                self._log.error("{what}: {trouble}", what=self._what, trouble=self.trouble)
        except Exception:
            self._log.failure("{what}", what=self._what)
        else:
            self._failures = 0
            return pause
        self._failures += 1
        return self._retry(self._failures)

    def _stepped(self, pause: float | None) -> None:
        self._running = False
        again, self._again = self._again, False
        if again or pause == 0:
            self.look()
        elif pause is not None and not self.closed:
            self._timer = self._clock.callLater(pause, self.look)

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

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
