"""A slow cable between two bridges: frames take a while, overtake one another, and some get lost.

`python -m bench.switch NEAR FAR`, in the network namespace of both bridges, makes a TAP interface in each and carries
frames between them until its standard input ends. A line `DELAY JITTER LOSS` there says how: each takes DELAY seconds
and up to JITTER more, each by itself, so that they arrive in another order, and a share LOSS of them never arrives.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from itertools import count

from attrs import define, field

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
LARGEST_FRAME = 65_536
#: As much as a cheap switch holds back; more is dropped, as that does.
MOST_HELD = 5_000
READY = "carrying frames"


@define
class Cable:
    """Frames on their way from one end to the other.

    :ivar delay: seconds that a frame takes at least
    :ivar jitter: seconds that it may take beyond that
    :ivar loss: the share of frames that never arrive
    """

    chooser: random.Random
    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    _held: list[tuple[float, int, bytes]] = field(factory=list)
    _numbers: count[int] = field(factory=count)

    def put(self, frame: bytes, now: float) -> None:
        """Take a frame."""
        if self.chooser.random() >= self.loss and len(self._held) < MOST_HELD:
            arrival = now + self.delay + self.chooser.random() * self.jitter
            heapq.heappush(self._held, (arrival, next(self._numbers), frame))

    def take(self, now: float) -> list[bytes]:
        """Return the frames that have arrived."""
        arrived = []
        while self._held and self._held[0][0] <= now:
            arrived.append(heapq.heappop(self._held)[2])
        return arrived

    def next_arrival(self) -> float | None:
        """Return when the next frame arrives."""
        return self._held[0][0] if self._held else None


def _tap(bridge: str) -> int:
    """Return a new TAP interface of that bridge."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    name = f"tap-{bridge}"
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", "dev", name, "master", bridge, "up"], check=True)
    return descriptor


def _frames(descriptor: int) -> list[bytes]:
    frames: list[bytes] = []
    try:
        while len(frames) < MOST_HELD:
            frames.append(os.read(descriptor, LARGEST_FRAME))
    except BlockingIOError:
        pass
    return frames


def carry(ends: list[int], cables: list[Cable], orders: int) -> None:
    """Carry frames from each end to the other until there are no more orders."""
    pending = b""
    while True:
        arrivals = [arrival for cable in cables if (arrival := cable.next_arrival()) is not None]
        wait = max(0.0, min(arrivals) - time.monotonic()) if arrivals else None
        readable, _, _ = select.select([*ends, orders], [], [], wait)
        now = time.monotonic()
        if orders in readable:
            said = os.read(orders, 1000)
            if not said:
                return
            *lines, pending = (pending + said).split(b"\n")
            for line in lines:
                for cable in cables:
                    cable.delay, cable.jitter, cable.loss = map(float, line.split())
        for end, cable, other in zip(ends, cables, reversed(ends), strict=True):
            if end in readable:
                for frame in _frames(end):
                    cable.put(frame, now)
            for frame in cable.take(now):
                try:
                    os.write(other, frame)
                except BlockingIOError:
                    pass  # Its queue is full: a switch drops it.


def main(bridges: list[str]) -> None:
    """Run the command."""
    ends = [_tap(bridge) for bridge in bridges]
    sys.stdout.write(f"{READY}\n")
    sys.stdout.flush()
    carry(ends, [Cable(random.Random()), Cable(random.Random())], sys.stdin.fileno())


if __name__ == "__main__":
    main(sys.argv[1:])
