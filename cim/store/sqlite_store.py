"""The store of one machine: accounts in a SQLite file, sessions in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.icim import IStore
from cim.store.local_sessions import LocalSessions
from cim.store.sqlite_accounts import SCHEMA, SqliteAccounts
from cim.store.sqlite_threads import SqliteThreads


@implementer(IStore)
class SqliteStore(Service):
    """Accounts on disk, sessions in memory; for one route, which alone may have the file open."""

    def __init__(self, path: str, reactor: Any) -> None:
        self._latency_listeners: list[Callable[[str, float], None]] = []
        self._threads = SqliteThreads(path, reactor, SCHEMA, self._ended)
        self.accounts = SqliteAccounts(self._threads, reactor)
        self.sessions = LocalSessions(reactor, lambda operation: self._ended(operation, 0.0))

    def _ended(self, operation: str, seconds: float) -> None:
        for listener in self._latency_listeners:
            listener(operation, seconds)

    def startService(self) -> None:
        """Open the file and start its threads.

        :raises StoreUnavailable: says why the file cannot be used
        """
        self._threads.start()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Finish what was asked and close the file."""
        super().stopService()
        return self._threads.stop()

    def health(self) -> str:
        """See IStore."""
        return self._threads.health()

    def facts(self) -> Mapping[str, Any]:
        """See IStore."""
        return {"store": f"SQLite in {self._threads.path}", "acknowledged": "on disk (synchronous=FULL)"}

    def on_reconnect(self, listener: Callable[[], None]) -> None:
        """Do nothing: the file never goes away and comes back."""

    def observe(self, latency: Callable[[str, float], None]) -> None:
        """See IStore."""
        self._latency_listeners.append(latency)
