"""When a guest's lists of conversations with something new are asked for, page by page (see `guest_backlog`)."""

from __future__ import annotations

from attrs import frozen


@frozen
class HeadsWanted:
    """A request for a page of conversations with something new.

    :param recent: which of the two lists it is of; given back with the answer
    :param since: only what was active since then, on the caller's clock; 0 for all
    :param after: the cursor of the page
    """

    recent: bool
    since: float
    after: str


class HeadsList:
    """One list: when its next page is due, and whether it is under way.

    :ivar due: when to ask, None while nothing is to be asked
    :ivar asked: a page is under way
    :ivar cursor: of the next page; empty for the first
    """

    __slots__ = ("_again", "asked", "cursor", "due", "recent", "since")

    def __init__(self, recent: bool) -> None:
        self.recent = recent
        self.due: float | None = None
        self.asked = False
        self.cursor = ""
        self.since = 0.0
        #: since when it is wanted once more, from its first page, after this time
        self._again: float | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing of it is wanted."""
        return self.due is None and not self.asked

    def want(self, since: float, now: float) -> None:
        """Have it asked for from its first page; what is under way may have been read too early."""
        if self.idle:
            self.due, self.since, self.cursor = now, since, ""
        elif self.asked or self.cursor:
            self._again = since if self._again is None else min(since, self._again)
        else:
            self.since = min(self.since, since)

    def ask(self) -> HeadsWanted:
        """Return the request for the page that is due; it is under way then."""
        self.asked, self.due = True, None
        return HeadsWanted(self.recent, self.since, self.cursor)

    def answered(self, more: str, now: float) -> None:
        """The page came."""
        self.asked = False
        self.cursor = more
        if more:
            self.due = now
        elif self._again is not None:
            self.due, self.since, self._again = now, self._again, None

    def failed(self, due: float) -> None:
        """The request failed: the page is due again then."""
        self.asked = False
        self.due = due
