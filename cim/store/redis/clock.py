"""Looks at Redis's clock (docs/architecture.md, Clocks).

    cim:clock   hash: time: steady time in ms since 1970; clock: what Redis's clock said then; fresh, aged and since:
                what is not believed of it (cim/store/rules/clock.py)

Every route looks every ten seconds, and whenever it has connected, before anything else uses the connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from cim.store.clock import StoreClock
from cim.store.redis.keys import Key
from cim.store.redis.scripts import script
from cim.store.rules.clock import Steady

CLOCK = script("clock")


async def look(clock: StoreClock, reactor: IReactorTime, run: Callable[..., Awaitable[Any]]) -> None:
    """Look at the clock; fails with the errors of `run`.

    :param run: runs CLOCK with keys and arguments
    """
    began = reactor.seconds()
    expected = clock.expected()
    clock.looked(Steady(*map(int, await run((Key.CLOCK,), ("" if expected is None else expected,)))), began)
