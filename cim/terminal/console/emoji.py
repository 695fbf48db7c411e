"""Emoji and their aliases: `:smile:` in a text, and the pages of `:emoji`. Pure."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

#: Emoji on a page of `:emoji`, as upstream has it.
PAGE = 5

_ALIAS = re.compile(r":([a-z0-9_+\-]{1,60}):")


@cache
def table() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return all emoji with their aliases, in upstream's order; reads the file on the first call."""
    text = files(__package__).joinpath("emoji.txt").read_text(encoding="utf-8")
    rows = (line.split() for line in text.splitlines() if not line.startswith("# "))
    return tuple((emoji, tuple(aliases)) for emoji, *aliases in rows)


@cache
def aliases() -> dict[str, str]:
    """Return the emoji by alias."""
    return {alias: emoji for emoji, names in table() for alias in names}


def emojize(text: str) -> str:
    """Replace each `:alias:` by its emoji; unknown aliases stay as they are."""
    if ":" not in text:
        return text
    return _ALIAS.sub(lambda match: aliases().get(match[1], match[0]), text)
