"""How names are typed at the terminal, and shown there the same: in quotes where they could mean anything else. Pure.

So a line can be read in one way only (docs/terminal.md, Names): `@bob hi` goes to bob, whoever else is called `bob hi`.
"""

from __future__ import annotations

import re

from cim.names import meant_name, shown_name
from cim.terminal.console.commands import Misuse

#: A space would end the name; the others are what messages and commands have beside names.
_NEEDS_QUOTES = re.compile(r"[\s()\u2192\u27f6\u2794\u2799-\u279e]|^[@*]")
#: What messages and commands call people without naming anybody.
_WORDS = ("me", "everyone")
_QUOTED = re.compile(r'@?"[^"]+"(?!\S)')


def typed_name(name: str) -> str:
    """Return the name of a user or group as it is shown and typed at the terminal."""
    shown = shown_name(name)
    quotes = is_number(shown) or shown.casefold() in _WORDS or _NEEDS_QUOTES.search(shown)
    return f'"{shown}"' if quotes else shown


def split_name(text: str) -> tuple[str, str]:
    """Return the name that a text begins with, as it was typed, and what follows it.

    :raises Misuse: a quotation mark is missing
    """
    if not text.startswith(('"', '@"')):
        name, *rest = text.split(None, 1) or [""]
        return name, rest[0].strip() if rest else ""
    found = _QUOTED.match(text)
    if found is None:
        raise Misuse('a name in quotes ends with a quotation mark and a space, such as "Our Team"')
    return found[0], text[found.end() :].strip()


def only_name(text: str) -> str:
    """Return the name that a text consists of, as it was typed.

    :raises Misuse: it is more than a name
    """
    name, rest = split_name(text)
    if rest:
        raise Misuse(f'a name with spaces is typed in quotes: "{text[:64]}"')
    return name


def meant(typed: str) -> int | str:
    """Return the id or the name that was typed; an id has no quotes."""
    typed = typed.removeprefix("@")
    if is_number(typed):
        return int(typed[:20])
    return meant_name(unquoted(typed))


def unquoted(text: str) -> str:
    """Return a text without the quotes around it, if it has any."""
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else text


def group_id(typed: str) -> int | None:
    """Return the id in `5` or `g:5`; None for a name."""
    number = typed.removeprefix("g:")
    return int(number) if is_number(number) and len(number) < 19 else None


def is_number(text: str) -> bool:
    """Return whether a text consists of digits alone."""
    return text.isascii() and text.isdigit()
