"""Tells when the clock of this machine and others differ (docs/operations.md, Clocks)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from cim.supervision import Loop

#: From how many seconds on it is told. Whoever sets clocks by NTP is a hundred times better.
SKEW_SECONDS = 2.0
LOOK_SECONDS = 2.0


class ClockSkews(Service):
    """Looks at how far clocks differ, and logs when it becomes too much, and when it is well again.

    :param ahead: returns by how many seconds the clock of this machine is ahead of others', by whose they are
    """

    _log = Logger()

    def __init__(self, ahead: Callable[[], Mapping[str, float]], clock: IReactorTime) -> None:
        self._ahead = ahead
        self._said: set[str] = set()
        self._loop = Loop("a comparison of clocks", self._look, clock, every=LOOK_SECONDS)

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._loop.start(LOOK_SECONDS)

    def stopService(self) -> None:
        """End."""
        super().stopService()
        self._loop.stop()

    def _look(self) -> None:
        ahead = self._ahead()
        for whose, seconds in ahead.items():
            if (abs(seconds) > SKEW_SECONDS) == (whose in self._said):
                continue
            if whose in self._said:
                self._said.discard(whose)
                self._log.info("the clock of this machine and that of {whose} agree again", whose=whose)
            else:
                self._said.add(whose)
                self._log.warn(
                    "the clock of this machine is {seconds} s {way} that of {whose}: have NTP set both",
                    seconds=round(abs(seconds), 1),
                    way="ahead of" if seconds > 0 else "behind",
                    whose=whose,
                )
        self._said &= ahead.keys()

    def ahead(self) -> Mapping[str, float]:
        """Return by how many seconds this machine's clock is ahead of each other one, for metrics."""
        return self._ahead()

    def facts(self) -> Mapping[str, Any]:
        """Return the facts for `/health`: which clocks differ too much; nothing while all is well."""
        wrong = {whose: round(seconds, 1) for whose, seconds in self._ahead().items() if abs(seconds) > SKEW_SECONDS}
        return {"clock_skew_seconds": wrong} if wrong else {}
