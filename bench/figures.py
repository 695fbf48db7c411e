"""Measurements: percentiles, a ledger of deliveries, and the memory and CPU time of processes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from attrs import define, field, frozen


@frozen
class Percentiles:
    """A sorted sample of seconds."""

    values: Sequence[float]

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        """Sort a sample."""
        return cls(sorted(values))

    def at(self, percent: float) -> float:
        """Return the smallest value that `percent` of the sample do not exceed; NaN for an empty sample."""
        if not self.values:
            return math.nan
        return self.values[max(0, math.ceil(len(self.values) * percent / 100) - 1)]

    def __str__(self) -> str:
        if not self.values:
            return "nothing measured"
        shown = (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9), ("max", 100))
        return "  ".join(f"{name} {self.at(percent) * 1000:.2f}" for name, percent in shown) + " ms"


@define
class Stream:
    """The messages that one receiver got from one sender.

    :ivar highest: the largest number received
    :ivar missing: smaller numbers that were not received
    """

    highest: int = -1
    missing: set[int] = field(factory=set)


@define
class Ledger:
    """Counts promised and delivered messages; each sender numbers its messages from 0.

    :ivar delivered: messages received for the first time
    :ivar doubled: messages received again
    :ivar reordered: messages received after a later one of the same sender
    """

    delivered: int = 0
    doubled: int = 0
    reordered: int = 0
    _streams: dict[tuple[int, int], Stream] = field(factory=dict)
    _awaited: set[tuple[int, int, int]] = field(factory=set)

    def promise(self, sender: int, receiver: int, number: int) -> None:
        """Note that a send succeeded, so that its receiver must get the message."""
        stream = self._streams.get((sender, receiver))
        if stream is None or number > stream.highest or number in stream.missing:
            self._awaited.add((sender, receiver, number))

    def received(self, sender: int, receiver: int, number: int) -> bool:
        """Note a received message; return whether it is the first time."""
        stream = self._streams.get((sender, receiver))
        if stream is None:
            stream = self._streams[sender, receiver] = Stream()
        if number > stream.highest:
            if number > stream.highest + 1:
                stream.missing.update(range(stream.highest + 1, number))
            stream.highest = number
        elif number in stream.missing:
            stream.missing.discard(number)
            self.reordered += 1
        else:
            self.doubled += 1
            return False
        self.delivered += 1
        self._awaited.discard((sender, receiver, number))
        return True

    def lost(self) -> int:
        """Return how many promised messages were not received."""
        return len(self._awaited)

    def __str__(self) -> str:
        return f"delivered {self.delivered}, lost {self.lost()}, doubled {self.doubled}, reordered {self.reordered}"


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise ValueError(f"process {pid} does not report its memory")


def private_bytes(pid: int) -> int:
    """Return the memory that a process shares with no other one, in bytes."""
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Private_"))


def threads_seconds(pid: int) -> float:
    """Return the CPU time that the threads of a process have used, in seconds, to the nanosecond.

    Threads that have ended are left out.
    """
    used = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with suppress(FileNotFoundError), open(f"/proc/{pid}/task/{thread}/schedstat") as stat:
            used += int(stat.read().split()[0])
    return used / 1e9


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds, to a hundredth."""
    with open(f"/proc/{pid}/stat") as stat:
        # The name before the last parenthesis may contain anything.
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
