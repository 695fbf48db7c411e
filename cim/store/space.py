"""How much of its space a store uses: nearly full, it takes no more messages, so that logins still go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from attrs import frozen

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.errors import Unavailable
from cim.supervision import Loop

#: How often one looks, in seconds.
LOOK_SECONDS = 1.0
#: From this part of the space on it is full.
FULL = 0.9
#: A disk with so many bytes left is not full, however large it is.
ENOUGH = 1 << 30


@frozen
class Usage:
    """How much of a space is used.

    :param used: bytes
    :param size: bytes that may be used; 0 if nothing bounds them
    """

    used: int
    size: int

    @property
    def part(self) -> float:
        """The part that is used, 0 to 1; 0 if nothing bounds it."""
        return self.used / self.size if self.size > 0 else 0.0


class Space(Service):
    """Looks now and then how much space is left.

    :param what: whose space it is, for the log and `/health`
    :param look: returns the usage, or a Deferred of it; None if it is unknown
    :param enough: with so many bytes left it is not full, whatever part of it is used
    :ivar usage: what was seen last; None while it is unknown
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        what: str,
        look: Callable[[], Usage | Deferred[Usage | None] | None],
        enough: int | None = None,
    ) -> None:
        self._what = what
        self._look = look
        self._enough = enough
        self.usage: Usage | None = None
        self._full = False
        self._loop = Loop(f"looking at the space of {what}", self._once, clock, every=LOOK_SECONDS)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._loop.start()

    def stopService(self) -> None:
        """End."""
        super().stopService()
        self._loop.stop()

    async def _once(self) -> None:
        try:
            found = self._look()
            self._seen(await found if isinstance(found, Deferred) else found)
        except (Unavailable, OSError):
            pass  # what is known is kept: whoever cannot be asked takes no messages either

    def _seen(self, usage: Usage | None) -> None:
        self.usage = usage
        left = usage.size - usage.used if usage is not None else 0
        full = usage is not None and usage.part >= FULL and (self._enough is None or left < self._enough)
        if full != self._full:
            self._full = full
            if full:
                self._log.warn("{fact}", fact=self.fact())
            else:
                self._log.info("{what} has space again: messages are taken", what=self._what)

    def full(self) -> bool:
        """Return whether no more messages are to be stored."""
        return self._full

    def part(self) -> float:
        """Return the part that is used, 0 to 1; 0 if it is unknown or nothing bounds it."""
        return self.usage.part if self.usage is not None else 0.0

    def fact(self) -> str:
        """Return what an operator should know; "" while there is space."""
        return (
            f"{self._what} is {self.part():.0%} full: no messages are taken until there is space" if self._full else ""
        )

    def facts(self) -> dict[str, str]:
        """Return the facts for `/health`."""
        return {"space": self.fact()} if self._full else {}


def disk_usage(path: str, statvfs: Callable[[str], Any] = os.statvfs) -> Usage:
    """Return how much of the disk that holds a file is used."""
    found = statvfs(os.path.dirname(os.path.abspath(path)))
    used = found.f_blocks - found.f_bfree
    return Usage(used * found.f_frsize, (used + found.f_bavail) * found.f_frsize)
