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
from cim.store.redis.calls import RedisCalls
from cim.store.redis.changing import Changing
from cim.store.redis.checking import RedisCheck
from cim.store.redis.conversations import RedisConversations
from cim.store.redis.credentials import RedisCredentials
from cim.store.redis.edits import note_all_edits
from cim.store.redis.external_ids import RedisExternalIds
from cim.store.redis.followers import RedisFollowers
from cim.store.redis.groups import RedisGroups
from cim.store.redis.invitation_codes import RedisInvitationCodes
from cim.store.redis.invitations import RedisInvitations
from cim.store.redis.muted_users import RedisMutedUsers
from cim.store.redis.mutes import RedisMutes
from cim.store.redis.names import NameForms
from cim.store.redis.page_logins import RedisPageLogins
from cim.store.redis.people import People
from cim.store.redis.pushes import RedisPushes
from cim.store.redis.reports import RedisReports
from cim.store.redis.reset_codes import RedisResetCodes
from cim.store.redis.schema import RedisSchema, stop_earlier_routes
from cim.store.redis.sessions import RedisSessions
from cim.store.redis.user_tokens import RedisUserTokens
from cim.store.space import Space, Usage

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime


async def memory_usage(connection: RedisCalls) -> Usage | None:
    """Return how much of its `maxmemory` Redis uses; None if it does not say."""
    if "INFO" in connection.server.refused:
        return None
    (info,) = await connection.commands("space", ("INFO", "memory"))
    return usage_of(info)


def usage_of(info: bytes) -> Usage:
    """Return how much of its `maxmemory` a Redis uses, by the reply to `INFO memory`."""
    found = dict(line.split(":", 1) for line in info.decode(errors="replace").splitlines() if ":" in line)
    # Buffers of replication and of the append-only file are not counted to maxmemory.
    used = int(found["used_memory"]) - int(found.get("mem_not_counted_for_evict", 0))
    return Usage(used, int(found.get("maxmemory", 0)))


@implementer(IStore)
class RedisStore(Service):
    """A store over one connection to Redis.

    :param random: returns a number from 0 to 1, for the jitter of retries and for quotas
    """

    def __init__(
        self,
        connection: RedisCalls,
        clock: IReactorTime,
        retention: Retention = DEFAULT,
        *,
        random: Callable[[], float],
    ) -> None:
        self._connection = connection
        self.clock = connection.clock
        self._space = Space(clock, "Redis' memory", lambda: Deferred.fromCoroutine(self._usage()))
        changing = self._changing(clock, random)
        forms = NameForms(connection, changing)
        people = People(connection, changing)
        steps = (forms.index_all, lambda: note_all_edits(connection), people.put_all, stop_earlier_routes)
        self._schema = RedisSchema(connection, changing, steps, clock)
        self.external_ids = RedisExternalIds(changing)
        self.accounts = RedisAccounts(connection, changing, forms, people, self._schema, self.external_ids)
        self.sessions = self._sessions(changing)
        self.conversations = self._conversations(clock, retention, random)
        self.groups = self._groups(changing)
        self.followers = self._followers()
        self.invitations = RedisInvitations(connection, changing)
        self.blocks = RedisBlocks(connection, changing)
        self.muted_users = RedisMutedUsers(connection, changing)
        self.reports = RedisReports(connection, changing)
        self.mutes = RedisMutes(connection, changing)
        self.pushes = RedisPushes(connection, changing)
        self.invitation_codes = RedisInvitationCodes(connection, changing)
        self.reset_codes = RedisResetCodes(connection, changing)
        self.page_logins = RedisPageLogins(connection, changing)
        self.user_tokens = RedisUserTokens(changing)
        self.credentials = self._credentials(
            connection,
            changing,
            self.accounts,
            people,
            self.groups,
            self.external_ids,
            self.reports,
            self.pushes,
        )

    # What is another one in a cluster (cim/store/redis/cluster/store.py)

    _credentials = RedisCredentials

    def _changing(self, clock: IReactorTime, random: Callable[[], float]) -> Changing:
        return Changing(self._connection, clock, random)

    def _sessions(self, changing: Changing) -> RedisSessions:
        return RedisSessions(self._connection, changing)

    def _conversations(
        self, clock: IReactorTime, retention: Retention, random: Callable[[], float]
    ) -> RedisConversations:
        return RedisConversations(self._connection, retention, no_space=self._space.full, random=random)

    def _groups(self, changing: Changing) -> RedisGroups:
        return RedisGroups(self._connection, changing)

    def _followers(self) -> RedisFollowers:
        return RedisFollowers(self._connection)

    async def _usage(self) -> Usage | None:
        return await memory_usage(self._connection)

    def startService(self) -> None:
        """Start connecting; Redis need not be there yet."""
        super().startService()
        self._connection.start()
        self._schema.start()
        self._connection.on_reconnect(self._schema.start)
        self._connection.on_epoch(self._schema.start)
        self._space.startService()

    def stopService(self) -> Deferred[None]:
        """Close the connection."""
        super().stopService()
        self._space.stopService()
        self._schema.stop()
        return Deferred.fromCoroutine(self._connection.stop())

    def check(self) -> RedisCheck:
        """Return what reads all that is stored, and names what does not fit."""
        return RedisCheck(self._connection)

    def health(self) -> str:
        """See IStore."""
        return self._connection.health()

    def facts(self) -> Mapping[str, Any]:
        """See IStore."""
        return {**self._connection.facts(), **self._schema.facts(), **self._space.facts()}

    def used(self) -> float:
        """See IStore."""
        return self._space.part()

    def epoch(self) -> int:
        """See IStore."""
        return self._connection.epoch.number

    def saw_epoch(self, number: int) -> None:
        """See IStore."""
        self._connection.epoch.saw(number)

    def on_epoch(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._connection.on_epoch(listener)

    def on_reconnect(self, listener: Callable[[], None]) -> None:
        """See IStore."""
        self._connection.on_reconnect(listener)

    def observe(self, latency: Callable[[str, float], None]) -> None:
        """See IStore."""
        self._connection.observe(latency)
