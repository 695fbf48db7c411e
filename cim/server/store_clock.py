"""The store's clock as this server knows it: times that routes compare with what the store noted."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from cim.wire.cim_pb2 import Welcome

#: What is taken off each time, for clocks that differ and messages that were being written.
MARGIN_SECONDS = 5.0


class StoreClock:
    """Turns our times into the store's, by what its last answer told."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ahead = 0.0

    def note(self, welcome: Welcome) -> None:
        """Learn from an answer how far the store's clock is ahead of ours."""
        if welcome.as_of.isascii() and welcome.as_of.isdigit():
            self._ahead = int(welcome.as_of[:16]) / 1000 - self._clock.seconds()

    def since(self, seconds: float) -> str:
        """Return a time a little before `seconds` on our clock as ms since 1970 on the store's."""
        return str(max(0, int((seconds + self._ahead - MARGIN_SECONDS) * 1000)))
