"""The option of all that daemons send to strangers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from twisted.python.usage import UsageError

from cim.daemon.config import DaemonOptions
from cim.outgoing.guard import Guard, network


class OutgoingOptions(DaemonOptions):
    """Adds `--allow-outgoing`."""

    repeated: ClassVar[Sequence[str]] = ("allow-outgoing",)

    def opt_allow_outgoing(self, text: str) -> None:
        """Let webhooks, hooks, push and key sets reach this network although it is not public; may be repeated."""
        try:
            self.add("allow-outgoing", network(text))
        except ValueError as error:
            raise UsageError(f"--allow-outgoing {error}")


def guard_of(options: Any) -> Guard:
    """Return the guard that options describe."""
    return Guard(options.get("allow-outgoing") or ())
