"""A question to the user, whose answer is the next line that is typed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred


class Question:
    """What is being asked, if anything is.

    :ivar notice: shows the user a notice; the screen sets it
    :ivar hide: called with whether what is typed must not be seen; the screen sets it
    :ivar asks: whether there is somebody to ask
    """

    def __init__(self, *, asks: bool = True) -> None:
        self.notice: Callable[[str], None] = lambda text: None
        self.hide: Callable[[bool], None] = lambda hidden: None
        self.asks = asks
        self._asked: Deferred[str] | None = None
        self._secret = False

    @property
    def secret(self) -> bool:
        """Whether a secret is being asked for, which no screen shows."""
        return self._asked is not None and self._secret

    def ask(self, text: str) -> Deferred[str]:
        """Ask something; fires with the answer."""
        return self._ask(text, secret=False)

    def ask_secret(self, text: str) -> Deferred[str]:
        """Ask for something that is not to be seen; fires with the whole line, also with a blank one."""
        return self._ask(text, secret=True)

    def _ask(self, text: str, *, secret: bool) -> Deferred[str]:
        def gone(_: Deferred[str]) -> None:
            self._end()

        self._asked, self._secret = Deferred(gone), secret
        if secret:
            self.hide(True)
        self.notice(text)
        return self._asked

    def answer(self, line: str) -> bool:
        """Return whether a line is the answer; commands and blank lines are only if a secret is asked for."""
        asked = self._asked
        if asked is None or (not self._secret and (line.startswith(":") or not line.strip())):
            return False
        line = line if self._secret else line.strip()
        self._end()
        asked.callback(line)
        return True

    def _end(self) -> None:
        self._asked = None
        if self._secret:
            self.hide(False)

    def close(self) -> None:
        """Show again what is typed: nobody will answer."""
        if self.secret:
            self._end()
