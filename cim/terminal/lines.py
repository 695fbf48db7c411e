"""Text at a terminal: bytes into lines, and what came from others into what may be shown. Pure."""

from __future__ import annotations

import unicodedata

#: Longest line that is taken, bytes without its end.
MAX_LINE = 64 * 1024


class LineReader:
    """Cuts bytes, however they are chunked, into lines; holds at most one line, of bounded length.

    :param max_line: bytes; of a longer line nothing is kept
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._partial = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[str | None]:
        """Return the lines that `data` completes, None for one that was too long; bad UTF-8 is replaced."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._extend(end)
            lines.append(self._take())
        self._extend(rest)
        return lines

    def finish(self) -> list[str | None]:
        """Return the last line, when the input ended without a newline after it."""
        return [self._take()] if self._partial or self._too_long else []

    def _extend(self, data: bytes) -> None:
        if self._too_long:
            return
        # One more than the limit: it may be the carriage return of a line's end.
        if len(self._partial) + len(data) > self._max_line + 1:
            self._too_long = True
            self._partial.clear()
        else:
            self._partial += data

    def _take(self) -> str | None:
        line = bytes(self._partial).removesuffix(b"\r")
        too_long = self._too_long or len(line) > self._max_line
        self._partial.clear()
        self._too_long = False
        return None if too_long else line.decode("utf-8", "replace")


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
    """Whether it steers a terminal, ends a line or turns the direction of what stands behind it."""
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
    """Return `text` on one line, with each character visible that would steer the terminal."""
    return text.translate(_SHOWN_AS)
