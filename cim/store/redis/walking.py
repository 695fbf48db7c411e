"""Walks through all keys of a kind in Redis, a bounded part of them at a time."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from cim.errors import InvalidField
from cim.model import Listing

if TYPE_CHECKING:
    from cim.store.redis.calls import RedisCalls

T = TypeVar("T")

#: About how many keys one step looks at, and how many one call does, which keep Redis busy for about 5 ms.
STEP = 1000
LOOKED = 10_000
#: SCAN's cursors have 64 bits.
_CURSOR = re.compile(r"[1-9][0-9]{0,19}")


async def walk(
    connection: RedisCalls,
    operation: str,
    pattern: str,
    kind: str,
    read: Callable[[Sequence[bytes]], Awaitable[Sequence[T]]],
    *,
    after: str,
    limit: int,
    sparse: bool = False,
) -> Listing[T]:
    """Return what is at some of the keys that match a pattern.

    The order is Redis' own. What is there all the time is found once at least.

    :param kind: the type of the keys
    :param read: returns what is at some keys
    :param after: where the last call ended; empty to begin
    :param limit: end once so many are found, or some more
    :param sparse: whether few of them will be found, so that a step may look at many
    :raises InvalidField: `after` is not what a call returned
    """
    if after and (not _CURSOR.fullmatch(after) or int(after) >> 64):
        raise InvalidField("after", "must be the `more` of the previous page")
    cursor = int(after or 0)
    items: list[T] = []
    step = STEP if sparse else min(STEP, limit + 10)
    for _ in range(LOOKED // step):
        scan = ("SCAN", cursor, "MATCH", pattern, "COUNT", step, "TYPE", kind)
        ((cursor, keys),) = await connection.commands(operation, scan)
        cursor = int(cursor)
        if keys:
            items += await read(keys)
        if not cursor or len(items) >= limit:
            break
    return Listing(items, str(cursor) if cursor else "")
