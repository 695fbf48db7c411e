"""A one-time event that any number of callers can wait for."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from cim.errors import CIMError


class Moment:
    """Fires all waiting Deferreds when the event comes, and later ones at once.

    :ivar came: whether the event has come, or never will
    """

    def __init__(self) -> None:
        self.came = False
        self._error: CIMError | None = None
        self._waiting: list[Deferred[None]] = []

    def when(self) -> Deferred[None]:
        """Fire when the event comes, or fail with the reason if it never will."""
        if self._error is not None:
            return fail(self._error)
        if self.came:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def come(self, error: CIMError | None = None) -> None:
        """Fire all waiting Deferreds; with an error, fail them and all later ones instead."""
        self.came, self._error = True, error
        # Cleared first, so that a callback may wait again.
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if error is None:
                one.callback(None)
            else:
                one.errback(error)
