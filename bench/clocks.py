"""Clocks of single machines that jump (tests.harness.faketime)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from twisted.internet.task import deferLater

from bench.faults import Fault
from tests.harness.faketime import FakeClock
from tests.harness.processes import DaemonProcess

#: By which clocks jump, in seconds, forward or back.
JUMPS = (3.0, 60.0, 3600.0, 86_400.0, 40 * 86_400.0)
#: Processes look at their clocks anew every second.
NOTICED = 2.0


class ClockFaults:
    """Sets the clock of a process to another time for a while; its monotonic clock goes on as it should.

    :param directory: for the files that say how far clocks are off
    :param processes: those which have clocks of their own from their next start on, by what they are
    """

    kinds = [("jump", what) for what in ("server", "route", "redis")]

    def __init__(self, reactor: Any, directory: Path, processes: Mapping[str, Sequence[DaemonProcess]]) -> None:
        self._reactor = reactor
        self._processes = processes
        self._clocks: dict[DaemonProcess, FakeClock] = {}
        for _, what in self.kinds:
            for process in processes[what]:
                clock = self._clocks[process] = FakeClock(str(directory / f"clock-{process.name}"))
                process.machine = evolve(process.machine, enter=(*process.machine.enter, *clock.machine.enter))

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        chooser = random.Random(fault.chance)
        process = chooser.choice(self._processes[fault.what])
        offset = chooser.choice(JUMPS) * (1 if fault.hard else -1)
        self._clocks[process].set(offset)
        try:
            await deferLater(self._reactor, max(fault.seconds, NOTICED), lambda: None)
        finally:
            self._clocks[process].set(0.0)
        return f"{process.name} by {offset:+.0f} s"
