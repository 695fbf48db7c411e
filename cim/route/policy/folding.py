"""Texts in a form in which simple tricks to write the same otherwise make no difference.

Each character is folded by itself, so that what is found can be shown in the original: compatibility forms (NFKC), case
(Unicode's full folding), marks, and what nobody sees.
"""

from __future__ import annotations

import unicodedata

#: What is left out: marks that stand on letters, and invisible characters.
_LEFT_OUT = frozenset({"Mn", "Me", "Cf"})
#: Beside those: fillers and blanks that have other categories.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u00ad\u034f")

#: What characters before this one are folded to is kept: nearly all that people write. Whoever says each character that
#: there is would have 170 MB kept otherwise.
KEPT_BEFORE = 0x20000


class _Folds(dict[int, str]):
    """What each character is folded to; found when it is first asked for."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
        kept = "".join(one for one in folded if unicodedata.category(one) not in _LEFT_OUT and one not in _BLANK)
        found = unicodedata.normalize("NFC", kept)
        if code < KEPT_BEFORE:
            self[code] = found
        return found


_FOLDS = _Folds()


def fold(text: str) -> str:
    """Return a text in folded form."""
    return text.translate(_FOLDS)


def origins(text: str) -> list[int]:
    """Return for each character of `fold(text)` the index of that of `text` which it comes from."""
    return [index for index, character in enumerate(text) for _ in _FOLDS[ord(character)]]


def is_spaced(character: str) -> bool:
    """Return whether a folded character is of a script that puts spaces between words."""
    if not character.isalnum():
        return False
    if character < "\u2e80":  # before the scripts of East Asia
        return (
            not "\u0e00" <= character <= "\u0eff"
            and not "\u1000" <= character <= "\u109f"
            and not ("\u1780" <= character <= "\u17ff")
        )  # Thai, Lao, Burmese and Khmer put none
    return "\uac00" <= character <= "\ud7af"  # Hangul does
