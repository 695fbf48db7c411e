"""Groups in a Redis Cluster: all that rules decide by lies in the directory (cim/store/redis/cluster/copies.py).

But for how far the log of a group is, which lies with the log. Who joins may not read what was said before it; so that
is read first, and put where the change looks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cim.errors import CIMError
from cim.store.decided import GroupChanged
from cim.store.redis.buckets import DIRECTORY, bucket_of
from cim.store.redis.groups import RedisGroups
from cim.store.redis.keys import Key
from cim.store.rules.group_values import Accept, Add, Edit, Operation
from cim.wire import conversations

if TYPE_CHECKING:
    from cim.store.redis.cluster.connection import ClusterConnection


class ClusterGroups(RedisGroups):
    """Groups that all routes share."""

    _connection: ClusterConnection

    async def _change_together(self, id: int, operations: Sequence[Operation]) -> list[GroupChanged | CIMError]:
        joining = [one.user for one in operations if isinstance(one, Add | Accept)]
        if joining or any(isinstance(one, Edit) for one in operations):
            await self._look_at_log(id, joining)
        return await super()._change_together(id, operations)

    async def _look_at_log(self, id: int, joining: Sequence[int]) -> None:
        name = conversations.group(id)
        key = Key.COUNTERS.of(name)
        fields = ["log", *(f"s:{user}" for user in joining)]
        (held,) = await self._connection.commands_in("group", [(bucket_of(name), ("HMGET", key, *fields))])
        there = [(field, value) for field, value in zip(fields, held, strict=True) if value is not None]
        if there:
            words = [word for pair in there for word in pair]
            await self._connection.commands_in("group", [(DIRECTORY, ("HSET", key, *words))])
