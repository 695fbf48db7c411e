"""Lines from a terminal, split from its bytes. Pure."""

from __future__ import annotations

#: The longest line that is accepted, in bytes without the line break.
MAX_LINE = 64 * 1024


class LineReader:
    """Splits bytes, however they are chunked, into lines; buffers at most one line of bounded length.

    :param max_line: the longest line, in bytes; longer ones are dropped
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._partial = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[str | None]:
        """Return the lines that `data` completes, with None for one that was too long; invalid UTF-8 is replaced."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._extend(end)
            lines.append(self._take())
        self._extend(rest)
        return lines

    def finish(self) -> list[str | None]:
        """Return the last line if the input ended without a newline."""
        return [self._take()] if self._partial or self._too_long else []

    def _extend(self, data: bytes) -> None:
        if self._too_long:
            return
        # One more than the limit: the last byte may be the carriage return of the line break.
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
