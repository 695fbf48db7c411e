"""The epoch of what Redis stores (docs/architecture.md, Epochs).

    cim:epoch   hash: number: the epoch's; beat: the highest number of all; run and history: of the process that served
                it when it began; once: since when repetitions are noted as once.lua does it, in ms since 1970; 0 if
                from the beginning; was: those ids of what was there before

One script, epoch.lua, compares the record with the process that runs it and with what a route has seen of it, and
begins a new epoch in the same step. So all routes agree, and a number is never used twice. The beat goes up with every
look: a record with a lower one than a route has seen is an earlier state of the data. Whoever appends compares it, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.logger import Logger

from cim.store.redis.keys import Key
from cim.store.redis.scripts import script

EPOCH = script("epoch")
#: How often the record is looked at, in seconds.
LOOK_SECONDS = 1.0
#: A number that is never reached.
NEVER = 10**18


class Epoch:
    """What a route knows of the epoch.

    :ivar address: where Redis is, for the log
    :ivar number: its number, in ms since 1970 or more; 0 before the first look
    :ivar seen: the highest number that this route has seen
    """

    _log = Logger()

    def __init__(self, address: str) -> None:
        self.number = 0
        self.seen = 0
        self.address = address
        self._known = False
        self._told = 0
        self._listeners: list[Callable[[], None]] = []

    def saw(self, number: int) -> None:
        """Note that a number was used: a store without it has gone back."""
        self.seen = max(self.seen, number)

    def unknown(self) -> None:
        """Have nothing stored before the next look: this may be another run of Redis."""
        self._known = False

    @property
    def needed(self) -> int:
        """The lowest beat of a record by which something may be stored."""
        return self.seen if self._known else NEVER

    async def look(self, run: Callable[..., Awaitable[Any]], *, anew: bool = False) -> None:
        """Look at the record; fails with the errors of `run`.

        :param run: runs EPOCH with keys and arguments
        :param anew: begin a new epoch in any case
        """
        number, beat, why, *_ = await run((Key.EPOCH,), (self.seen, int(anew)))
        self.saw(int(beat))
        self._known = True
        if 0 < self.number < int(number):
            self._log.warn(
                "What Redis at {address} stores may have gone back, or been replaced: {why}. What is known of it is "
                "read anew, and positions go on in epoch {number}",
                address=self.address,
                why=why.decode() or "another route has found out",
                number=int(number),
            )
        self.number = max(self.number, int(number))

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change but the first."""
        self._listeners.append(listener)

    def tell(self) -> bool:
        """Tell the listeners if the epoch is another one since they were told; return whether it is."""
        told, self._told = self._told, self.number
        if told in (0, self.number):
            return False
        for listener in self._listeners:
            with self._log.failuresHandled("A listener to the epoch of Redis failed"):
                listener()
        return True
