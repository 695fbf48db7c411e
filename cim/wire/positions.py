"""Positions of messages in a conversation: `<epoch>-<n>`, compared number by number (docs/protocol.md)."""

from __future__ import annotations

import re

from cim.errors import InvalidField

#: (epoch, n); the tuples compare as positions do.
Position = tuple[int, int]

#: The position before the first message; its text is empty.
ZERO: Position = (0, 0)

#: Epoch and n stay below this: they travel as int64 and live in Redis stream ids and SQLite integers.
LIMIT = 1 << 63

#: A position that no message ever has.
NOWHERE = f"{LIMIT - 1}-{LIMIT - 1}"

_CANONICAL = re.compile(r"(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})")


def parse(text: str, field: str = "position") -> Position:
    """Parse a position; the empty text is ZERO. Each position has exactly one text.

    :param field: the field to name in an error
    :raises InvalidField: the text is anything else
    """
    if not text:
        return ZERO
    match = _CANONICAL.fullmatch(text)
    if match is not None:
        epoch, n = int(match[1]), int(match[2])
        if epoch < LIMIT and n < LIMIT and (epoch or n):
            return epoch, n
    raise InvalidField(field, "must be a position such as 1700000000000-1")


def text(position: Position) -> str:
    """Return the text of a position; it is empty for ZERO."""
    return f"{position[0]}-{position[1]}" if position != ZERO else ""
