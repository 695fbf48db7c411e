"""A store without sockets, files or threads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from copy import deepcopy
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute
from zope.interface import implementer

from cim.errors import StoreUnavailable
from cim.interfaces import IStore
from cim.model import Retention
from cim.store.pages import DEFAULT
from cim.store.sqlite.accounts import SqliteAccounts
from cim.store.sqlite.blocks import SqliteBlocks
from cim.store.sqlite.clock import SqliteClock
from cim.store.sqlite.conversations import SqliteConversations
from cim.store.sqlite.credentials import SqliteCredentials
from cim.store.sqlite.external_ids import SqliteExternalIds
from cim.store.sqlite.followers import SqliteFollowers
from cim.store.sqlite.groups import SqliteGroups
from cim.store.sqlite.invitation_codes import SqliteInvitationCodes
from cim.store.sqlite.invitations import SqliteInvitations
from cim.store.sqlite.muted_users import SqliteMutedUsers
from cim.store.sqlite.mutes import SqliteMutes
from cim.store.sqlite.page_logins import SqlitePageLogins
from cim.store.sqlite.pushes import SqlitePushes
from cim.store.sqlite.reports import SqliteReports
from cim.store.sqlite.reset_codes import SqliteResetCodes
from cim.store.sqlite.sessions import LocalSessions
from cim.store.sqlite.tables import STORE
from cim.store.sqlite.user_tokens import SqliteUserTokens

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.daemon.sqlite import Work

T = TypeVar("T")


class MemorySqlite:
    """A SQLite database in memory that does everything synchronously.

    :param guard: called with the name of each operation before it; if it raises, that is the result
    """

    def __init__(self, guard: Callable[[str], None]) -> None:
        self._guard = guard
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys=ON")
        STORE.upgrade(self.connection)

    def write(self, name: str, work: Work[T]) -> Deferred[T]:
        """See cim.store.sqlite.threads.Sqlite."""

        def run() -> T:
            self._guard(name)
            self.connection.execute("BEGIN")
            try:
                result = work(self.connection)
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
            return result

        return execute(run)

    read = write


@implementer(IStore)
class MemoryStore(Service):
    """A store in memory, which can be made unavailable."""

    def __init__(
        self, clock: IReactorTime, retention: Retention = DEFAULT, *, time_of_day: Callable[[], float] | None = None
    ) -> None:
        """
        :param time_of_day: the store's clock; that of durations, too, unless it is another one
        """
        sqlite = MemorySqlite(self._guard)

        #: Looks at the store's clock, when it is told to.
        self.looking = SqliteClock("the store in memory", sqlite, clock, time_of_day or clock.seconds)
        self.looking.begin(sqlite.connection)
        self.clock = self.looking.clock
        now = self.clock.now
        #: What is stored.
        self.database = sqlite.connection
        self.accounts = SqliteAccounts(sqlite, now)
        self.sessions = LocalSessions(clock, self._guard)
        #: Whether it takes no more messages.
        self.full = False
        self.conversations = SqliteConversations(
            sqlite, self.clock, retention, no_space=lambda: self.full, random=Random(1).random
        )
        self.groups = SqliteGroups(sqlite, now)
        self.followers = SqliteFollowers(sqlite, now)
        self.invitations = SqliteInvitations(sqlite, now)
        self.blocks = SqliteBlocks(sqlite)
        self.muted_users = SqliteMutedUsers(sqlite, now)
        self.reports = SqliteReports(sqlite, now)
        self.mutes = SqliteMutes(sqlite, now)
        self.pushes = SqlitePushes(sqlite, now)
        self.credentials = SqliteCredentials(sqlite, now)
        self.invitation_codes = SqliteInvitationCodes(sqlite, now)
        self.reset_codes = SqliteResetCodes(sqlite, now, self.credentials)
        self.page_logins = SqlitePageLogins(sqlite, now)
        self.external_ids = SqliteExternalIds(sqlite, now)
        self.user_tokens = SqliteUserTokens(sqlite, now)
        self._available = True
        self._reconnect_listeners: list[Callable[[], None]] = []
        self._epoch_listeners: list[Callable[[], None]] = []
        self._latency_listeners: list[Callable[[str, float], None]] = []

    def _guard(self, operation: str) -> None:
        for listener in self._latency_listeners:
            listener(operation, 0.0)
        if not self._available:
            raise StoreUnavailable()

    @property
    def available(self) -> bool:
        """Whether the store answers; while this is False every call fails with StoreUnavailable."""
        return self._available

    @available.setter
    def available(self, available: bool) -> None:
        was, self._available = self._available, available
        if available and not was:
            for listener in self._reconnect_listeners:
                listener()

    def health(self) -> str:
        """See IStore."""
        return "" if self._available else "the store in memory is away"

    def facts(self) -> Mapping[str, Any]:
        """See IStore."""
        known = {"store": "memory", "acknowledged": "in memory: gone with the process"}
        return {**known, **self.clock.facts()}

    def used(self) -> float:
        """See IStore."""
        return 0.95 if self.full else 0.1

    def epoch(self) -> int:
        """See IStore."""
        return self.conversations.epoch

    def saw_epoch(self, number: int) -> None:
        """See IStore."""
        if number > self.epoch():
            self.begin_epoch(number + 1)

    def begin_epoch(self, number: int = 0) -> None:
        """Begin a new epoch: what is stored was changed behind the back of those who use it."""
        if number:
            self.conversations._appending.epoch = number
        else:
            self.conversations.begin(self.database, self.epoch() + 1)
        for listener in (*self._epoch_listeners, *self._reconnect_listeners):
            listener()

    def copy(self) -> Callable[[], None]:
        """Copy what is stored; return a function that goes back to it, without a new epoch."""
        copy, held = sqlite3.connect(":memory:"), vars(self.sessions)
        self.database.backup(copy)
        records = {name: deepcopy(held[name]) for name in ("_records", "_expiries", "_ended", "_ends", "_barred")}

        def go_back() -> None:
            copy.backup(self.database)
            held.update(deepcopy(records))

        return go_back

    def on_epoch(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._epoch_listeners.append(listener)

    def on_reconnect(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._reconnect_listeners.append(listener)

    def observe(self, latency: Callable[[str, float], None]) -> None:
        """See IStore."""
        self._latency_listeners.append(latency)
