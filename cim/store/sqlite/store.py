"""The store of a single machine: sessions in memory, everything else in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.errors import CIMError
from cim.interfaces import IStore
from cim.model import Retention
from cim.store.pages import DEFAULT
from cim.store.space import ENOUGH, Space, disk_usage
from cim.store.sqlite.accounts import SqliteAccounts, index_names
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
from cim.store.sqlite.threads import SqliteThreads
from cim.store.sqlite.user_tokens import SqliteUserTokens


@implementer(IStore)
class SqliteStore(Service):
    """The store of a single route, which needs the file to itself; sessions never outlive the route.

    :param time_of_day: the time in seconds since 1970 by this machine
    :param random: returns a number from 0 to 1, for quotas
    """

    def __init__(
        self,
        path: str,
        reactor: Any,
        retention: Retention = DEFAULT,
        *,
        time_of_day: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        self._latency_listeners: list[Callable[[str, float], None]] = []
        self._epoch_listeners: list[Callable[[], None]] = []
        self._threads = SqliteThreads(path, reactor, STORE, self._ended, self._prepare)
        self._looking = SqliteClock(f"the store {path}", self._threads, reactor, time_of_day)
        self.clock = self._looking.clock
        now = self.clock.now
        self.accounts = SqliteAccounts(self._threads, now)
        self.sessions = LocalSessions(reactor, lambda operation: self._ended(operation, 0.0), time_of_day)
        self._space = Space(
            reactor, f"the disk of {path}", lambda: self._threads.look(lambda _: disk_usage(path)), enough=ENOUGH
        )
        self.conversations = SqliteConversations(
            self._threads, self.clock, retention, no_space=self._space.full, random=random
        )
        self.groups = SqliteGroups(self._threads, now)
        self.followers = SqliteFollowers(self._threads, now)
        self.invitations = SqliteInvitations(self._threads, now)
        self.blocks = SqliteBlocks(self._threads)
        self.muted_users = SqliteMutedUsers(self._threads, now)
        self.reports = SqliteReports(self._threads, now)
        self.mutes = SqliteMutes(self._threads, now)
        self.pushes = SqlitePushes(self._threads, now)
        self.credentials = SqliteCredentials(self._threads, now)
        self.invitation_codes = SqliteInvitationCodes(self._threads, now)
        self.reset_codes = SqliteResetCodes(self._threads, now, self.credentials)
        self.page_logins = SqlitePageLogins(self._threads, now)
        self.external_ids = SqliteExternalIds(self._threads, now)
        self.user_tokens = SqliteUserTokens(self._threads, now)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        index_names(connection)
        self._looking.begin(connection)
        self.conversations.begin(connection)

    def _ended(self, operation: str, seconds: float) -> None:
        for listener in self._latency_listeners:
            listener(operation, seconds)

    def startService(self) -> None:
        """Open the file and start its threads.

        :raises StoreUnavailable: the file cannot be used; the error says why
        """
        self._threads.start()
        self._space.startService()
        self._looking.startService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Finish pending operations and close the file."""
        super().stopService()
        self._space.stopService()
        return self._looking.stopService().addCallback(lambda _: self._threads.stop())

    def health(self) -> str:
        """See IStore."""
        return self._threads.health()

    def facts(self) -> Mapping[str, Any]:
        """See IStore."""
        known = {"store": f"SQLite in {self._threads.path}", "acknowledged": "on disk (synchronous=FULL)"}
        return {**known, "schema": len(STORE.steps), **self._space.facts(), **self.clock.facts()}

    def used(self) -> float:
        """See IStore."""
        return self._space.part()

    def epoch(self) -> int:
        """See IStore: it begins when the file is opened, for the file is only replaced while no process has it."""
        return self.conversations.epoch

    def saw_epoch(self, number: int) -> None:
        """See IStore."""
        if number > self.epoch():
            beginning = self._threads.write(
                "epoch", lambda connection: self.conversations.begin(connection, number + 1)
            )
            beginning.addCallbacks(self._began, lambda failure: failure.trap(CIMError))

    def _began(self, _: None) -> None:
        for listener in self._epoch_listeners:
            listener()

    def on_epoch(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._epoch_listeners.append(listener)

    def on_reconnect(self, listener: Callable[[], None]) -> None:
        """Do nothing: the file never goes away and comes back."""

    def observe(self, latency: Callable[[str, float], None]) -> None:
        """See IStore."""
        self._latency_listeners.append(latency)
