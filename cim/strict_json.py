"""JSON in which nothing can be read in two ways: no name occurs twice, and numbers are numbers (RFC 8259)."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    loaded = dict(pairs)
    if len(loaded) != len(pairs):
        raise ValueError("a name appears twice in one object")
    return loaded


#: Returns what a JSON text says; raises ValueError if it is none, and RecursionError if it nests too deeply.
decode = json.JSONDecoder(object_pairs_hook=_refuse_repeats, parse_constant=_refuse_constant).decode


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the object that a JSON text in UTF-8 is.

    :raises ValueError: it is anything else, or nests too deeply
    """
    try:
        value = decode(data.decode())
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value
