"""Breaks lines at the width of the screen, so that no row but a line's first looks like the beginning of one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prompt_toolkit.utils import get_cwidth

from cim.plain import printable
from cim.terminal.iconsole import Line, Span

#: A word in ASCII, or any other character with what is drawn upon it or joined to it.
_PIECE = re.compile("\n|[!-~]+|[^\n](?:[\u0300-\u036f\u200d\ufe00-\ufe0f]|(?<=\u200d)[^\n])*")


def wrapped(line: Line, width: int, indent: str) -> list[Span]:
    """Return a printable line with a line break wherever it reaches the width, before a word if possible.

    A word in ASCII that is longer than a row, such as a URL, is left to the terminal, so that it can be copied; what
    follows it begins on a new row.

    :param width: columns of the screen
    :param indent: what the rows after a line break begin with
    """
    spans: Sequence[Span] = [("", line)] if isinstance(line, str) else line
    shown = [(style, "\n".join(map(printable, text.expandtabs().split("\n")))) for style, text in spans]
    if 2 * sum(len(text) for _, text in shown) <= width:
        return shown
    start = get_cwidth(indent)
    column = 0
    found: list[Span] = []
    for style, text in shown:
        pieces: list[str] = []
        for piece in _PIECE.findall(text):
            if piece == "\n":
                column = start
            else:
                size = get_cwidth(piece)
                long = size > width - start
                if column > start and column + size > width and (column >= width or not long):
                    pieces.append("\n")
                    column = start
                    if piece == " ":
                        continue
                column += width if long else size
            pieces.append(piece)
        found.append((style, "".join(pieces)))
    return found
