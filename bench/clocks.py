"""Clocks of single machines that jump: libfaketime around the daemons, each reading its own offset from a file."""

from __future__ import annotations

import importlib.util
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from bench.faults import Fault
from tests.harness.processes import DaemonProcess

#: By which clocks jump, in seconds, forward or back.
JUMPS = (3.0, 60.0, 3600.0, 86_400.0, 40 * 86_400.0)
#: Processes look into their files every second.
NOTICED = 2.0


def faketime() -> str:
    """Return the path of the library that fakes the time, or nothing."""
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        return ""
    library = Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    return str(library) if library.exists() else ""


def faked(file: Path) -> dict[str, str]:
    """Return what is to be in the environment of a process whose clock is off by what a file says.

    Durations stay right: a machine whose clock is set still counts seconds.
    """
    return {
        "LD_PRELOAD": faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }


class ClockFaults:
    """Sets the clock of a process to another time for a while.

    :param directory: for the files that say how far clocks are off
    :param processes: those which have clocks of their own from their next start on, by what they are
    """

    # Redis' memory allocator and libfaketime do not get on.
    kinds = [("jump", what) for what in ("server", "route")]

    def __init__(self, reactor: Any, directory: Path, processes: Mapping[str, Sequence[DaemonProcess]]) -> None:
        self._reactor = reactor
        self._files: dict[DaemonProcess, Path] = {}
        self._processes = processes
        for _, what in self.kinds:
            for process in processes[what]:
                file = self._files[process] = directory / f"clock-{process.name}"
                self._set(process, 0.0)
                process.env = {**(os.environ if process.env is None else process.env), **faked(file)}

    def _set(self, process: DaemonProcess, offset: float) -> None:
        # Whole at once: a process may read it at any time.
        file = self._files[process]
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{offset:+.1f}\n")
        fresh.replace(file)

    async def make(self, fault: Fault) -> str:
        """See bench.faults.Maker."""
        chooser = random.Random(fault.chance)
        process = chooser.choice(self._processes[fault.what])
        offset = chooser.choice(JUMPS) * (1 if fault.hard else -1)
        self._set(process, offset)
        try:
            await deferLater(self._reactor, max(fault.seconds, NOTICED), lambda: None)
        finally:
            self._set(process, 0.0)
        return f"{process.name} by {offset:+.0f} s"
