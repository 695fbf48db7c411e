"""Waiting for several things that are under way at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList

T = TypeVar("T")


async def together(under_way: Iterable[Deferred[T]]) -> list[T]:
    """Return the results when all have ended; the first one's error, in their order, if any failed."""
    awaited = list(under_way)
    if len(awaited) == 1:  # as it mostly is
        return [await awaited[0]]
    ended: list[tuple[bool, Any]] = await DeferredList(awaited, consumeErrors=True)
    for well, result in ended:
        if not well:
            result.raiseException()
    return [result for _, result in ended]
