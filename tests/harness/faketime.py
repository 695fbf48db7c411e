"""Machines whose clocks tests set, while processes run there: libfaketime around each process."""

from __future__ import annotations

import os
from pathlib import Path

import libfaketime

from tests.harness.spawning import Machine

_LIBRARY = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"


class FakeClock:
    """The clock of a machine, which differs from that of this one as `set` says.

    :ivar machine: where processes run that have it
    :param path: of a file of its own
    :param monotonic: whether their monotonic clocks jump along, as no real one does
    :param at_once: whether they notice at once, which costs much each time that they ask, and not within a second
    """

    def __init__(self, path: str, *, monotonic: bool = False, at_once: bool = False) -> None:
        self._path = path
        self.set(0)
        # libc after it takes the place of jemalloc in Redis, which asks for the time before libfaketime is ready.
        words = ["env", f"LD_PRELOAD={_LIBRARY}:libc.so.6", f"FAKETIME_TIMESTAMP_FILE={path}"]
        words.append("FAKETIME_NO_CACHE=1" if at_once else "FAKETIME_CACHE_DURATION=1")
        if not monotonic:
            words.append("FAKETIME_DONT_FAKE_MONOTONIC=1")
        self.machine = Machine(enter=tuple(words))

    def set(self, ahead: float) -> None:
        """Have it be so many seconds ahead of that of this machine."""
        with open(f"{self._path}.new", "w", encoding="ascii") as file:
            file.write(f"{ahead:+}\n")
        os.replace(f"{self._path}.new", self._path)
