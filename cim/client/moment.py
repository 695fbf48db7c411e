"""Something that comes once, and those who wait for it."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from cim.errors import CIMError


class Moment:
    """Fires whoever waits for it, and from then on at once whoever asks.

    :ivar came: it came, or will not come any more
    """

    def __init__(self) -> None:
        self.came = False
        self._error: CIMError | None = None
        self._waiting: list[Deferred[None]] = []

    def when(self) -> Deferred[None]:
        """Fire when it comes, or fail with why it will not."""
        if self._error is not None:
            return fail(self._error)
        if self.came:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def come(self, error: CIMError | None = None) -> None:
        """It is there. With an error it will not come, or counts no longer: whoever asks fails with that."""
        self.came, self._error = True, error
        # Forgotten first, so that whoever is called may wait anew.
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if error is None:
                one.callback(None)
            else:
                one.errback(error)
