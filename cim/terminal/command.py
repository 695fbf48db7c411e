"""`cim`: the terminal client as a plain command; the same as `twistd cim-client` with the same options."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `twistd cim-client` with the arguments of this process."""
    from twisted.scripts.twistd import run

    sys.argv = ["cim", "cim-client", *sys.argv[1:]]
    run()
