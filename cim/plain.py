"""How text from outside is shown to people: on one line, without anything that controls a terminal. Pure."""

from __future__ import annotations

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
    return f"\\u{code:04x}"


def _harmful(character: str) -> bool:
    """Return whether a character controls a terminal, ends a line or changes the direction of the following text."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(character) in (
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "PDF",
        "LRI",
        "RLI",
        "FSI",
        "PDI",
    )


_SHOWN_AS = {code: _visible(chr(code)) for code in range(0x10000) if _harmful(chr(code))}


def printable(text: str) -> str:
    """Return `text` on one line, with characters that would control the terminal made visible."""
    return text.translate(_SHOWN_AS)
