"""Runs a measurement on the reactor within a deadline, and stops everything that it started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ReactorNotRunning

from cim.daemon.runtime import raise_file_limit
from tests.harness.processes import MissingProgram, ProcessFailed


class Running(Protocol):
    """A measurement that can be run."""

    async def go(self) -> int:
        """Run the measurement and return the exit status."""

    def stop(self) -> Deferred[None] | None:
        """Stop everything that was started; always called."""


def run_bounded(reactor: Any, make: Callable[[Callable[[str], object]], Running], deadline: float) -> int:
    """Run a measurement until it ends or `deadline` seconds are over; return the exit status.

    :param make: makes the measurement, given a function that writes a line of the report
    """

    def write(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    status = 1
    raise_file_limit()
    going = make(write)

    def too_long(_: Any, seconds: float) -> Any:
        return fail(ProcessFailed(f"the run took longer than {seconds:g} s"))

    def ended(result: Any) -> None:
        nonlocal status
        if isinstance(result, int):
            status = result
        elif result.check(MissingProgram, ProcessFailed):
            write(result.getErrorMessage())
        else:
            write(f"the run failed: {result.value!r}\n{result.getTraceback()}")
        if reactor.running:
            reactor.callLater(0, stop)

    def stop() -> None:
        with suppress(ReactorNotRunning):
            reactor.stop()

    def start() -> None:
        Deferred.fromCoroutine(going.go()).addTimeout(deadline, reactor, too_long).addBoth(ended)

    reactor.addSystemEventTrigger("before", "shutdown", going.stop)
    reactor.callWhenRunning(start)
    reactor.run()
    return status
