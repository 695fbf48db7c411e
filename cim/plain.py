"""How text from outside is shown to people: on one line, without anything that controls a terminal. Pure."""

from __future__ import annotations

import re
import unicodedata


def quoted(text: str, most: int = 80) -> str:
    """Return text in double quotes, cut after `most` characters; what cannot be seen is shown by its number.

    So nothing in it can move a terminal's cursor, begin a line in a log, or look like something else.
    """
    shown = "".join(one if one.isprintable() else f"<U+{ord(one):04X}>" for one in text[:most])
    return f'"{shown}{"..." if len(text) > most else ""}"'


def _visible(character: str) -> str:
    if character == "\n":
        return "\N{SYMBOL FOR NEWLINE}"
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\N{SYMBOL FOR DELETE}"
    if code in range(0xD800, 0xE000):
        return "\N{REPLACEMENT CHARACTER}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


#: Marks that have a direction themselves and give it to the digits and signs around them, and formats of old.
_STEERING = "\u061c\u200e\u200f\u206a\u206b\u206c\u206d\u206e\u206f\ufff9\ufffa\ufffb"


def _harmful(character: str) -> bool:
    """Return whether a character controls a terminal, ends a line or changes the direction of the following text."""
    return (
        character in _STEERING
        or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    )


_SHOWN_AS = {code: _visible(chr(code)) for code in range(0x10000) if _harmful(chr(code))}
#: Tags, which nobody sees, but in the flag of a region; and selectors of variants, but behind an ideograph.
_TAGS = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f)"
    "|[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]"
    "|(?<![\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]"
)


def printable(text: str) -> str:
    """Return `text` on one line, with what controls a terminal, steers the text around it or hides in it visible."""
    return _TAGS.sub(lambda found: found[1] or _visible(found[0]), text.translate(_SHOWN_AS))
