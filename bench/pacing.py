"""How work is offered: as fast as it is answered (closed loop), or at fixed times whatever happens (open loop)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList

T = TypeVar("T")


async def closed_loop(items: Iterable[T], concurrency: int, work: Callable[[T], Awaitable[Any]]) -> None:
    """Have `work` done for all items, at most `concurrency` at a time; the first failure is raised when all ended."""
    shared = iter(items)

    async def worker() -> None:
        for item in shared:
            await work(item)

    workers = [Deferred.fromCoroutine(worker()) for _ in range(concurrency)]
    ended: list[tuple[bool, Any]] = await DeferredList(workers, consumeErrors=True)
    for succeeded, result in ended:
        if not succeeded:
            result.raiseException()


def open_loop(
    reactor: Any, clock: Callable[[], float], rate: float, seconds: float, offer: Callable[[int, float], None]
) -> Deferred[None]:
    """Call `offer(index, scheduled)` at the times that `rate` per second gives; fires after the last.

    What is late is offered at once, with the time at which it was due.
    """
    done: Deferred[None] = Deferred()
    start = clock()
    count = int(rate * seconds)
    index = 0

    def due() -> None:
        nonlocal index
        now = clock()
        while index < count and start + index / rate <= now:
            offer(index, start + index / rate)
            index += 1
        if index < count:
            reactor.callLater(max(0.0, start + index / rate - clock()), due)
        else:
            done.callback(None)

    due()
    return done
