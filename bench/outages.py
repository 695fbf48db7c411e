"""How long people waited because of each kind of fault."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from attrs import define, frozen

from bench.faults import APART
from bench.history import Key

#: What was sent this long before a fault may still have been under way when it came.
UNDER_WAY = 1.0


@frozen
class Mended:
    """A fault that has ended.

    :ivar kind: of the fault
    """

    kind: str
    began: float
    ended: float


@define
class Outage:
    """What the faults of one kind did, in seconds.

    :ivar count: how many there were
    :ivar longest_fault: how long the longest one lasted
    :ivar wait: the longest time from sending to being accepted of a message that was sent meanwhile
    :ivar wait_alone: the same of faults that no other was beside
    :ivar silence: the longest time in which nothing was accepted from anybody
    """

    count: int = 0
    longest_fault: float = 0.0
    wait: float = 0.0
    wait_alone: float = 0.0
    silence: float = 0.0


def outages(sent: Mapping[Key, float], accepted: Mapping[Key, float], faults: Sequence[Mended]) -> dict[str, Outage]:
    """Return what each kind of fault did to messages, by kind."""
    waits = sorted((sent[key], moment - sent[key]) for key, moment in accepted.items() if key in sent)
    starts = [start for start, _ in waits]
    moments = sorted(accepted.values())
    found: dict[str, Outage] = {}
    for fault in faults:
        outage = found.setdefault(fault.kind, Outage())
        begin, end = fault.began - UNDER_WAY, fault.ended + UNDER_WAY
        among = (wait for _, wait in waits[bisect_left(starts, begin) : bisect_right(starts, end)])
        wait = max(among, default=0.0)
        outage.count += 1
        outage.longest_fault = max(outage.longest_fault, fault.ended - fault.began)
        outage.wait = max(outage.wait, wait)
        outage.silence = max(outage.silence, _silence(moments, begin, end))
        if not any(_beside(fault, other) for other in faults):
            outage.wait_alone = max(outage.wait_alone, wait)
    return found


def _silence(moments: Sequence[float], begin: float, end: float) -> float:
    """Return the longest time without a moment that touches the time from `begin` to `end`."""
    among = moments[max(0, bisect_left(moments, begin) - 1) : bisect_right(moments, end) + 1]
    return max((later - earlier for earlier, later in pairwise(among)), default=0.0)


def _beside(fault: Mended, other: Mended) -> bool:
    apart = other.began - APART > fault.ended or other.ended + APART < fault.began
    return other is not fault and not apart


def table(found: Mapping[str, Outage]) -> Iterable[str]:
    """Yield the lines of a table, the longest waits first."""
    yield f"  {'kind of fault':28} {'count':>5} {'lasted':>7} {'wait':>7} {'alone':>7} {'silence':>7}"
    for kind, outage in sorted(found.items(), key=lambda item: -item[1].wait):
        times = (outage.longest_fault, outage.wait, outage.wait_alone, outage.silence)
        yield f"  {kind:28} {outage.count:5} " + " ".join(f"{seconds:7.2f}" for seconds in times)
