"""Questions to the user, whose answers are the next lines that are typed."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from twisted.internet.defer import Deferred


@frozen(eq=False)
class _Asked:
    text: str
    secret: bool
    answer: Deferred[str]


class Question:
    """What is being asked, if anything is: one thing after another.

    :ivar notice: shows the user a notice; the screen sets it
    :ivar hide: called with whether what is typed must not be seen; the screen sets it
    :ivar asks: whether there is somebody to ask
    """

    def __init__(self, *, asks: bool = True) -> None:
        self.notice: Callable[[str], None] = lambda text: None
        self.hide: Callable[[bool], None] = lambda hidden: None
        self.asks = asks
        # The first is being asked, the others wait: a login may ask while a command does.
        self._asked: list[_Asked] = []

    @property
    def secret(self) -> bool:
        """Whether a secret is being asked for, which no screen shows."""
        return bool(self._asked) and self._asked[0].secret

    def ask(self, text: str) -> Deferred[str]:
        """Ask something; fires with the answer."""
        return self._ask(text, secret=False)

    def ask_secret(self, text: str) -> Deferred[str]:
        """Ask for something that is not to be seen; fires with the whole line, also with a blank one."""
        return self._ask(text, secret=True)

    def _ask(self, text: str, *, secret: bool) -> Deferred[str]:
        def gone(_: Deferred[str]) -> None:
            if asked in self._asked[:1]:
                self._end()
            elif asked in self._asked:
                self._asked.remove(asked)

        asked = _Asked(text, secret, Deferred(gone))
        self._asked.append(asked)
        if asked is self._asked[0]:
            self._show()
        return asked.answer

    def _show(self) -> None:
        if self.secret:
            self.hide(True)
        self.notice(self._asked[0].text)

    def answer(self, line: str) -> bool:
        """Return whether a line is the answer; commands and blank lines are only if a secret is asked for."""
        if not self._asked or (not self.secret and (line.startswith(":") or not line.strip())):
            return False
        line = line if self.secret else line.strip()
        self._end().answer.callback(line)
        return True

    def _end(self) -> _Asked:
        if self.secret:
            self.hide(False)
        asked = self._asked.pop(0)
        if self._asked:
            self._show()
        return asked

    def close(self) -> None:
        """Show again what is typed: nobody will answer."""
        if self.secret:
            self.hide(False)
        self._asked.clear()
