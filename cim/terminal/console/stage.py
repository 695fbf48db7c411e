"""The stages of a run of the terminal, on any screen."""

from __future__ import annotations

import enum
from collections.abc import Callable

from twisted.python.failure import Failure


class Stage(enum.Enum):
    """The stage of a run."""

    LOGGING_IN = enum.auto()
    CHATTING = enum.auto()
    #: Input is no longer accepted; messages that arrive are still shown.
    LEAVING = enum.auto()
    #: All notices about leaving were shown.
    LEFT = enum.auto()


class TerminalRun:
    """One run, which ends exactly once.

    :param leave: called with an exit status to end the program
    :param notice: shows the user a notice
    """

    def __init__(self, leave: Callable[[int], None], notice: Callable[[str], None]) -> None:
        self.stage = Stage.LOGGING_IN
        self._leave = leave
        self._notice = notice

    @property
    def over(self) -> bool:
        """Whether the run is ending or has ended."""
        return self.stage in (Stage.LEAVING, Stage.LEFT)

    def ready(self) -> bool:
        """Note that the client is logged in; return whether this is the first time."""
        first = self.stage is Stage.LOGGING_IN
        if first:
            self.stage = Stage.CHATTING
        return first

    def closed(self, failure: Failure) -> None:
        """End the program because the client failed, and say why; do nothing if it is ending already."""
        if not self.over:
            what = "cannot log in: " if self.stage is Stage.LOGGING_IN else ""
            self._notice(what + failure.getErrorMessage())
        self.end(1)

    def end(self, status: int) -> None:
        """End the program, unless it is ending already."""
        if not self.over:
            self.stage = Stage.LEAVING
            self._leave(status)

    def stop(self, *, left: bool = False) -> None:
        """Note that the program is ending, without a notice.

        :param left: all notices about leaving were shown
        """
        self.stage = Stage.LEFT if left else Stage.LEAVING
