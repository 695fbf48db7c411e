"""The measurements: `python -m bench load` and the like."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import bench.attack
import bench.chaos
import bench.failover
import bench.flood
import bench.foreground
import bench.growth
import bench.hostile
import bench.links
import bench.load
import bench.majority
import bench.predecessors
import bench.scale


def main(argv: Sequence[str]) -> int:
    """Run what the command line names and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    modules = {
        "load": bench.load,
        "growth": bench.growth,
        "scale": bench.scale,
        "majority": bench.majority,
        "predecessors": bench.predecessors,
        "links": bench.links,
        "chaos": bench.chaos,
        "failover": bench.failover,
        "flood": bench.flood,
        "hostile": bench.hostile,
        "attack": bench.attack,
        "cluster": bench.foreground,
    }
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(modules))
    for name, module in modules.items():
        module.add_arguments(commands.add_parser(name, help=module.__doc__, description=module.__doc__))
    arguments = parser.parse_args(argv)
    from twisted.internet import reactor

    status: int = modules[arguments.command].run(reactor, arguments)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
