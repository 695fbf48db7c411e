"""What sealing a link costs: processor time of both ends for each item, with batches sealed and not, in turn."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from typing import Any

from cim.link.pipe import MAX_FRAME, Pipe
from cim.link.sealing import KEY_BYTES, Sealing
from cim.wire.framing import FrameReader
from cim.wire.link_pb2 import Deliver, Item

#: Items that go out in one reactor turn: one alone, and what a saturated link has.
TURNS = (1, 5, 20, 50, 200)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    option = parser.add_argument
    option("--items", type=int, default=100_000, metavar="N", help="items of one measurement (%(default)s)")
    option("--bytes", type=int, default=200, metavar="N", help="of one item (%(default)s)")
    option("--rounds", type=int, default=9, metavar="N", help="measurements of each kind (%(default)s)")


def run(reactor: Any, arguments: argparse.Namespace) -> int:
    """Print the medians."""
    item = Item(deliver=Deliver(users=[1], packet=b"x" * arguments.bytes)).SerializeToString()
    for turn in TURNS:
        costs: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(arguments.rounds):
            for sealed, found in costs.items():
                found.append(_seconds(item, turn, arguments.items // turn, sealed) / arguments.items * 1e6)
        plain, sealed_cost = (statistics.median(found) for found in costs.values())
        sys.stdout.write(
            f"{turn:4} items of {len(item)} bytes a turn: {plain:.2f} us an item, sealed {sealed_cost:.2f} us, "
            f"{sealed_cost - plain:.2f} us more\n"
        )
        sys.stdout.flush()
    return 0


def _seconds(item: bytes, turn: int, turns: int, sealed: bool) -> float:
    source, target = Pipe(), Pipe()
    if sealed:
        forth, back = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
        source.sealing, target.sealing = Sealing(forth, back), Sealing(back, forth)
    to_target, to_source = FrameReader(MAX_FRAME), FrameReader(MAX_FRAME)
    started = time.process_time()
    for _ in range(turns):
        for _ in range(turn):
            source.send_packed(item, True)
        for _, frame in source.take():
            for body in to_target.feed(frame):
                for received in target.receive(body):
                    received.WhichOneof("item")
        if target.due:
            for _, frame in target.take():
                for body in to_source.feed(frame):
                    source.receive(body)
    return time.process_time() - started
