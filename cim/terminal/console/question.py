"""A question to the user, whose answer is the next line that is typed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred


class Question:
    """What is being asked, if anything is.

    :ivar notice: shows the user a notice; the screen sets it
    """

    def __init__(self) -> None:
        self.notice: Callable[[str], None] = lambda text: None
        self._asked: Deferred[str] | None = None

    def ask(self, text: str) -> Deferred[str]:
        """Ask something; fires with the answer."""

        def gone(_: Deferred[str]) -> None:
            self._asked = None

        self._asked = Deferred(gone)
        self.notice(text)
        return self._asked

    def answer(self, line: str) -> bool:
        """Return whether a line is the answer; commands and blank lines never are."""
        if self._asked is None or line.startswith(":") or not line.strip():
            return False
        asked, self._asked = self._asked, None
        asked.callback(line.strip())
        return True
