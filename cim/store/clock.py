"""The time of a store, as a process knows it between two looks at the store's clock (docs/architecture.md, Clocks)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from cim.interfaces import IStoreClock
from cim.store.rules.clock import STEP_MS, Steady

#: How often a process looks at the clock of its store, in seconds.
LOOK_SECONDS = 10.0


def lasting(ms: int) -> str:
    """Return a duration in words, rounded down."""
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if ms >= 2 * size:
            return f"{ms // size} {unit}"
    return f"{ms // 1000} s"


@implementer(IStoreClock)
class StoreClock:
    """Counts on from the last look by the monotonic clock.

    :param what: whose clock it is, for logs and facts
    :param seconds: the monotonic clock
    :param time_of_day: the time in seconds since 1970 by this machine
    """

    _log = Logger()

    def __init__(self, what: str, seconds: Callable[[], float], time_of_day: Callable[[], float]) -> None:
        self._what = what
        self._seconds = seconds
        self._time_of_day = time_of_day
        self._held: Steady | None = None
        self._at = 0.0
        self._skew = 0.0
        self._said = ""

    def looked(self, held: Steady, began: float) -> None:
        """Note what a look found that began at that time on the monotonic clock, and ends now."""
        ended = self._seconds()
        first = self._held is None
        self._held = held
        self._at = (began + ended) / 2
        self._skew = self._time_of_day() - held.clock / 1000 - (ended - self._at)
        self._say(held, first)

    def _passed(self) -> int:
        return int((self._seconds() - self._at) * 1000)

    @property
    def known(self) -> bool:
        """Whether there was a look."""
        return self._held is not None

    def expected(self) -> int | None:
        """Return what the store's clock should say; None if there was no look."""
        return self._held.clock + self._passed() if self._held is not None else None

    def now(self) -> int:
        """See IStoreClock."""
        return self._held.time + self._passed() if self._held is not None else 0

    def shown(self) -> int:
        """See IStoreClock."""
        expected = self.expected()
        return int(self._time_of_day() * 1000) if expected is None else expected

    def lift(self) -> int:
        """Return by how many ms what is stored is dated later than what the clock shows, lest it seem older."""
        return self._held.behind if self._held is not None else 0

    def skew(self) -> float:
        """See IStoreClock."""
        return self._skew

    def _say(self, held: Steady, first: bool) -> None:
        said = "ahead" if held.ahead else "behind" if held.behind > STEP_MS else ""
        if said == self._said:
            return
        self._said = said
        if said:
            # At first it is probably right: what runs by day only is ahead every morning.
            (self._log.info if first else self._log.warn)("{fact}", fact=self._fact(held))
        else:
            self._log.info("the clock of {what} agrees again with what was counted", what=self._what)

    def _fact(self, held: Steady) -> str:
        if held.ahead:
            return (
                f"the clock of {self._what} is {lasting(held.ahead)} ahead of what was counted: either nothing ran for "
                "so long, or it is wrong. Nothing is deleted for its age by it until it went on for a day or two"
            )
        return (
            f"the clock of {self._what} is {lasting(held.behind)} behind what was counted: either it is wrong, or it "
            "was. Ages are counted on, and what is sent shows its time"
        )

    def facts(self) -> Mapping[str, Any]:
        """Return the facts for `/health`: nothing while all is well."""
        return {"store_clock": self._fact(self._held)} if self._held is not None and self._said else {}
