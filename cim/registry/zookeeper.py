"""The bridge to ZooKeeper through kazoo (docs/architecture.md, ZooKeeper).

kazoo runs in threads of its own. What it reports reaches the reactor thread through `callFromThread`, replies in the
order of the calls; nothing here ever waits for a thread. Without a connection, calls fail at once, because kazoo would
queue them and perform them later, when nobody wants them any more.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState, KeeperState, WatchedEvent

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cim.errors import RegistryUnavailable
from cim.registry.calls import Calls, ICallsReactor
from cim.registry.izookeeper import IZooKeeper, NodeChange, NodeStat, StateListener, ZooKeeperState, ensure_path
from cim.registry.kazoo_client import CHANGES, data_and_stat, make_client, node_stat, stat_or_none
from cim.supervision import Loop

#: How long after a client broke for good a new one is tried, s.
REPLACE_AFTER = 5.0

_Watches = dict[str, list["Deferred[NodeChange]"]]


@implementer(IZooKeeper)
class ZooKeeper(Service):
    """A session with ZooKeeper that is replaced whenever it is lost; see IZooKeeper.

    :param address: `host:port[,host:port...]`
    :param session_timeout: seconds; ZooKeeper limits it to its own bounds (by default 4 to 40 s)
    :param timeout: seconds that one call may take
    :param stop_timeout: seconds that stopping may take, whatever ZooKeeper does
    :param auth: user and password of the digest scheme; nodes are then open only to these credentials
    :param tls: for connections with TLS; None for none
    """

    _log = Logger()

    def __init__(
        self,
        address: str,
        reactor: ICallsReactor,
        *,
        session_timeout: float = 10.0,
        timeout: float = 5.0,
        stop_timeout: float = 2.0,
        auth: tuple[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        make: Callable[..., KazooClient] = make_client,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.state = ZooKeeperState.LOST
        self.session: int | None = None
        self.complaint = ""
        self._reactor = reactor
        self._session_timeout = session_timeout
        self._stop_timeout = stop_timeout
        self._make = partial(make, address, session_timeout, auth, tls)
        self._client: KazooClient | None = None
        self._starting = Loop(f"connecting to ZooKeeper at {address}", self._start_client, reactor)
        self._timers: dict[str, IDelayedCall] = {}
        self._calls = Calls(reactor, timeout)
        self._listeners: list[StateListener] = []
        self._connecting: list[Deferred[None]] = []
        self._node_watches: _Watches = {}
        self._child_watches: _Watches = {}

    # The service.

    def startService(self) -> None:
        """Start connecting, whether or not ZooKeeper is there."""
        super().startService()
        self._after("patience", self.timeout, self._still_nothing)
        self._starting.start()

    def stopService(self) -> Deferred[None]:
        """End the session and its ephemeral nodes; fires after `stop_timeout` at the latest."""
        super().stopService()
        for name in list(self._timers):
            self._cancel(name)
        self._starting.stop()
        client, self._client = self._client, None
        self._enter(ZooKeeperState.LOST, None)
        waiting, self._connecting = self._connecting, []
        for deferred in waiting:
            deferred.errback(RegistryUnavailable("the registry was stopped"))
        if client is None:
            return succeed(None)
        stopped = self._stop_client(client)
        stopped.addTimeout(self._stop_timeout, self._reactor)
        stopped.addErrback(self._never_stopped)
        return stopped

    def _never_stopped(self, failure: Failure) -> None:
        failure.trap(TimeoutError)
        self._log.warn("ZooKeeper did not confirm the end of the session; it will expire")

    def _start_client(self) -> None:
        client: KazooClient = self._make(
            lambda reason: self._reactor.callFromThread(self._broke, client, reason),
            lambda reason: self._reactor.callFromThread(self._refused, client, reason),
        )

        def listen(state: KazooState) -> None:
            identity = client.client_id
            session = identity[0] if identity is not None else None
            self._reactor.callFromThread(self._changed, client, state, client.client_state, session)

        client.add_listener(listen)
        self._client = client
        try:
            client.start_async()
        except Exception:
            self._client = None
            self._stop_client(client)
            raise

    def _stop_client(self, client: KazooClient) -> Deferred[None]:
        stopped: Deferred[None] = Deferred(lambda _: None)

        def stop() -> None:
            try:
                client.stop()
                client.close()
            except Exception as error:
                self._log.debug("stopping kazoo: {error}", error=error)
            self._reactor.callFromThread(lambda: None if stopped.called else stopped.callback(None))

        # Not in the reactor's pool: the process waits for that at exit, and kazoo may take a whole session timeout.
        threading.Thread(target=stop, name="kazoo-stop", daemon=True).start()
        return stopped

    def _refused(self, client: KazooClient, reason: str) -> None:
        complaint = f"TLS failed: {reason}"
        if client is self._client and complaint != self.complaint:
            self.complaint = complaint
            self._log.warn(
                "not connected to ZooKeeper at {address}: {complaint}; retrying",
                address=self.address,
                complaint=complaint,
            )

    def _broke(self, client: KazooClient, reason: str) -> None:
        if client is self._client:
            self._log.error(
                "the connection to ZooKeeper at {address} broke: {reason}", address=self.address, reason=reason
            )
            self._replace(client, REPLACE_AFTER)

    def _replace(self, client: KazooClient, after: float) -> None:
        self._cancel("expiry")
        self._client = None
        self._starting.plan(after)
        self._stop_client(client)
        self._enter(ZooKeeperState.LOST, None)

    # The session's state.

    def _changed(self, client: KazooClient, state: KazooState, detail: KeeperState, session: int | None) -> None:
        if client is not self._client:
            return
        self._cancel("expiry")
        if state == KazooState.CONNECTED:
            self._cancel("patience")
            self.complaint = ""
            new = "the same" if session == self.session else "a new"
            self._log.info("connected to ZooKeeper at {address}, {new} session", address=self.address, new=new)
            self._enter(ZooKeeperState.CONNECTED, session)
        elif state == KazooState.SUSPENDED:
            self._log.warn("lost the connection to ZooKeeper at {address}", address=self.address)
            self._after("expiry", self._session_timeout, partial(self._probably_lost, client))
            self._enter(ZooKeeperState.SUSPENDED, self.session)
        elif detail == KeeperState.EXPIRED_SESSION:
            self._log.warn("the session with ZooKeeper at {address} has expired", address=self.address)
            self._enter(ZooKeeperState.LOST, self.session)
        else:
            self._broke(client, str(detail))

    def _probably_lost(self, client: KazooClient) -> None:
        self._log.warn(
            "no connection to ZooKeeper at {address} for {seconds} s: the session has probably expired",
            address=self.address,
            seconds=self._session_timeout,
        )
        # kazoo would offer the old session forever, even to a ZooKeeper that lost its data and so refuses it.
        self._replace(client, 0)

    def _still_nothing(self) -> None:
        self._log.warn("ZooKeeper at {address} is not answering; still trying", address=self.address)

    def _enter(self, state: ZooKeeperState, session: int | None) -> None:
        if (state, session) == (self.state, self.session):
            return
        self.state, self.session = state, session
        if state is not ZooKeeperState.CONNECTED:
            self._calls.fail(RegistryUnavailable("the connection to ZooKeeper was lost"))
            for watches in (self._node_watches, self._child_watches):
                for path in list(watches):
                    self._fire(watches, path, NodeChange.UNKNOWN)
        for listener in list(self._listeners):
            with self._log.failuresHandled("a listener of the ZooKeeper session raised"):
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

    def _after(self, name: str, seconds: float, act: Callable[[], None]) -> None:
        self._cancel(name)
        self._timers[name] = self._reactor.callLater(seconds, act)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None and timer.active():
            timer.cancel()

    # The calls.

    def create(self, path: str, value: bytes = b"", *, ephemeral: bool = False) -> Deferred[str]:
        """See IZooKeeper."""
        return self._call("create_async", path, value, ephemeral=ephemeral)

    def exists(self, path: str) -> Deferred[NodeStat | None]:
        """See IZooKeeper."""
        return self._call("exists_async", path).addCallback(stat_or_none)

    def get(self, path: str) -> Deferred[tuple[bytes, NodeStat]]:
        """See IZooKeeper."""
        return self._call("get_async", path).addCallback(data_and_stat)

    def set(self, path: str, value: bytes, version: int = -1) -> Deferred[NodeStat]:
        """See IZooKeeper."""
        return self._call("set_async", path, value, version).addCallback(node_stat)

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """See IZooKeeper."""
        return self._call("delete_async", path, version).addCallback(lambda _: None)

    def children(self, path: str) -> Deferred[list[str]]:
        """See IZooKeeper."""
        return self._call("get_children_async", path)

    def childrenAndWatch(self, path: str) -> tuple[Deferred[list[str]], Deferred[NodeChange]]:
        """See IZooKeeper."""
        return self._watching(self._child_watches, "get_children_async", path)

    def existsAndWatch(self, path: str) -> tuple[Deferred[NodeStat | None], Deferred[NodeChange]]:
        """See IZooKeeper."""
        read, watch = self._watching(self._node_watches, "exists_async", path)
        return read.addCallback(stat_or_none), watch

    def getAndWatch(self, path: str) -> tuple[Deferred[tuple[bytes, NodeStat]], Deferred[NodeChange]]:
        """See IZooKeeper."""
        read, watch = self._watching(self._node_watches, "get_async", path)
        return read.addCallback(data_and_stat), watch

    def ensurePath(self, path: str) -> Deferred[None]:
        """See IZooKeeper."""
        return Deferred.fromCoroutine(ensure_path(self, path))

    def _call(self, method: str, *arguments: Any, **options: Any) -> Deferred[Any]:
        if self._client is None or self.state is not ZooKeeperState.CONNECTED:
            return fail(RegistryUnavailable("not connected to ZooKeeper"))
        return self._calls.make(partial(getattr(self._client, method), *arguments, **options))

    # Watches. kazoo gets the same function each time, because it keeps a set per path, which then cannot grow.

    def _watching(self, watches: _Watches, method: str, path: str) -> tuple[Deferred[Any], Deferred[NodeChange]]:
        watch: Deferred[NodeChange] = Deferred(lambda cancelled: _forget(watches, path, cancelled))
        read = self._call(method, path, watch=self._saw)
        if not read.called:
            watches.setdefault(path, []).append(watch)

        def failed(failure: Failure) -> Failure:
            _forget(watches, path, watch)
            return failure

        return read.addErrback(failed), watch

    def _saw(self, event: WatchedEvent) -> None:
        # A lost connection is reported by the session's state instead, in the order of the state's changes.
        if event.type in CHANGES:
            self._reactor.callFromThread(self._happened, event.path, CHANGES[event.type])

    def _happened(self, path: str, change: NodeChange) -> None:
        if change is not NodeChange.CHILDREN:
            self._fire(self._node_watches, path, change)
        if change in (NodeChange.CHILDREN, NodeChange.DELETED):
            self._fire(self._child_watches, path, change)

    def _fire(self, watches: _Watches, path: str, change: NodeChange) -> None:
        for watch in watches.pop(path, []):
            watch.callback(change)


def _forget(watches: _Watches, path: str, watch: Deferred[NodeChange]) -> None:
    waiting = watches.get(path, [])
    if watch in waiting:
        waiting.remove(watch)
    if not waiting:
        watches.pop(path, None)
