"""The Redis store, which all routes of a cluster share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from cim.interfaces import IStore
from cim.model import Retention
from cim.store.pages import DEFAULT
from cim.store.redis.accounts import RedisAccounts
from cim.store.redis.blocks import RedisBlocks
from cim.store.redis.changing import Changing
from cim.store.redis.connection import RedisConnection
from cim.store.redis.conversations import RedisConversations
from cim.store.redis.credentials import RedisCredentials
from cim.store.redis.groups import RedisGroups
from cim.store.redis.names import NameForms
from cim.store.redis.sessions import RedisSessions

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime


@implementer(IStore)
class RedisStore(Service):
    """A store over one connection to Redis.

    :param clock: tells the age of messages
    :param random: returns a number from 0 to 1, for the jitter of retries
    """

    def __init__(
        self,
        connection: RedisConnection,
        clock: IReactorTime,
        retention: Retention = DEFAULT,
        *,
        random: Callable[[], float],
    ) -> None:
        self._connection = connection
        changing = Changing(connection, clock, random)
        self._forms = NameForms(connection, changing, clock)
        self.accounts = RedisAccounts(connection, changing, self._forms)
        self.sessions = RedisSessions(connection, changing)
        self.conversations = RedisConversations(connection, clock, retention)
        self.groups = RedisGroups(connection, changing)
        self.blocks = RedisBlocks(connection, changing)
        self.credentials = RedisCredentials(connection, changing, self.accounts, self.groups)

    def startService(self) -> None:
        """Start connecting; Redis need not be there yet."""
        super().startService()
        self._connection.start()
        self._forms.begin()
        self._connection.on_reconnect(self._forms.begin)

    def stopService(self) -> Deferred[None]:
        """Close the connection."""
        super().stopService()
        return Deferred.fromCoroutine(self._connection.stop())

    def health(self) -> str:
        """See IStore."""
        return self._connection.health()

    def facts(self) -> Mapping[str, Any]:
        """See IStore."""
        return self._connection.facts()

    def on_reconnect(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._connection.on_reconnect(listener)

    def observe(self, latency: Callable[[str, float], None]) -> None:
        """See IStore."""
        self._connection.observe(latency)
