"""Waiting for several concurrent Deferreds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList

T = TypeVar("T")


async def together(under_way: Iterable[Deferred[T]]) -> list[T]:
    """Return all results once all have ended; if any failed, raise the error of the first of them in order."""
    awaited = list(under_way)
    if len(awaited) == 1:  # the usual case
        return [await awaited[0]]
    ended: list[tuple[bool, Any]] = await DeferredList(awaited, consumeErrors=True)
    for well, result in ended:
        if not well:
            result.raiseException()
    return [result for _, result in ended]
