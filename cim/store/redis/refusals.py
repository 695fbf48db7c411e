"""What a Redis that answers refuses to do at the moment."""

from __future__ import annotations

#: What the errors begin with of a Redis that can be read although it takes no writes at the moment.
WRITES_REFUSED = ("OOM", "MISCONF", "NOREPLICAS")


class Refusals:
    """Remembers what Redis refused last, until something shows that it does not any more."""

    def __init__(self) -> None:
        self._writes = ""
        self._other = ""

    def note(self, reason: str) -> bool:
        """Note an error of Redis; return whether it is news."""
        if reason.startswith(WRITES_REFUSED):
            known, self._writes = self._writes, reason.partition(" script: ")[0]  # without where it came up
            return not known
        known, self._other = self._other, reason
        return reason != known

    def answered(self) -> None:
        """Note that it did what it was asked to, which proves nothing about writing."""
        self._other = ""

    def wrote(self) -> bool:
        """Note that it has written something; return whether that is news."""
        known, self._writes = self._writes, ""
        return bool(known)

    def complaint(self) -> str:
        """Return what an operator should know, about Redis; "" if it refuses nothing."""
        if self._writes:
            return f"takes no writes, though it can be read: {self._writes}"
        return f"refuses: {self._other}" if self._other else ""
