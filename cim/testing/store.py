"""A store without sockets, files or threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, execute
from zope.interface import implementer

from cim.ecim import StoreUnavailable
from cim.icim import IAccounts, IStore
from cim.model import Account
from cim.store.local_sessions import LocalSessions

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime


@implementer(IAccounts)
class MemoryAccounts:
    """Accounts in a dict.

    :param guard: called with the operation's name before each; what it raises is the answer
    """

    def __init__(self, clock: IReactorTime, guard: Callable[[str], None]) -> None:
        self._clock = clock
        self._guard = guard
        self._by_id: dict[int, Account] = {}
        self._by_name: dict[str, Account] = {}

    def _answer(self, name: str, found: Callable[[], Any]) -> Deferred[Any]:
        def run() -> Any:
            self._guard(name)
            return found()

        return execute(run)

    def register(self, name: str) -> Deferred[Account]:
        """See IAccounts."""

        def registered() -> Account:
            if name not in self._by_name:
                id = max(int(self._clock.seconds() * 1000), 1, *(known + 1 for known in self._by_id))
                self._by_name[name] = self._by_id[id] = Account(id, name)
            return self._by_name[name]

        return self._answer("register", registered)

    def account(self, user: int) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._answer("account", lambda: self._by_id.get(user))

    def named(self, name: str) -> Deferred[Account | None]:
        """See IAccounts."""
        return self._answer("named", lambda: self._by_name.get(name))


@implementer(IStore)
class MemoryStore(Service):
    """Accounts and sessions in memory, which can be made unavailable."""

    def __init__(self, clock: IReactorTime) -> None:
        self.accounts = MemoryAccounts(clock, self._guard)
        self.sessions = LocalSessions(clock, self._guard)
        self._available = True
        self._reconnect_listeners: list[Callable[[], None]] = []
        self._latency_listeners: list[Callable[[str, float], None]] = []

    def _guard(self, operation: str) -> None:
        for listener in self._latency_listeners:
            listener(operation, 0.0)
        if not self._available:
            raise StoreUnavailable()

    @property
    def available(self) -> bool:
        """Whether it answers; every call fails with StoreUnavailable while it is False."""
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
        return {"store": "memory", "acknowledged": "in memory: gone with the process"}

    def on_reconnect(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._reconnect_listeners.append(listener)

    def observe(self, latency: Callable[[str, float], None]) -> None:
        """See IStore."""
        self._latency_listeners.append(latency)
