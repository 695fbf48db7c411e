"""Reads all that is stored in a Redis Cluster, and whether what is copied says the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cim.store.redis.buckets import bucket_of
from cim.store.redis.checking import CHECK, RedisCheck, tag_of
from cim.store.redis.keys import Key

if TYPE_CHECKING:
    from cim.store.redis.cluster.connection import ClusterConnection

#: The fields of a group that are copied, besides those of who is muted.
_FIELDS = ("version", "ended", "mute")


class ClusterCheck(RedisCheck):
    """Reads all accounts, groups and conversations, while routes may write."""

    _connection: ClusterConnection

    def __init__(self, connection: ClusterConnection) -> None:
        super().__init__(connection)

    async def _ask_beside(self, conversation: str, *commands: tuple[str | int, ...]) -> list[Any]:
        bucket = bucket_of(conversation)
        return await self._connection.commands_in(CHECK, [(bucket, words) for words in commands])

    async def _group(self, key: str) -> list[str]:
        wrong = await super()._group(key)
        name = tag_of(key, Key.GROUP)
        asked = ("HMGET", key, *_FIELDS)
        if await self._ask(asked) != await self._ask_beside(name, asked):
            wrong.append(f"{name}: those who append do not know how the group is")
        (many,) = await self._ask_beside(name, ("HLEN", Key.MEMBERS.of(name)))
        (members,) = await self._ask(("HLEN", Key.MEMBERS.of(name)))
        if many != members:
            wrong.append(f"{name}: those who append know {many} members of {members}")
        async for users, records in self._members(name):
            wrong += await self._copies(name, users, records)
        return wrong

    async def _copies(self, name: str, users: Sequence[str], records: Sequence[bytes]) -> list[str]:
        (copies,) = await self._ask_beside(name, ("HMGET", Key.MEMBERS.of(name), *users))
        return [
            f"{name}: those who append do not know what user {user} is there"
            for user, record, copy in zip(users, records, copies, strict=True)
            if copy != record
        ]
