"""How messages for people show text that came from outside."""

from __future__ import annotations


def quoted(text: str, most: int = 80) -> str:
    """Return text in double quotes, cut after `most` characters; what cannot be seen is shown by its number.

    So nothing in it can move a terminal's cursor, begin a line in a log, or look like something else.
    """
    shown = "".join(one if one.isprintable() else f"<U+{ord(one):04X}>" for one in text[:most])
    return f'"{shown}{"..." if len(text) > most else ""}"'
