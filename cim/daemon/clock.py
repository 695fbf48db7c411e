"""The two clocks of a process: one for durations, and one for the time of day (docs/architecture.md, Clocks)."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

#: Seconds since some moment, unmoved by whoever sets the clock. Where there is such a clock, time in suspension counts.
monotonic = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


def time_of_day() -> float:
    """Return the time in seconds since 1970, as far as this machine knows; somebody may set it at any moment.

    It is for what people see and for what expires at some time, never for how long something takes.
    """
    return time.time()  # noqa: TID251  # where it comes from


def count_monotonically(reactor: Any) -> None:
    """Have a reactor of Twisted's count on the monotonic clock.

    By itself it counts by the time of day, so that no timer fires for an hour after a clock was set back by one. Call
    this before anything is scheduled: a reactor that runs already keeps its clock.
    """
    if not reactor.running:
        reactor.seconds = monotonic


def monotonic_reactor() -> Any:
    """Return Twisted's reactor, which counts on the monotonic clock from now on."""
    from twisted.internet import reactor

    count_monotonically(reactor)
    return reactor
