"""How far a run of the terminal is, on any screen."""

from __future__ import annotations

import enum
from collections.abc import Callable

from twisted.python.failure import Failure


class Stage(enum.Enum):
    """How far it is."""

    LOGGING_IN = enum.auto()
    CHATTING = enum.auto()
    #: What is typed is not taken any more; what is received is still shown.
    LEAVING = enum.auto()
    #: All that there was to say about leaving was said.
    LEFT = enum.auto()


class TerminalRun:
    """One run, which ends once.

    :param leave: called with an exit status when it is to end
    :param notice: tells the user something
    """

    def __init__(self, leave: Callable[[int], None], notice: Callable[[str], None]) -> None:
        self.stage = Stage.LOGGING_IN
        self._leave = leave
        self._notice = notice

    @property
    def over(self) -> bool:
        """Whether it ends or has ended."""
        return self.stage in (Stage.LEAVING, Stage.LEFT)

    def ready(self) -> bool:
        """It is logged in; return whether that is so for the first time."""
        first = self.stage is Stage.LOGGING_IN
        if first:
            self.stage = Stage.CHATTING
        return first

    def closed(self, failure: Failure) -> None:
        """Have the program end, for the client has ended by itself; say why, unless it does already."""
        if not self.over:
            what = "cannot log in: " if self.stage is Stage.LOGGING_IN else ""
            self._notice(what + failure.getErrorMessage())
        self.end(1)

    def end(self, status: int) -> None:
        """Have the program end, unless it does already."""
        if not self.over:
            self.stage = Stage.LEAVING
            self._leave(status)

    def stop(self, *, left: bool = False) -> None:
        """The program ends: say so to nobody.

        :param left: all that there was to say was said
        """
        self.stage = Stage.LEFT if left else Stage.LEAVING
