"""A ZooKeeper in memory: what registration and membership see of the real one, with failures on demand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.errors import CIMError, RegistryUnavailable
from cim.registry.izookeeper import (
    IZooKeeper,
    NodeChange,
    NodeExists,
    NodeStat,
    NoNode,
    RegistryRefused,
    StateListener,
    ZooKeeperState,
    ensure_path,
)

Watches = dict[str, list["Deferred[NodeChange]"]]


@define
class _Node:
    value: bytes | None
    owner: int
    version: int = 0

    @property
    def stat(self) -> NodeStat:
        return NodeStat(self.owner, self.version)


class MemoryEnsemble:
    """The sessions, and the nodes that they all see."""

    def __init__(self) -> None:
        self.nodes: dict[str, _Node] = {}
        self.sessions: dict[int, MemoryZooKeeper] = {}
        #: False to let nobody connect.
        self.reachable = True
        #: Called before each operation with its name and path; if it raises, the operation fails with that.
        self.before: Callable[[str, str], None] = lambda operation, path: None
        self._last_session = 0

    def open(self, client: MemoryZooKeeper) -> int:
        """Begin a session."""
        self._last_session += 1
        self.sessions[self._last_session] = client
        return self._last_session

    def end(self, session: int) -> None:
        """End a session and its ephemeral nodes; its client learns of that when it reconnects."""
        self.sessions.pop(session, None)
        for path in [path for path, node in self.nodes.items() if node.owner == session]:
            self.delete(path, -1)

    def create(self, path: str, value: bytes | None, owner: int = 0) -> str:
        """Create a node; `None` is the null that upstream's nodes hold."""
        parent = path.rpartition("/")[0]
        if parent and parent not in self.nodes:
            raise NoNode()
        if path in self.nodes:
            raise NodeExists()
        if parent and self.nodes[parent].owner:
            raise RegistryRefused("an ephemeral node has no children")
        self.nodes[path] = _Node(value, owner)
        self._saw(path, NodeChange.CREATED)
        return path

    def get(self, path: str) -> tuple[bytes, NodeStat]:
        """Return a node's data."""
        node = self._node(path)
        return node.value or b"", node.stat

    def exists(self, path: str) -> NodeStat | None:
        """Return a node's stat."""
        return self.nodes[path].stat if path in self.nodes else None

    def set(self, path: str, value: bytes, version: int = -1) -> NodeStat:
        """Change a node's data."""
        node = self._node(path, version)
        node.value = value
        node.version += 1
        self._saw(path, NodeChange.CHANGED)
        return node.stat

    def delete(self, path: str, version: int = -1) -> None:
        """Remove a node."""
        self._node(path, version)
        if self.children(path):
            raise RegistryRefused("the node has children")
        del self.nodes[path]
        self._saw(path, NodeChange.DELETED)

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children."""
        self._node(path)
        return [name.rpartition("/")[2] for name in self.nodes if name.rpartition("/")[0] == path]

    def _node(self, path: str, version: int = -1) -> _Node:
        if path not in self.nodes:
            raise NoNode()
        if version not in (-1, self.nodes[path].version):
            raise RegistryRefused("another version")
        return self.nodes[path]

    def _saw(self, path: str, change: NodeChange) -> None:
        for client in list(self.sessions.values()):
            client.saw(path, change)


@implementer(IZooKeeper)
class MemoryZooKeeper(Service):
    """A session with a MemoryEnsemble; it connects in the turn after its start and answers in later turns."""

    def __init__(
        self, ensemble: MemoryEnsemble, clock: IReactorTime, *, timeout: float = 5.0, session_timeout: float = 10.0
    ) -> None:
        self.address = "memory"
        self.complaint = ""
        self.timeout = timeout
        self.state = ZooKeeperState.LOST
        self.session: int | None = None
        #: True to carry out calls but never answer them.
        self.mute = False
        self._ensemble = ensemble
        self._clock = clock
        self._session_timeout = session_timeout
        self._listeners: list[StateListener] = []
        self._connecting: list[Deferred[None]] = []
        self._calls: list[Deferred[Any]] = []
        self._replies: deque[tuple[Deferred[Any], Any]] = deque()
        self._node_watches: Watches = {}
        self._child_watches: Watches = {}
        self._timers: list[IDelayedCall] = []

    # The service, and what can happen to it.

    def startService(self) -> None:
        """Connect in the next turn, if the ensemble is reachable."""
        super().startService()
        self._later(0, lambda: self.resume() if self._ensemble.reachable else None)

    def stopService(self) -> Deferred[None]:
        """End the session."""
        super().stopService()
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        session = self.session
        self._enter(ZooKeeperState.LOST, None)
        if session is not None:
            self._ensemble.end(session)
        waiting, self._connecting = self._connecting, []
        for deferred in waiting:
            deferred.errback(RegistryUnavailable())
        return succeed(None)

    def suspend(self) -> None:
        """Lose the connection; if it stays lost, the session expires."""
        self._enter(ZooKeeperState.SUSPENDED, self.session)
        lost = self.session

        def expire() -> None:
            if self.state is ZooKeeperState.SUSPENDED and self.session == lost:
                self._ensemble.end(lost or 0)
                self._enter(ZooKeeperState.LOST, None)

        self._later(self._session_timeout, expire)

    def resume(self) -> None:
        """Reconnect, with the same session if that is still alive."""
        if self.session in self._ensemble.sessions:
            self._enter(ZooKeeperState.CONNECTED, self.session)
        else:
            if self.session is not None:
                self._enter(ZooKeeperState.LOST, self.session)
            self._enter(ZooKeeperState.CONNECTED, self._ensemble.open(self))

    def expire(self) -> None:
        """Lose the connection and the session, and reconnect with another."""
        self._enter(ZooKeeperState.SUSPENDED, self.session)
        self._ensemble.end(self.session or 0)
        self.resume()

    def _enter(self, state: ZooKeeperState, session: int | None) -> None:
        if (state, session) == (self.state, self.session):
            return
        self.state, self.session = state, session
        if state is not ZooKeeperState.CONNECTED:
            self._replies.clear()
            calls, self._calls = self._calls, []
            for call in calls:
                call.errback(RegistryUnavailable("the connection was lost"))
            for watches in (self._node_watches, self._child_watches):
                for path in list(watches):
                    for watch in watches.pop(path):
                        watch.callback(NodeChange.UNKNOWN)
        for listener in list(self._listeners):
            listener(state, session)
        if state is ZooKeeperState.CONNECTED:
            waiting, self._connecting = self._connecting, []
            for deferred in waiting:
                deferred.callback(None)

    def onStateChange(self, listener: StateListener) -> Callable[[], None]:
        """See IZooKeeper."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def whenConnected(self) -> Deferred[None]:
        """See IZooKeeper."""
        if self.state is ZooKeeperState.CONNECTED:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._connecting.remove)
        self._connecting.append(waiting)
        return waiting

    # The calls.

    def create(self, path: str, value: bytes = b"", *, ephemeral: bool = False) -> Deferred[str]:
        """See IZooKeeper."""
        return self._call("create", path, value, (self.session or 0) if ephemeral else 0)

    def exists(self, path: str) -> Deferred[NodeStat | None]:
        """See IZooKeeper."""
        return self._call("exists", path)

    def get(self, path: str) -> Deferred[tuple[bytes, NodeStat]]:
        """See IZooKeeper."""
        return self._call("get", path)

    def set(self, path: str, value: bytes, version: int = -1) -> Deferred[NodeStat]:
        """See IZooKeeper."""
        return self._call("set", path, value, version)

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """See IZooKeeper."""
        return self._call("delete", path, version)

    def children(self, path: str) -> Deferred[list[str]]:
        """See IZooKeeper."""
        return self._call("children", path)

    def childrenAndWatch(self, path: str) -> tuple[Deferred[list[str]], Deferred[NodeChange]]:
        """See IZooKeeper."""
        return self._watching(self._child_watches, "children", path)

    def existsAndWatch(self, path: str) -> tuple[Deferred[NodeStat | None], Deferred[NodeChange]]:
        """See IZooKeeper."""
        return self._watching(self._node_watches, "exists", path)

    def getAndWatch(self, path: str) -> tuple[Deferred[tuple[bytes, NodeStat]], Deferred[NodeChange]]:
        """See IZooKeeper."""
        return self._watching(self._node_watches, "get", path)

    def ensurePath(self, path: str) -> Deferred[None]:
        """See IZooKeeper."""
        return Deferred.fromCoroutine(ensure_path(self, path))

    def saw(self, path: str, change: NodeChange) -> None:
        """Note that a node has changed."""
        fired = self._node_watches.pop(path, [])
        if change is NodeChange.DELETED:
            fired += self._child_watches.pop(path, [])
        for watch in fired:
            self._reply(watch, change)
        if change is not NodeChange.CHANGED:
            for watch in self._child_watches.pop(path.rpartition("/")[0], []):
                self._reply(watch, NodeChange.CHILDREN)

    def _call(self, operation: str, path: str, *arguments: Any) -> Deferred[Any]:
        if self.state is not ZooKeeperState.CONNECTED:
            return fail(RegistryUnavailable("there is no connection"))
        call: Deferred[Any] = Deferred()
        self._calls.append(call)
        call.addTimeout(self.timeout, self._clock, _no_answer)
        call.addBoth(self._ended, call)
        try:
            self._ensemble.before(operation, path)
            outcome = getattr(self._ensemble, operation)(path, *arguments)
        except CIMError:
            outcome = Failure()
        self._reply(call, outcome)
        return call

    def _ended(self, result: Any, call: Deferred[Any]) -> Any:
        if call in self._calls:
            self._calls.remove(call)
        return result

    def _watching(self, watches: Watches, operation: str, path: str) -> tuple[Deferred[Any], Deferred[NodeChange]]:
        def forget(failed: Any) -> Any:
            if watch in watches.get(path, []):
                watches[path].remove(watch)
            return failed

        watch: Deferred[NodeChange] = Deferred(forget)
        watches.setdefault(path, []).append(watch)
        return self._call(operation, path).addErrback(forget), watch

    def _reply(self, deferred: Deferred[Any], outcome: Any) -> None:
        if not self.mute:
            self._replies.append((deferred, outcome))
            self._later(0, self._answer)

    def _answer(self) -> None:
        if self._replies:
            deferred, outcome = self._replies.popleft()
            if not deferred.called:
                deferred.callback(outcome)

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(self._clock.callLater(seconds, act))


def _no_answer(result: Any, seconds: float) -> None:
    raise RegistryUnavailable(f"no answer within {seconds:g} s")
