"""How lines look: the names of styles, and the terminal sequences for them. Pure."""

from __future__ import annotations

import zlib

from cim.plain import printable
from cim.terminal.iconsole import Line

#: SGR parameters by style.
_SGR = {
    "dim": "2",
    "me": "1;32",
    "hit": "1;4;31",
    "bad": "31",
    "good": "32",
    "warn": "33",
    "bold": "1",
    "name0": "1;36",
    "name1": "1;35",
    "name2": "1;33",
    "name3": "1;34",
    "name4": "1;31",
    "name5": "1;96",
}
#: Without colours, hits are still underlined where the terminal supports it.
_PLAIN = {"hit": "4"}


def of_name(name: str) -> str:
    """Return the style of a user's name, always the same for one name."""
    return f"name{zlib.crc32(name.encode('utf-8', 'replace')) % 6}"


def plain(line: Line) -> str:
    """Return a line without styles and without control characters."""
    return printable(line if isinstance(line, str) else "".join(text for _, text in line))


def styled(line: Line, *, colour: bool, indent: str = "") -> str:
    """Return a line with its styles and without other control characters; lines after a line break are indented."""
    spans = [("", line)] if isinstance(line, str) else line
    shown = []
    for style, text in spans:
        text = f"\r\n{indent}".join(map(printable, text.expandtabs().split("\n")))
        sgr = (_SGR if colour else _PLAIN).get(style)
        shown.append(f"\x1b[{sgr}m{text}\x1b[0m" if sgr else text)
    return "".join(shown)


def highlighted(text: str, part: str) -> list[tuple[str, str]]:
    """Return `text` with every occurrence of `part` styled as a hit, ignoring case."""
    folded, wanted = text.lower(), part.lower()
    # Lower-casing may change the length; then only exact matches are marked.
    if len(folded) != len(text) or len(wanted) != len(part):
        folded, wanted = text, part
    spans, at = [], 0
    while wanted and (hit := folded.find(wanted, at)) >= 0:
        spans += [("", text[at:hit]), ("hit", text[hit : hit + len(wanted)])]
        at = hit + len(wanted)
    return [(style, piece) for style, piece in [*spans, ("", text[at:])] if piece]
