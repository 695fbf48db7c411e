"""Reading the JSON object of a request: lenient as upstream's Jackson, strict in types and bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, Self

from cim.ecim import BadRequest, InvalidField
from cim.model import check_id, check_name


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode
_MAX_DIGITS = 16
_NO_BOUND = 1 << 30


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    :raises BadRequest: with status 400 when it is none
    """
    try:
        values = _decode(body.decode())
    except RecursionError:
        raise BadRequest(400, "invalid argument: the body is nested too deeply") from None
    except ValueError:  # no UTF-8, no JSON, or a number of more digits than Python reads
        raise BadRequest(400, "invalid argument: the body is not JSON in UTF-8") from None
    if type(values) is not dict:
        raise BadRequest(400, "invalid argument: the body must be a JSON object")
    return values


class Fields:
    """The fields of a request. Unknown ones are ignored, null counts as missing, numbers may come as digits in a text.

    Every method raises InvalidField, naming the field and the reason. Bounds of texts are bytes of UTF-8.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read a request's body.

        :raises BadRequest: with status 400 when it is not a JSON object
        """
        return cls(parse_object(body))

    def user_id(self, name: str) -> int:
        """The id of a user or account."""
        return check_id(self.integer(name), name)

    def integer(self, name: str) -> int:
        """A whole number."""
        value = self._values.get(name)
        if type(value) is int:
            return value
        if value is None:
            raise InvalidField(name, "is missing")
        if type(value) is str:
            digits = value.strip()
            unsigned = digits.removeprefix("-")
            if unsigned.isascii() and unsigned.isdigit() and len(unsigned) <= _MAX_DIGITS:
                return int(digits)
        raise InvalidField(name, "must be a whole number")

    def text(self, name: str, max_bytes: int) -> str:
        """A text that must be there."""
        value = self._values.get(name)
        if value is None:
            raise InvalidField(name, "is missing")
        return _check_text(name, value, max_bytes)

    def optional_text(self, name: str, max_bytes: int) -> str | None:
        """A text or None."""
        value = self._values.get(name)
        return None if value is None else _check_text(name, value, max_bytes)

    def texts(self, name: str, max_items: int, max_bytes: int) -> list[str]:
        """A list of texts, of so many bytes together; empty when missing."""
        value = self._values.get(name)
        if value is None:
            return []
        if type(value) is not list:
            raise InvalidField(name, "must be a list of texts")
        if len(value) > max_items:
            raise InvalidField(name, f"must have at most {max_items} items, has {len(value)}")
        left = max_bytes
        texts = []
        for item in value:
            texts.append(_check_text(name, item, max_bytes))
            left -= len(item) if type(item) is str and item.isascii() else len(texts[-1].encode())
            if left < 0:
                raise InvalidField(name, f"must have at most {max_bytes} bytes together")
        return texts

    def name(self, name: str = "userName") -> str:
        """The name of a user."""
        value = self._values.get(name)
        if value is None:
            raise InvalidField(name, "is missing")
        return check_name(_check_text(name, value, _NO_BOUND), name)

    def string_map(self, name: str, max_items: int, max_bytes: int) -> dict[str, str]:
        """A map of texts to texts, of so many bytes together; empty when missing."""
        value = self._values.get(name)
        if value is None:
            return {}
        if type(value) is not dict:
            raise InvalidField(name, "must be an object of texts")
        if len(value) > max_items:
            raise InvalidField(name, f"must have at most {max_items} entries, has {len(value)}")
        result: dict[str, str] = {}
        left = max_bytes
        for key, item in value.items():
            if item is None:
                continue
            result[_check_text(name, key, max_bytes)] = text = _check_text(name, item, max_bytes)
            left -= len(key.encode()) + len(text.encode())
            if left < 0:
                raise InvalidField(name, f"must have at most {max_bytes} bytes together")
        return result

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """One of some words, or its place among them, as Jackson reads an enum; None when missing."""
        value = self._values.get(name)
        if value is None:
            return None
        if type(value) is str and value in choices:
            return value
        if type(value) is int and 0 <= value < len(choices):
            return choices[value]
        raise InvalidField(name, f"must be one of {', '.join(choices)}")


def _check_text(name: str, value: Any, max_bytes: int) -> str:
    if type(value) is int:  # as Jackson does
        value = str(value)
    elif type(value) is not str:
        raise InvalidField(name, "must be a text")
    if value.isascii():
        size = len(value)
    else:
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidField(name, "must not contain surrogates") from None
    if size > max_bytes:
        raise InvalidField(name, f"must have at most {max_bytes} bytes, has {size}")
    return str(value)
