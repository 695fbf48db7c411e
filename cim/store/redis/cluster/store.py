"""The store on a Redis Cluster: that on a single Redis, but for what lies in several buckets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from cim.model import Retention
from cim.store.redis.buckets import OTHERS
from cim.store.redis.changing import Changing
from cim.store.redis.cluster.checking import ClusterCheck
from cim.store.redis.cluster.conversations import ClusterConversations
from cim.store.redis.cluster.copies import ClusterChanging
from cim.store.redis.cluster.followers import ClusterFollowers
from cim.store.redis.cluster.groups import ClusterGroups
from cim.store.redis.cluster.quotas import buckets_of
from cim.store.redis.credentials import RedisCredentials
from cim.store.redis.keys import Key
from cim.store.redis.sessions import RedisSessions
from cim.store.redis.store import RedisStore, usage_of
from cim.store.space import Usage

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from cim.store.redis.cluster.connection import ClusterConnection


class ClusterSessions(RedisSessions):
    """Sessions that all routes share, each user's in the user's bucket."""

    _connection: ClusterConnection

    def users_at(self, server: str) -> Deferred[Sequence[int]]:
        """See ISessions."""
        return Deferred.fromCoroutine(self._users_at(("SMEMBERS", Key.UPSTREAM.of(server))))

    async def _users_at(self, asked: tuple[str, str]) -> Sequence[int]:
        found = await self._connection.commands_in("users_at", [(bucket, asked) for bucket in OTHERS])
        return sorted(int(user) for users in found for user in users)


class ClusterCredentials(RedisCredentials):
    """Credentials that all routes share."""

    _connection: ClusterConnection

    async def _delete(self, user: int) -> bool:
        deleted = await super()._delete(user)
        activity = Key.ACTIVITY.of(user), Key.STORED.of(user)
        buckets = await buckets_of(self._connection, user)
        await self._connection.commands_in("delete", [(bucket, ("UNLINK", *activity)) for bucket in buckets])
        await self._connection.commands("delete", ("UNLINK", Key.BUCKETS.of(user), Key.PAID.of(user)))
        return deleted


class ClusterStore(RedisStore):
    """A store over connections to the masters of a Redis Cluster."""

    _connection: ClusterConnection
    _credentials = ClusterCredentials

    def _changing(self, clock: IReactorTime, random: Callable[[], float]) -> Changing:
        self._copying = ClusterChanging(self._connection, clock, random)
        return self._copying

    def _sessions(self, changing: Changing) -> RedisSessions:
        return ClusterSessions(self._connection, changing)

    def _conversations(
        self, clock: IReactorTime, retention: Retention, random: Callable[[], float]
    ) -> ClusterConversations:
        return ClusterConversations(
            self._connection, retention, clock, self._copying.copies, no_space=self._space.full, random=random
        )

    def _groups(self, changing: Changing) -> ClusterGroups:
        return ClusterGroups(self._connection, changing)

    def _followers(self) -> ClusterFollowers:
        return ClusterFollowers(self._connection)

    async def _usage(self) -> Usage | None:
        """Return that of the node that has the least room."""
        if "INFO" in self._connection.server.refused:
            return None
        found = [usage_of(info) for info in await self._connection.of_all("space", "INFO", "memory")]
        return max(found, key=lambda one: one.part, default=None)

    def check(self) -> ClusterCheck:
        """See RedisStore."""
        return ClusterCheck(self._connection)

    def startService(self) -> None:
        """Start connecting; the cluster need not be there yet."""
        super().startService()
        self._copying.copies.start()

    def stopService(self) -> Deferred[None]:
        """Close the connections."""
        self._copying.copies.stop()
        return super().stopService()
