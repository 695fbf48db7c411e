"""`python -m bench load`, `python -m bench chaos` and `python -m bench cluster`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import bench.chaos
import bench.foreground
import bench.load


def main(argv: Sequence[str]) -> int:
    """Run what the command line names and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="load|chaos|cluster")
    bench.load.add_arguments(commands.add_parser("load", help=bench.load.__doc__, description=bench.load.__doc__))
    bench.chaos.add_arguments(commands.add_parser("chaos", help=bench.chaos.__doc__, description=bench.chaos.__doc__))
    bench.foreground.add_arguments(
        commands.add_parser("cluster", help=bench.foreground.__doc__, description=bench.foreground.__doc__)
    )
    arguments = parser.parse_args(argv)
    from twisted.internet import reactor

    run = {"load": bench.load.run, "chaos": bench.chaos.run, "cluster": bench.foreground.run}[arguments.command]
    return run(reactor, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
