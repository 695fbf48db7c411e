"""The policy `words`, an example that is of use: it masks or refuses words from a file (docs/hooks.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from zope.interface import implementer

from cim.daemon.clock import monotonic
from cim.daemon.rereading import Reread
from cim.interfaces import IMessagePolicy
from cim.plain import quoted
from cim.policies import ALLOWED, About, Question, Verdict, changed, refused
from cim.route.policy.folding import fold, is_spaced, origins

if TYPE_CHECKING:
    from ahocorasick import Automaton

#: The most words, and bytes of their file.
MAX_WORDS = 100_000
MAX_BYTES = 4 << 20
MASK, REFUSE = "mask", "refuse"
_REASON = "it has a word that is not allowed here"
#: Before or behind a word in the file: it may be part of a longer one.
_ANYWHERE = "*"


class Words:
    """Words, found in a text however it is written.

    :param lines: one word a line; empty ones, and those that begin with #, are none
    :raises ValueError: they cannot be used; says why
    """

    def __init__(self, lines: Iterable[str]) -> None:
        import ahocorasick  # an extra

        self._automaton: Automaton = ahocorasick.Automaton()
        words: dict[str, tuple[int, bool, bool]] = {}
        for line in lines:
            word = line.strip()
            if not word or word.startswith("#"):
                continue
            folded = fold(word.strip(_ANYWHERE))
            if not folded or folded.isspace():
                raise ValueError(f"has a word of which nothing is seen: {quoted(word, 40)}")
            before = not word.startswith(_ANYWHERE) and is_spaced(folded[0])
            behind = not word.endswith(_ANYWHERE) and is_spaced(folded[-1])
            known = words.get(folded, (0, True, True))
            words[folded] = len(folded), before and known[1], behind and known[2]
            if len(words) > MAX_WORDS:
                raise ValueError(f"has more than {MAX_WORDS} words")
        if not words:
            raise ValueError("has no words")
        for folded, found in words.items():
            self._automaton.add_word(folded, found)
        self._automaton.make_automaton()

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return where words stand in a text: the first index and that behind the last, in order of their ends."""
        folded = fold(text)
        found = []
        for last, (length, before, behind) in self._automaton.iter(folded):
            start, end = last + 1 - length, last + 1
            if before and start and is_spaced(folded[start - 1]):
                continue
            if behind and end < len(folded) and is_spaced(folded[end]):
                continue
            found.append((start, last))
        if not found:
            return found
        at = origins(text)
        return [(at[start], at[last] + 1) for start, last in found]


def masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text with an asterisk in the place of each character of some spans; spaces stay."""
    shown = list(text)
    for start, end in spans:
        shown[start:end] = ["*" if not one.isspace() else one for one in text[start:end]]
    return "".join(shown)


@implementer(IMessagePolicy)
class WordFilter:
    """Masks or refuses words; names that have one are always refused.

    :param seconds: a clock that only goes forward
    """

    name = "words"
    kinds = frozenset({About.TEXT, About.EDIT, About.REACTION, About.ACCOUNT, About.GROUP})
    at_once = True

    def __init__(self, seconds: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._how = MASK
        self._file: Reread[Words] | None = None

    def configured(self, argument: str) -> IMessagePolicy:
        """Return the filter that `mask:FILE` or `refuse:FILE` describes."""
        how, _, path = argument.partition(":")
        if how not in (MASK, REFUSE) or not path:
            raise ValueError(f"must be words:{MASK}:FILE or words:{REFUSE}:FILE, FILE with one word a line")
        made = WordFilter(self._seconds)
        made._how = how
        made._file = Reread("words", path, lambda: _read(path), ValueError, self._seconds)
        return made

    def check(self, question: Question) -> Verdict:
        """See IMessagePolicy."""
        assert self._file is not None
        spans = self._file.said.find(question.text)
        if not spans:
            return ALLOWED
        if self._how == MASK and question.about in (About.TEXT, About.EDIT):
            return changed(masked(question.text, spans))
        return refused(_REASON)


def _read(path: str) -> Words:
    """Read a file of words.

    :raises ValueError: it cannot be used; says why
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"must have at most {MAX_BYTES >> 20} MiB: {path}")
    try:
        return Words(content.decode().splitlines())
    except UnicodeDecodeError:
        raise ValueError(f"must be UTF-8: {path}") from None
    except ImportError:
        raise ValueError("needs pyahocorasick: pip install 'cim-im[words]'") from None
